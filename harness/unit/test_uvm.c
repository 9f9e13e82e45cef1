// User memory: growing and shrinking.

#include "host.h"

#define MIB2 (2UL << 20)

// A user table of sz bytes, each page filled with its number.
static pagetable_t
filled_table(uint64_t sz)
{
  pagetable_t table = uvmcreate();
  if (sz > 0)
    ck_assert_uint_eq(uvmalloc(table, 0, sz, PTE_W), sz);
  for (uint64_t va = 0; va < sz; va += PGSIZE)
    memset((void *)walkaddr(table, va), va / PGSIZE + 1, PGSIZE);
  return table;
}

static uint64_t
pages_of(uint64_t sz)
{
  return (sz + PGSIZE - 1) / PGSIZE;
}

START_TEST(uvmcreate_gives_an_empty_table)
{
  pagetable_t table = uvmcreate();
  for (int i = 0; i < PTENTRIES; i++)
    ck_assert_uint_eq(table[i], 0);
}
END_TEST

START_TEST(uvmcreate_out_of_memory_gives_0)
{
  leave_free(0);
  ck_assert_ptr_null(uvmcreate());
}
END_TEST

static const struct {
  uint64_t from, to;
} growths[] = {
    {0, 1},
    {0, PGSIZE},
    {0, PGSIZE + 1},
    {1, PGSIZE},
    {1, PGSIZE + 1},
    {PGSIZE - 1, 3 * PGSIZE - 1},
    {PGSIZE, PGSIZE},
    {2 * PGSIZE, 5 * PGSIZE},
    {MIB2 - PGSIZE, MIB2},
    {MIB2 - 1, MIB2 + 1},
    {MIB2 - PGSIZE, MIB2 + 2 * PGSIZE},
};

START_TEST(uvmalloc_maps_the_pages_between_the_sizes)
{
  uint64_t from = growths[_i].from, to = growths[_i].to;
  pagetable_t table = filled_table(from);
  ck_assert_uint_eq(uvmalloc(table, from, to, PTE_W), to);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), pages_of(to));
  ck_assert_uint_eq(leaves(table, 0, to), pages_of(to));
  ck_assert_tree(table);
}
END_TEST

START_TEST(uvmalloc_gives_zeroed_pages_and_keeps_the_old)
{
  uint64_t from = growths[_i].from, to = growths[_i].to;
  void *dirty = kalloc();
  memset(dirty, 0xff, PGSIZE);
  pagetable_t table = filled_table(from);
  kfree(dirty);
  ck_assert_uint_eq(uvmalloc(table, from, to, PTE_W), to);
  for (uint64_t va = 0; va < to; va += PGSIZE) {
    uint8_t expected[PGSIZE];
    memset(expected, va < PGROUNDUP(from) ? va / PGSIZE + 1 : 0, PGSIZE);
    ck_assert_mem_eq((void *)walkaddr(table, va), expected, PGSIZE);
  }
}
END_TEST

START_TEST(uvmalloc_adds_read_and_user_to_the_permissions)
{
  static const uint64_t perms[] = {0, PTE_W, PTE_X, PTE_W | PTE_X};
  pagetable_t table = uvmcreate();
  uvmalloc(table, 0, 1, perms[_i]);
  ck_assert_uint_eq(PTE_FLAGS(*walk(table, 0, false)),
                    perms[_i] | PTE_R | PTE_U | PTE_V);
}
END_TEST

START_TEST(uvmalloc_counts_pages_by_class)
{
  struct pagestat before, after;
  pagestat(&before);
  uvmalloc(uvmcreate(), 0, MIB2 + 1, PTE_W);
  pagestat(&after);
  ck_assert_uint_eq(after.held[PAGE_USER], before.held[PAGE_USER] + 513);
  ck_assert_uint_eq(after.held[PAGE_TABLE], before.held[PAGE_TABLE] + 4);
  ck_assert_uint_eq(after.held[PAGE_OTHER], before.held[PAGE_OTHER]);
}
END_TEST

START_TEST(uvmalloc_reaches_usertop)
{
  pagetable_t table = uvmcreate();
  ck_assert_uint_eq(uvmalloc(table, USERTOP - PGSIZE, USERTOP, PTE_W), USERTOP);
  ck_assert_uint_eq(leaves(table, USERTOP - PGSIZE, USERTOP), 1);
}
END_TEST

static const uint64_t too_far[] = {USERTOP + 1, USERTOP + PGSIZE, MAXVA, 1UL << 63,
                                   ~0UL};

START_TEST(uvmalloc_beyond_usertop_fails_and_changes_nothing)
{
  pagetable_t table = filled_table(3 * PGSIZE);
  uint64_t free = free_pages();
  ck_assert_uint_eq(uvmalloc(table, 3 * PGSIZE, too_far[_i], PTE_W), 0);
  ck_assert_uint_eq(uvmalloc(table, USERTOP - PGSIZE, too_far[_i], PTE_W), 0);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 3);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

// Run out of memory at every point of the growth.
START_TEST(uvmalloc_out_of_memory_leaves_everything_as_before)
{
  uint64_t from = growths[_i].from, to = growths[_i].to, result = 0;
  for (uint64_t n = 0; result == 0; n++) {
    ck_assert_uint_lt(n, 100);
    uint64_t all = free_pages();
    pagetable_t table = filled_table(from);
    uint64_t tables = table_pages(table);
    leave_free(n);
    result = uvmalloc(table, from, to, PTE_W);
    if (result == 0) {
      ck_assert_uint_eq(leaves(table, 0, MAXVA), pages_of(from));
      ck_assert_uint_eq(free_pages() + table_pages(table), n + tables);
      ck_assert_tree(table);
    }
    give_back();
    uvmfree(table, result ? to : from);
    ck_assert_uint_eq(free_pages(), all);
  }
}
END_TEST

static const struct {
  uint64_t from, to;
} shrinks[] = {
    {PGSIZE, 0},
    {1, 0},
    {PGSIZE + 1, PGSIZE},
    {PGSIZE + 1, 1},
    {2 * PGSIZE, PGSIZE + 1},
    {5 * PGSIZE - 1, 2 * PGSIZE + 1},
    {MIB2 + PGSIZE, MIB2},
    {MIB2 + PGSIZE, MIB2 - PGSIZE},
    {MIB2 + 1, 0},
    {3, 2},
};

START_TEST(uvmdealloc_frees_the_pages_between_the_sizes)
{
  uint64_t from = shrinks[_i].from, to = shrinks[_i].to;
  pagetable_t table = filled_table(from);
  uint64_t free = free_pages();
  ck_assert_uint_eq(uvmdealloc(table, from, to), to);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), pages_of(to));
  ck_assert_uint_eq(leaves(table, 0, to), pages_of(to));
  ck_assert_uint_eq(free_pages(), free + pages_of(from) - pages_of(to));
}
END_TEST

START_TEST(uvmdealloc_to_no_smaller_size_does_nothing)
{
  pagetable_t table = filled_table(2 * PGSIZE);
  uint64_t free = free_pages();
  ck_assert_uint_eq(uvmdealloc(table, 2 * PGSIZE, 2 * PGSIZE), 2 * PGSIZE);
  ck_assert_uint_eq(uvmdealloc(table, 2 * PGSIZE, 2 * PGSIZE + 1), 2 * PGSIZE);
  ck_assert_uint_eq(uvmdealloc(table, 2 * PGSIZE, ~0UL), 2 * PGSIZE);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 2);
}
END_TEST

START_TEST(memory_given_back_and_taken_again_is_zero)
{
  pagetable_t table = filled_table(4 * PGSIZE);
  uvmdealloc(table, 4 * PGSIZE, PGSIZE);
  uvmalloc(table, PGSIZE, 4 * PGSIZE, PTE_W);
  static const uint8_t zeros[PGSIZE];
  for (uint64_t va = PGSIZE; va < 4 * PGSIZE; va += PGSIZE)
    ck_assert_mem_eq((void *)walkaddr(table, va), zeros, PGSIZE);
}
END_TEST

START_TEST(uvmunmap_clears_the_entries)
{
  pagetable_t table = filled_table(3 * PGSIZE);
  uvmunmap(table, PGSIZE, 1, true);
  ck_assert_uint_eq(*walk(table, PGSIZE, false), 0);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 2);
}
END_TEST

START_TEST(uvmunmap_frees_pages_only_if_asked_to)
{
  pagetable_t table = filled_table(3 * PGSIZE);
  uint64_t free = free_pages();
  uvmunmap(table, 0, 1, false);
  ck_assert_uint_eq(free_pages(), free);
  uvmunmap(table, PGSIZE, 2, true);
  ck_assert_uint_eq(free_pages(), free + 2);
}
END_TEST

static const struct {
  uint64_t va, pages;
} not_mapped[] = {
    {3 * PGSIZE, 1}, {2 * PGSIZE, 2},     {MIB2, 1},
    {0, 4},          {MAXVA - PGSIZE, 1}, {MAXVA, 1},
};

START_TEST(uvmunmap_of_what_is_not_mapped_panics)
{
  pagetable_t table = filled_table(3 * PGSIZE);
  ck_assert_panics(uvmunmap(table, not_mapped[_i].va, not_mapped[_i].pages, true),
                   "is not mapped");
}
END_TEST

START_TEST(uvmunmap_of_no_pages_does_nothing)
{
  pagetable_t table = filled_table(PGSIZE);
  uvmunmap(table, MIB2, 0, true);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), 1);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("uvm");
  TCase *tc = machine_case(suite, "growing");
  tcase_add_test(tc, uvmcreate_gives_an_empty_table);
  tcase_add_test(tc, uvmcreate_out_of_memory_gives_0);
  tcase_add_loop_test(tc, uvmalloc_maps_the_pages_between_the_sizes, 0, NELEM(growths));
  tcase_add_loop_test(tc, uvmalloc_gives_zeroed_pages_and_keeps_the_old, 0,
                      NELEM(growths));
  tcase_add_loop_test(tc, uvmalloc_adds_read_and_user_to_the_permissions, 0, 4);
  tcase_add_test(tc, uvmalloc_counts_pages_by_class);
  tcase_add_test(tc, uvmalloc_reaches_usertop);
  tcase_add_loop_test(tc, uvmalloc_beyond_usertop_fails_and_changes_nothing, 0,
                      NELEM(too_far));
  tcase_add_loop_test(tc, uvmalloc_out_of_memory_leaves_everything_as_before, 0,
                      NELEM(growths));

  tc = machine_case(suite, "shrinking");
  tcase_add_loop_test(tc, uvmdealloc_frees_the_pages_between_the_sizes, 0,
                      NELEM(shrinks));
  tcase_add_test(tc, uvmdealloc_to_no_smaller_size_does_nothing);
  tcase_add_test(tc, memory_given_back_and_taken_again_is_zero);
  tcase_add_test(tc, uvmunmap_clears_the_entries);
  tcase_add_test(tc, uvmunmap_frees_pages_only_if_asked_to);
  tcase_add_loop_test(tc, uvmunmap_of_what_is_not_mapped_panics, 0, NELEM(not_mapped));
  tcase_add_test(tc, uvmunmap_of_no_pages_does_nothing);
  return run_suite(suite);
}
