// Which slots of a hart's address spaces a table page stands in, and which of its words
// are in the hart's cache there.

#include "model.h"

// The space of this ASID that the hart left last; NULL if it has none.
struct space *
space_latest(const struct hart *h, uint16_t asid)
{
  struct space *latest = NULL;
  for (struct space *s = h->spaces; s != NULL; s = s->next) {
    if (s->asid == asid && (latest == NULL || s->away.since > latest->away.since))
      latest = s;
  }
  return latest;
}

static bool
fenced_away(const struct away *away, uint64_t pte, int level, uint64_t slot,
            bool global)
{
  if (pte_kind(pte) == PTE_POINTER)
    return false;
  for (unsigned i = 0; i < away->nfences; i++) {
    const struct away_fence *f = &away->fences[i];
    if (va_slot(f->va, level) == slot && (f->all_asids || !global))
      return true;
  }
  return false;
}

// The word as it stands in p is in the cache of a hart that comes to p as `by` says.
bool
word_cached(const struct hart *h, const struct reach *by, const struct page *p,
            unsigned index)
{
  const struct away *away;
  if (by->space != NULL) {
    if (by->space == h->current)
      return true;
    away = &by->space->away;
  } else if (by->global || (h->active && by->asid == h->current->asid)) {
    if (h->active)
      return true;
    away = &h->bare;
  } else {
    const struct space *s = space_latest(h, by->asid);
    if (s == NULL)
      return false;
    away = &s->away;
  }
  uint64_t pte = p->word[index];
  return p->changed[index] <= away->since &&
         !fenced_away(away, pte, by->level, by->prefix << 9 | index,
                      by->global || pte_global(pte));
}

// Whether the hart had left the space by which it comes to a table.
bool
way_left(const struct reach *by)
{
  return by->record ? by->record->left : by->left != NULL;
}

// The satp write by which it did.
tlb_site
way_left_at(const struct reach *by)
{
  if (by->record)
    return by->record->left_at;
  return by->left ? by->left->left : 0;
}

struct step {
  struct tlb *t;
  unsigned hart;
  const struct link *link;
  reach_visit *visit;
  void *arg;
};

// The table that step->link's entry points to, when its own table is reached as `by`.
static void
step_down(void *arg, const struct reach *by)
{
  const struct step *step = arg;
  const struct page *p = step->link->page;
  unsigned index = step->link->index;
  if (!word_cached(&step->t->harts[step->hart], by, p, index))
    return;
  struct reach below = *by;
  below.level = by->level - 1;
  below.prefix = by->prefix << 9 | index;
  below.global = by->global || pte_global(p->word[index]);
  below.space = NULL;
  step->visit(step->arg, &below);
}

static void
reach_records(const struct hart *h, const struct page *p, int level, reach_visit *visit,
              void *arg)
{
  for (unsigned b = 0; b < RECORD_BUCKETS; b++) {
    for (struct record *r = h->records[b]; r != NULL; r = r->next) {
      if (r->child != p || r->level != level + 1)
        continue;
      struct reach by = {.level = level,
                         .prefix = r->slot,
                         .asid = r->asid,
                         .global = r->global,
                         .record = r};
      visit(arg, &by);
    }
  }
}

static void
reach_level(struct tlb *t, unsigned hart, struct page *p, int level, reach_visit *visit,
            void *arg)
{
  struct hart *h = &t->harts[hart];
  if (level == 2) {
    for (struct space *s = p->spaces ? h->spaces : NULL; s != NULL; s = s->next) {
      if (s->page != p)
        continue;
      struct reach by = {.level = 2,
                         .asid = s->asid,
                         .current = s == h->current,
                         .space = s,
                         .left = s == h->current ? NULL : s};
      visit(arg, &by);
    }
    return;
  }
  for (unsigned i = 0; i < p->nparents; i++) {
    struct step step = {t, hart, &p->parents[i], visit, arg};
    reach_level(t, hart, p->parents[i].page, level + 1, step_down, &step);
  }
  if (p->records)
    reach_records(h, p, level, visit, arg);
}

// Every way by which the hart can come to read p as a table, of its own or another of
// its address spaces. visit must change neither tables nor records.
void
reach_each(struct tlb *t, unsigned hart, struct page *p, reach_visit *visit, void *arg)
{
  for (int level = 2; level >= 0; level--)
    reach_level(t, hart, p, level, visit, arg);
}
