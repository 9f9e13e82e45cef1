// User memory: copying, freeing, looking and writing.

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

static const uint64_t sizes[] = {0, 1, PGSIZE, PGSIZE + 1, 7 * PGSIZE, MIB2, MIB2 + 1};

START_TEST(uvmcopy_copies_contents_into_pages_of_its_own)
{
  pagetable_t from = filled_table(sizes[_i]), to = uvmcreate();
  ck_assert_int_eq(uvmcopy(from, to, sizes[_i]), 0);
  ck_assert_uint_eq(leaves(to, 0, MAXVA), pages_of(sizes[_i]));
  for (uint64_t va = 0; va < sizes[_i]; va += PGSIZE) {
    ck_assert_uint_ne(walkaddr(from, va), walkaddr(to, va));
    ck_assert_mem_eq((void *)walkaddr(from, va), (void *)walkaddr(to, va), PGSIZE);
  }
  ck_assert_tree(to);
}
END_TEST

START_TEST(uvmcopy_keeps_the_permissions_of_text_data_and_guard)
{
  static const uint64_t perms[] = {PTE_X, PTE_W, PTE_W | PTE_X, 0};
  pagetable_t from = uvmcreate(), to = uvmcreate();
  for (uint64_t i = 0; i < NELEM(perms); i++)
    uvmalloc(from, i * PGSIZE, (i + 1) * PGSIZE, perms[i]);
  uvmclear(from, PGSIZE);
  ck_assert_int_eq(uvmcopy(from, to, NELEM(perms) * PGSIZE), 0);
  for (uint64_t i = 0; i < NELEM(perms); i++)
    ck_assert_uint_eq(PTE_FLAGS(*walk(to, i * PGSIZE, false)),
                      perms[i] | PTE_R | PTE_V | (i == 1 ? 0 : PTE_U));
}
END_TEST

START_TEST(uvmcopy_leaves_the_original_alone)
{
  pagetable_t from = filled_table(2 * PGSIZE), to = uvmcreate();
  pte_t first = *walk(from, 0, false), second = *walk(from, PGSIZE, false);
  uvmcopy(from, to, 2 * PGSIZE);
  memset((void *)walkaddr(to, 0), 0xee, PGSIZE);
  ck_assert_uint_eq(*walk(from, 0, false), first);
  ck_assert_uint_eq(*walk(from, PGSIZE, false), second);
  ck_assert_uint_eq(*(uint8_t *)walkaddr(from, 0), 1);
}
END_TEST

// Run out of memory at every point of the copy.
START_TEST(uvmcopy_out_of_memory_leaves_the_copy_empty)
{
  static const uint64_t small[] = {1, PGSIZE + 1, 5 * PGSIZE};
  uint64_t sz = small[_i], all = free_pages();
  pagetable_t from = filled_table(sz);
  int result = -1;
  for (uint64_t n = 0; result; n++) {
    ck_assert_uint_lt(n, 20);
    pagetable_t to = uvmcreate();
    leave_free(n);
    result = uvmcopy(from, to, sz);
    if (result) {
      ck_assert_int_eq(result, -1);
      ck_assert_uint_eq(leaves(to, 0, MAXVA), 0);
      ck_assert_uint_eq(free_pages() + table_pages(to), n + 1);
    }
    give_back();
    uvmfree(to, result ? 0 : sz);
  }
  uvmfree(from, sz);
  ck_assert_uint_eq(free_pages(), all);
}
END_TEST

START_TEST(uvmcopy_of_a_hole_panics)
{
  pagetable_t from = filled_table(3 * PGSIZE), to = uvmcreate();
  uvmunmap(from, PGSIZE, 1, true);
  ck_assert_panics(uvmcopy(from, to, 3 * PGSIZE), "0x1000 is not mapped");
}
END_TEST

START_TEST(uvmfree_gives_every_page_back)
{
  uint64_t all = free_pages();
  uvmfree(filled_table(sizes[_i]), sizes[_i]);
  ck_assert_uint_eq(free_pages(), all);
}
END_TEST

START_TEST(uvmfree_with_a_page_still_mapped_panics)
{
  pagetable_t table = filled_table(3 * PGSIZE);
  ck_assert_panics(uvmfree(table, 2 * PGSIZE), "still mapped");
}
END_TEST

START_TEST(uvmclear_takes_a_page_from_the_user_and_keeps_it_mapped)
{
  pagetable_t table = filled_table(2 * PGSIZE);
  pte_t before = *walk(table, PGSIZE, false);
  uvmclear(table, PGSIZE);
  ck_assert_uint_eq(*walk(table, PGSIZE, false), before & ~(pte_t)0x10);
  ck_assert_uint_eq(PTE_FLAGS(*walk(table, 0, false)), PTE_V | PTE_R | PTE_W | PTE_U);
}
END_TEST

START_TEST(walkaddr_gives_the_page_of_any_address_in_it)
{
  pagetable_t table = filled_table(2 * PGSIZE);
  uint64_t pa = PTE2PA(*walk(table, PGSIZE, false));
  ck_assert_uint_eq(walkaddr(table, PGSIZE), pa);
  ck_assert_uint_eq(PGROUNDDOWN(walkaddr(table, 2 * PGSIZE - 1)), pa);
}
END_TEST

START_TEST(walkaddr_gives_0_for_what_is_not_the_users)
{
  static const uint64_t bad[] = {PGSIZE,    2 * PGSIZE, MIB2,  USERTOP, KERNBASE,
                                 TRAPFRAME, MAXVA - 1,  MAXVA, ~0UL,    1UL << 63};
  pagetable_t table = filled_table(2 * PGSIZE);
  uvmclear(table, PGSIZE);
  mappages(table, TRAPFRAME, PGSIZE, KERNBASE, PTE_R | PTE_W);
  ck_assert_uint_eq(walkaddr(table, bad[_i]), 0);
}
END_TEST

static const struct {
  uint64_t va, n;
} writes[] = {
    {0, 1},
    {0, PGSIZE},
    {PGSIZE - 1, 2},
    {1, PGSIZE},
    {PGSIZE / 2, 2 * PGSIZE},
    {0, 4 * PGSIZE},
    {PGSIZE, 0},
    {4 * PGSIZE - 1, 1},
};

START_TEST(uvmwrite_changes_exactly_the_bytes_asked_for)
{
  static uint8_t source[4 * PGSIZE], expected[4 * PGSIZE];
  pagetable_t table = filled_table(4 * PGSIZE);
  for (size_t i = 0; i < sizeof(source); i++) {
    source[i] = 100 + i % 101;
    expected[i] = i / PGSIZE + 1;
  }
  memcpy(expected + writes[_i].va, source, writes[_i].n);
  ck_assert_int_eq(uvmwrite(table, writes[_i].va, source, writes[_i].n), 0);
  for (uint64_t va = 0; va < 4 * PGSIZE; va += PGSIZE)
    ck_assert_mem_eq((void *)walkaddr(table, va), expected + va, PGSIZE);
}
END_TEST

START_TEST(uvmwrite_may_write_read_only_pages)
{
  pagetable_t table = uvmcreate();
  uvmalloc(table, 0, PGSIZE, PTE_X);
  ck_assert_int_eq(uvmwrite(table, 3, "text", 4), 0);
  ck_assert_mem_eq((char *)walkaddr(table, 0) + 3, "text", 4);
}
END_TEST

START_TEST(uvmwrite_to_what_is_not_the_users_fails)
{
  static const struct {
    uint64_t va, n;
  } bad[] = {
      {2 * PGSIZE, 1},     {2 * PGSIZE - 1, 2}, {3 * PGSIZE - 1, 2}, {4 * PGSIZE, 1},
      {4 * PGSIZE - 1, 2}, {MAXVA, 1},          {~0UL, 1},           {~0UL, 2}};
  static uint8_t source[PGSIZE];
  pagetable_t table = filled_table(4 * PGSIZE);
  uvmclear(table, 2 * PGSIZE);
  ck_assert_int_eq(uvmwrite(table, bad[_i].va, source, bad[_i].n), -1);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("uvmcopy");
  TCase *tc = machine_case(suite, "copying and freeing");
  tcase_add_loop_test(tc, uvmcopy_copies_contents_into_pages_of_its_own, 0,
                      NELEM(sizes));
  tcase_add_test(tc, uvmcopy_keeps_the_permissions_of_text_data_and_guard);
  tcase_add_test(tc, uvmcopy_leaves_the_original_alone);
  tcase_add_loop_test(tc, uvmcopy_out_of_memory_leaves_the_copy_empty, 0, 3);
  tcase_add_test(tc, uvmcopy_of_a_hole_panics);
  tcase_add_loop_test(tc, uvmfree_gives_every_page_back, 0, NELEM(sizes));
  tcase_add_test(tc, uvmfree_with_a_page_still_mapped_panics);

  tc = machine_case(suite, "looking and writing");
  tcase_add_test(tc, uvmclear_takes_a_page_from_the_user_and_keeps_it_mapped);
  tcase_add_test(tc, walkaddr_gives_the_page_of_any_address_in_it);
  tcase_add_loop_test(tc, walkaddr_gives_0_for_what_is_not_the_users, 0, 10);
  tcase_add_loop_test(tc, uvmwrite_changes_exactly_the_bytes_asked_for, 0,
                      NELEM(writes));
  tcase_add_test(tc, uvmwrite_may_write_read_only_pages);
  tcase_add_loop_test(tc, uvmwrite_to_what_is_not_the_users_fails, 0, 8);
  return run_suite(suite);
}
