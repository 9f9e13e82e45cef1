// What some faults need besides a line in the kernel. Linked into variants only.

#include "../kernel/defs.h"
#include "../kernel/memlayout.h"
#include "../kernel/proc.h"
#include "hook.h"

// The number of this call, from 1.
static uint64_t
count(void)
{
  static uint64_t calls;
  return __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
}

bool
fault_nth(uint64_t n)
{
  return count() == n;
}

bool
fault_every(uint64_t n)
{
  return count() % n == 0;
}

// A multiplicative hash of the call's number (Knuth, TAOCP 6.4) decides.
bool
fault_random(uint64_t n)
{
  return (count() * 0x9e3779b97f4a7c15UL >> 32) % n == 0;
}

void
fault_map_stacks(uint64_t *table)
{
  for (int i = 0; i < NPROC; i++) {
    pte_t *stack = proc[i].kpagetable ? walk(proc[i].kpagetable, KSTACK, false) : 0;
    if (stack && (*stack & PTE_V))
      mappages(table, KSTACK - 2 * PGSIZE * (i + 2), PGSIZE, PTE2PA(*stack),
               PTE_R | PTE_W);
  }
}
