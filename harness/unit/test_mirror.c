// The mirror of user memory in a kernel table. Built twice, like test_kvm.c.

#include "host.h"

#ifdef KPT_COPY
#define MODE "mirror, full copies"
#else
#define MODE "mirror, shared"
#endif

#define MIB2 (2UL << 20)

static pagetable_t kernel, user;
static uint64_t device_leaves; // of a kernel table without a mirror

static void
setup(void)
{
  kvminit();
  kernel = kvmcreate();
  user = uvmcreate();
  device_leaves = leaves(kernel, 0, MAXVA);
}

static void
grow_user(uint64_t from, uint64_t to)
{
  ck_assert_uint_eq(uvmalloc(user, from, to, PTE_W | PTE_X), to);
}

// The mirror is as it should be over user memory of sz bytes, whose pages but the guard
// page (if not 0) are all the user's; all else in the table is as before.
static void
ck_assert_mirrors(pagetable_t ktable, pagetable_t utable, uint64_t sz, uint64_t guard)
{
  for (uint64_t va = 0; va < PGROUNDUP(sz); va += PGSIZE) {
    pte_t *pte = walk(ktable, va, false);
    pte_t expected =
        va == guard && guard ? 0 : walkaddr(utable, va) >> 2 | PTE_V | PTE_R | PTE_W;
    ck_assert_msg(pte && *pte == expected, "0x%lx is mirrored by 0x%lx, not by 0x%lx",
                  va, pte ? *pte : 0, expected);
  }
  ck_assert_uint_eq(leaves(ktable, 0, MAXVA),
                    device_leaves + PGROUNDUP(sz) / PGSIZE - (guard != 0));
  ck_assert_tree(ktable);
}

static const struct {
  uint64_t of_user, of_mirror;
} flags[] = {
    {PTE_V | PTE_R | PTE_U, PTE_V | PTE_R},
    {PTE_V | PTE_R | PTE_W | PTE_U, PTE_V | PTE_R | PTE_W},
    {PTE_V | PTE_R | PTE_X | PTE_U, PTE_V | PTE_R},
    {PTE_V | PTE_R | PTE_W | PTE_X | PTE_U, PTE_V | PTE_R | PTE_W},
    {PTE_V | PTE_R, 0},                 // not the user's
    {PTE_V | PTE_R | PTE_W | PTE_X, 0}, // likewise
    {PTE_R | PTE_W | PTE_U, 0},         // not valid
};

START_TEST(an_entry_is_closed_to_the_user_and_not_executable)
{
  grow_user(0, PGSIZE);
  pte_t *pte = walk(user, 0, false);
  *pte = (*pte & ~0x3ffUL) | flags[_i].of_user;
  ck_assert_int_eq(mirror_map(kernel, user, 0, PGSIZE), 0);
  pte_t expected = flags[_i].of_mirror ? (*pte & ~0x3ffUL) | flags[_i].of_mirror : 0;
  ck_assert_uint_eq(*walk(kernel, 0, false), expected);
}
END_TEST

START_TEST(accessed_and_dirty_bits_are_not_mirrored)
{
  grow_user(0, PGSIZE);
  *walk(user, 0, false) |= 0xc0;
  mirror_map(kernel, user, 0, PGSIZE);
  ck_assert_uint_eq(PTE_FLAGS(*walk(kernel, 0, false)), PTE_V | PTE_R | PTE_W);
}
END_TEST

START_TEST(the_guard_page_is_passed_over)
{
  grow_user(0, 5 * PGSIZE);
  uvmclear(user, 3 * PGSIZE);
  mirror_map(kernel, user, 0, 5 * PGSIZE);
  ck_assert_mirrors(kernel, user, 5 * PGSIZE, 3 * PGSIZE);
}
END_TEST

// What the user may not use must go from the mirror too if it was there.
START_TEST(mirroring_again_removes_what_became_the_guard_page)
{
  grow_user(0, 3 * PGSIZE);
  mirror_map(kernel, user, 0, 3 * PGSIZE);
  uvmclear(user, PGSIZE);
  mirror_map(kernel, user, 0, 3 * PGSIZE);
  ck_assert_mirrors(kernel, user, 3 * PGSIZE, PGSIZE);
}
END_TEST

static const struct {
  uint64_t sz, from, to, first, last; // mirrored are the pages in [first, last)
} ranges[] = {
    {4 * PGSIZE, 0, 4 * PGSIZE, 0, 4},
    {4 * PGSIZE, 0, 1, 0, 1},
    {4 * PGSIZE, 1, PGSIZE, 0, 0},
    {4 * PGSIZE, 1, PGSIZE + 1, 1, 2},
    {4 * PGSIZE, PGSIZE, 3 * PGSIZE - 1, 1, 3},
    {4 * PGSIZE, 2 * PGSIZE, 2 * PGSIZE, 2, 2},
    {4 * PGSIZE, 3 * PGSIZE, PGSIZE, 2, 2},
    {MIB2 + PGSIZE, 0, MIB2 + PGSIZE, 0, 513},
    {MIB2 + PGSIZE, MIB2 - PGSIZE, MIB2 + 1, 511, 513},
    {MIB2 + PGSIZE, MIB2, MIB2 + PGSIZE, 512, 513},
};

START_TEST(mirror_map_maps_the_pages_that_begin_in_the_range)
{
  grow_user(0, ranges[_i].sz);
  ck_assert_int_eq(mirror_map(kernel, user, ranges[_i].from, ranges[_i].to), 0);
  for (uint64_t page = 0; page < ranges[_i].sz / PGSIZE; page++) {
    pte_t *pte = walk(kernel, page * PGSIZE, false);
    bool wanted = page >= ranges[_i].first && page < ranges[_i].last;
    ck_assert_int_eq(pte && *pte & PTE_V, wanted);
    if (wanted)
      ck_assert_uint_eq(PTE2PA(*pte), walkaddr(user, page * PGSIZE));
  }
  ck_assert_uint_eq(leaves(kernel, 0, MAXVA) - device_leaves,
                    ranges[_i].last - ranges[_i].first);
}
END_TEST

START_TEST(mirror_unmap_forgets_the_pages_that_begin_in_the_range)
{
  grow_user(0, ranges[_i].sz);
  mirror_map(kernel, user, 0, ranges[_i].sz);
  uint64_t before = leaves(kernel, 0, MAXVA), free = free_pages();
  mirror_unmap(kernel, ranges[_i].from, ranges[_i].to);
  uint64_t first = ranges[_i].first * PGSIZE, last = ranges[_i].last * PGSIZE;
  ck_assert_uint_eq(leaves(kernel, first, last), 0);
  ck_assert_uint_eq(leaves(kernel, 0, MAXVA), before - (last - first) / PGSIZE);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

START_TEST(the_last_page_below_usertop_leaves_the_plic_alone)
{
  grow_user(USERTOP - PGSIZE, USERTOP);
  ck_assert_int_eq(mirror_map(kernel, user, USERTOP - PGSIZE, USERTOP), 0);
  ck_assert_uint_eq(PTE2PA(*walk(kernel, USERTOP - PGSIZE, false)),
                    walkaddr(user, USERTOP - PGSIZE));
  ck_assert_uint_eq(*walk(kernel, PLIC, false), PLIC >> 2 | PTE_V | PTE_R | PTE_W);
  mirror_unmap(kernel, 0, USERTOP);
  ck_assert_uint_eq(leaves(kernel, 0, MAXVA), device_leaves);
}
END_TEST

START_TEST(the_global_table_never_sees_a_mirror)
{
  struct table_copy *before = copy_tables(kernel_pagetable);
  grow_user(0, MIB2 + PGSIZE);
  mirror_map(kernel, user, 0, MIB2 + PGSIZE);
  pagetable_t mirror = mirror_build(user, PGSIZE);
  mirror_swap(kernel, mirror);
  mirror_free(mirror);
  kvmfree(kernel);
  ck_assert_unchanged(before);
}
END_TEST

// Run out of memory at every point: none of the range is mirrored, what was mirrored
// before still is, and no page is lost.
START_TEST(mirror_map_out_of_memory_mirrors_nothing)
{
  uint64_t old = PGSIZE, sz = 2 * MIB2 + PGSIZE;
  grow_user(0, sz);
  kvmfree(kernel);
  uint64_t all = free_pages();
  int result = -1;
  for (uint64_t n = 0; result; n++) {
    ck_assert_uint_lt(n, 10);
    kernel = kvmcreate();
    ck_assert_int_eq(mirror_map(kernel, user, 0, old), 0);
    uint64_t tables = table_pages(kernel);
    leave_free(n);
    result = mirror_map(kernel, user, old, sz);
    ck_assert_uint_eq(free_pages() + table_pages(kernel), n + tables);
    ck_assert_mirrors(kernel, user, result ? old : sz, 0);
    give_back();
    kvmfree(kernel);
    ck_assert_uint_eq(free_pages(), all);
  }
}
END_TEST

START_TEST(a_mirror_built_aside_touches_no_kernel_table)
{
  grow_user(0, 4 * PGSIZE);
  mirror_map(kernel, user, 0, 4 * PGSIZE);
  struct table_copy *before = copy_tables(kernel);
  pagetable_t mirror = mirror_build(user, 4 * PGSIZE);
  ck_assert_trees(kernel, mirror);
  ck_assert_unchanged(before);
}
END_TEST

static const uint64_t sizes[] = {1, PGSIZE, 3 * PGSIZE + 1, MIB2, MIB2 + 1, 2 * MIB2};

START_TEST(swapping_in_a_built_mirror_shows_the_new_image)
{
  pagetable_t old = user;
  grow_user(0, 7 * PGSIZE);
  mirror_map(kernel, old, 0, 7 * PGSIZE);
  user = uvmcreate();
  grow_user(0, sizes[_i]);
  pagetable_t mirror = mirror_build(user, sizes[_i]);
  ck_assert_ptr_nonnull(mirror);
  ck_assert_mirrors(kernel, old, 7 * PGSIZE, 0);
  mirror_swap(kernel, mirror);
  ck_assert_mirrors(kernel, user, sizes[_i], 0);
  ck_assert_trees(kernel, mirror);
}
END_TEST

START_TEST(a_built_mirror_passes_over_the_guard_page)
{
  grow_user(0, 4 * PGSIZE);
  uvmclear(user, 2 * PGSIZE);
  mirror_swap(kernel, mirror_build(user, 4 * PGSIZE));
  ck_assert_mirrors(kernel, user, 4 * PGSIZE, 2 * PGSIZE);
}
END_TEST

START_TEST(a_mirror_may_span_all_of_user_memory)
{
  grow_user(0, PGSIZE);
  grow_user(USERTOP - PGSIZE, USERTOP);
  pagetable_t mirror = mirror_build(user, USERTOP);
  ck_assert_ptr_nonnull(mirror);
  mirror_swap(kernel, mirror);
  ck_assert_uint_eq(leaves(kernel, 0, USERTOP), 2);
  ck_assert_uint_eq(leaves(kernel, USERTOP - PGSIZE, USERTOP), 1);
  ck_assert_uint_eq(leaves(kernel, USERTOP, MAXVA), device_leaves);
  ck_assert_trees(kernel, mirror);
}
END_TEST

START_TEST(swapping_twice_brings_the_old_mirror_back)
{
  grow_user(0, MIB2 + PGSIZE);
  mirror_map(kernel, user, 0, MIB2 + PGSIZE);
  struct table_copy *before = copy_tables(kernel);
  pagetable_t mirror = mirror_build(user, PGSIZE);
  mirror_swap(kernel, mirror);
  ck_assert_uint_eq(leaves(kernel, 0, USERTOP), 1);
  mirror_swap(kernel, mirror);
  ck_assert_unchanged(before);
}
END_TEST

START_TEST(swapping_keeps_devices_and_stack)
{
  mappages(kernel, KSTACK, PGSIZE, (uint64_t)kalloc(), PTE_R | PTE_W);
  grow_user(0, PGSIZE);
  pte_t stack = *walk(kernel, KSTACK, false);
  mirror_swap(kernel, mirror_build(user, PGSIZE));
  ck_assert_uint_eq(*walk(kernel, KSTACK, false), stack);
  ck_assert_uint_eq(leaves(kernel, USERTOP, MAXVA), device_leaves + 1);
}
END_TEST

// Like exec: build, swap, free the old mirror and the old image. All is back but what
// the new image holds.
START_TEST(replacing_an_image_loses_no_page)
{
  uint64_t all = free_pages() + table_pages(user);
  pagetable_t old = user;
  grow_user(0, MIB2 + PGSIZE);
  mirror_map(kernel, old, 0, MIB2 + PGSIZE);
  user = uvmcreate();
  grow_user(0, 3 * PGSIZE);
  pagetable_t mirror = mirror_build(user, 3 * PGSIZE);
  mirror_swap(kernel, mirror);
  mirror_free(mirror);
  uvmfree(old, MIB2 + PGSIZE);
  ck_assert_mirrors(kernel, user, 3 * PGSIZE, 0);
  ck_assert_uint_eq(free_pages(), all - 3 - table_pages(user) - 1); // 1 table of mirror
}
END_TEST

START_TEST(mirror_build_out_of_memory_gives_0_and_loses_nothing)
{
  grow_user(0, sizes[_i]);
  struct table_copy *kernel_before = copy_tables(kernel);
  struct table_copy *user_before = copy_tables(user);
  uint64_t all = free_pages();
  pagetable_t mirror = 0;
  for (uint64_t n = 0; !mirror; n++) {
    ck_assert_uint_lt(n, 10);
    leave_free(n);
    if (!(mirror = mirror_build(user, sizes[_i])))
      ck_assert_uint_eq(free_pages(), n);
    give_back();
  }
  mirror_free(mirror);
  ck_assert_uint_eq(free_pages(), all);
  ck_assert_unchanged(kernel_before);
  ck_assert_unchanged(user_before);
}
END_TEST

START_TEST(mirror_free_frees_tables_and_keeps_the_users_pages)
{
  grow_user(0, sizes[_i]);
  struct pagestat before, after;
  pagestat(&before);
  mirror_free(mirror_build(user, sizes[_i]));
  pagestat(&after);
  ck_assert_mem_eq(&before, &after, sizeof(before));
  ck_assert_uint_eq(leaves(user, 0, MAXVA), PGROUNDUP(sizes[_i]) / PGSIZE);
}
END_TEST

static TCase *
mirror_case(Suite *suite, const char *name)
{
  TCase *tc = machine_case(suite, name);
  tcase_add_checked_fixture(tc, setup, 0);
  return tc;
}

int
main(void)
{
  Suite *suite = suite_create(MODE);
  TCase *tc = mirror_case(suite, "entries");
  tcase_add_loop_test(tc, an_entry_is_closed_to_the_user_and_not_executable, 0,
                      NELEM(flags));
  tcase_add_test(tc, accessed_and_dirty_bits_are_not_mirrored);
  tcase_add_test(tc, the_guard_page_is_passed_over);
  tcase_add_test(tc, mirroring_again_removes_what_became_the_guard_page);

  tc = mirror_case(suite, "in place");
  tcase_add_loop_test(tc, mirror_map_maps_the_pages_that_begin_in_the_range, 0,
                      NELEM(ranges));
  tcase_add_loop_test(tc, mirror_unmap_forgets_the_pages_that_begin_in_the_range, 0,
                      NELEM(ranges));
  tcase_add_test(tc, the_last_page_below_usertop_leaves_the_plic_alone);
  tcase_add_test(tc, the_global_table_never_sees_a_mirror);
  tcase_add_test(tc, mirror_map_out_of_memory_mirrors_nothing);

  tc = mirror_case(suite, "aside");
  tcase_add_test(tc, a_mirror_built_aside_touches_no_kernel_table);
  tcase_add_loop_test(tc, swapping_in_a_built_mirror_shows_the_new_image, 0,
                      NELEM(sizes));
  tcase_add_test(tc, a_built_mirror_passes_over_the_guard_page);
  tcase_add_test(tc, a_mirror_may_span_all_of_user_memory);
  tcase_add_test(tc, swapping_twice_brings_the_old_mirror_back);
  tcase_add_test(tc, swapping_keeps_devices_and_stack);
  tcase_add_test(tc, replacing_an_image_loses_no_page);
  tcase_add_loop_test(tc, mirror_build_out_of_memory_gives_0_and_loses_nothing, 0,
                      NELEM(sizes));
  tcase_add_loop_test(tc, mirror_free_frees_tables_and_keeps_the_users_pages, 0,
                      NELEM(sizes));
  return run_suite(suite);
}
