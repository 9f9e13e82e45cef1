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
#define REF_PAGES   12  // of RAM, at most

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
  // Translation has been turned on at this time, if no fence came since; and which
  // pages had been stored to since the fence before.
  uint64_t turned_on, fenced;
  bool stored[REF_PAGES];
};

struct reference {
  unsigned harts;
  uint64_t ram_base, ram_size;
  const uint64_t *ram;
  uint64_t now, stored[REF_PAGES];             // when, each page
  uint64_t changed[REF_PAGES * TABLE_ENTRIES]; // when, each word's canonical form
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

// Events. After a store to RAM to the word at pa, which was `old`: ref_store.
void ref_store(struct reference *r, uint64_t pa, uint64_t old);
void ref_satp(struct reference *r, unsigned hart, uint64_t value);
void ref_fence(struct reference *r, unsigned hart, bool has_va, uint64_t va,
               bool has_asid, uint64_t asid);

// What the hart may come to at va, each once. It must not be in Bare mode.
void ref_results(const struct reference *r, unsigned hart, uint64_t va,
                 struct ref_results *results);
// The worst that can be said of this access.
enum tlb_severity ref_verdict(const struct reference *r, unsigned hart,
                              const struct tlb_access *a);
// The walk for va reads a page that was stored to after the last fence and before
// translation was turned on, with no fence since. `word`: a word that was changed so,
// in a page that was not stored to afterwards.
bool ref_unordered(const struct reference *r, unsigned hart, uint64_t va, bool word);
// An entry that the hart can use leads to a table, or a leaf, at this page.
bool ref_leads_to(const struct reference *r, unsigned hart, uint64_t page, bool leaf);

// The n-th address of the universe.
uint64_t ref_va(unsigned n);
