#include "reference.h"

#include <check.h>

// The place in cache[level] of va's slot.
static unsigned
place(uint64_t va, int level)
{
  unsigned n = 0;
  for (int l = 2; l >= level; l--)
    n = n * REF_INDICES + va_slot(va, l) % TABLE_ENTRIES;
  return n;
}

uint64_t
ref_va(unsigned n)
{
  uint64_t va = n % REF_INDICES;
  va |= (uint64_t)(n / REF_INDICES % REF_INDICES) << 9;
  va |= (uint64_t)(n / REF_INDICES / REF_INDICES) << 18;
  return va << 12;
}

static bool
in_ram(const struct reference *r, uint64_t pa)
{
  return pa >= r->ram_base && pa - r->ram_base < r->ram_size;
}

static uint64_t
entry_of(const struct reference *r, uint64_t table, uint64_t va, int level)
{
  uint64_t pa = table + va_slot(va, level) % TABLE_ENTRIES * 8;
  return r->ram[(pa - r->ram_base) / 8];
}

static bool
usable(const struct ref_hart *h, const struct ref_entry *e)
{
  return e->global || e->asid == h->asid;
}

static void
insert(struct ref_slot *slot, uint64_t pte, uint16_t asid, bool global)
{
  for (unsigned i = 0; i < slot->n; i++) {
    const struct ref_entry *e = &slot->at[i];
    if (e->pte == pte && e->global == global && (global || e->asid == asid))
      return;
  }
  ck_assert_uint_lt(slot->n, REF_VALUES);
  slot->at[slot->n++] = (struct ref_entry){pte, asid, global};
}

// Read the table at pa, if there is one, for va at this level.
static void
read_table(const struct reference *r, struct ref_hart *h, uint64_t pa, uint64_t va,
           int level, bool global)
{
  if (!in_ram(r, pa))
    return;
  uint64_t pte = pte_canonical(entry_of(r, pa, va, level));
  insert(&h->cache[level][place(va, level)], pte, h->asid, global || pte_global(pte));
}

static void
ref_fill(struct reference *r)
{
  for (unsigned i = 0; i < r->harts; i++) {
    struct ref_hart *h = &r->hart[i];
    for (int level = 2; h->active && level >= 0; level--) {
      for (unsigned n = 0; n < REF_SLOTS; n++) {
        uint64_t va = ref_va(n);
        if (va % level_size(level) != 0)
          continue;
        if (level == 2) {
          read_table(r, h, h->root, va, 2, false);
          continue;
        }
        const struct ref_slot *above = &h->cache[level + 1][place(va, level + 1)];
        for (unsigned k = 0; k < above->n; k++) {
          const struct ref_entry *e = &above->at[k];
          if (usable(h, e) && pte_kind(e->pte) == PTE_POINTER)
            read_table(r, h, pte_pa(e->pte), va, level, e->global);
        }
      }
    }
  }
}

void
ref_store(struct reference *r, uint64_t pa, uint64_t old)
{
  uint64_t word = (pa - r->ram_base) / 8;
  r->stored[word / TABLE_ENTRIES] = ++r->now;
  if (pte_canonical(old) != pte_canonical(r->ram[word]))
    r->changed[word] = r->now;
  ref_fill(r);
}

void
ref_satp(struct reference *r, unsigned hart, uint64_t value)
{
  struct ref_hart *h = &r->hart[hart];
  r->now++;
  if (value >> 60 != 8) {
    h->turned_on = 0;
  } else if (!h->active) {
    h->turned_on = r->now;
    for (unsigned i = 0; i < REF_PAGES; i++)
      h->stored[i] = r->stored[i] > h->fenced;
  }
  h->active = value >> 60 == 8;
  h->root = value << 20 >> 8;
  h->asid = value >> 44;
  ref_fill(r);
}

void
ref_fence(struct reference *r, unsigned hart, bool has_va, uint64_t va, bool has_asid,
          uint64_t asid)
{
  struct ref_hart *h = &r->hart[hart];
  r->now++;
  if (!has_va) {
    h->turned_on = 0;
    h->fenced = r->now;
  }
  for (int level = 0; level <= 2; level++) {
    for (unsigned n = 0; n < REF_SLOTS; n++) {
      if (has_va && n != place(va, level))
        continue;
      struct ref_slot *slot = &h->cache[level][n];
      unsigned kept = 0;
      for (unsigned i = 0; i < slot->n; i++) {
        const struct ref_entry *e = &slot->at[i];
        bool address = !has_va || pte_kind(e->pte) != PTE_POINTER;
        bool space = !has_asid || (!e->global && e->asid == asid);
        if (!address || !space)
          slot->at[kept++] = *e;
      }
      slot->n = kept;
    }
  }
  ref_fill(r);
}

static void
result_add(struct ref_results *results, int level, uint64_t pte)
{
  for (unsigned i = 0; i < results->n; i++) {
    if (results->at[i].level == level && results->at[i].pte == pte)
      return;
  }
  results->at[results->n++] = (struct ref_result){level, pte};
}

// What comes of reading pte at this level, if anything does before the next.
static void
result_of(const struct reference *r, uint64_t pte, int level,
          struct ref_results *results)
{
  switch (pte_kind(pte)) {
  case PTE_LEAF:
    if (pte_pa(pte) % level_size(level) == 0)
      result_add(results, level, pte & ~PTE_G);
    else
      result_add(results, -1, 0);
    break;
  case PTE_POINTER:
    if (level == 0 || !in_ram(r, pte_pa(pte)))
      result_add(results, -1, 0);
    break;
  default:
    result_add(results, -1, 0);
  }
}

void
ref_results(const struct reference *r, unsigned hart, uint64_t va,
            struct ref_results *results)
{
  const struct ref_hart *h = &r->hart[hart];
  results->n = 0;
  for (int level = 2; level >= 0; level--) {
    const struct ref_slot *slot = &h->cache[level][place(va, level)];
    for (unsigned i = 0; i < slot->n; i++) {
      if (usable(h, &slot->at[i]))
        result_of(r, slot->at[i].pte, level, results);
    }
  }
}

// The page that a result gives va, and whether it allows the access.
static bool
outcome(const struct ref_result *result, uint64_t va, const struct tlb_access *a,
        uint64_t *page)
{
  uint64_t pte = result->pte;
  *page = ~0ull; // no page
  if (result->level < 0)
    return false;
  *page = pte_pa(pte) + (va % level_size(result->level) & ~(PAGE_SIZE - 1));
  if (a->user && !(pte & PTE_U))
    return false;
  if (!a->user && (pte & PTE_U) && (a->kind == TLB_FETCH || !a->sum))
    return false;
  bool readable = pte & PTE_R || (a->mxr && pte & PTE_X);
  return a->kind == TLB_FETCH   ? pte & PTE_X
         : a->kind == TLB_STORE ? pte & PTE_W
                                : readable;
}

enum tlb_severity
ref_verdict(const struct reference *r, unsigned hart, const struct tlb_access *a)
{
  const struct ref_hart *h = &r->hart[hart];
  struct ref_results all, now = {.n = 0};
  uint64_t table = h->root;
  for (int level = 2; level >= 0 && in_ram(r, table) && now.n == 0; level--) {
    uint64_t pte = pte_canonical(entry_of(r, table, a->va, level));
    result_of(r, pte, level, &now);
    table = pte_pa(pte);
  }
  uint64_t new_page, old_page;
  bool new_ok = outcome(&now.at[0], a->va, a, &new_page);
  ref_results(r, hart, a->va, &all);
  enum tlb_severity worst = TLB_NONE;
  for (unsigned i = 0; i < all.n; i++) {
    bool old_ok = outcome(&all.at[i], a->va, a, &old_page);
    if (old_ok && !(new_ok && old_page == new_page))
      return TLB_ERROR;
    if (!old_ok && new_ok && old_page != new_page)
      worst = TLB_WARNING;
  }
  return worst;
}

bool
ref_leads_to(const struct reference *r, unsigned hart, uint64_t page, bool leaf)
{
  const struct ref_hart *h = &r->hart[hart];
  if (!leaf && h->root == page)
    return true;
  for (int level = leaf ? 0 : 1; level <= 2; level++) {
    for (unsigned n = 0; n < REF_SLOTS; n++) {
      const struct ref_slot *slot = &h->cache[level][n];
      for (unsigned i = 0; i < slot->n; i++) {
        uint64_t pte = slot->at[i].pte, size = leaf ? level_size(level) : PAGE_SIZE;
        if (usable(h, &slot->at[i]) &&
            pte_kind(pte) == (leaf ? PTE_LEAF : PTE_POINTER) &&
            page - pte_pa(pte) < size)
          return true;
      }
    }
  }
  return false;
}

bool
ref_unordered(const struct reference *r, unsigned hart, uint64_t va, bool word)
{
  const struct ref_hart *h = &r->hart[hart];
  uint64_t table = h->root;
  for (int level = 2; h->turned_on && level >= 0 && in_ram(r, table); level--) {
    uint64_t at = (table - r->ram_base) / 8 + va_slot(va, level) % TABLE_ENTRIES;
    uint64_t page = at / TABLE_ENTRIES;
    if (word ? r->changed[at] > h->fenced && r->stored[page] <= h->turned_on
             : h->stored[page])
      return true;
    if (pte_kind(r->ram[at]) != PTE_POINTER)
      return false;
    table = pte_pa(r->ram[at]);
  }
  return false;
}
