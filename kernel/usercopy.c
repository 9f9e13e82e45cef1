// Copy between kernel memory and the running process's memory, through the mirror: the
// kernel dereferences the user's pointer, and a fault makes the copy fail. None of
// these sleeps, so they may be called with spinlocks held.

#include "defs.h"
#include "memlayout.h"

long user_copy(void *dst, const void *src, uint64_t n);
long user_strcpy(char *dst, const char *src, uint64_t max);

struct fixup {
  uint64_t pc;     // an instruction that may fault on a user address
  uint64_t resume; // where to go on then
};
extern const struct fixup fixup_start[], fixup_end[]; // kernel.ld

// Where to go on after a fault at pc, or 0 if no fault is expected there.
uint64_t
usercopy_fixup(uint64_t pc)
{
  for (const struct fixup *f = fixup_start; f < fixup_end; f++)
    if (f->pc == pc)
      return f->resume;
  return 0;
}

// Whether [va, va+n) lies where user memory can be. Above is the kernel's own, which
// the page table would let the kernel reach.
static bool
user_range(uint64_t va, uint64_t n)
{
  return n <= USERTOP && va <= USERTOP - n;
}

// Copy n bytes from user address src. Returns 0, or -1 if any of them is not readable
// memory of the user's; dst may then be written in part.
int
copyin(void *dst, uint64_t src, uint64_t n)
{
  if (n == 0)
    return 0;
  return user_range(src, n) ? user_copy(dst, (const void *)src, n) : -1;
}

// Copy n bytes to user address dst. Returns 0, or -1 if any of them is not writable
// memory of the user's; those before it may then be written.
int
copyout(uint64_t dst, const void *src, uint64_t n)
{
  if (n == 0)
    return 0;
  return user_range(dst, n) ? user_copy((void *)dst, src, n) : -1;
}

// Copy a string from user address src with its final zero, which must be among the
// first max bytes. Returns its length, or -1.
int
copyinstr(char *dst, uint64_t src, uint64_t max)
{
  if (src >= USERTOP)
    return -1;
  if (max > USERTOP - src)
    max = USERTOP - src;
  return user_strcpy(dst, (const char *)src, max);
}

// copyin() if user is set, else a copy within the kernel.
int
copy_from(bool user, void *dst, uint64_t src, uint64_t n)
{
  if (user)
    return copyin(dst, src, n);
  memmove(dst, (const void *)src, n);
  return 0;
}

// copyout() if user is set, else a copy within the kernel.
int
copy_to(bool user, uint64_t dst, const void *src, uint64_t n)
{
  if (user)
    return copyout(dst, src, n);
  memmove((void *)dst, src, n);
  return 0;
}
