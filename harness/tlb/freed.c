// Pages that the kernel's allocator takes back and gives out again.

#include "model.h"

static struct freed_page *
freed_of(struct tlb *t, uint64_t pa)
{
  uint64_t number = (pa - t->config.ram_base) / PAGE_SIZE;
  return pa >= t->config.ram_base && number < t->npages ? &t->freed[number] : NULL;
}

static struct freeing *
freeing_of(const struct tlb *t, uint64_t number, unsigned hart)
{
  return &t->freeings[number * t->config.harts + hart];
}

// The freeing of a page, by its number, for which the hart that changed its entry is to
// answer: its own if it has not fenced since, whoever has had the page and freed it
// meanwhile; otherwise the last.
tlb_site
freeing_site(const struct tlb *t, uint64_t number, unsigned hart)
{
  const struct freeing *own = freeing_of(t, number, hart);
  return own->time > t->harts[hart].fenced ? own->site : t->freed[number].site;
}

// Report if the hart's satp names a page that is free.
void
satp_freed_check(struct tlb *t, unsigned hart)
{
  const struct hart *h = &t->harts[hart];
  const struct freed_page *f = h->active ? freed_of(t, h->current->root) : NULL;
  if (f == NULL || !f->time || f->reused)
    return;
  struct tlb_violation v = {.rule = TLB_SATP_FREED,
                            .severity = TLB_ERROR,
                            .hart = hart,
                            .asid = h->current->asid,
                            .change_hart = f->hart,
                            .change = f->site,
                            .level = -1,
                            .kind = TLB_NO_ACCESS,
                            .use_hart = hart,
                            .use = h->satp,
                            .page = h->current->root,
                            .fence = TLB_FENCE_NONE};
  violation_report(t, &v);
}

void
tlb_free_page(struct tlb *t, unsigned hart, uint64_t pa, tlb_site site)
{
  struct freed_page *f = freed_of(t, pa);
  if (f == NULL)
    return;
  pa &= ~(PAGE_SIZE - 1);
  *f = (struct freed_page){.time = ++t->now, .hart = hart, .site = site};
  *freeing_of(t, (uint64_t)(f - t->freed), hart) = (struct freeing){f->time, site};
  struct page *p = page_of(t, pa);
  if (p == NULL || !p->known)
    return;
  for (unsigned i = 0; i < t->config.harts; i++) {
    if (t->harts[i].active && t->harts[i].current->root == pa)
      satp_freed_check(t, i);
  }
  p->known = false;
  page_release(t, p);
}

// A page given out again, and the worst way by which one hart can still come to it.
struct reuse {
  struct tlb *t;
  uint64_t pa;
  unsigned owner; // the hart it is given out on
  unsigned hart;
  const struct freed_page *freed;
  struct tlb_violation v; // of severity TLB_NONE while there is no way
};

struct way {
  const struct record *record; // the old value on it, if any
  uint64_t va;
  uint16_t asid;
  bool global;
  bool table;       // it reads the page as a table
  bool left;        // it begins at a root that the hart had left, …
  tlb_site left_at; // … with this satp write
  unsigned changer; // the hart that changed the entry, or freed the page
};

// A leaf does nothing by itself, so the changer may be on its way to a fence; not so a
// hart that was not told, or has gone on to another table, or is given the page. A
// table may be read at any time.
static enum tlb_severity
severity_of(const struct reuse *u, const struct way *w)
{
  if (!w->global && w->asid != u->t->harts[u->hart].current->asid)
    return TLB_NONE;
  if (w->table || w->left || u->hart == u->owner || u->hart != w->changer)
    return TLB_ERROR;
  return TLB_WARNING;
}

static void
reuse_found(struct reuse *u, const struct way *w)
{
  enum tlb_severity severity = severity_of(u, w);
  const struct record *r = w->record;
  if (severity <= u->v.severity)
    return;
  u->v.severity = severity;
  u->v.va = w->va;
  u->v.left = w->left;
  if (r != NULL) {
    u->v.change_hart = r->change_hart;
    u->v.change = r->change;
    u->v.level = r->level;
    u->v.entry = r->entry;
    u->v.old_pte = r->old_pte;
    u->v.new_pte = r->new_pte;
    u->v.fence = fence_for(r->old_pte, r->global);
  }
  if (w->left) {
    u->v.change_hart = u->hart;
    u->v.change = w->left_at;
    u->v.fence = w->global ? TLB_FENCE_ALL : TLB_FENCE_ASID;
  }
}

static void
table_reached(void *arg, const struct reach *by)
{
  struct reuse *u = arg;
  const struct record *r = by->record;
  if (by->space != NULL && !by->current)
    return; // a root that was left is read no more
  struct way w = {.record = r,
                  .va = slot_va(by->prefix, by->level + 1),
                  .asid = by->asid,
                  .global = by->global,
                  .table = true,
                  .left = way_left(by),
                  .left_at = way_left_at(by),
                  .changer = r ? r->change_hart : u->freed->hart};
  reuse_found(u, &w);
}

static void
leaf_reached(struct reuse *u, const struct record *r)
{
  const struct hart *h = &u->t->harts[u->hart];
  struct candidate old = {.pte = r->old_pte, .level = r->level}, now;
  uint64_t base, va = slot_va(r->slot, r->level), current;
  if (!leaf_page(&old, va, &base) || u->pa - base >= level_size(r->level) ||
      r->by_leaving)
    return;
  va += u->pa - base;
  if (walk_current(u->t, h, va, &now) && leaf_page(&now, va, &current) &&
      current == u->pa)
    return;
  struct way w = {.record = r,
                  .va = va,
                  .asid = r->asid,
                  .global = r->global,
                  .left = r->left,
                  .left_at = r->left_at,
                  .changer = r->change_hart};
  reuse_found(u, &w);
}

void
tlb_reuse_page(struct tlb *t, unsigned hart, uint64_t pa, tlb_site site)
{
  struct freed_page *f = freed_of(t, pa);
  if (f == NULL || !f->time || f->reused)
    return;
  f->reused = true;
  pa &= ~(PAGE_SIZE - 1);
  struct page *p = page_of(t, pa);
  for (unsigned i = 0; i < t->config.harts; i++) {
    const struct hart *h = &t->harts[i];
    if (!h->active || (p == NULL && h->nrecords == 0))
      continue;
    struct reuse u = {.t = t, .pa = pa, .owner = hart, .hart = i, .freed = f};
    u.v = (struct tlb_violation){.rule = TLB_FREED_REACHABLE,
                                 .hart = i,
                                 .asid = h->current->asid,
                                 .change_hart = f->hart,
                                 .change = f->site,
                                 .level = -1,
                                 .kind = TLB_NO_ACCESS,
                                 .use_hart = hart,
                                 .use = site,
                                 .page = pa};
    if (p != NULL)
      reach_each(t, i, p, table_reached, &u);
    for (unsigned b = 0; h->nrecords > 0 && b < RECORD_BUCKETS; b++) {
      for (const struct record *r = h->records[b]; r != NULL; r = r->next)
        leaf_reached(&u, r);
    }
    if (u.v.severity != TLB_NONE)
      violation_report(t, &u.v);
  }
}
