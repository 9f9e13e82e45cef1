// Walking, mapping and unmapping: vm.c on tables that a test makes.

#include "host.h"

#define MIB2 (2UL << 20) // what one table of level 0 maps
#define GIB1 (1UL << 30) // what one table of level 1 maps

#define RW (PTE_R | PTE_W)

static pagetable_t
empty_table(void)
{
  pagetable_t table = kalloc_for(PAGE_TABLE);
  memset(table, 0, PGSIZE);
  return table;
}

static const uint64_t below_maxva[] = {
    0,         1,      PGSIZE - 1, PGSIZE,    MIB2 - 1,       MIB2,
    GIB1 - 1,  GIB1,   MAXVA / 2,  TRAPFRAME, TRAMPOLINE - 1, TRAMPOLINE,
    MAXVA - 1, KSTACK, KERNBASE,   PLIC,      USERTOP - 1,
};

static const uint64_t from_maxva[] = {
    MAXVA, MAXVA + 1, MAXVA + PGSIZE, 2 * MAXVA, 1UL << 63, -MAXVA, ~0UL,
};

START_TEST(walk_finds_nothing_in_an_empty_table)
{
  pagetable_t table = empty_table();
  uint64_t free = free_pages();
  ck_assert_ptr_null(walk(table, below_maxva[_i], false));
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

START_TEST(walk_makes_the_two_tables_below_the_root)
{
  pagetable_t table = empty_table();
  uint64_t free = free_pages();
  ck_assert_ptr_nonnull(walk(table, below_maxva[_i], true));
  ck_assert_uint_eq(free_pages(), free - 2);
  ck_assert_uint_eq(table_pages(table), 3);
  ck_assert_tree(table);
}
END_TEST

START_TEST(walk_returns_the_entry_that_the_indices_name)
{
  uint64_t va = below_maxva[_i];
  pagetable_t table = empty_table();
  pte_t *pte = walk(table, va, true);
  pte_t root = table[va >> 30];
  pte_t next = ((pte_t *)(root >> 10 << 12))[va >> 21 & 511];
  ck_assert_ptr_eq(pte, (pte_t *)(next >> 10 << 12) + (va >> 12 & 511));
  ck_assert_uint_eq(*pte, 0);
}
END_TEST

START_TEST(walk_finds_again_what_it_made)
{
  pagetable_t table = empty_table();
  pte_t *made = walk(table, below_maxva[_i], true);
  uint64_t free = free_pages();
  ck_assert_ptr_eq(walk(table, below_maxva[_i], true), made);
  ck_assert_ptr_eq(walk(table, below_maxva[_i], false), made);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

START_TEST(walk_refuses_maxva_and_above_without_allocating)
{
  pagetable_t table = empty_table();
  uint64_t free = free_pages();
  ck_assert_ptr_null(walk(table, from_maxva[_i], false));
  ck_assert_ptr_null(walk(table, from_maxva[_i], true));
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_uint_eq(table_pages(table), 1);
}
END_TEST

static const struct {
  uint64_t first, second;
  int more; // tables that the second walk has to make
} neighbours[] = {
    {0, PGSIZE, 0},
    {0, MIB2 - PGSIZE, 0},
    {MIB2 - PGSIZE, MIB2, 1},
    {0, GIB1 - PGSIZE, 1},
    {GIB1 - PGSIZE, GIB1, 2},
    {0, MAXVA - PGSIZE, 2},
    {TRAPFRAME, TRAMPOLINE, 0},
    {MAXVA - MIB2, MAXVA - 1, 0},
    {MAXVA - MIB2 - PGSIZE, MAXVA - MIB2, 1},
};

START_TEST(walk_shares_tables_between_neighbours)
{
  pagetable_t table = empty_table();
  pte_t *first = walk(table, neighbours[_i].first, true);
  uint64_t before = table_pages(table);
  pte_t *second = walk(table, neighbours[_i].second, true);
  ck_assert_ptr_ne(first, second);
  ck_assert_uint_eq(table_pages(table), before + neighbours[_i].more);
  ck_assert_tree(table);
}
END_TEST

// Loop: how many pages are free.
START_TEST(walk_out_of_memory_gives_0_and_loses_nothing)
{
  pagetable_t table = empty_table();
  leave_free(_i);
  ck_assert_ptr_null(walk(table, GIB1, true));
  ck_assert_uint_eq(free_pages() + table_pages(table), _i + 1);
  ck_assert_tree(table);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 0);
}
END_TEST

START_TEST(walk_out_of_memory_can_be_tried_again)
{
  pagetable_t table = empty_table();
  leave_free(1);
  ck_assert_ptr_null(walk(table, 0, true));
  give_back();
  ck_assert_ptr_nonnull(walk(table, 0, true));
  ck_assert_uint_eq(table_pages(table), 3);
}
END_TEST

static const struct {
  uint64_t va, size;
  int pages, tables;
} ranges[] = {
    {0, 1, 1, 3},
    {0, PGSIZE, 1, 3},
    {0, PGSIZE + 1, 2, 3},
    {PGSIZE, 3 * PGSIZE - 1, 3, 3},
    {0, MIB2, 512, 3},
    {0, MIB2 + 1, 513, 4},
    {MIB2 - PGSIZE, 2 * PGSIZE, 2, 4},
    {GIB1 - PGSIZE, 2 * PGSIZE, 2, 5},
    {GIB1 - PGSIZE, PGSIZE, 1, 3},
    {GIB1, PGSIZE, 1, 3},
    {MAXVA - PGSIZE, 1, 1, 3},
    {MAXVA - PGSIZE, PGSIZE, 1, 3},
    {MAXVA - MIB2 - PGSIZE, 2 * PGSIZE, 2, 4},
    {MAXVA - MIB2, MIB2, 512, 3},
};

START_TEST(mappages_maps_each_page_of_the_range_and_no_other)
{
  uint64_t va = ranges[_i].va, pa = 0x12345000;
  pagetable_t table = empty_table();
  ck_assert_int_eq(mappages(table, va, ranges[_i].size, pa, PTE_R | PTE_X), 0);
  for (int i = 0; i < ranges[_i].pages; i++)
    ck_assert_uint_eq(*walk(table, va + i * PGSIZE, false),
                      (pa / PGSIZE + i) << 10 | PTE_R | PTE_X | PTE_V);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), ranges[_i].pages);
  ck_assert_uint_eq(table_pages(table), ranges[_i].tables);
  ck_assert_tree(table);
}
END_TEST

static const uint64_t permissions[] = {
    PTE_R,         PTE_R | PTE_W,
    PTE_R | PTE_X, PTE_R | PTE_W | PTE_X,
    PTE_R | PTE_U, PTE_R | PTE_W | PTE_X | PTE_U,
};

START_TEST(mappages_gives_exactly_the_permissions_asked_for)
{
  pagetable_t table = empty_table();
  mappages(table, PGSIZE, PGSIZE, PHYSTOP - PGSIZE, permissions[_i]);
  ck_assert_uint_eq(*walk(table, PGSIZE, false) & 0x3ff, permissions[_i] | PTE_V);
}
END_TEST

START_TEST(mappages_keeps_a_physical_address_of_56_bits)
{
  uint64_t pa = (1UL << 56) - PGSIZE;
  pagetable_t table = empty_table();
  mappages(table, 0, PGSIZE, pa, RW);
  ck_assert_uint_eq(PTE2PA(*walk(table, 0, false)), pa);
}
END_TEST

// Loop: which page of four is mapped already.
START_TEST(mapping_a_page_again_panics)
{
  pagetable_t table = empty_table();
  mappages(table, MIB2 - 2 * PGSIZE + _i * PGSIZE, PGSIZE, KERNBASE, RW);
  ck_assert_panics(mappages(table, MIB2 - 2 * PGSIZE, 4 * PGSIZE, KERNBASE, RW),
                   "remap");
}
END_TEST

START_TEST(a_remap_panic_names_the_address)
{
  pagetable_t table = empty_table();
  mappages(table, 0x7000, PGSIZE, KERNBASE, RW);
  ck_assert_panics(mappages(table, 0x6000, 2 * PGSIZE, KERNBASE, RW), "0x7000");
}
END_TEST

// Run out of memory at every point of the mapping of one range.
START_TEST(mappages_out_of_memory_maps_nothing)
{
  uint64_t va = ranges[_i].va, size = ranges[_i].size, need = ranges[_i].tables - 1;
  for (uint64_t n = 0; n <= need; n++) {
    pagetable_t table = empty_table();
    uint64_t free = free_pages();
    leave_free(n);
    int result = mappages(table, va, size, KERNBASE, RW);
    ck_assert_int_eq(result, n < need ? -1 : 0);
    ck_assert_uint_eq(leaves(table, 0, MAXVA), n < need ? 0 : ranges[_i].pages);
    ck_assert_uint_eq(free_pages() + table_pages(table), n + 1);
    ck_assert_tree(table);
    give_back();
    unmappages(table, va, ranges[_i].pages);
    uvmfree(table, 0);
    ck_assert_uint_eq(free_pages(), free + 1);
  }
}
END_TEST

START_TEST(mappages_out_of_memory_leaves_other_mappings_alone)
{
  pagetable_t table = empty_table();
  mappages(table, MIB2 - 3 * PGSIZE, PGSIZE, KERNBASE, RW);
  leave_free(0);
  ck_assert_int_eq(
      mappages(table, MIB2 - 2 * PGSIZE, 3 * PGSIZE, KERNBASE + PGSIZE, PTE_R), -1);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 1);
  ck_assert_uint_eq(*walk(table, MIB2 - 3 * PGSIZE, false),
                    PA2PTE(KERNBASE) | RW | PTE_V);
}
END_TEST

START_TEST(mappages_beyond_maxva_fails_and_maps_nothing)
{
  pagetable_t table = empty_table();
  ck_assert_int_eq(mappages(table, MAXVA - PGSIZE, 2 * PGSIZE, KERNBASE, RW), -1);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 0);
  ck_assert_int_eq(mappages(table, MAXVA, PGSIZE, KERNBASE, RW), -1);
}
END_TEST

// Loop: the ranges above, within a larger mapping.
START_TEST(unmappages_clears_the_range_and_nothing_else)
{
  static const struct {
    uint64_t from, pages;
  } holes[] = {{0, 1},   {1, 1},   {1, 511}, {500, 20},
               {511, 1}, {512, 1}, {0, 600}, {7, 0}};
  pagetable_t table = empty_table();
  mappages(table, 0, 600 * PGSIZE, KERNBASE, RW);
  uint64_t tables = table_pages(table), free = free_pages();
  uint64_t from = holes[_i].from * PGSIZE, size = holes[_i].pages * PGSIZE;
  unmappages(table, from, holes[_i].pages);
  ck_assert_uint_eq(leaves(table, from, from + size), 0);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 600 - holes[_i].pages);
  for (uint64_t va = from; va < from + size; va += PGSIZE)
    ck_assert_uint_eq(*walk(table, va, false), 0);
  ck_assert_uint_eq(table_pages(table), tables);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

START_TEST(unmappages_passes_over_what_is_not_mapped)
{
  pagetable_t table = empty_table();
  unmappages(table, 0, 3);
  mappages(table, MIB2, PGSIZE, KERNBASE, RW);
  unmappages(table, MIB2 - 2 * PGSIZE, 4);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 0);
  ck_assert_uint_eq(table_pages(table), 3);
}
END_TEST

START_TEST(what_was_unmapped_can_be_mapped_again)
{
  pagetable_t table = empty_table();
  mappages(table, 0, 4 * PGSIZE, KERNBASE, RW);
  unmappages(table, PGSIZE, 2);
  ck_assert_int_eq(mappages(table, PGSIZE, 2 * PGSIZE, PHYSTOP - 2 * PGSIZE, PTE_R), 0);
  ck_assert_uint_eq(PTE2PA(*walk(table, 2 * PGSIZE, false)), PHYSTOP - PGSIZE);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("walk");
  TCase *tc = machine_case(suite, "walk");
  tcase_add_loop_test(tc, walk_finds_nothing_in_an_empty_table, 0, NELEM(below_maxva));
  tcase_add_loop_test(tc, walk_makes_the_two_tables_below_the_root, 0,
                      NELEM(below_maxva));
  tcase_add_loop_test(tc, walk_returns_the_entry_that_the_indices_name, 0,
                      NELEM(below_maxva));
  tcase_add_loop_test(tc, walk_finds_again_what_it_made, 0, NELEM(below_maxva));
  tcase_add_loop_test(tc, walk_refuses_maxva_and_above_without_allocating, 0,
                      NELEM(from_maxva));
  tcase_add_loop_test(tc, walk_shares_tables_between_neighbours, 0, NELEM(neighbours));
  tcase_add_loop_test(tc, walk_out_of_memory_gives_0_and_loses_nothing, 0, 2);
  tcase_add_test(tc, walk_out_of_memory_can_be_tried_again);

  tc = machine_case(suite, "mappages");
  tcase_add_loop_test(tc, mappages_maps_each_page_of_the_range_and_no_other, 0,
                      NELEM(ranges));
  tcase_add_loop_test(tc, mappages_gives_exactly_the_permissions_asked_for, 0,
                      NELEM(permissions));
  tcase_add_test(tc, mappages_keeps_a_physical_address_of_56_bits);
  tcase_add_loop_test(tc, mapping_a_page_again_panics, 0, 4);
  tcase_add_test(tc, a_remap_panic_names_the_address);
  tcase_add_loop_test(tc, mappages_out_of_memory_maps_nothing, 0, NELEM(ranges));
  tcase_add_test(tc, mappages_out_of_memory_leaves_other_mappings_alone);
  tcase_add_test(tc, mappages_beyond_maxva_fails_and_maps_nothing);

  tc = machine_case(suite, "unmappages");
  tcase_add_loop_test(tc, unmappages_clears_the_range_and_nothing_else, 0, 8);
  tcase_add_test(tc, unmappages_passes_over_what_is_not_mapped);
  tcase_add_test(tc, what_was_unmapped_can_be_mapped_again);
  return run_suite(suite);
}
