// The model as a whole: made and unmade, writes of satp, stores, what it is asked.

#include "model.h"

#include <stdlib.h>
#include <string.h>

static void *
zeroed(size_t count, size_t size)
{
  return calloc(count ? count : 1, size);
}

struct tlb *
tlb_new(const struct tlb_config *config)
{
  struct tlb *t = zeroed(1, sizeof(*t));
  if (t == NULL)
    return NULL;
  t->config = *config;
  t->npages = config->ram_size / PAGE_SIZE;
  t->pages = zeroed(t->npages, sizeof(struct page *));
  t->watched = zeroed(t->npages, 1);
  t->freed = zeroed(t->npages, sizeof(struct freed_page));
  t->freeings = zeroed(t->npages * config->harts, sizeof(struct freeing));
  t->stored = zeroed(t->npages, sizeof(uint64_t));
  t->harts = zeroed(config->harts, sizeof(struct hart));
  t->quiet = zeroed(config->harts, 1);
  if (!t->pages || !t->watched || !t->freed || !t->freeings || !t->stored ||
      !t->harts || !t->quiet) {
    t->config.harts = 0;
    t->npages = 0;
    tlb_free(t);
    return NULL;
  }
  memset(t->quiet, 1, config->harts);
  return t;
}

void
tlb_free(struct tlb *t)
{
  if (t == NULL)
    return;
  for (unsigned i = 0; i < t->config.harts; i++) {
    struct hart *h = &t->harts[i];
    for (struct space *s = h->spaces, *next; s != NULL; s = next) {
      next = s->next;
      free(s->away.fences);
      free(s);
    }
    for (unsigned b = 0; b < RECORD_BUCKETS; b++) {
      for (struct record *r = h->records[b], *next; r != NULL; r = next) {
        next = r->next;
        free(r);
      }
    }
    free(h->bare.fences);
  }
  for (uint64_t i = 0; i < t->npages; i++) {
    if (t->pages[i] != NULL)
      free(t->pages[i]->parents);
    free(t->pages[i]);
  }
  free(t->candidates.at);
  free(t->pages);
  free(t->watched);
  free(t->freed);
  free(t->freeings);
  free(t->stored);
  free(t->harts);
  free(t->quiet);
  free(t);
}

static struct space *
space_enter(struct tlb *t, struct hart *h, uint64_t root, uint16_t asid)
{
  struct space *s = h->spaces;
  while (s != NULL && !(s->root == root && s->asid == asid))
    s = s->next;
  if (s == NULL) {
    s = tlb_grow(NULL, sizeof(*s));
    *s = (struct space){.root = root, .asid = asid, .next = h->spaces};
    s->page = page_watch(t, root, 2);
    if (s->page != NULL)
      s->page->spaces++;
    h->spaces = s;
    h->nspaces++;
  }
  if (s->page != NULL)
    s->page->known = true;
  return s;
}

static void
away_begin(struct away *away, uint64_t now)
{
  away->since = now;
  away->nfences = 0;
}

bool
tlb_satp(struct tlb *t, unsigned hart, uint64_t value, tlb_site site)
{
  struct hart *h = &t->harts[hart];
  unsigned mode = value >> 60;
  uint64_t root = (value & ((1ull << 44) - 1)) << 12;
  uint16_t asid = value >> 44 & 0xffff;
  struct space *before = h->current, *after = NULL;
  t->now++;
  if (mode == 8)
    after = space_enter(t, h, root, asid);
  if (before != NULL && before != after) {
    away_begin(&before->away, t->now);
    before->left = site;
    before->reported = TLB_NONE;
  }
  if (before != NULL && after == NULL)
    away_begin(&h->bare, t->now);
  h->current = after;
  h->active = after != NULL;
  h->satp = site;
  turn_on_noted(t, hart, before != NULL, after != NULL);
  quiet_update(t, hart);
  if (after != NULL) {
    satp_freed_check(t, hart);
    reserved_check(t, hart, site);
  }
  return mode == 0 || mode == 8;
}

// A store to a watched word, as seen by one hart.
struct change {
  struct tlb *t;
  struct page *page;
  unsigned index;
  uint64_t new_pte;
  unsigned storer, hart;
  tlb_site site;
  // How the hart comes to the word while it is in its cache.
  struct reach *ways;
  unsigned nways, capacity;
};

static void
change_reached(void *arg, const struct reach *by)
{
  struct change *c = arg;
  if (!word_cached(&c->t->harts[c->hart], by, c->page, c->index))
    return;
  if (c->nways == c->capacity) {
    c->capacity = c->capacity ? 2 * c->capacity : 4;
    c->ways = tlb_grow(c->ways, c->capacity * sizeof(*c->ways));
  }
  c->ways[c->nways++] = *by;
}

// The word is about to change; before it does, each hart that has it in its cache gets
// a record of its old value.
static void
change_recorded(struct change *c)
{
  struct tlb *t = c->t;
  uint64_t old = c->page->word[c->index];
  bool same = pte_canonical(old) == pte_canonical(c->new_pte);
  bool reserved = pte_kind(c->new_pte) == PTE_BAD && pte_kind(old) != PTE_BAD;
  if (same && !reserved)
    return;
  for (c->hart = 0; c->hart < t->config.harts; c->hart++) {
    c->nways = 0;
    reach_each(t, c->hart, c->page, change_reached, c);
    for (unsigned i = 0; i < c->nways; i++) {
      const struct reach *by = &c->ways[i];
      if (reserved && by->current)
        reserved_report(t, c->hart, c->page, c->index, by, c->new_pte, old, c->storer,
                        c->site, c->site);
      if (same)
        continue;
      struct record like = {.level = by->level,
                            .slot = by->prefix << 9 | c->index,
                            .asid = by->asid,
                            .global = by->global || pte_global(old),
                            .old_pte = pte_canonical(old),
                            .new_pte = c->new_pte,
                            .entry = c->page->pa + 8 * c->index,
                            .time = t->now,
                            .change_hart = c->storer,
                            .change = c->site,
                            .left = way_left(by),
                            .left_at = way_left_at(by)};
      record_add(t, c->hart, &like);
    }
    if (c->nways)
      quiet_update(t, c->hart);
  }
  free(c->ways);
}

void
tlb_store(struct tlb *t, unsigned hart, uint64_t pa, unsigned size, uint64_t value,
          tlb_site site)
{
  struct page *p = page_of(t, pa & ~(PAGE_SIZE - 1));
  if (p == NULL)
    return;
  unsigned index = pa % PAGE_SIZE / 8, shift = pa % 8 * 8;
  uint64_t mask = size == 8 ? ~0ull : ((1ull << 8 * size) - 1) << shift;
  uint64_t old = p->word[index];
  uint64_t new = (old & ~mask) | (value << shift & mask);
  if (new == old)
    return;
  t->now++;
  bool same = pte_canonical(new) == pte_canonical(old);
  if (!same && p->known && !p->spaces && !p->records && !p->nparents) {
    p->known = false; // a root that no hart has: it is read again when one does
    page_release(t, p);
    tlb_page_stored(t, pa);
    return;
  }
  struct change change = {
      .t = t, .page = p, .index = index, .new_pte = new, .storer = hart, .site = site};
  change_recorded(&change);
  p->site[index] = site;
  t->any_stored = t->now;
  page_set_word(t, p, index, new);
}

bool
tlb_quiet(const struct tlb *t, unsigned hart)
{
  return t->quiet[hart];
}

bool
tlb_watched(const struct tlb *t, uint64_t pa)
{
  uint64_t number = (pa - t->config.ram_base) / PAGE_SIZE;
  return pa >= t->config.ram_base && number < t->npages && t->watched[number];
}

const uint8_t *
tlb_quiet_bytes(const struct tlb *t)
{
  return t->quiet;
}

const uint8_t *
tlb_watched_bytes(const struct tlb *t)
{
  return t->watched;
}
