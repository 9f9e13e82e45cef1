// sfence.vma: what it takes out of a hart's cache.

#include "model.h"

#include <stdlib.h>

struct fence {
  bool has_va, has_asid;
  uint64_t va;
  uint16_t asid;
};

static bool
fence_covers(const struct record *r, void *arg)
{
  const struct fence *f = arg;
  if (f->has_asid && (r->global || r->asid != f->asid))
    return false;
  return !f->has_va ||
         (pte_kind(r->old_pte) != PTE_POINTER && r->slot == va_slot(f->va, r->level));
}

static void
away_fenced(struct away *away, const struct fence *f)
{
  if (away->nfences == away->capacity) {
    away->capacity = away->capacity ? 2 * away->capacity : 4;
    away->fences = tlb_grow(away->fences, away->capacity * sizeof(*away->fences));
  }
  away->fences[away->nfences++] = (struct away_fence){f->va, !f->has_asid};
}

static void
fence_address(struct tlb *t, unsigned hart, struct fence *f)
{
  struct hart *h = &t->harts[hart];
  for (int level = 0; level <= 2; level++)
    records_remove_at(t, hart, level, va_slot(f->va, level), fence_covers, f);
  for (struct space *s = h->spaces; s != NULL; s = s->next) {
    if (s != h->current && (!f->has_asid || s->asid == f->asid))
      away_fenced(&s->away, f);
  }
  if (!h->active)
    away_fenced(&h->bare, f);
}

// Records of the global entries in a table that a hart's cache has under a tag that is
// about to go; they stay, and memory alone will no longer lead to them. What lies below
// a global pointer follows from the pointer.
static void
globals_of(struct tlb *t, unsigned hart, struct page *p, const struct reach *by,
           const struct record *like)
{
  for (unsigned i = 0; p != NULL && i < TABLE_ENTRIES; i++) {
    uint64_t pte = pte_canonical(p->word[i]);
    if (!word_cached(&t->harts[hart], by, p, i))
      continue;
    struct record r = *like;
    r.level = by->level;
    r.slot = by->prefix << 9 | i;
    r.global = true;
    r.old_pte = pte;
    r.new_pte = p->word[i];
    r.entry = p->pa + 8 * i;
    if (pte & PTE_G) {
      record_add(t, hart, &r);
    } else if (by->level > 0 && pte_kind(pte) == PTE_POINTER) {
      struct reach below = *by;
      below.level--;
      below.prefix = r.slot;
      below.space = NULL;
      globals_of(t, hart, page_of(t, pte_pa(pte)), &below, like);
    }
  }
}

static void
globals_recorded(struct tlb *t, unsigned hart, uint16_t asid)
{
  struct hart *h = &t->harts[hart];
  for (struct space *s = h->spaces; s != NULL; s = s->next) {
    if (s->asid != asid || s == h->current)
      continue;
    struct reach by = {.level = 2, .asid = asid, .space = s};
    struct record like = {.time = s->away.since,
                          .change_hart = hart,
                          .change = s->left,
                          .by_leaving = true};
    globals_of(t, hart, s->page, &by, &like);
  }
  // Below old pointers too: a copy of the list first, since records are added.
  unsigned n = 0;
  struct record *pointers = tlb_grow(NULL, (h->nrecords + 1) * sizeof(*pointers));
  for (unsigned b = 0; b < RECORD_BUCKETS; b++) {
    for (const struct record *r = h->records[b]; r != NULL; r = r->next) {
      if (r->child != NULL && !r->global && r->asid == asid)
        pointers[n++] = *r;
    }
  }
  for (unsigned i = 0; i < n; i++) {
    struct record like = pointers[i];
    struct reach by = {.level = like.level - 1, .prefix = like.slot, .asid = asid};
    like.reported = TLB_NONE;
    struct page *table = like.child;
    like.child = NULL;
    globals_of(t, hart, table, &by, &like);
  }
  free(pointers);
}

static void
spaces_forgotten(struct tlb *t, struct hart *h, const struct fence *f)
{
  for (struct space **at = &h->spaces; *at != NULL;) {
    struct space *s = *at;
    if (s == h->current || (f->has_asid && s->asid != f->asid)) {
      at = &s->next;
      continue;
    }
    *at = s->next;
    h->nspaces--;
    if (s->page != NULL) {
      s->page->spaces--;
      page_release(t, s->page);
    }
    free(s->away.fences);
    free(s);
  }
}

void
tlb_fence(struct tlb *t, unsigned hart, bool has_va, uint64_t va, bool has_asid,
          uint64_t asid)
{
  struct fence f = {has_va, has_asid, va, asid & 0xffff};
  if (has_va && !va_canonical(va))
    return;
  if (has_va) {
    fence_address(t, hart, &f);
  } else {
    if (has_asid && t->any_global)
      globals_recorded(t, hart, f.asid);
    records_remove(t, hart, fence_covers, &f);
    spaces_forgotten(t, &t->harts[hart], &f);
    turn_on_fenced(t, hart);
  }
  quiet_update(t, hart);
}
