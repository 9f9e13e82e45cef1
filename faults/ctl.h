// The control block: one struct in the kernel image, through which the harness and the
// kernel under test speak. The harness finds it by its symbol, faultline_ctl, and its
// layout in the ELF's debug information. The reference kernel always has one, with its
// page counters; the shim (shim.c) adds one to any other kernel, and fills in the rest.
#pragma once

#include "../kernel/pagestat.h"

#define FAULTLINE_MAGIC   0x4e494c544c554146UL // "FAULTLIN", little endian
#define FAULTLINE_VERSION 1

// The system call uptime(FAULTLINE_UPTIME, command, argument …) is answered by the
// shim.
#define FAULTLINE_UPTIME 0x464c5550544d4531UL

enum faultline_command {
  FL_HELLO,  // returns FAULTLINE_VERSION
  FL_MARK,   // begin to watch: mark = seq; returns live
  FL_END,    // stop watching: end = seq; returns live
  FL_ARM,    // (mode, n): count and fail kallocs of the calling process
  FL_DISARM, // returns how many kallocs were failed since FL_ARM
  FL_CALLS,  // returns how many kallocs the armed process made since FL_ARM
  FL_PATH,   // (n): hash of the call path of the last counting run's n-th kalloc, or 0
  FL_ARMED,  // returns 1 from FL_ARM to FL_DISARM, whatever became of the process
  FL_CAUSE,  // returns scause at the first kalloc that was failed since FL_ARM
  FL_TRIED,  // returns the n of the last FL_ARM that was to fail one since FL_COUNT
  FL_NEXT,   // (n): FL_MARK, and returns what FL_PATH does
  FL_GAIN,   // (live): FL_END, and returns how many pages more are live than that
             // many, or for 0 than at FL_MARK
  FL_LOOK,   // (eyes, end): returns faultline_look() of the calling process (look.h)
};

enum faultline_mode {
  FL_OFF,
  FL_NTH,   // fail the n-th kalloc, n from 1
  FL_FROM,  // fail the n-th and all after it
  FL_SITE,  // fail those whose return address is n
  FL_COUNT, // fail none, and keep the call path of each: a counting run
};

#define FL_DEPTH 8       // return addresses kept of a stack, innermost first
#define FL_PATHS 4096    // call paths kept of a counting run
#define FL_PAGES 0x10000 // pages the ledger has room for: 256 MiB from FL_RAM on
#define FL_RAM   0x80000000UL

// Something that should not happen: how often, and where it did so first.
struct faultline_event {
  uint64_t count;
  uint64_t pa;              // the page, or 0
  uint64_t live;            // pages live at that moment
  uint64_t proc;            // the running process (struct proc *), or 0
  uint64_t stack[FL_DEPTH]; // return addresses, innermost first, 0 at the end
};

struct faultline_ctl {
  uint64_t magic;   // FAULTLINE_MAGIC
  uint32_t version; // FAULTLINE_VERSION
  uint32_t shim;    // 1 once the shim has seen a kalloc

  // Kept by the reference kernel.
  struct pagestat pages;

  // Kept by the shim.
  uint64_t armed; // the process (struct proc *) whose kallocs count, or 0
  uint64_t mode;  // enum faultline_mode
  uint64_t n;
  uint64_t calls;               // kallocs of the armed process since FL_ARM
  struct faultline_event fired; // kallocs made to fail since FL_ARM
  uint64_t cause;               // scause at the first of them

  uint64_t tried;           // n of the last FL_ARM with one since the counting run
  uint64_t wrong;           // wrong frees of any kind before the counting run
  uint64_t counted;         // kallocs of the last counting run
  uint64_t paths[FL_PATHS]; // hashes of their stacks' return addresses, never 0

  uint64_t seq;  // number of the last kalloc or kfree
  uint64_t mark; // seq at FL_MARK
  uint64_t end;  // seq at FL_END
  uint64_t live; // pages allocated and not freed

  // Of all that was watched, so that a probe's answers can be compared with it.
  uint64_t at_mark; // live at the last FL_MARK
  uint64_t watched; // times that FL_END came
  uint64_t gained;  // the sum of how many pages more were live then than at FL_MARK

  struct faultline_event refused;     // kalloc returned 0 by itself
  struct faultline_event double_free; // kfree of a page that was freed before
  struct faultline_event wild_free;   // kfree of what is no page of the allocator
};

extern struct faultline_ctl faultline_ctl;

// One page's entry in the ledger. A page the shim never saw has seq 0.
struct faultline_page {
  uint64_t seq;             // of its last kalloc or kfree
  uint64_t live;            // 1 allocated, 0 free
  uint64_t proc;            // process that allocated it (struct proc *), or 0
  uint64_t alloc[FL_DEPTH]; // stack of its last kalloc
  uint64_t free[FL_DEPTH];  // stack of its last kfree
};

extern struct faultline_page faultline_ledger[FL_PAGES];
