// fork, exit, wait, and the rules of a system call.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/param.h"
#include "kernel/syscall.h"

static void
wait_none(void)
{
  int status = 77;
  expect("wait without children", wait(&status), -1);
  expect("status after it", status, 77);
  expect("wait(0) without children", wait(0), -1);
}

static void
exit_with(uint64_t status)
{
  exit((int)status);
}

static void
exit_status(void)
{
  static const int statuses[] = {0, 1, 2, 127, 255, 256, -1, -2, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < NELEM(statuses); i++)
    expect("exit status", run_in_child(exit_with, (uint64_t)statuses[i]), statuses[i]);
  int pid = fork_or_fail();
  if (pid == 0)
    exit(3);
  expect("wait(0)", wait(0), pid);
}

// Every child is waited for exactly once.
static void
wait_many(void)
{
  int pids[10];
  for (int i = 0; i < 10; i++) {
    pids[i] = fork_or_fail();
    if (pids[i] == 0)
      exit(i);
  }
  for (int i = 0; i < 10; i++) {
    int status;
    int pid = wait(&status);
    if (status < 0 || status > 9)
      fail("wait: expected a status of 0 to 9, got %d", status);
    expect("pid of the child with this status", pid, pids[status]);
    pids[status] = 0;
  }
  expect("wait when all are gone", wait(0), -1);
}

static void
fork_pids(void)
{
  int fds[2];
  expect("pipe", pipe(fds), 0);
  int before = getpid();
  for (int i = 0; i < 5; i++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      int own = getpid();
      write(fds[1], &own, sizeof(own));
      exit(0);
    }
    int told;
    expect("read", read(fds[0], &told, sizeof(told)), sizeof(told));
    expect("child's own pid", told, pid);
    expect_true("the child's pid to differ from the parent's", pid != before);
    wait_for(pid);
  }
  expect("own pid after forking", getpid(), before);
}

// Orphans go to init: a grandparent never sees them.
static void
orphans(void)
{
  for (int i = 0; i < 5; i++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      if (fork() == 0) {
        sleep(1);
        exit(9);
      }
      exit(3);
    }
    expect("status of the child", wait_for(pid), 3);
    expect("wait for a grandchild", wait(0), -1);
  }
}

// A parent that ends before its zombie children were waited for.
static void
orphan_zombies(void)
{
  int pid = fork_or_fail();
  if (pid == 0) {
    for (int i = 0; i < 8; i++)
      if (fork() == 0)
        exit(0);
    sleep(1);
    exit(4);
  }
  expect("status of the child", wait_for(pid), 4);
}

// A whole tree of processes, each with two children.
static void
tree(int depth)
{
  int pids[2] = {0, 0};
  for (int i = 0; i < 2 && depth > 0; i++) {
    pids[i] = fork();
    if (pids[i] < 0)
      exit(1);
    if (pids[i] == 0) {
      tree(depth - 1);
      exit(0);
    }
  }
  int failed = 0, status;
  for (int i = 0; i < 2 && depth > 0; i++)
    failed |= wait(&status) < 0 || status != 0;
  if (failed)
    exit(1);
}

static void
fork_tree(void)
{
  int pid = fork_or_fail();
  if (pid == 0) {
    tree(4);
    exit(0);
  }
  expect("status of the tree's root", wait_for(pid), 0);
}

// Up to the limit of processes; all come back, and can be had again.
static void
fork_limit(void)
{
  int first = 0;
  for (int round = 0; round < 2; round++) {
    int hold[2];
    char c;
    expect("pipe", pipe(hold), 0);
    int children = 0;
    for (; children <= 2 * NPROC; children++) {
      int pid = fork();
      if (pid < 0)
        break;
      if (pid == 0) {
        close(hold[1]);
        read(hold[0], &c, 1); // until the parent lets go
        exit(0);
      }
    }
    close(hold[0]);
    close(hold[1]);
    for (int i = 0; i < children; i++)
      expect_true("wait to find every child", wait(0) > 0);
    expect("wait when all are gone", wait(0), -1);
    if (children < NPROC - 10 || children > NPROC)
      fail("forks until it failed: expected about %d, got %d", NPROC - 4, children);
    if (round == 0)
      first = children;
    expect("forks until it failed", children, first);
  }
}

// System calls that do not exist.
static long
raw_call(long number)
{
  register long a0 asm("a0") = 0;
  register long a1 asm("a1") = 0;
  register long a7 asm("a7") = number;
  asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
  return a0;
}

static void
call_numbers(void)
{
  static const long numbers[] = {0,   67,        100,       1000,    -1,
                                 -64, INT32_MAX, INT32_MIN, 1L << 32};
  for (size_t i = 0; i < NELEM(numbers); i++)
    if (raw_call(numbers[i]) != -1)
      fail("system call number %ld: expected -1", numbers[i]);
}

// Course labs have calls there; the reference kernel has none.
static void
call_numbers_of_labs(void)
{
  for (long number = 22; number < 64; number++)
    if (raw_call(number) != -1)
      fail("system call number %ld: expected -1", number);
}

// tests_registers.S
#define NKEPT 26
void registers_over_call(uint64_t out[NKEPT], long number, long argument);
void registers_over_loop(uint64_t out[NKEPT], long turns);

static void
check_registers(const char *when, const uint64_t got[NKEPT])
{
  static const char *const names[NKEPT] = {
      "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t0",
      "t1", "t2", "t3", "t4", "t5", "a1", "a2", "a3", "a4", "a5", "a6",  "gp",  "tp",
  };
  for (int i = 0; i < NKEPT; i++)
    if (got[i] != 1000 + (uint64_t)i)
      fail("register %s after %s: expected %d, got %lu", names[i], when, 1000 + i,
           got[i]);
}

static void
registers_call(void)
{
  static uint64_t got[NKEPT];
  registers_over_call(got, SYS_getpid, 0);
  check_registers("getpid", got);
  memset(got, 0, sizeof(got));
  registers_over_call(got, SYS_sleep, 1); // other processes run
  check_registers("sleep", got);
}

// Interrupted at any instruction, while another process uses the same hart.
static void
registers_interrupt(void)
{
  static uint64_t got[NKEPT];
  int pid = fork_or_fail();
  if (pid == 0)
    for (;;)
      getpid();
  int start = uptime();
  while (uptime() < start + 3) {
    registers_over_loop(got, 100000);
    check_registers("a long loop", got);
  }
  expect("kill", kill(pid), 0);
  expect("status of the killed child", wait_for(pid), -1);
}

// What a process had open is closed when it ends.
static void
exit_closes(void)
{
  for (int i = 0; i < 30; i++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      int fds[2];
      pipe(fds);
      pipe(fds);
      open("file", O_CREATE | O_RDWR);
      mkdir("d");
      chdir("d");
      exit(0);
    }
    expect("status of a child that closes nothing", wait_for(pid), 0);
  }
}

const struct test process_tests[] = {
    {"wait_none", wait_none, ANYWHERE},
    {"exit_status", exit_status, ANYWHERE},
    {"wait_many", wait_many, CROWDED},
    {"fork_pids", fork_pids, ANYWHERE},
    {"orphans", orphans, ANYWHERE},
    {"orphan_zombies", orphan_zombies, ANYWHERE},
    {"fork_tree", fork_tree, CROWDED},
    {"fork_limit", fork_limit, CROWDED},
    {"call_numbers", call_numbers, ANYWHERE},
    {"call_numbers_of_labs", call_numbers_of_labs, REFERENCE},
    {"registers_call", registers_call, ANYWHERE},
    {"registers_interrupt", registers_interrupt, ANYWHERE},
    {"exit_closes", exit_closes, ANYWHERE},
    {0, 0, 0},
};
