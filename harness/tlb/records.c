// The old values that harts may still hold.

#include "model.h"

#include <stdlib.h>

struct record **
record_bucket(struct hart *h, int level, uint64_t slot)
{
  uint64_t mixed = (slot * 3 + (uint64_t)level) * 0x9e3779b97f4a7c15ull;
  return &h->records[mixed >> 54];
}

// Note that the hart's cache has like->old_pte, which memory no longer says. If it is
// there already, the later change counts.
struct record *
record_add(struct tlb *t, unsigned hart, const struct record *like)
{
  struct hart *h = &t->harts[hart];
  struct record **bucket = record_bucket(h, like->level, like->slot);
  struct record *r = *bucket;
  while (r != NULL && !(r->level == like->level && r->slot == like->slot &&
                        r->old_pte == like->old_pte && r->global == like->global &&
                        (r->global || r->asid == like->asid)))
    r = r->next;
  if (r != NULL) {
    if (r->time >= like->time) {
      r->left = r->left && like->left; // one of the ways is not left
      return r;
    }
    struct record *next = r->next;
    struct page *child = r->child;
    *r = *like;
    r->next = next;
    r->child = child;
    return r;
  }
  r = tlb_grow(NULL, sizeof(*r));
  *r = *like;
  if (r->level > 0 && pte_kind(r->old_pte) == PTE_POINTER)
    r->child = page_watch(t, pte_pa(r->old_pte), r->level - 1);
  if (r->child != NULL)
    r->child->records++;
  r->next = *bucket;
  *bucket = r;
  h->nrecords++;
  return r;
}

static void
bucket_remove(struct tlb *t, struct hart *h, struct record **at, record_test *test,
              void *arg)
{
  while (*at != NULL) {
    struct record *r = *at;
    if (!test(r, arg)) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    h->nrecords--;
    if (r->child != NULL) {
      r->child->records--;
      page_release(t, r->child);
    }
    free(r);
  }
}

// Forget the hart's records that pass the test.
void
records_remove(struct tlb *t, unsigned hart, record_test *test, void *arg)
{
  struct hart *h = &t->harts[hart];
  for (unsigned b = 0; h->nrecords > 0 && b < RECORD_BUCKETS; b++)
    bucket_remove(t, h, &h->records[b], test, arg);
}

// The same, among those that may be of this slot: the test must look.
void
records_remove_at(struct tlb *t, unsigned hart, int level, uint64_t slot,
                  record_test *test, void *arg)
{
  struct hart *h = &t->harts[hart];
  if (h->nrecords > 0)
    bucket_remove(t, h, record_bucket(h, level, slot), test, arg);
}

// To be called when what tlb_quiet depends on may have changed.
void
quiet_update(struct tlb *t, unsigned hart)
{
  const struct hart *h = &t->harts[hart];
  bool quiet = true;
  if (h->active) {
    quiet = h->nrecords == 0 && !h->turned_on;
    for (const struct space *s = h->spaces; quiet && s != NULL; s = s->next)
      quiet = s == h->current || (s->asid != h->current->asid && !t->any_global);
  }
  t->quiet[hart] = quiet;
}
