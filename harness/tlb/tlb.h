// A model of what the address-translation caches of RV64 harts running Sv39 may hold,
// as the RISC-V privileged architecture allows it, stepped by events. It reports a use
// of a translation that no sfence.vma has made sure of. docs/tlb.md has the automaton
// and where in the specification each rule comes from.
//
// The model knows nothing of where events come from. It has no globals and takes no
// locks: the caller brings the events of all harts into one order and makes one call at
// a time. Only tlb_quiet, tlb_watched and tlb_page_stored may be called while another
// thread is in a call; they then give the answer of just before or just after it.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// Where in the guest something happened: a handle of the caller's, given back in
// violations and never looked into. 0 is "not known".
typedef uint64_t tlb_site;

enum tlb_rule {
  TLB_STALE_USE,        // tlb-stale-use
  TLB_STALE_ASID,       // tlb-stale-asid
  TLB_FREED_REACHABLE,  // tlb-freed-reachable
  TLB_SATP_FREED,       // tlb-satp-freed
  TLB_UNFENCED_VALID,   // tlb-unfenced-valid
  TLB_STALE_PERMISSION, // tlb-stale-permission
  TLB_RESERVED,         // tlb-reserved
  TLB_UNFENCED_TABLE,   // tlb-unfenced-table
  TLB_RULES,
};

// A warning is about what the specification lets a kernel do if it is ready to take a
// page fault that it did not cause.
enum tlb_severity { TLB_NONE, TLB_WARNING, TLB_ERROR };

enum tlb_kind { TLB_FETCH, TLB_LOAD, TLB_STORE, TLB_NO_ACCESS };

// The least sfence.vma that would have been enough, executed on violation.hart after
// the change and before the use.
enum tlb_fence_form {
  TLB_FENCE_NONE,    // no fence helps: something else is wrong
  TLB_FENCE_VA_ASID, // sfence.vma va, asid
  TLB_FENCE_VA,      // sfence.vma va, zero
  TLB_FENCE_ASID,    // sfence.vma zero, asid
  TLB_FENCE_ALL,     // sfence.vma zero, zero
};

struct tlb_violation {
  enum tlb_rule rule;
  enum tlb_severity severity;
  unsigned hart; // whose translation it is
  uint64_t va; // of the access; if there is none, the lowest that the entry translates
  uint16_t asid; // of the hart's address space

  // The change: a store to a page-table entry, a write of satp (TLB_STALE_ASID;
  // TLB_UNFENCED_TABLE: the one that turned translation on), or the page's becoming
  // free (TLB_FREED_REACHABLE where no entry was changed; TLB_SATP_FREED).
  unsigned change_hart;
  tlb_site change;
  // TLB_FREED_REACHABLE: the hart had left the table, by the satp write `change`, and
  // not fenced, before its entry was changed, if it was.
  bool left;
  int level;      // of the entry: 2 (root), 1, 0; -1 if it is about no entry
  uint64_t entry; // physical address of the entry; 0 if it is about none
  uint64_t
      old_pte; // what the hart may still use; for TLB_RESERVED, what was there before
  uint64_t new_pte; // what is there now; for TLB_STALE_ASID, the current space's entry

  // The use: an access, or with TLB_NO_ACCESS the reuse of the page
  // (TLB_FREED_REACHABLE), the satp write that made the table current or the freeing
  // (TLB_SATP_FREED), the store or the satp write (TLB_RESERVED).
  enum tlb_kind kind;
  unsigned use_hart;
  tlb_site use;

  uint64_t page; // the page concerned: what was freed, or what the old entry leads to
  bool was_freed; // the page has been freed, at `freed`, and not been given out since …
  bool was_reused; // … or been freed and given out again
  tlb_site freed;

  enum tlb_fence_form fence;
};

struct tlb_config {
  unsigned harts;
  uint64_t ram_base, ram_size; // bytes, multiples of 4096
  bool svvptc; // the machine has Svvptc: tlb-unfenced-valid is not reported
  // Read the 8 bytes at guest physical pa, which is aligned and in RAM. Called inside
  // tlb_satp, and inside tlb_store when the new entry points to a table; memory must
  // already hold what was stored.
  uint64_t (*read)(void *arg, uint64_t pa);
  // Called inside an event, for each violation. v lives no longer than the call. It
  // must not call the model.
  void (*report)(void *arg, const struct tlb_violation *v);
  void *arg;
};

struct tlb;

// A model with every hart in Bare mode and empty caches. NULL if memory is short.
struct tlb *tlb_new(const struct tlb_config *config);
void tlb_free(struct tlb *t);

// Events. Memory for the model's records that cannot be had ends the process (abort): a
// checker that forgets is worse than none.

// The hart has written satp. False if the mode is neither Bare nor Sv39: the hart is
// then taken for one in Bare mode, and nothing it does is checked.
bool tlb_satp(struct tlb *t, unsigned hart, uint64_t value, tlb_site site);

// The hart has executed sfence.vma; has_va: rs1 was not x0; has_asid: rs2 was not x0.
// Also for sinval.vma, if it is taken together with the fences around it.
void tlb_fence(struct tlb *t, unsigned hart, bool has_va, uint64_t va, bool has_asid,
               uint64_t asid);

// The hart has stored `size` (1, 2, 4, 8) bytes at pa, aligned to size, also as part of
// an atomic instruction. value: the bytes now there, in the low bits. Only stores to
// pages with tlb_watched matter; any others may be left out.
void tlb_store(struct tlb *t, unsigned hart, uint64_t pa, unsigned size, uint64_t value,
               tlb_site site);

// Something has been stored, by any hart, to a page that is not tlb_watched, at least
// once since the event before. For TLB_UNFENCED_TABLE; may be left out altogether. It
// may be called while another thread is in a call.
void tlb_page_stored(struct tlb *t, uint64_t pa);

struct tlb_access {
  enum tlb_kind kind; // an atomic instruction is TLB_STORE
  uint64_t va;        // of its first byte; one that crosses pages is two accesses
  bool user;          // made with U-mode's rights (an access of M-mode is no event)
  bool sum, mxr;      // sstatus; without meaning if user
  bool fence;         // the fetch of an sfence.vma
  tlb_site site;
};

// The hart has accessed memory, or tried to and took a page fault. May be left out
// while tlb_quiet(t, hart).
void tlb_access(struct tlb *t, unsigned hart, const struct tlb_access *access);

// The kernel's allocator has taken back a page: just before its contents change. May be
// left out altogether: the rules about freed pages are then without effect.
void tlb_free_page(struct tlb *t, unsigned hart, uint64_t pa, tlb_site site);
// The kernel's allocator has given out a page, to code running on `hart`.
void tlb_reuse_page(struct tlb *t, unsigned hart, uint64_t pa, tlb_site site);

// Queries, O(1) if nothing else is said.

// No access of this hart can be a violation now: all that it may have cached for its
// current address space is what is in memory. Changes only in tlb_satp, tlb_fence and
// tlb_access of this hart, and in tlb_store of any.
bool tlb_quiet(const struct tlb *t, unsigned hart);

// No access of this hart to the page of va, of whatever kind, can bring a report: all
// that it may have cached there translates as memory does, or has been reported. Holds
// until the next tlb_satp, tlb_fence or tlb_store. Not O(1): it judges as tlb_access
// does.
bool tlb_settled(struct tlb *t, unsigned hart, uint64_t va);

// pa lies in RAM and in a page whose stores the model needs. Changes in tlb_satp,
// tlb_store, tlb_fence and tlb_free_page.
bool tlb_watched(const struct tlb *t, uint64_t pa);

// For code that tests in line: the byte at [hart] is 1 while tlb_quiet; the byte at
// [(pa - ram_base) >> 12] is 1 while tlb_watched. They stay where they are until
// tlb_free.
const uint8_t *tlb_quiet_bytes(const struct tlb *t);
const uint8_t *tlb_watched_bytes(const struct tlb *t);

// "tlb-stale-use" and so on; "warning", "error"; "sfence.vma va, asid" and so on.
const char *tlb_rule_name(enum tlb_rule rule);
const char *tlb_severity_name(enum tlb_severity severity);
const char *tlb_fence_name(enum tlb_fence_form form);
