// Print page tables in the format of the lab (6.S081 fall 2020, "Print a page table").

#include "defs.h"
#include "../faults/hook.h"

// Print the valid entries of a table and all below it; depth is 1 in the root.
static void
print_table(pagetable_t table, int depth)
{
  for (int i = 0; i < PTENTRIES; i++) {
    pte_t pte = table[i];
    if (!(pte & PTE_V))
      continue;
    for (int d = 1; d < depth; d++)
      printf(".. ");
    uint64_t pa = FAULT(vmprint_wrong_pa) ? pte >> 10 : PTE2PA(pte);
    printf("..%d: pte 0x%016lx pa 0x%016lx\n", i, pte, pa);
    if (!PTE_LEAF(pte))
      print_table((pagetable_t)PTE2PA(pte), depth + 1);
  }
}

// Print a whole table: a line for its root, then one for each valid entry.
void
vmprint(pagetable_t table)
{
  printf("page table 0x%016lx\n", (uint64_t)table);
  print_table(table, 1);
}
