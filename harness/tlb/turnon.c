// Translation turned on over tables that were stored to since the hart's last fence:
// the stores are not ordered before the walks that read them.

#include "model.h"

void
tlb_page_stored(struct tlb *t, uint64_t pa)
{
  uint64_t number = (pa - t->config.ram_base) / PAGE_SIZE;
  if (pa < t->config.ram_base || number >= t->npages)
    return;
  // After every event so far, and before the next, which will be at now + 1.
  uint64_t time = __atomic_load_n(&t->now, __ATOMIC_RELAXED) + 1;
  __atomic_store_n(&t->stored[number], time, __ATOMIC_RELAXED);
  if (__atomic_load_n(&t->any_stored, __ATOMIC_RELAXED) < time)
    __atomic_store_n(&t->any_stored, time, __ATOMIC_RELAXED);
}

// The hart has written satp: `before` and `after` say whether translation is on.
void
turn_on_noted(struct tlb *t, unsigned hart, bool before, bool after)
{
  struct hart *h = &t->harts[hart];
  if (!before && after && t->any_stored > h->fenced) {
    h->turned_on = t->now;
    h->turned_on_at = h->satp;
  } else if (!after) {
    h->turned_on = 0;
  }
}

// The hart has fenced all addresses, of one address space at least.
void
turn_on_fenced(struct tlb *t, unsigned hart)
{
  t->harts[hart].fenced = ++t->now;
  t->harts[hart].turned_on = 0;
}

// The first entry on the walk for va that may be read as it was before it was stored
// to.
static const struct page *
unordered_on_walk(const struct tlb *t, const struct hart *h, uint64_t va,
                  struct candidate *at)
{
  const struct page *p = h->current->page;
  *at = (struct candidate){.asid = h->current->asid};
  for (int level = 2; level >= 0 && p != NULL; level--) {
    unsigned index = va_slot(va, level) % TABLE_ENTRIES;
    uint64_t changed = p->changed[index];
    at->level = level;
    at->pte = p->word[index];
    at->entry = p->pa + 8 * index;
    at->global = at->global || pte_global(at->pte);
    if (changed < p->stored)
      changed = p->stored;
    if (changed > h->fenced && changed <= h->turned_on)
      return p;
    p = pte_kind(at->pte) == PTE_POINTER ? page_of(t, pte_pa(at->pte)) : NULL;
  }
  return NULL;
}

bool
turn_on_matters(const struct tlb *t, const struct hart *h, uint64_t va)
{
  struct candidate at;
  return h->turned_on && unordered_on_walk(t, h, va, &at) != NULL;
}

// Report the access if it is the first that may read such an entry.
void
turn_on_used(struct tlb *t, unsigned hart, const struct tlb_access *a)
{
  struct hart *h = &t->harts[hart];
  struct candidate at;
  const struct page *table =
      h->turned_on && !a->fence ? unordered_on_walk(t, h, a->va, &at) : NULL;
  if (table == NULL)
    return;
  h->turned_on = 0;
  struct tlb_violation v = {.rule = TLB_UNFENCED_TABLE,
                            .severity = TLB_WARNING,
                            .hart = hart,
                            .va = a->va,
                            .asid = at.asid,
                            .change_hart = hart,
                            .change = h->turned_on_at,
                            .level = at.level,
                            .entry = at.entry,
                            .new_pte = at.pte,
                            .kind = a->kind,
                            .use_hart = hart,
                            .use = a->site,
                            .page = table->pa,
                            .fence = at.global ? TLB_FENCE_ALL : TLB_FENCE_ASID};
  violation_report(t, &v);
  quiet_update(t, hart);
}
