// What every report has, its names, and the check for reserved encodings.

#include "model.h"

const char *
tlb_rule_name(enum tlb_rule rule)
{
  static const char *const names[TLB_RULES] = {
      [TLB_STALE_USE] = "tlb-stale-use",
      [TLB_STALE_ASID] = "tlb-stale-asid",
      [TLB_FREED_REACHABLE] = "tlb-freed-reachable",
      [TLB_SATP_FREED] = "tlb-satp-freed",
      [TLB_UNFENCED_VALID] = "tlb-unfenced-valid",
      [TLB_STALE_PERMISSION] = "tlb-stale-permission",
      [TLB_RESERVED] = "tlb-reserved",
      [TLB_UNFENCED_TABLE] = "tlb-unfenced-table",
  };
  return names[rule];
}

const char *
tlb_severity_name(enum tlb_severity severity)
{
  static const char *const names[] = {"none", "warning", "error"};
  return names[severity];
}

const char *
tlb_fence_name(enum tlb_fence_form form)
{
  static const char *const names[] = {
      [TLB_FENCE_NONE] = "none",
      [TLB_FENCE_VA_ASID] = "sfence.vma va, asid",
      [TLB_FENCE_VA] = "sfence.vma va, zero",
      [TLB_FENCE_ASID] = "sfence.vma zero, asid",
      [TLB_FENCE_ALL] = "sfence.vma zero, zero",
  };
  return names[form];
}

// The least fence that takes such an entry out of a cache.
enum tlb_fence_form
fence_for(uint64_t old_pte, bool global)
{
  if (pte_kind(old_pte) == PTE_POINTER)
    return global ? TLB_FENCE_ALL : TLB_FENCE_ASID;
  return global ? TLB_FENCE_VA : TLB_FENCE_VA_ASID;
}

// Hand out v, with what is known of its page's having been freed.
void
violation_report(struct tlb *t, struct tlb_violation *v)
{
  uint64_t number = (v->page - t->config.ram_base) / PAGE_SIZE;
  if (v->page >= t->config.ram_base && number < t->npages && t->freed[number].time) {
    const struct freed_page *f = &t->freed[number];
    v->was_freed = !f->reused;
    v->was_reused = f->reused;
    v->freed = freeing_site(t, number, v->change_hart);
  }
  t->config.report(t->config.arg, v);
}

// Word `index` of p, reached as `by`, is of a reserved encoding. Once a page.
void
reserved_report(struct tlb *t, unsigned hart, struct page *p, unsigned index,
                const struct reach *by, uint64_t pte, uint64_t old, unsigned use_hart,
                tlb_site change, tlb_site use)
{
  if (p->reserved_reported)
    return;
  p->reserved_reported = true;
  struct tlb_violation v = {.rule = TLB_RESERVED,
                            .severity = TLB_ERROR,
                            .hart = hart,
                            .va = slot_va(by->prefix << 9 | index, by->level),
                            .asid = by->asid,
                            .change_hart = use_hart,
                            .change = change,
                            .level = by->level,
                            .entry = p->pa + 8 * index,
                            .old_pte = old,
                            .new_pte = pte,
                            .kind = TLB_NO_ACCESS,
                            .use_hart = use_hart,
                            .use = use,
                            .page = p->pa,
                            .fence = TLB_FENCE_NONE};
  violation_report(t, &v);
}

static bool
reserved_below(struct tlb *t, unsigned hart, struct page *p, const struct reach *by,
               tlb_site site)
{
  for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
    enum pte_kind kind = pte_kind(p->word[i]);
    if (kind == PTE_BAD && !p->reserved_reported) {
      reserved_report(t, hart, p, i, by, p->word[i], 0, hart, p->site[i], site);
      return true;
    }
    struct page *child =
        kind == PTE_POINTER && by->level > 0 ? page_of(t, pte_pa(p->word[i])) : NULL;
    struct reach below = {
        .level = by->level - 1, .prefix = by->prefix << 9 | i, .asid = by->asid};
    if (child != NULL && reserved_below(t, hart, child, &below, site))
      return true;
  }
  return false;
}

// The hart has loaded a root: report the first reserved encoding below it.
void
reserved_check(struct tlb *t, unsigned hart, tlb_site site)
{
  const struct space *s = t->harts[hart].current;
  struct reach by = {.level = 2, .asid = s->asid};
  if (t->reserved > 0 && s->page != NULL)
    reserved_below(t, hart, s->page, &by, site);
}
