// Sv39 page-table entries and addresses, as the privileged specification's sections
// "Sv39" and "Virtual Address Translation Process" define them.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PTE_V        0x001ull
#define PTE_R        0x002ull
#define PTE_W        0x004ull
#define PTE_X        0x008ull
#define PTE_U        0x010ull
#define PTE_G        0x020ull
#define PTE_A        0x040ull
#define PTE_D        0x080ull
#define PTE_RSW      0x300ull
#define PTE_RESERVED (0x3ffull << 54) // without Svnapot and Svpbmt

#define PAGE_SIZE     4096ull
#define TABLE_ENTRIES 512

enum pte_kind { PTE_INVALID, PTE_BAD, PTE_POINTER, PTE_LEAF };

static inline enum pte_kind
pte_kind(uint64_t pte)
{
  if (!(pte & PTE_V))
    return PTE_INVALID;
  if ((pte & PTE_RESERVED) || ((pte & PTE_W) && !(pte & PTE_R)))
    return PTE_BAD;
  if (pte & (PTE_R | PTE_X))
    return PTE_LEAF;
  return pte & (PTE_D | PTE_A | PTE_U) ? PTE_BAD : PTE_POINTER;
}

// What of an entry matters to a translation; 0 if it can only fault.
static inline uint64_t
pte_canonical(uint64_t pte)
{
  switch (pte_kind(pte)) {
  case PTE_LEAF:
    return pte & ~(PTE_A | PTE_D | PTE_RSW);
  case PTE_POINTER:
    return pte & ~PTE_RSW;
  default:
    return 0;
  }
}

static inline uint64_t
pte_pa(uint64_t pte)
{
  return (pte << 10 >> 20) << 12;
}

// G counts in an entry that translates or leads on.
static inline bool
pte_global(uint64_t pte)
{
  return pte_canonical(pte) & PTE_G;
}

// The size of what an entry of this level translates.
static inline uint64_t
level_size(int level)
{
  return PAGE_SIZE << (9 * level);
}

// The part of va that selects an entry at this level: 9, 18 or 27 bits.
static inline uint64_t
va_slot(uint64_t va, int level)
{
  return (va & ((1ull << 39) - 1)) >> (12 + 9 * level);
}

// The lowest (sign-extended) virtual address of a slot.
static inline uint64_t
slot_va(uint64_t slot, int level)
{
  uint64_t va = slot << (12 + 9 * level);
  return va & (1ull << 38) ? va | ~((1ull << 39) - 1) : va;
}

static inline bool
va_canonical(uint64_t va)
{
  uint64_t top = va >> 38;
  return top == 0 || top == (1ull << 26) - 1;
}
