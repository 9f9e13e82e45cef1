// Which pages are watched as page tables: a copy of each, and who points to whom.

#include "model.h"

#include <stdlib.h>

void *
tlb_grow(void *old, size_t bytes)
{
  void *p = realloc(old, bytes);
  if (p == NULL)
    abort();
  return p;
}

struct page *
page_of(const struct tlb *t, uint64_t pa)
{
  uint64_t number = (pa - t->config.ram_base) / PAGE_SIZE;
  return pa >= t->config.ram_base && number < t->npages ? t->pages[number] : NULL;
}

static void
link_add(struct page *child, struct page *parent, unsigned index)
{
  if (child->nparents == child->capacity) {
    child->capacity = child->capacity ? 2 * child->capacity : 2;
    child->parents = tlb_grow(child->parents, child->capacity * sizeof(struct link));
  }
  child->parents[child->nparents++] = (struct link){parent, index};
}

static void
link_remove(struct page *child, const struct page *parent, unsigned index)
{
  for (unsigned i = 0; i < child->nparents; i++) {
    if (child->parents[i].page == parent && child->parents[i].index == index) {
      child->parents[i] = child->parents[--child->nparents];
      return;
    }
  }
}

static void
note_global(struct tlb *t, uint64_t pte)
{
  if (t->any_global || !pte_global(pte))
    return;
  t->any_global = true;
  for (unsigned i = 0; i < t->config.harts; i++)
    quiet_update(t, i);
}

// The tables that p's words point to, each watched one level lower; links to them are
// added if `link`.
static void
watch_children(struct tlb *t, struct page *p, bool link)
{
  for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
    if (pte_kind(p->word[i]) != PTE_POINTER)
      continue;
    struct page *child = page_watch(t, pte_pa(p->word[i]), p->height - 1);
    if (child != NULL && link)
      link_add(child, p, i);
  }
}

// The page at pa, watched, with at least `height` levels of tables below it; NULL if it
// is not RAM. The caller makes a reference to it (link, space, record or known).
struct page *
page_watch(struct tlb *t, uint64_t pa, int height)
{
  uint64_t number = (pa - t->config.ram_base) / PAGE_SIZE;
  if (pa < t->config.ram_base || number >= t->npages)
    return NULL;
  struct page *p = t->pages[number];
  if (p != NULL) {
    if (height > p->height) {
      bool link = p->height == 0;
      p->height = height;
      watch_children(t, p, link);
    }
    return p;
  }
  p = tlb_grow(NULL, sizeof(*p));
  *p = (struct page){.pa = pa, .height = height, .stored = t->stored[number]};
  t->pages[number] = p;
  t->watched[number] = 1;
  for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
    p->word[i] = t->config.read(t->config.arg, pa + 8 * i);
    if (pte_kind(p->word[i]) == PTE_BAD)
      p->reserved++;
    note_global(t, p->word[i]);
  }
  t->reserved += p->reserved;
  if (height > 0)
    watch_children(t, p, true);
  return p;
}

// Stop watching p, and what it alone refers to, if nothing refers to it.
void
page_release(struct tlb *t, struct page *p)
{
  if (p->known || p->spaces || p->records || p->nparents)
    return;
  uint64_t number = (p->pa - t->config.ram_base) / PAGE_SIZE;
  for (unsigned i = 0; i < TABLE_ENTRIES; i++)
    if (t->stored[number] < p->changed[i])
      t->stored[number] = p->changed[i];
  t->pages[number] = NULL;
  t->watched[number] = 0;
  t->reserved -= p->reserved;
  for (unsigned i = 0; p->height > 0 && i < TABLE_ENTRIES; i++) {
    struct page *child =
        pte_kind(p->word[i]) == PTE_POINTER ? page_of(t, pte_pa(p->word[i])) : NULL;
    if (child != NULL) {
      link_remove(child, p, i);
      page_release(t, child);
    }
  }
  free(p->parents);
  free(p);
}

// Put a word into the copy of p, and keep links, times and counts in step.
void
page_set_word(struct tlb *t, struct page *p, unsigned index, uint64_t value)
{
  uint64_t old = p->word[index];
  int bad = (pte_kind(value) == PTE_BAD) - (pte_kind(old) == PTE_BAD);
  p->reserved += bad;
  t->reserved += bad;
  p->word[index] = value;
  if (pte_canonical(old) == pte_canonical(value))
    return;
  p->changed[index] = t->now;
  note_global(t, value);
  if (p->height == 0)
    return;
  if (pte_kind(value) == PTE_POINTER) {
    struct page *child = page_watch(t, pte_pa(value), p->height - 1);
    if (child != NULL)
      link_add(child, p, index);
  }
  struct page *before = pte_kind(old) == PTE_POINTER ? page_of(t, pte_pa(old)) : NULL;
  if (before != NULL) {
    link_remove(before, p, index);
    page_release(t, before);
  }
}
