// Print page tables in the format of the lab (6.S081 fall 2020, "Print a page table").

#include "defs.h"
#include "../faults/hook.h"

// Print one entry, if it is valid, with a pair of dots for each level.
static void
print_entry(int i, pte_t pte, int depth)
{
  bool shown = pte & PTE_V;
  if (FAULT(vmprint_shows_invalid))
    shown = true;
  if (FAULT(vmprint_skips_guard) && PTE_LEAF(pte) == (PTE_R | PTE_W) && !(pte & PTE_U))
    shown = false;
  if (!shown)
    return;
  for (int d = 1; d < depth; d++)
    printf(FAULT(vmprint_wrong_indent) ? ".." : ".. ");
  uint64_t pa = FAULT(vmprint_wrong_pa) ? pte >> 10 : PTE2PA(pte);
  uint64_t printed = FAULT(vmprint_without_flags) ? pte & ~0x3ffUL : pte;
  printf(FAULT(vmprint_short_hex) ? "..%d: pte 0x%lx pa 0x%lx\n"
                                  : "..%d: pte 0x%016lx pa 0x%016lx\n",
         FAULT(vmprint_wrong_index) ? i + 1 : i, printed, pa);
}

// Print the valid entries of a table and all below it; depth is 1 in the root.
static void
print_table(pagetable_t table, int depth)
{
  for (int i = 0; i < PTENTRIES; i++) {
    pte_t pte = table[FAULT(vmprint_wrong_order) ? PTENTRIES - 1 - i : i];
    print_entry(FAULT(vmprint_wrong_order) ? PTENTRIES - 1 - i : i, pte, depth);
    if (FAULT(vmprint_level_missing) && depth == 2)
      continue;
    if ((pte & PTE_V) && !PTE_LEAF(pte))
      print_table((pagetable_t)PTE2PA(pte),
                  FAULT(vmprint_wrong_depth) ? depth : depth + 1);
  }
}

// Print a whole table: a line for its root, then one for each valid entry.
void
vmprint(pagetable_t table)
{
  printf("page table 0x%016lx\n",
         FAULT(vmprint_wrong_root) ? table[0] : (uint64_t)table);
  print_table(table, 1);
}
