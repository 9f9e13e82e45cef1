// Looking at page tables and at the allocator from outside: nothing here uses walk().

#include "host.h"

uint64_t
free_pages(void)
{
  struct pagestat stat;
  pagestat(&stat);
  return stat.held[PAGE_FREE];
}

// Pages that leave_free() took, linked through their first word.
static void **taken;

void
leave_free(uint64_t n)
{
  ck_assert_uint_ge(free_pages(), n);
  while (free_pages() > n) {
    void **page = kalloc();
    *page = taken;
    taken = page;
  }
}

void
give_back(void)
{
  while (taken) {
    void **next = *taken;
    kfree(taken);
    taken = next;
  }
}

static uint64_t
count_tables(const pte_t *table, int level)
{
  uint64_t count = 1;
  for (int i = 0; level > 0 && i < 512; i++)
    if (table[i] & PTE_V)
      count += count_tables((const pte_t *)(table[i] >> 10 << 12), level - 1);
  return count;
}

uint64_t
table_pages(pagetable_t table)
{
  return count_tables(table, 2);
}

struct leaf_visit {
  void (*each)(uint64_t va, pte_t pte, void *arg);
  void *arg;
};

static void
visit_leaves(const pte_t *table, int level, uint64_t base,
             const struct leaf_visit *visit)
{
  for (uint64_t i = 0; i < 512; i++) {
    uint64_t va = base + (i << (12 + 9 * level));
    if (!(table[i] & PTE_V))
      continue;
    if (level == 0)
      visit->each(va, table[i], visit->arg);
    else
      visit_leaves((const pte_t *)(table[i] >> 10 << 12), level - 1, va, visit);
  }
}

void
each_leaf(pagetable_t table, void (*each)(uint64_t va, pte_t pte, void *arg), void *arg)
{
  struct leaf_visit visit = {each, arg};
  visit_leaves(table, 2, 0, &visit);
}

struct leaf_range {
  uint64_t from, to, count;
};

static void
count_leaf(uint64_t va, pte_t pte, void *arg)
{
  (void)pte;
  struct leaf_range *range = arg;
  if (va >= range->from && va < range->to)
    range->count++;
}

uint64_t
leaves(pagetable_t table, uint64_t from, uint64_t to)
{
  struct leaf_range range = {from, to, 0};
  each_leaf(table, count_leaf, &range);
  return range.count;
}

static void
mark_tables(const pte_t *table, int level, uint8_t *seen)
{
  uint64_t page = ((uint64_t)table - MANAGED_FIRST) / PGSIZE;
  if (page >= MANAGED_PAGES)
    ck_abort_msg("table page %p is outside of RAM", (void *)table);
  if (seen[page])
    ck_abort_msg("table page %p is reached twice", (void *)table);
  seen[page] = 1;
  for (int i = 0; level > 0 && i < 512; i++)
    if (table[i] & PTE_V) {
      if ((table[i] & 0x3ff) != PTE_V)
        ck_abort_msg("entry 0x%lx names no table", table[i]);
      mark_tables((const pte_t *)(table[i] >> 10 << 12), level - 1, seen);
    }
}

void
ck_assert_tree(pagetable_t table)
{
  ck_assert_trees(table, 0);
}

void
ck_assert_trees(pagetable_t table, pagetable_t mirror)
{
  uint8_t *seen = calloc(MANAGED_PAGES, 1);
  mark_tables(table, 2, seen);
  if (mirror)
    mark_tables(mirror, 1, seen);
  free(seen);
}

#define MAXCOPIED 256

struct table_copy {
  size_t count;
  struct {
    const pte_t *table;
    pte_t entries[512];
  } pages[MAXCOPIED];
};

static void
copy_page(struct table_copy *copy, const pte_t *table, int level)
{
  ck_assert_uint_lt(copy->count, MAXCOPIED);
  copy->pages[copy->count].table = table;
  memcpy(copy->pages[copy->count].entries, table, PGSIZE);
  copy->count++;
  for (int i = 0; level > 0 && i < 512; i++)
    if (table[i] & PTE_V)
      copy_page(copy, (const pte_t *)(table[i] >> 10 << 12), level - 1);
}

struct table_copy *
copy_tables(pagetable_t table)
{
  struct table_copy *copy = calloc(1, sizeof(*copy));
  copy_page(copy, table, 2);
  return copy;
}

void
ck_assert_unchanged(struct table_copy *copy)
{
  for (size_t i = 0; i < copy->count; i++)
    ck_assert_mem_eq(copy->pages[i].table, copy->pages[i].entries, PGSIZE);
  free(copy);
}
