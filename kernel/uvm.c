// User memory: the pages from 0 to a process's size, in its user page table.

#include "defs.h"
#include "memlayout.h"
#include "../faults/hook.h"

// An empty user page table, or 0.
pagetable_t
uvmcreate(void)
{
  pagetable_t table = kalloc_for(PAGE_TABLE);
  if (table)
    memset(table, 0, PGSIZE);
  return table;
}

// Grow user memory with zeroed pages from oldsz to newsz bytes, neither need be
// aligned. perm is what the pages allow besides reading by the user. Returns newsz, or
// 0 with everything as before if newsz is beyond USERTOP or memory runs out.
uint64_t
uvmalloc(pagetable_t table, uint64_t oldsz, uint64_t newsz, uint64_t perm)
{
  if (FAULT(no_plic_limit) ? false : newsz > USERTOP)
    return 0;
  for (uint64_t va = PGROUNDUP(oldsz); va < newsz; va += PGSIZE) {
    void *page = kalloc_for(PAGE_USER);
    if (FAULT(uvmalloc_unchecked) ? true : page != 0)
      memset(page, 0, PGSIZE);
    int failed =
        !page || mappages(table, va, PGSIZE, (uint64_t)page, perm | PTE_R | PTE_U);
    if (FAULT(uvmalloc_map_unchecked) && page)
      failed = false;
    if (failed) {
      if (FAULT(uvmalloc_unmapped_lost) ? false : page != 0)
        kfree(page);
      if (!FAULT(uvmalloc_fail_leaks))
        uvmdealloc(table, FAULT(uvmalloc_undone_short) ? va - PGSIZE : va, oldsz);
      return 0;
    }
  }
  return newsz;
}

// Shrink user memory from oldsz to newsz bytes, neither need be aligned. Returns the
// new size; that is oldsz if newsz is not smaller.
uint64_t
uvmdealloc(pagetable_t table, uint64_t oldsz, uint64_t newsz)
{
  if (newsz >= oldsz)
    return oldsz;
  uint64_t first = PGROUNDUP(newsz), top = PGROUNDUP(oldsz);
  if (FAULT(dealloc_one_short) && top > first)
    top -= PGSIZE;
  if (FAULT(dealloc_one_too_many) && first > 0)
    first -= PGSIZE;
  uvmunmap(table, first, (top - first) / PGSIZE, true);
  return newsz;
}

// Unmap npages pages from va on, all of which must be mapped, and free them if asked
// to. This hart may have the table loaded: every entry is invalid and the hart fenced
// before the first page is freed and can become somebody else's.
void
uvmunmap(pagetable_t table, uint64_t va, uint64_t npages, bool free)
{
  uint64_t top = va + npages * PGSIZE;
  for (uint64_t a = va; a < top; a += PGSIZE) {
    pte_t *pte = walk(table, a, false);
    if (!pte || !(*pte & PTE_V))
      panic("uvmunmap: 0x%lx is not mapped", a);
    *pte &= ~PTE_V;
  }
  if (!FAULT(sfence_skipped_in_uvmunmap))
    if (!FAULT(sfence_skipped_in_exec))
      sfence_vma();
  for (uint64_t a = va; a < top; a += PGSIZE) {
    pte_t *pte = walk(table, a, false);
    if (free)
      kfree((void *)PTE2PA(*pte));
    if (FAULT(user_page_freed_twice) && free && a == va)
      kfree((void *)PTE2PA(*pte));
    *pte = 0;
  }
}

// Copy the pages of sz bytes of user memory into an empty table, with their
// permissions. Returns 0, or -1 with the table empty again if memory runs out.
int
uvmcopy(pagetable_t from, pagetable_t to, uint64_t sz)
{
  for (uint64_t va = 0; va < sz; va += PGSIZE) {
    pte_t *pte = walk(from, va, false);
    if (!pte || !(*pte & PTE_V))
      panic("uvmcopy: 0x%lx is not mapped", va);
    void *page = kalloc_for(FAULT(user_page_miscounted) ? PAGE_TABLE : PAGE_USER);
    if (FAULT(uvmcopy_unchecked) ? true : page != 0)
      memmove(page, (void *)PTE2PA(*pte), PGSIZE);
    if (FAULT(uvmcopy_tries_again) && !page) {
      va -= PGSIZE;
      continue;
    }
    int failed = !page || mappages(to, va, PGSIZE, (uint64_t)page,
                                   *pte & (PTE_R | PTE_W | PTE_X | PTE_U));
    if (FAULT(uvmcopy_map_unchecked) && page)
      failed = false;
    if (failed) {
      if (FAULT(uvmcopy_unmapped_lost) ? false : page != 0)
        kfree(page);
      if (FAULT(uvmcopy_undone_beyond))
        va += PGSIZE;
      if (!FAULT(uvmcopy_fail_leaks))
        uvmunmap(to, 0, va / PGSIZE, true);
      return -1;
    }
  }
  return 0;
}

// Free a table's pages at one level and below. No leaf may be left.
static void
free_empty(pagetable_t table)
{
  for (int i = 0; i < PTENTRIES; i++) {
    if (!(table[i] & PTE_V))
      continue;
    if (PTE_LEAF(table[i]))
      panic("uvmfree: a page is still mapped");
    free_empty((pagetable_t)PTE2PA(table[i]));
  }
  kfree(table);
}

// Free sz bytes of user memory and the table. No hart may have it loaded.
void
uvmfree(pagetable_t table, uint64_t sz)
{
  uvmunmap(table, 0, PGROUNDUP(sz) / PGSIZE,
           FAULT(user_memory_not_freed) ? false : true);
  if (!FAULT(user_table_not_freed))
    free_empty(table);
}

// Take a page away from the user, leaving it mapped: the guard page below the stack.
void
uvmclear(pagetable_t table, uint64_t va)
{
  if (!FAULT(guard_not_cleared))
    *walk(table, va, false) &= ~PTE_U;
}

// The physical address of the page at va if the user may read it, else 0.
uint64_t
walkaddr(pagetable_t table, uint64_t va)
{
  pte_t *pte = walk(table, va, false);
  if (!pte || (*pte & (PTE_V | PTE_U)) != (PTE_V | PTE_U))
    return 0;
  return PTE2PA(*pte);
}

// Write n bytes at va through a table that is not loaded, whatever its pages allow.
// Returns 0, or -1 if a page is not the user's.
int
uvmwrite(pagetable_t table, uint64_t va, const void *src, uint64_t n)
{
  const char *s = src;
  while (n > 0) {
    uint64_t pa = walkaddr(table, PGROUNDDOWN(va));
    if (!pa)
      return -1;
    uint64_t chunk = PGSIZE - va % PGSIZE;
    if (chunk > n)
      chunk = n;
    memmove((void *)(pa + va % PGSIZE), s, chunk);
    va += chunk;
    s += chunk;
    n -= chunk;
  }
  return 0;
}
