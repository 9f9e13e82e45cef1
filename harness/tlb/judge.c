// The verdict on an access: every translation the hart may use, against the current
// one.

#include "model.h"

static void
candidate_add(struct candidates *all, const struct candidate *c)
{
  if (all->n == all->capacity) {
    all->capacity = all->capacity ? 2 * all->capacity : 16;
    all->at = tlb_grow(all->at, all->capacity * sizeof(*all->at));
  }
  all->at[all->n++] = *c;
}

// What the word at p for va gives a hart that comes to p as `by` and `from` say.
static void
candidate_word(struct tlb *t, const struct hart *h, const struct page *p,
               const struct reach *by, const struct candidate *from, uint64_t va)
{
  unsigned index = va_slot(va, by->level) % TABLE_ENTRIES;
  if (!word_cached(h, by, p, index))
    return;
  struct candidate c = *from;
  c.pte = pte_canonical(p->word[index]);
  c.entry = p->pa + 8 * index;
  c.level = by->level;
  c.asid = by->asid;
  c.global = by->global || pte_global(c.pte);
  candidate_add(&t->candidates, &c);
}

static void
candidates_recorded(struct tlb *t, struct hart *h, int level, uint64_t slot)
{
  if (h->nrecords == 0)
    return;
  for (struct record *r = *record_bucket(h, level, slot); r != NULL; r = r->next) {
    if (r->level != level || r->slot != slot)
      continue;
    struct candidate c = {.pte = r->old_pte,
                          .entry = r->entry,
                          .level = level,
                          .asid = r->asid,
                          .global = r->global,
                          .record = r};
    candidate_add(&t->candidates, &c);
  }
}

// Fill t->candidates with the values at all levels for va that the hart's cache has or
// memory gives, under every tag; candidate_usable says which serve its current space.
void
candidates_of(struct tlb *t, unsigned hart, uint64_t va)
{
  struct hart *h = &t->harts[hart];
  struct candidates *all = &t->candidates;
  all->n = 0;
  for (struct space *s = h->spaces; s != NULL; s = s->next) {
    struct reach by = {.level = 2, .asid = s->asid, .space = s};
    struct candidate from = {.left = s == h->current ? NULL : s};
    if (s->page != NULL)
      candidate_word(t, h, s->page, &by, &from, va);
  }
  candidates_recorded(t, h, 2, va_slot(va, 2));
  unsigned first = 0;
  for (int level = 1; level >= 0; level--) {
    unsigned last = all->n;
    for (unsigned i = first; i < last; i++) {
      struct candidate from = all->at[i];
      if (pte_kind(from.pte) != PTE_POINTER)
        continue;
      const struct page *p = page_of(t, pte_pa(from.pte));
      struct reach by = {.level = level,
                         .prefix = va_slot(va, level + 1),
                         .asid = from.asid,
                         .global = from.global};
      if (p != NULL) {
        candidate_word(t, h, p, &by, &from, va);
      } else { // no table can be read there: an access fault
        from.pte = 0;
        from.level = level;
        candidate_add(all, &from);
      }
    }
    candidates_recorded(t, h, level, va_slot(va, level));
    first = last;
  }
}

bool
candidate_usable(const struct hart *h, const struct candidate *c)
{
  return c->global || c->asid == h->current->asid;
}

// The physical page that a leaf translates va to. False if it is no leaf, or a
// superpage not aligned to its size.
bool
leaf_page(const struct candidate *c, uint64_t va, uint64_t *pa)
{
  uint64_t size = level_size(c->level), base = pte_pa(c->pte);
  if (pte_kind(c->pte) != PTE_LEAF || base % size != 0)
    return false;
  *pa = base + (va % size & ~(PAGE_SIZE - 1));
  return true;
}

// The algorithm on memory alone, from the hart's current root: where it ends. False if
// it ends without a leaf.
bool
walk_current(const struct tlb *t, const struct hart *h, uint64_t va,
             struct candidate *end)
{
  *end = (struct candidate){.level = 2, .asid = h->current->asid};
  const struct page *p = h->current->page;
  for (int level = 2; level >= 0 && p != NULL; level--) {
    unsigned index = va_slot(va, level) % TABLE_ENTRIES;
    end->pte = pte_canonical(p->word[index]);
    end->entry = p->pa + 8 * index;
    end->level = level;
    end->global = end->global || pte_global(end->pte);
    if (pte_kind(end->pte) != PTE_POINTER)
      return pte_kind(end->pte) == PTE_LEAF;
    p = page_of(t, pte_pa(end->pte));
  }
  return false;
}

static bool
allows(uint64_t pte, const struct tlb_access *a)
{
  if (a->user ? !(pte & PTE_U) : (pte & PTE_U) && (a->kind == TLB_FETCH || !a->sum))
    return false;
  switch (a->kind) {
  case TLB_FETCH:
    return pte & PTE_X;
  case TLB_STORE:
    return pte & PTE_W;
  default:
    return (pte & PTE_R) || (a->mxr && (pte & PTE_X));
  }
}

static bool
may_differ(const struct tlb *t, const struct candidate *c)
{
  if (c->record == NULL)
    return c->left != NULL;
  return c->record->by_leaving || c->record->old_pte != 0 || !t->config.svvptc;
}

// The hart may use c for its current space, as the end of a walk, and it may differ
// from what memory says.
static bool
ends_translation(const struct tlb *t, const struct hart *h, const struct candidate *c)
{
  return candidate_usable(h, c) && may_differ(t, c) &&
         (c->level == 0 || pte_kind(c->pte) != PTE_POINTER);
}

// The verdict on c being used where `now` is the current translation; docs/tlb.md has
// the table.
static enum tlb_severity
compare(const struct candidate *c, const struct candidate *now, uint64_t va,
        const struct tlb_access *a, bool *same_page)
{
  uint64_t old_pa = 0, new_pa = 0;
  bool old_leaf = leaf_page(c, va, &old_pa), new_leaf = leaf_page(now, va, &new_pa);
  bool old_ok = old_leaf && allows(c->pte, a), new_ok = new_leaf && allows(now->pte, a);
  *same_page = old_leaf && new_leaf && old_pa == new_pa;
  if (old_ok)
    return new_ok && *same_page ? TLB_NONE : TLB_ERROR;
  return new_ok && !*same_page ? TLB_WARNING : TLB_NONE;
}

static enum tlb_severity *
reported(const struct candidate *c)
{
  return c->record != NULL ? &c->record->reported : &c->left->reported;
}

// Some access would find a difference between c and `now`, and it has not been
// reported.
static bool
may_matter(const struct candidate *c, const struct candidate *now, uint64_t va)
{
  uint64_t rights = PTE_R | PTE_W | PTE_X | PTE_U, old_pa = 0, new_pa = 0;
  bool old_leaf = leaf_page(c, va, &old_pa), new_leaf = leaf_page(now, va, &new_pa);
  if (old_leaf && new_leaf && old_pa == new_pa &&
      (c->pte & rights) == (now->pte & rights))
    return false;
  enum tlb_severity worst = old_leaf ? TLB_ERROR : new_leaf ? TLB_WARNING : TLB_NONE;
  return worst > *reported(c);
}

static uint64_t
change_time(const struct candidate *c)
{
  return c->record != NULL ? c->record->time : c->left->away.since;
}

static enum tlb_rule
rule_of(const struct candidate *c, enum tlb_severity severity, bool same_page)
{
  if (c->record == NULL || c->record->by_leaving)
    return TLB_STALE_ASID;
  if (c->record->old_pte == 0)
    return TLB_UNFENCED_VALID;
  return severity == TLB_ERROR && same_page ? TLB_STALE_PERMISSION : TLB_STALE_USE;
}

static void
report(struct tlb *t, unsigned hart, const struct tlb_access *a,
       const struct candidate *c, const struct candidate *now,
       enum tlb_severity severity, bool same_page)
{
  const struct record *r = c->record;
  struct tlb_violation v = {.rule = rule_of(c, severity, same_page),
                            .severity = severity,
                            .hart = hart,
                            .va = a->va,
                            .asid = t->harts[hart].current->asid,
                            .kind = a->kind,
                            .use_hart = hart,
                            .use = a->site};
  if (r != NULL && !r->by_leaving) {
    v.change_hart = r->change_hart;
    v.change = r->change;
    v.level = r->level;
    v.entry = r->entry;
    v.old_pte = r->old_pte;
    v.new_pte = r->new_pte;
    v.fence = fence_for(r->old_pte, r->global);
  } else {
    v.change_hart = hart;
    v.change = r != NULL ? r->change : c->left->left;
    v.level = c->level;
    v.entry = c->entry;
    v.old_pte = c->pte;
    v.new_pte = now->pte;
    v.fence = c->global ? TLB_FENCE_ALL : TLB_FENCE_ASID;
  }
  uint64_t page;
  v.page = leaf_page(c, a->va, &page) ? page : pte_pa(v.old_pte);
  violation_report(t, &v);
}

// Nothing at va can be out of date: there is no translation, or nothing is unfenced.
static bool
never_stale(const struct tlb *t, unsigned hart, uint64_t va)
{
  const struct hart *h = &t->harts[hart];
  return t->quiet[hart] || !h->active || h->current->page == NULL || !va_canonical(va);
}

bool
tlb_settled(struct tlb *t, unsigned hart, uint64_t va)
{
  if (never_stale(t, hart, va))
    return true;
  const struct hart *h = &t->harts[hart];
  struct candidate now;
  walk_current(t, h, va, &now);
  candidates_of(t, hart, va);
  for (unsigned i = 0; i < t->candidates.n; i++) {
    const struct candidate *c = &t->candidates.at[i];
    if (ends_translation(t, h, c) && may_matter(c, &now, va))
      return false;
  }
  return !turn_on_matters(t, h, va);
}

void
tlb_access(struct tlb *t, unsigned hart, const struct tlb_access *a)
{
  struct hart *h = &t->harts[hart];
  if (never_stale(t, hart, a->va))
    return;
  struct candidate now;
  walk_current(t, h, a->va, &now);
  candidates_of(t, hart, a->va);
  const struct candidate *worst = NULL;
  enum tlb_severity severity = TLB_NONE;
  bool worst_same_page = false;
  for (unsigned i = 0; i < t->candidates.n; i++) {
    const struct candidate *c = &t->candidates.at[i];
    bool same_page;
    if (!ends_translation(t, h, c))
      continue;
    enum tlb_severity s = compare(c, &now, a->va, a, &same_page);
    if (s <= *reported(c) || s < severity)
      continue;
    if (s == severity && change_time(c) >= change_time(worst))
      continue;
    worst = c;
    severity = s;
    worst_same_page = same_page;
  }
  if (worst == NULL) {
    turn_on_used(t, hart, a);
    return;
  }
  *reported(worst) = severity;
  report(t, hart, a, worst, &now, severity, worst_same_page);
}
