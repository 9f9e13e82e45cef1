// User memory for code that copies to and from it: what the mirror of the running
// process allows is there, anything else faults. In place of copy.S.

#include "host.h"

// Instructions that may fault, and where to go on then: made up, for usercopy_fixup().
asm(".section .rodata\n"
    ".balign 8\n"
    ".globl fixup_start, fixup_end\n"
    "fixup_start: .quad 0x80001000, 0x80002000, 0x80001008, 0x80002010\n"
    "fixup_end:\n"
    ".previous");

// One page's worth at most of a user address range, as the kernel's own pointer, or 0
// for a fault.
static char *
translate(uint64_t va, pte_t needed)
{
  pte_t *pte = running->kpagetable ? walk(running->kpagetable, va, false) : 0;
  return pte && (*pte & needed) == needed ? (char *)PTE2PA(*pte) + va % PGSIZE : 0;
}

// An address below USERTOP is a user's, whichever of the two it is.
static char *
reach(uint64_t va, pte_t needed)
{
  return va < USERTOP ? translate(va, needed) : (char *)va;
}

long
user_copy(void *dst, const void *src, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++) {
    char *to = reach((uint64_t)dst + i, PTE_V | PTE_W);
    const char *from = reach((uint64_t)src + i, PTE_V | PTE_R);
    if (!to || !from)
      return -1;
    *to = *from;
  }
  return 0;
}

long
user_strcpy(char *dst, const char *src, uint64_t max)
{
  for (uint64_t i = 0; i < max; i++) {
    const char *from = reach((uint64_t)src + i, PTE_V | PTE_R);
    if (!from)
      return -1;
    dst[i] = *from;
    if (!*from)
      return i;
  }
  return -1;
}
