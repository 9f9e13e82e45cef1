// The specification taken at its word, for the random test to step beside the model:
// for each hart the set of all entries its address-translation cache may hold, filled
// with all that can be read after each event. It is slow, and keeps no account of what
// changed what. It shares with the model nothing but the format of entries (pte.h).

#pragma once

#include "pte.h"
#include "tlb.h"

// Virtual addresses are those whose three 9-bit indices are all below this.
#define REF_INDICES 3
#define REF_SLOTS   (REF_INDICES * REF_INDICES * REF_INDICES)
#define REF_VALUES  256 // at most, in one slot of one hart

struct ref_entry {
  uint64_t pte; // canonical
  uint16_t asid;
  bool global;
};

struct ref_slot {
  unsigned n;
  struct ref_entry at[REF_VALUES];
};

struct ref_hart {
  bool active;
  uint64_t root;
  uint16_t asid;
  struct ref_slot cache[3][REF_SLOTS]; // by level and slot, in order of REF_INDICES
};

struct reference {
  unsigned harts;
  uint64_t ram_base, ram_size;
  const uint64_t *ram;
  struct ref_hart hart[3];
};

// A leaf, or the fault, that a hart may come to.
struct ref_result {
  int level; // -1: the fault
  uint64_t pte;
};

struct ref_results {
  unsigned n;
  struct ref_result at[3 * REF_VALUES + 1];
};

// Events. After a store to RAM, ref_fill.
void ref_satp(struct reference *r, unsigned hart, uint64_t value);
void ref_fence(struct reference *r, unsigned hart, bool has_va, uint64_t va,
               bool has_asid, uint64_t asid);
void ref_fill(struct reference *r);

// What the hart may come to at va, each once. It must not be in Bare mode.
void ref_results(const struct reference *r, unsigned hart, uint64_t va,
                 struct ref_results *results);
// The worst that can be said of this access.
enum tlb_severity ref_verdict(const struct reference *r, unsigned hart,
                              const struct tlb_access *a);
// An entry that the hart can use leads to a table, or a leaf, at this page.
bool ref_leads_to(const struct reference *r, unsigned hart, uint64_t page, bool leaf);

// The n-th address of the universe.
uint64_t ref_va(unsigned n);
