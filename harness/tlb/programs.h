// The random test's programs: what may happen to a small machine, drawn from a seed.

#pragma once

#include "model.h"
#include "reference.h"

#define RAM_BASE  0x80000000ull
#define TABLES    8 // pages that entries are stored to
#define RAM_PAGES 12
#define HARTS     3
#define LENGTH    500 // events of a program

// How a kind of programs differs from the others.
struct flavour {
  const char *name;
  unsigned asids;
  unsigned globals; // of 100 entries
  unsigned fences;  // of 100 events
};

enum kind { STORE, SATP, FENCE, ACCESS, FREE, REUSE };

struct event {
  enum kind kind;
  unsigned hart, size, number;
  uint64_t pa, value;
  bool has_va, has_asid;
  struct tlb_access access;
};

struct run {
  const struct flavour *flavour;
  uint64_t random;
  uint64_t ram[RAM_PAGES * TABLE_ENTRIES];
  struct tlb *tlb;
  struct reference ref;
  struct event log[LENGTH];
  // Of the last event: reports of uses, of reuse; and which harts have had an error.
  enum tlb_severity reported;
  bool reuse_reported[HARTS], had_error[HARTS];
  bool table_reported; // by the last event: translation turned on with no fence
  // Answers compared that were of several results; accesses that could not be reported,
  // though the hart was not quiet; reports of translation turned on.
  unsigned choices, settled, tables;
};

// The next event of the run's program.
struct event draw_event(struct run *run);
