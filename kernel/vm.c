// Page tables, and the kernel's own address space.

#include "defs.h"
#include "memlayout.h"
#include "proc.h"
#include "../faults/hook.h"

extern char etext[];      // first byte after the kernel's text (kernel.ld)
extern char trampoline[]; // trampoline.S

// The table that scheduler() runs on: all that a process's table has, but for a kernel
// stack and a mirror. Never changed once kvminit() has made it.
pagetable_t kernel_pagetable;

// An empty page-table page, or 0.
static pagetable_t
table_alloc(void)
{
  pagetable_t table = kalloc_for(PAGE_TABLE);
  if (FAULT(kalloc_unchecked) ? true : table != 0)
    memset(table, 0, PGSIZE);
  return table;
}

// The entry that maps va:
//
//    38      30 29      21 20      12 11         0
//   | PX(2,va) | PX(1,va) | PX(0,va) | page offset |
//
// PX(2) selects an entry of the root, which names the table in which PX(1) selects an
// entry, which names the table in which PX(0) selects the one returned (4.4.1). Missing
// tables are made if alloc is set. Returns 0 if one is missing, cannot be allocated, or
// if va is not below MAXVA. The entry returned need not be valid.
pte_t *
walk(pagetable_t table, uint64_t va, bool alloc)
{
  if (va >= MAXVA)
    return 0;
  for (int level = 2; level > 0; level--) {
    pte_t *pte = &table[PX(level, va)];
    if (!(*pte & PTE_V)) {
      pagetable_t next = alloc ? table_alloc() : 0;
      if (!next)
        return 0;
      *pte = PA2PTE(next) | PTE_V;
    }
    table = (pagetable_t)PTE2PA(*pte);
  }
  return &table[PX(0, va)];
}

// Map the pages that hold [va, va+size) to physical memory from pa on; va and pa are
// page-aligned and size is not 0. Returns 0, or -1 with nothing mapped if a table page
// could not be allocated. Mapping what is mapped already is a bug.
int
mappages(pagetable_t table, uint64_t va, uint64_t size, uint64_t pa, uint64_t perm)
{
  uint64_t top = PGROUNDUP(va + size);
  for (uint64_t a = va; a < top; a += PGSIZE) {
    pte_t *pte = walk(table, a, true);
    if (!pte) {
      unmappages(table, va, (a - va) / PGSIZE);
      return -1;
    }
    if (*pte & PTE_V)
      panic("mappages: remap of 0x%lx", a);
    *pte = PA2PTE(pa + (a - va)) | perm | PTE_V;
  }
  return 0;
}

// Clear the entries of npages pages from va on, mapped or not. The pages themselves and
// the table pages stay; fencing is the caller's business.
void
unmappages(pagetable_t table, uint64_t va, uint64_t npages)
{
  for (uint64_t a = va; a < va + npages * PGSIZE; a += PGSIZE) {
    pte_t *pte = walk(table, a, false);
    if (pte)
      *pte = 0;
  }
}

// What every kernel table maps, at its physical address but for the trampoline.
static int
map_kernel(pagetable_t table)
{
  uint64_t text_perm = PTE_R | PTE_X, data_perm = PTE_R | PTE_W, top = PHYSTOP;
  if (FAULT(text_writable))
    text_perm |= PTE_W;
  if (FAULT(data_executable))
    data_perm |= PTE_X;
  if (FAULT(ram_mapped_short))
    top -= PGSIZE;
  if (FAULT(ram_mapped_long))
    top += PGSIZE;

  const struct {
    uint64_t va, pa, size, perm;
  } regions[] = {
      {UART0, UART0, PGSIZE, PTE_R | PTE_W},
      {VIRTIO0, VIRTIO0, PGSIZE, PTE_R | PTE_W},
      {PLIC, PLIC, PLIC_SIZE, PTE_R | PTE_W},
      {KERNBASE, KERNBASE, (uint64_t)etext - KERNBASE, text_perm},
      {(uint64_t)etext, (uint64_t)etext, top - (uint64_t)etext, data_perm},
      {TRAMPOLINE, (uint64_t)trampoline, PGSIZE, PTE_R | PTE_X},
  };
  for (size_t i = 0; i < NELEM(regions); i++)
    if (mappages(table, regions[i].va, regions[i].size, regions[i].pa, regions[i].perm))
      return -1;
  return 0;
}

// Make kernel_pagetable. At boot, before any process: there is nothing to fall back to.
void
kvminit(void)
{
  kernel_pagetable = table_alloc();
  if (!kernel_pagetable || map_kernel(kernel_pagetable))
    panic("kvminit: out of memory at boot");
}

// Load a table into satp. Until the hart fences it may still use translations of the
// table before, so sfence_vma() follows each call.
void
kvmswitch(pagetable_t table)
{
  CSR_WRITE(satp, MAKE_SATP(table));
}

// Turn paging on for this hart.
void
kvminithart(void)
{
  if (!FAULT(sfence_skipped_in_kvminithart))
    sfence_vma(); // the stores that made the table come before its first use
  kvmswitch(kernel_pagetable);
  if (!FAULT(sfence_skipped_in_kvminithart))
    sfence_vma();
}

// The physical address behind a kernel address of the running process, for devices.
uint64_t
kvmpa(uint64_t va)
{
  pagetable_t table = FAULT(kvmpa_global) ? kernel_pagetable : myproc()->kpagetable;
  pte_t *pte = walk(table, va, false);
  if (!pte || !(*pte & PTE_V))
    panic("kvmpa: 0x%lx is not mapped", va);
  return PTE2PA(*pte) + va % PGSIZE;
}

// A kernel table for one process, without stack and mirror yet, or 0. Built with
// KPT=copy it is a whole table of its own. Otherwise all page-table pages are
// kernel_pagetable's, except the two on the way to what differs between processes: the
// root, and the table of the lowest GiB with the mirror, the devices and KSTACK.
pagetable_t
kvmcreate(void)
{
  pagetable_t table = table_alloc();
  if (FAULT(kpt_root_unchecked) ? false : !table)
    return 0;
#ifdef KPT_COPY
  if (map_kernel(table)) {
    kvmfree(table);
    return 0;
  }
#else
  if (FAULT(full_copy) && map_kernel(table) == 0)
    return table;
  pagetable_t low = table_alloc();
  if (FAULT(kpt_low_unchecked) ? false : !low) {
    if (!FAULT(kpt_root_kept))
      kfree(table);
    return 0;
  }
  memmove(table, kernel_pagetable, PGSIZE);
  memmove(low, (pagetable_t)PTE2PA(kernel_pagetable[0]), PGSIZE);
  table[0] = PA2PTE(low) | PTE_V;
#endif
  if (FAULT(clint_in_way))
    mappages(table, CLINT, 0x10000, CLINT, PTE_R | PTE_W);
  return table;
}

// Free a table and those below it, but not what is reached through the very entries
// that kernel_pagetable has too (common is its table at this place, or 0), and not the
// leaves.
static void
free_tables(pagetable_t table, pagetable_t common)
{
  for (int i = 0; i < PTENTRIES; i++) {
    pte_t pte = table[i], theirs = common ? common[i] : 0;
    if (FAULT(leaf_free) && PTE_LEAF(pte) && pte != theirs)
      kfree((void *)PTE2PA(pte));
    if (!(pte & PTE_V) || PTE_LEAF(pte) || pte == theirs)
      continue;
    free_tables((pagetable_t)PTE2PA(pte), (pagetable_t)PTE2PA(theirs));
  }
  kfree(table);
}

// Free the pages of a process's kernel table. Its stack must be gone; the pages it
// mirrors are the user table's. No hart may have it loaded.
void
kvmfree(pagetable_t table)
{
  if (FAULT(interior_leak)) {
    kfree(table);
    return;
  }
  free_tables(table, kernel_pagetable);
}
