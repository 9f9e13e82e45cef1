// The mirror: user memory in a process's kernel table, at the same addresses but closed
// to the user, so that the kernel can dereference user pointers. It lies below USERTOP,
// in tables hanging off the first MIRROR_ENTRIES entries of the table for the lowest
// GiB.

#include "defs.h"
#include "memlayout.h"
#include "../faults/hook.h"

#define MIRROR_ENTRIES PX(1, USERTOP)
_Static_assert(USERTOP % (PTENTRIES * PGSIZE) == 0 && PX(2, USERTOP) == 0,
               "the mirror is whole entries of the lowest table");

// The entry that mirrors a user page: readable and writable as for the user, never
// executable. 0 if the user may not use the page: then neither may the kernel for him.
static pte_t
mirror_entry(pte_t pte)
{
  pte_t needed = FAULT(guard_mirrored) ? PTE_V : PTE_V | PTE_U;
  if ((pte & needed) != needed)
    return 0;
  pte_t entry = PA2PTE(PTE2PA(pte)) | (pte & (PTE_V | PTE_R | PTE_W));
  if (FAULT(mirror_executable))
    entry |= pte & PTE_X;
  if (FAULT(mirror_read_only))
    entry &= ~PTE_W;
  if (FAULT(mirror_always_writable))
    entry |= PTE_W;
  return FAULT(mirror_keeps_U) ? entry | PTE_U : entry;
}

// Mirror the user's pages that begin in [from, to). Returns 0, or -1 with none of them
// mirrored if memory for a table runs out. The caller fences if ktable is loaded.
int
mirror_map(pagetable_t ktable, pagetable_t utable, uint64_t from, uint64_t to)
{
  if (FAULT(mirror_one_short))
    to -= PGSIZE;
  for (uint64_t va = PGROUNDUP(from); va < to; va += PGSIZE) {
    pte_t *pte = walk(utable, FAULT(mirror_pages_swapped) ? va ^ PGSIZE : va, false);
    pte_t *entry = walk(ktable, va, true);
    if (FAULT(mirror_oom_panic) && !entry)
      panic("mirror_map: out of memory");
    if (!entry) {
      mirror_unmap(ktable, from, va);
      return FAULT(mirror_fails_silently) ? 0 : -1;
    }
    *entry = pte ? mirror_entry(*pte) : 0;
  }
  return 0;
}

// Forget the pages that begin in [from, to). The caller fences if ktable is loaded, and
// before the pages are freed.
void
mirror_unmap(pagetable_t ktable, uint64_t from, uint64_t to)
{
  if (PGROUNDUP(from) < to)
    unmappages(ktable, PGROUNDUP(from), (PGROUNDUP(to) - PGROUNDUP(from)) / PGSIZE);
}

// The table of the lowest GiB, where the mirror hangs.
static pagetable_t
lowest(pagetable_t ktable)
{
  return (pagetable_t)PTE2PA(ktable[0]);
}

// Make the mirror of a whole user table aside, not yet part of any kernel table.
// Returns a table for the lowest GiB with nothing but the mirror in it, or 0.
pagetable_t
mirror_build(pagetable_t utable, uint64_t sz)
{
  pagetable_t root = uvmcreate();
  if (FAULT(mirror_root_unchecked) ? false : !root)
    return 0;
  pagetable_t mirror = 0;
  int failed = mirror_map(root, utable, 0, sz);
  if (FAULT(mirror_build_unchecked) ? true : !failed)
    mirror = lowest(root);
  else if (FAULT(mirror_half_built_lost) ? false : root[0] != 0)
    mirror_free(lowest(root));
  kfree(root);
  return mirror;
}

// Exchange a kernel table's mirror for one that mirror_build() made; the old one takes
// its place. Cannot fail. The caller fences if ktable is loaded, then frees the old
// one.
void
mirror_swap(pagetable_t ktable, pagetable_t mirror)
{
  pagetable_t low = lowest(ktable);
  for (uint64_t i = 0; i < MIRROR_ENTRIES; i++) {
    pte_t old = low[i];
    if (FAULT(mirror_stale_after_exec) && !mirror[i])
      continue;
    low[i] = mirror[i];
    mirror[i] = old;
  }
}

// Free the page-table pages of a mirror that is not part of a kernel table.
void
mirror_free(pagetable_t mirror)
{
  for (uint64_t i = 0; i < MIRROR_ENTRIES; i++)
    if (mirror[i] & PTE_V)
      kfree((void *)PTE2PA(mirror[i]));
  kfree(mirror);
}
