// Kernel page tables: the global one, and one for each process. This program is built
// twice, for tables that share what is equal and for full copies.

#include "host.h"

#ifdef KPT_COPY
#define MODE "kvm, full copies"
#else
#define MODE "kvm, shared"
#endif

// What kernel tables should map at va, with all flags, or 0; the address space of
// memlayout.h written down once more, page by page.
static pte_t
expected_leaf(uint64_t va)
{
  const pte_t rw = PTE_V | PTE_R | PTE_W, rx = PTE_V | PTE_R | PTE_X;
  bool device =
      va == 0x10000000 || va == 0x10001000 || (va >= 0x0c000000 && va < 0x0c400000);
  if (device)
    return va >> 2 | rw;
  if (va >= KERNBASE && va < (uint64_t)etext)
    return va >> 2 | rx;
  if (va >= (uint64_t)etext && va < PHYSTOP)
    return va >> 2 | rw;
  if (va == 0x3ffffff000)
    return (uint64_t)trampoline >> 2 | rx;
  return 0;
}

#define KERNEL_LEAVES (2 + 0x400 + 0x8000 + 1)

static void
check_leaf(uint64_t va, pte_t pte, void *arg)
{
  (void)arg;
  if (pte != expected_leaf(va))
    ck_abort_msg("0x%lx is mapped by 0x%lx, not by 0x%lx", va, pte, expected_leaf(va));
}

static void
ck_assert_kernel_mappings(pagetable_t table)
{
  each_leaf(table, check_leaf, 0);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), KERNEL_LEAVES);
}

START_TEST(kvminit_maps_the_kernel_and_nothing_else)
{
  kvminit();
  ck_assert_kernel_mappings(kernel_pagetable);
  ck_assert_tree(kernel_pagetable);
}
END_TEST

static const struct {
  const char *what;
  uint64_t from, to;
} never_mapped[] = {
    {"user memory", 0, USERTOP},
    {"the test device", TESTDEV, TESTDEV + PGSIZE},
    {"the CLINT", CLINT, CLINT + 0x10000},
    {"a kernel stack and its guard page", KSTACK - PGSIZE, KSTACK + PGSIZE},
    {"a trapframe", TRAPFRAME, TRAPFRAME + PGSIZE},
    {"what lies above RAM", PHYSTOP, TRAPFRAME},
};

START_TEST(the_global_table_does_not_map)
{
  kvminit();
  ck_assert_msg(leaves(kernel_pagetable, never_mapped[_i].from, never_mapped[_i].to) ==
                    0,
                "it maps %s", never_mapped[_i].what);
}
END_TEST

static void
check_isolation(uint64_t va, pte_t pte, void *arg)
{
  (void)arg;
  if (pte & PTE_U)
    ck_abort_msg("the user may use 0x%lx", va);
  if ((pte & (PTE_W | PTE_X)) == (PTE_W | PTE_X))
    ck_abort_msg("0x%lx is writable and executable", va);
}

START_TEST(nothing_is_the_users_or_both_writable_and_executable)
{
  kvminit();
  each_leaf(kernel_pagetable, check_isolation, 0);
}
END_TEST

// Loop: how many pages are free at boot.
START_TEST(kvminit_out_of_memory_panics)
{
  leave_free(_i * 10);
  ck_assert_panics(kvminit(), "out of memory at boot");
}
END_TEST

START_TEST(a_new_table_maps_what_the_global_one_maps)
{
  kvminit();
  pagetable_t table = kvmcreate();
  ck_assert_kernel_mappings(table);
  ck_assert_tree(table);
}
END_TEST

START_TEST(a_new_table_costs_as_few_pages_as_its_kind_allows)
{
  kvminit();
  uint64_t free = free_pages();
  kvmcreate();
#ifdef KPT_COPY
  ck_assert_uint_eq(free - free_pages(), table_pages(kernel_pagetable));
#else
  ck_assert_uint_eq(free - free_pages(), 2);
#endif
}
END_TEST

START_TEST(all_pages_of_tables_are_counted_as_such)
{
  struct pagestat stat;
  kvminit();
  kvmcreate();
  pagestat(&stat);
  ck_assert_uint_eq(stat.held[PAGE_TABLE], stat.total - stat.held[PAGE_FREE]);
}
END_TEST

START_TEST(kvmcreate_out_of_memory_gives_0_and_loses_nothing)
{
  kvminit();
  uint64_t all = free_pages();
  struct table_copy *before = copy_tables(kernel_pagetable);
  pagetable_t table = 0;
  for (uint64_t n = 0; !table; n++) {
    ck_assert_uint_le(n, all);
    leave_free(n);
    if (!(table = kvmcreate()))
      ck_assert_uint_eq(free_pages(), n);
    give_back();
  }
  kvmfree(table);
  ck_assert_uint_eq(free_pages(), all);
  ck_assert_unchanged(before);
}
END_TEST

START_TEST(kvmfree_gives_a_tables_own_pages_back_and_no_other)
{
  kvminit();
  uint64_t all = free_pages();
  struct table_copy *before = copy_tables(kernel_pagetable);
  for (int i = 0; i < 5; i++) {
    pagetable_t first = kvmcreate(), second = kvmcreate();
    kvmfree(first);
    ck_assert_kernel_mappings(second);
    kvmfree(second);
    ck_assert_uint_eq(free_pages(), all);
  }
  ck_assert_unchanged(before);
}
END_TEST

// The kernel side of a process: a table with a stack and a mirror of sz bytes of user
// memory, made in the order of proc.c. 0 if memory runs out.
static pagetable_t
process_table(pagetable_t user, uint64_t sz)
{
  pagetable_t table = kvmcreate();
  if (!table)
    return 0;
  void *stack = kalloc_for(PAGE_KSTACK);
  if (!stack || mappages(table, KSTACK, PGSIZE, (uint64_t)stack, PTE_R | PTE_W) ||
      mirror_map(table, user, 0, sz)) {
    if (stack)
      kfree(stack);
    kvmfree(table);
    return 0;
  }
  return table;
}

static void
process_free(pagetable_t table)
{
  kfree((void *)PTE2PA(*walk(table, KSTACK, false)));
  kvmfree(table);
}

static pagetable_t
user_table(uint64_t sz)
{
  pagetable_t user = uvmcreate();
  ck_assert_uint_eq(uvmalloc(user, 0, sz, PTE_W | PTE_X), sz);
  return user;
}

START_TEST(a_process_owns_at_most_6_pages_for_its_kernel_side)
{
  kvminit();
  pagetable_t user = user_table(4 * PGSIZE);
  uint64_t free = free_pages();
  ck_assert_ptr_nonnull(process_table(user, 4 * PGSIZE));
#ifdef KPT_COPY
  ck_assert_uint_eq(free - free_pages(), table_pages(kernel_pagetable) + 3);
#else
  ck_assert_uint_le(free - free_pages(), 6);
#endif
}
END_TEST

START_TEST(a_process_table_adds_its_stack_and_mirror_only)
{
  kvminit();
  pagetable_t table = process_table(user_table(4 * PGSIZE), 4 * PGSIZE);
  ck_assert_uint_eq(leaves(table, 0, USERTOP), 4);
  ck_assert_uint_eq(leaves(table, KSTACK - PGSIZE, KSTACK + PGSIZE), 1);
  ck_assert_uint_eq(leaves(table, 0, MAXVA), KERNEL_LEAVES + 5);
  ck_assert_tree(table);
  each_leaf(table, check_isolation, 0);
}
END_TEST

START_TEST(what_one_process_maps_no_other_table_shows)
{
  kvminit();
  pagetable_t user = user_table(2 * PGSIZE);
  pagetable_t bare = kvmcreate(), one = process_table(user, 2 * PGSIZE);
  pagetable_t other = process_table(user, PGSIZE);
  ck_assert_kernel_mappings(kernel_pagetable);
  ck_assert_kernel_mappings(bare);
  ck_assert_uint_eq(leaves(one, 0, USERTOP), 2);
  ck_assert_uint_eq(leaves(other, 0, USERTOP), 1);
  ck_assert_uint_ne(*walk(one, KSTACK, false), *walk(other, KSTACK, false));
}
END_TEST

START_TEST(the_global_table_is_the_same_bit_by_bit_after_many_processes)
{
  kvminit();
  struct table_copy *before = copy_tables(kernel_pagetable);
  pagetable_t user = user_table(6 * PGSIZE);
  uint64_t all = free_pages();
  for (uint64_t i = 0; i < 20; i++) {
    pagetable_t one = process_table(user, (i % 6 + 1) * PGSIZE);
    pagetable_t other = process_table(user, 6 * PGSIZE);
    mirror_unmap(one, PGSIZE, i * PGSIZE);
    process_free(i % 2 ? one : other);
    process_free(i % 2 ? other : one);
    ck_assert_uint_eq(free_pages(), all);
  }
  ck_assert_unchanged(before);
}
END_TEST

START_TEST(many_processes_at_a_time_come_and_go_without_loss)
{
#ifdef KPT_COPY
  enum { COUNT = 12 };
#else
  enum { COUNT = NPROC };
#endif
  pagetable_t tables[COUNT];
  kvminit();
  pagetable_t user = user_table(PGSIZE);
  uint64_t all = free_pages();
  for (int i = 0; i < COUNT; i++)
    ck_assert_ptr_nonnull(tables[i] = process_table(user, PGSIZE));
  for (int i = 0; i < COUNT; i += 2)
    process_free(tables[i]);
  for (int i = 1; i < COUNT; i += 2) {
    ck_assert_uint_eq(leaves(tables[i], 0, MAXVA), KERNEL_LEAVES + 2);
    process_free(tables[i]);
  }
  ck_assert_uint_eq(free_pages(), all);
}
END_TEST

START_TEST(a_process_half_made_when_memory_runs_out_loses_nothing)
{
  kvminit();
  struct table_copy *before = copy_tables(kernel_pagetable);
  uint64_t sz = (2UL << 20) + PGSIZE; // two tables of mirror
  pagetable_t user = user_table(sz), table = 0;
  uint64_t all = free_pages(), n = 0;
  for (; !table; n++) {
    leave_free(n);
    if (!(table = process_table(user, sz)))
      ck_assert_uint_eq(free_pages(), n);
    give_back();
  }
  ck_assert_uint_eq(n - 1, all - free_pages()); // it failed at every point but the last
  process_free(table);
  ck_assert_uint_eq(free_pages(), all);
  ck_assert_unchanged(before);
}
END_TEST

START_TEST(kvmfree_leaves_the_mirrored_pages_to_the_user_table)
{
  kvminit();
  uint64_t all = free_pages();
  pagetable_t user = user_table(3 * PGSIZE);
  memset((void *)walkaddr(user, PGSIZE), 0x77, PGSIZE);
  process_free(process_table(user, 3 * PGSIZE));
  ck_assert_uint_eq(leaves(user, 0, MAXVA), 3);
  ck_assert_uint_eq(*(uint32_t *)walkaddr(user, PGSIZE), 0x77777777);
  uvmfree(user, 3 * PGSIZE);
  ck_assert_uint_eq(free_pages(), all);
}
END_TEST

START_TEST(kvmpa_translates_through_the_running_process)
{
  kvminit();
  running->kpagetable = process_table(user_table(PGSIZE), PGSIZE);
  uint64_t stack = PTE2PA(*walk(running->kpagetable, KSTACK, false));
  ck_assert_uint_eq(kvmpa(KSTACK), stack);
  ck_assert_uint_eq(kvmpa(KSTACK + 0xabc), stack + 0xabc);
  ck_assert_uint_eq(kvmpa(KERNBASE + 0x12345), KERNBASE + 0x12345);
  ck_assert_uint_eq(kvmpa(PHYSTOP - 1), PHYSTOP - 1);
  ck_assert_uint_eq(kvmpa(TRAMPOLINE + 8), (uint64_t)trampoline + 8);
}
END_TEST

START_TEST(kvmpa_of_what_is_not_mapped_panics)
{
  static const uint64_t bad[] = {KSTACK - 1, PHYSTOP, TRAPFRAME, CLINT, MAXVA, ~0UL};
  kvminit();
  running->kpagetable = process_table(user_table(PGSIZE), PGSIZE);
  ck_assert_panics(kvmpa(bad[_i]), "is not mapped");
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create(MODE);
  TCase *tc = machine_case(suite, "the global table");
  tcase_add_test(tc, kvminit_maps_the_kernel_and_nothing_else);
  tcase_add_loop_test(tc, the_global_table_does_not_map, 0, NELEM(never_mapped));
  tcase_add_test(tc, nothing_is_the_users_or_both_writable_and_executable);
  tcase_add_loop_test(tc, kvminit_out_of_memory_panics, 0, 7);

  tc = machine_case(suite, "making and freeing");
  tcase_add_test(tc, a_new_table_maps_what_the_global_one_maps);
  tcase_add_test(tc, a_new_table_costs_as_few_pages_as_its_kind_allows);
  tcase_add_test(tc, all_pages_of_tables_are_counted_as_such);
  tcase_add_test(tc, kvmcreate_out_of_memory_gives_0_and_loses_nothing);
  tcase_add_test(tc, kvmfree_gives_a_tables_own_pages_back_and_no_other);

  tc = machine_case(suite, "processes");
  tcase_add_test(tc, a_process_owns_at_most_6_pages_for_its_kernel_side);
  tcase_add_test(tc, a_process_table_adds_its_stack_and_mirror_only);
  tcase_add_test(tc, what_one_process_maps_no_other_table_shows);
  tcase_add_test(tc, the_global_table_is_the_same_bit_by_bit_after_many_processes);
  tcase_add_test(tc, many_processes_at_a_time_come_and_go_without_loss);
  tcase_add_test(tc, a_process_half_made_when_memory_runs_out_loses_nothing);
  tcase_add_test(tc, kvmfree_leaves_the_mirrored_pages_to_the_user_table);
  tcase_add_test(tc, kvmpa_translates_through_the_running_process);
  tcase_add_loop_test(tc, kvmpa_of_what_is_not_mapped_panics, 0, 6);
  return run_suite(suite);
}
