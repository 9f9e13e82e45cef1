// The model's state; docs/tlb.md says what it stands for.

#pragma once

#include "pte.h"
#include "tlb.h"

#include <stddef.h>

struct page;

// An entry that points to a table.
struct link {
  struct page *page;
  unsigned index;
};

// A page watched because it is, or may be taken for, a page table.
struct page {
  uint64_t pa;
  int height; // levels below it that matter: 2 for a root, 0 for a table of leaves
  bool known; // was a root: kept although no hart has it in a space
  bool reserved_reported;
  unsigned reserved;           // words of a reserved encoding
  unsigned spaces;             // of all harts, with this root
  unsigned records;            // of all harts, that point here
  struct link *parents;        // watched pages' words that point here
  unsigned nparents, capacity; // of parents
  uint64_t stored;             // of the last store before it was watched; 0: none known
  uint64_t word[TABLE_ENTRIES];
  uint64_t changed[TABLE_ENTRIES]; // when the word's canonical form last changed
  tlb_site site[TABLE_ENTRIES];    // of the last store to it
};

// A fence by address while a hart was away.
struct away_fence {
  uint64_t va;
  bool all_asids;
};

// The time a hart has not been reading some tables, and what it fenced meanwhile.
struct away {
  uint64_t since;
  struct away_fence *fences;
  unsigned nfences, capacity;
};

// A root that a hart has had in satp since its last fence for it.
struct space {
  uint64_t root; // physical address
  uint16_t asid;
  struct page *page; // of the root; NULL if not in RAM
  struct away away;  // of no meaning while it is the current one
  tlb_site left;     // the satp write that left it
  enum tlb_severity reported;
  struct space *next;
};

// The old value of a changed entry that is in a hart's cache.
struct record {
  int level;
  uint64_t slot;
  uint16_t asid;
  bool global;
  uint64_t old_pte; // canonical
  uint64_t new_pte; // as stored
  uint64_t entry;   // its physical address
  struct page *child;
  uint64_t time; // of the change
  unsigned change_hart;
  tlb_site change;
  bool by_leaving; // nothing changed: a global entry of a space left by `change`
  bool left;       // by the hart, before the change, with the satp write left_at
  tlb_site left_at;
  enum tlb_severity reported;
  struct record *next;
};

#define RECORD_BUCKETS 1024

struct hart {
  bool active;           // Sv39 is on
  struct space *current; // NULL if not active
  struct space *spaces;  // current's among them
  unsigned nspaces;
  struct away bare;   // since when not active
  tlb_site satp;      // the last write
  uint64_t fenced;    // when the hart last fenced all addresses
  uint64_t turned_on; // when translation was, if no such fence and no report came since
  tlb_site turned_on_at;
  unsigned nrecords;
  struct record *records[RECORD_BUCKETS]; // by level and slot
};

struct freed_page {
  uint64_t time; // of the last freeing; 0: none
  unsigned hart;
  bool reused; // has been given out since
  tlb_site site;
};

// A hart's own last freeing of a page.
struct freeing {
  uint64_t time; // 0: none
  tlb_site site;
};

// A value that U (docs/tlb.md) has at some level, and why.
struct candidate {
  uint64_t pte; // canonical
  uint64_t entry;
  int level;
  uint16_t asid;
  bool global;
  struct record *record; // the change, if this is an old value or was reached by one
  struct space *left;    // or the space left; neither: it is the current one
};

struct candidates {
  struct candidate *at;
  unsigned n, capacity;
};

struct tlb {
  struct tlb_config config;
  uint64_t now;
  uint64_t npages;
  struct page **pages; // by (pa - ram_base) / 4096; NULL: not watched
  uint8_t *watched, *quiet;
  struct freed_page *freed;
  struct freeing *freeings; // by page, then by hart
  uint64_t *stored;         // by page: the last store while it was not watched
  uint64_t any_stored;      // the last store to any page, watched or not
  bool any_global;
  unsigned reserved; // words of a reserved encoding in all watched pages
  struct hart *harts;
  struct candidates candidates;
};

// How a hart comes to read a table: the tag of what leads there.
struct reach {
  int level; // of the table's entries
  uint64_t prefix;
  uint16_t asid;
  bool global;
  bool current;          // by memory alone, from the current root
  struct space *space;   // if the table is this space's root
  struct record *record; // the old pointer on the way, the lowest if several
  struct space *left;    // or the space left on whose root the way begins
};

// realloc that aborts rather than fail.
void *tlb_grow(void *old, size_t bytes);

// tables.c
struct page *page_of(const struct tlb *t, uint64_t pa);
struct page *page_watch(struct tlb *t, uint64_t pa, int height);
void page_release(struct tlb *t, struct page *p);
void page_set_word(struct tlb *t, struct page *p, unsigned index, uint64_t value);

// reach.c
struct space *space_latest(const struct hart *h, uint16_t asid);
bool word_cached(const struct hart *h, const struct reach *by, const struct page *p,
                 unsigned index);
bool way_left(const struct reach *by);
tlb_site way_left_at(const struct reach *by);
typedef void reach_visit(void *arg, const struct reach *by);
void reach_each(struct tlb *t, unsigned hart, struct page *p, reach_visit *visit,
                void *arg);

// records.c
struct record **record_bucket(struct hart *h, int level, uint64_t slot);
struct record *record_add(struct tlb *t, unsigned hart, const struct record *like);
typedef bool record_test(const struct record *r, void *arg);
void records_remove(struct tlb *t, unsigned hart, record_test *test, void *arg);
void records_remove_at(struct tlb *t, unsigned hart, int level, uint64_t slot,
                       record_test *test, void *arg);
void quiet_update(struct tlb *t, unsigned hart);

// judge.c
bool walk_current(const struct tlb *t, const struct hart *h, uint64_t va,
                  struct candidate *end);
bool leaf_page(const struct candidate *c, uint64_t va, uint64_t *pa);
void candidates_of(struct tlb *t, unsigned hart, uint64_t va);
bool candidate_usable(const struct hart *h, const struct candidate *c);

// freed.c
tlb_site freeing_site(const struct tlb *t, uint64_t number, unsigned hart);
void satp_freed_check(struct tlb *t, unsigned hart);

// turnon.c
void turn_on_noted(struct tlb *t, unsigned hart, bool before, bool after);
void turn_on_fenced(struct tlb *t, unsigned hart);
bool turn_on_matters(const struct tlb *t, const struct hart *h, uint64_t va);
void turn_on_used(struct tlb *t, unsigned hart, const struct tlb_access *a);

// report.c
void violation_report(struct tlb *t, struct tlb_violation *v);
void reserved_report(struct tlb *t, unsigned hart, struct page *p, unsigned index,
                     const struct reach *by, uint64_t pte, uint64_t old,
                     unsigned use_hart, tlb_site change, tlb_site use);
void reserved_check(struct tlb *t, unsigned hart, tlb_site site);
enum tlb_fence_form fence_for(uint64_t old_pte, bool global);
