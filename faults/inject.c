// Injection that needs a count. Linked into variants only.

#include "hook.h"

bool
fault_nth(uint64_t n)
{
  static uint64_t calls;
  return __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) == n;
}
