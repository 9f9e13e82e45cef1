// Processes' memory: fork, sbrk, exit and wait, with one process that runs at a time.

#include "disk.h"

static struct proc *first;

static void
run(struct proc *p)
{
  running = p;
}

// The first process, with three pages of memory, a guard page among them.
static void
setup(void)
{
  disk_format(120, 32);
  boot();
  kvminit();
  procinit();
  fileinit();
  userinit();
  first = &proc[0];
  run(first);
  first->cwd = iget(ROOTDEV, ROOTINO);
  ck_assert_int_eq(growproc(2 * PGSIZE), 0);
  uvmclear(first->pagetable, PGSIZE);
  mirror_map(first->kpagetable, first->pagetable, PGSIZE, 2 * PGSIZE);
  memset((void *)walkaddr(first->pagetable, 2 * PGSIZE), 'h', PGSIZE);
}

static struct proc *
by_pid(int pid)
{
  for (int i = 0; i < NPROC; i++)
    if (proc[i].state != UNUSED && proc[i].pid == pid)
      return &proc[i];
  ck_abort_msg("there is no process %d", pid);
}

// Let a child exit; the scheduler would take its lock from it.
static void
let_exit(struct proc *child, int status)
{
  run(child);
  ck_assert_panics(k_exit(status), "gave its hart away");
  release(&child->lock);
  run(first);
}

static int
processes(void)
{
  int count = 0;
  for (int i = 0; i < NPROC; i++)
    count += proc[i].state != UNUSED;
  return count;
}

// Both tables of a process are whole, and the mirror shows what is the user's.
static void
check_mirrored(uint64_t va, pte_t pte, void *arg)
{
  struct proc *p = arg;
  pte_t *entry = walk(p->kpagetable, va, false);
  pte_t flags = pte & PTE_U ? pte & (PTE_V | PTE_R | PTE_W) : 0;
  pte_t expected = flags ? (pte & ~0x3ffUL) | flags : 0;
  pte_t found = entry ? *entry : 0;
  if (va < USERTOP && found != expected)
    ck_abort_msg("0x%lx is mirrored by 0x%lx, not by 0x%lx", va, found, expected);
}

static void
ck_assert_in_step(struct proc *p, uint64_t guard_pages)
{
  each_leaf(p->pagetable, check_mirrored, p);
  uint64_t pages = PGROUNDUP(p->sz) / PGSIZE;
  ck_assert_uint_eq(leaves(p->pagetable, 0, USERTOP), pages);
  ck_assert_uint_eq(leaves(p->kpagetable, 0, USERTOP), pages - guard_pages);
  ck_assert_tree(p->pagetable);
  ck_assert_tree(p->kpagetable);
}

START_TEST(a_child_has_a_copy_of_memory_and_a_mirror_of_its_own)
{
  struct proc *child = by_pid(k_fork());
  ck_assert_uint_eq(child->sz, 3 * PGSIZE);
  ck_assert_in_step(child, 1);
  ck_assert_in_step(first, 1);
  for (uint64_t va = 0; va < 3 * PGSIZE; va += 2 * PGSIZE) {
    ck_assert_uint_ne(walkaddr(child->pagetable, va), walkaddr(first->pagetable, va));
    ck_assert_mem_eq((void *)walkaddr(child->pagetable, va),
                     (void *)walkaddr(first->pagetable, va), PGSIZE);
  }
}
END_TEST

START_TEST(a_child_has_a_stack_and_a_trapframe_of_its_own)
{
  first->trapframe->a0 = 42;
  first->trapframe->s5 = 77;
  struct proc *child = by_pid(k_fork());
  ck_assert_uint_ne(*walk(child->kpagetable, KSTACK, false),
                    *walk(first->kpagetable, KSTACK, false));
  ck_assert_ptr_ne(child->trapframe, first->trapframe);
  ck_assert_uint_eq(PTE2PA(*walk(child->pagetable, TRAPFRAME, false)),
                    (uint64_t)child->trapframe);
  ck_assert_uint_eq(child->trapframe->a0, 0);
  ck_assert_uint_eq(child->trapframe->s5, 77);
  ck_assert_uint_eq(first->trapframe->a0, 42);
}
END_TEST

START_TEST(a_child_shares_open_files_and_directory)
{
  first->ofile[3] = filealloc();
  int ref = first->cwd->ref;
  struct proc *child = by_pid(k_fork());
  ck_assert_ptr_eq(child->ofile[3], first->ofile[3]);
  ck_assert_int_eq(child->ofile[3]->ref, 2);
  ck_assert_ptr_null(child->ofile[0]);
  ck_assert_ptr_eq(child->cwd, first->cwd);
  ck_assert_int_eq(first->cwd->ref, ref + 1);
  ck_assert_ptr_eq(child->parent, first);
  ck_assert_int_eq(child->state, RUNNABLE);
}
END_TEST

START_TEST(fork_out_of_memory_at_any_point_changes_nothing)
{
  first->ofile[0] = filealloc();
  int pid = -1, ref = first->cwd->ref;
  uint64_t n = 0;
  for (; pid < 0; n++) {
    struct table_copy *global = copy_tables(kernel_pagetable);
    struct table_copy *user = copy_tables(first->pagetable);
    leave_free(n);
    pid = k_fork();
    if (pid < 0) {
      ck_assert_int_eq(pid, -1);
      ck_assert_uint_eq(free_pages(), n);
      ck_assert_int_eq(processes(), 1);
      ck_assert_int_eq(first->ofile[0]->ref, 1);
      ck_assert_int_eq(first->cwd->ref, ref);
    }
    ck_assert_unchanged(global);
    ck_assert_unchanged(user);
    give_back();
  }
  ck_assert_uint_gt(n, 10); // trapframe, stack, three user pages, tables
  ck_assert_in_step(by_pid(pid), 1);
}
END_TEST

// Loop: how many pages are free; beyond all that is needed, all of them.
START_TEST(memory_is_copied_and_freed_without_a_lock)
{
  leave_free(_i);
  int pid = k_fork();
  give_back();
  if (pid > 0) {
    let_exit(by_pid(pid), 0);
    ck_assert_int_eq(k_wait(0), pid);
  }
  ck_assert_int_eq(most_locks, 0);
  for (int i = 0; i < NPROC; i++)
    ck_assert_int_eq(proc[i].lock.locked, 0);
}
END_TEST

#ifndef KPT_COPY // full copies of 63 kernel tables need more RAM than there is
START_TEST(the_table_of_processes_fills_up_and_fork_fails)
{
  growproc(-2 * PGSIZE);
  uint64_t free = 0;
  for (int i = 1; i < NPROC; i++)
    ck_assert_int_gt(k_fork(), 0);
  free = free_pages();
  ck_assert_int_eq(k_fork(), -1);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST
#endif

static const int64_t growths[] = {
    0,  1,       PGSIZE,      5 * PGSIZE + 7,  2 << 20,
    -1, -PGSIZE, -PGSIZE - 1, -2 * PGSIZE + 1, -3 * PGSIZE,
};

START_TEST(sbrk_keeps_the_mirror_in_step)
{
  ck_assert_int_eq(growproc(growths[_i]), 0);
  ck_assert_uint_eq(first->sz, 3 * PGSIZE + growths[_i]);
  ck_assert_in_step(first, first->sz > PGSIZE);
}
END_TEST

START_TEST(sbrk_down_frees_and_up_zeroes)
{
  uint64_t free = free_pages();
  growproc(-PGSIZE);
  ck_assert_uint_eq(free_pages(), free + 1);
  growproc(PGSIZE);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_uint_eq(*(uint64_t *)walkaddr(first->pagetable, 2 * PGSIZE), 0);
}
END_TEST

START_TEST(sbrk_that_cannot_be_changes_nothing)
{
  static const int64_t bad[] = {-3 * PGSIZE - 1, -4 * PGSIZE, INT32_MIN,
                                USERTOP,         INT32_MAX,   USERTOP - 3 * PGSIZE + 1};
  struct table_copy *user = copy_tables(first->pagetable);
  struct table_copy *kernel = copy_tables(first->kpagetable);
  uint64_t free = free_pages();
  ck_assert_int_eq(growproc(bad[_i]), -1);
  ck_assert_uint_eq(first->sz, 3 * PGSIZE);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_unchanged(user);
  ck_assert_unchanged(kernel);
}
END_TEST

// Over a table boundary, so that tables are needed too.
START_TEST(sbrk_out_of_memory_at_any_point_changes_nothing)
{
  ck_assert_int_eq(growproc((2 << 20) - 5 * PGSIZE), 0);
  uint64_t sz = first->sz, n = 0;
  int result = -1;
  for (; result; n++) {
    uint64_t tables = table_pages(first->pagetable) + table_pages(first->kpagetable);
    leave_free(n);
    result = growproc(4 * PGSIZE);
    if (result) {
      ck_assert_int_eq(result, -1);
      ck_assert_uint_eq(first->sz, sz);
      ck_assert_uint_eq(free_pages() + table_pages(first->pagetable) +
                            table_pages(first->kpagetable),
                        n + tables);
    }
    ck_assert_in_step(first, 1);
    give_back();
  }
  ck_assert_uint_gt(n, 4);
}
END_TEST

START_TEST(wait_frees_all_that_the_child_had)
{
  int ref = first->cwd->ref;
  uint64_t free = free_pages();
  struct proc *child = by_pid(k_fork());
  int pid = child->pid;
  let_exit(child, 7);
  ck_assert_int_eq(k_wait(0), pid);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_int_eq(processes(), 1);
  ck_assert_int_eq(first->cwd->ref, ref);
}
END_TEST

START_TEST(wait_passes_the_status_on)
{
  let_exit(by_pid(k_fork()), 77);
  ck_assert_int_gt(k_wait(2 * PGSIZE), 0);
  ck_assert_int_eq(*(int *)walkaddr(first->pagetable, 2 * PGSIZE), 77);
}
END_TEST

START_TEST(wait_with_a_bad_address_fails_and_keeps_the_child)
{
  static const uint64_t bad[] = {PGSIZE,  3 * PGSIZE, 3 * PGSIZE - 2,
                                 USERTOP, KERNBASE,   ~0UL};
  struct proc *child = by_pid(k_fork());
  int pid = child->pid;
  let_exit(child, 1);
  ck_assert_int_eq(k_wait(bad[_i]), -1);
  ck_assert_int_eq(processes(), 2);
  ck_assert_int_eq(child->state, ZOMBIE);
  ck_assert_int_eq(k_wait(0), pid);
}
END_TEST

START_TEST(wait_without_children_fails)
{
  ck_assert_int_eq(k_wait(0), -1);
}
END_TEST

START_TEST(wait_for_a_living_child_sleeps)
{
  k_fork();
  ck_assert_panics(k_wait(0), "sleeps");
}
END_TEST

START_TEST(orphans_become_the_first_processs)
{
  uint64_t free = free_pages();
  struct proc *child = by_pid(k_fork());
  run(child);
  struct proc *grandchild = by_pid(k_fork());
  let_exit(child, 0);
  ck_assert_ptr_eq(grandchild->parent, first);
  let_exit(grandchild, 0);
  ck_assert_int_gt(k_wait(0), 0);
  ck_assert_int_gt(k_wait(0), 0);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

START_TEST(the_end_of_the_first_process_panics)
{
  ck_assert_panics(k_exit(3), "init exited with status 3");
}
END_TEST

START_TEST(kill_marks_the_process_and_wakes_it)
{
  struct proc *child = by_pid(k_fork());
  child->state = SLEEPING;
  ck_assert_int_eq(k_kill(child->pid), 0);
  ck_assert(killed(child));
  ck_assert_int_eq(child->state, RUNNABLE);
  ck_assert(!killed(first));
  ck_assert_int_eq(k_kill(99), -1);
}
END_TEST

// Loop: how many pages are free.
START_TEST(the_first_process_without_memory_panics)
{
  boot();
  memset(proc, 0, sizeof(proc));
  kvminit();
  leave_free(_i);
  ck_assert_panics(userinit(), "out of memory at boot");
}
END_TEST

static TCase *
process_case(Suite *suite, const char *name)
{
  TCase *tc = tcase_create(name);
  tcase_add_checked_fixture(tc, setup, 0);
  suite_add_tcase(suite, tc);
  return tc;
}

int
main(void)
{
  Suite *suite = suite_create("proc");
  TCase *tc = process_case(suite, "fork");
  tcase_add_test(tc, a_child_has_a_copy_of_memory_and_a_mirror_of_its_own);
  tcase_add_test(tc, a_child_has_a_stack_and_a_trapframe_of_its_own);
  tcase_add_test(tc, a_child_shares_open_files_and_directory);
  tcase_add_test(tc, fork_out_of_memory_at_any_point_changes_nothing);
  tcase_add_loop_test(tc, memory_is_copied_and_freed_without_a_lock, 0, 100);
#ifndef KPT_COPY
  tcase_add_test(tc, the_table_of_processes_fills_up_and_fork_fails);
#endif
  tcase_add_loop_test(tc, the_first_process_without_memory_panics, 0, 10);

  tc = process_case(suite, "sbrk");
  tcase_add_loop_test(tc, sbrk_keeps_the_mirror_in_step, 0, NELEM(growths));
  tcase_add_test(tc, sbrk_down_frees_and_up_zeroes);
  tcase_add_loop_test(tc, sbrk_that_cannot_be_changes_nothing, 0, 6);
  tcase_add_test(tc, sbrk_out_of_memory_at_any_point_changes_nothing);

  tc = process_case(suite, "exit and wait");
  tcase_add_test(tc, wait_frees_all_that_the_child_had);
  tcase_add_test(tc, wait_passes_the_status_on);
  tcase_add_loop_test(tc, wait_with_a_bad_address_fails_and_keeps_the_child, 0, 6);
  tcase_add_test(tc, wait_without_children_fails);
  tcase_add_test(tc, wait_for_a_living_child_sleeps);
  tcase_add_test(tc, orphans_become_the_first_processs);
  tcase_add_test(tc, the_end_of_the_first_process_panics);
  tcase_add_test(tc, kill_marks_the_process_and_wakes_it);
  return run_suite(suite);
}
