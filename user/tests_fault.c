// What a user process must not be able to do: it is killed, and nobody else is.
#include "user/tests.h"
#include "kernel/riscv.h"
#include "kernel/memlayout.h"

static void
store(uint64_t address)
{
  *(volatile char *)address = 1;
}

static void
fetch(uint64_t address)
{
  ((void (*)(void))address)();
}

static void
each_bad_address(const char *what, void (*run)(uint64_t))
{
  uint64_t bad[NBADADDRESSES];
  bad_addresses(bad);
  for (int i = 0; i < NBADADDRESSES; i++) {
    int status = run_in_child(run, bad[i]);
    if (status != -1)
      fail("%s at %p: expected the process to be killed (-1), got status %d", what,
           (void *)bad[i], status);
  }
}

static void
fault_load(void)
{
  each_bad_address("load", load);
}

static void
fault_store(void)
{
  each_bad_address("store", store);
}

static void
fault_fetch(void)
{
  each_bad_address("jump", fetch);
}

static void
fault_guard(void)
{
  uint64_t guard = guard_page();
  expect("status after a store in the guard page", run_in_child(store, guard + 4088),
         -1);
}

static int __attribute__((noinline)) recurse(uint64_t depth)
{
  volatile char frame[200];
  frame[0] = (char)depth;
  return depth == 0 ? frame[0] : recurse(depth - 1) + frame[0];
}

static void
overflow(uint64_t depth)
{
  recurse(depth);
}

static void
fault_stack_overflow(void)
{
  expect("status after little recursion", run_in_child(overflow, 4), 42);
  expect("status after the stack overflowed", run_in_child(overflow, 1000), -1);
}

static void
fault_write_text(void)
{
  expect("status after a store to text",
         run_in_child(store, (uint64_t)fault_write_text), -1);
  expect("status after a store to constants",
         run_in_child(store, (uint64_t) "constant"), -1);
}

static void
execute_stack(uint64_t unused)
{
  (void)unused;
  // volatile: the compiler sees no use of the instructions and would not store them.
  volatile uint32_t code[4] = {0x00008067, 0x00008067, 0x00008067, 0x00008067}; // ret
  fetch((uint64_t)&code[1]);
  exit((int)code[0]);
}

static void
fault_execute_data(void)
{
  static volatile uint32_t code[] = {0x00008067, 0x00008067};
  expect("status after a jump to data", run_in_child(fetch, (uint64_t)code), -1);
  expect("status after a jump to the stack", run_in_child(execute_stack, 0), -1);
  volatile uint32_t *heap = (uint32_t *)PGROUNDUP(grow(2 * PGSIZE));
  heap[0] = 0x00008067;
  expect("status after a jump to the heap", run_in_child(fetch, (uint64_t)heap), -1);
}

// Instructions only the kernel may use; by number, so that any assembler takes them.
static void
privileged(uint64_t which)
{
  switch (which) {
  case 0:
    asm volatile(".4byte 0x180022f3"); // csrr t0, satp
    break;
  case 1:
    asm volatile(".4byte 0x10079073"); // csrw sstatus, a5
    break;
  case 2:
    asm volatile(".4byte 0x10200073"); // sret
    break;
  case 3:
    asm volatile(".4byte 0x12000073"); // sfence.vma
    break;
  case 4:
    asm volatile(".4byte 0x30002573"); // csrr a0, mstatus
    break;
  case 5:
    asm volatile(".4byte 0x00000000"); // never a valid instruction
    break;
  case 6:
    asm volatile("ebreak");
    break;
  }
}

static void
fault_privileged(void)
{
  for (uint64_t which = 0; which <= 6; which++) {
    int status = run_in_child(privileged, which);
    if (status != -1)
      fail("privileged or illegal instruction %lu: expected the process to be killed "
           "(-1), got status %d",
           which, status);
  }
}

static void
fault_bad_sp(void)
{
  // A stack pointer outside memory does not matter until it is used.
  long pid;
  asm volatile("mv t3, sp; li sp, -1; li a7, 11; ecall; mv %0, a0; mv sp, t3"
               : "=r"(pid)
               :
               : "a0", "a7", "t3", "memory");
  expect("getpid with a bad stack pointer", pid, getpid());
}

const struct test fault_tests[] = {
    {"fault_load", fault_load, ANYWHERE},
    {"fault_store", fault_store, ANYWHERE},
    {"fault_fetch", fault_fetch, ANYWHERE},
    {"fault_guard", fault_guard, ANYWHERE},
    {"fault_stack_overflow", fault_stack_overflow, ANYWHERE},
    {"fault_write_text", fault_write_text, REFERENCE},
    {"fault_execute_data", fault_execute_data, REFERENCE},
    {"fault_privileged", fault_privileged, ANYWHERE},
    {"fault_bad_sp", fault_bad_sp, ANYWHERE},
    {0, 0, 0},
};
