// Who holds physical pages: the answer of pagestat() and of the statistics device.
#pragma once

#include <stdint.h>

enum page_class {
  PAGE_FREE,
  PAGE_USER,      // mapped in a user address space
  PAGE_TABLE,     // a page-table page, of a user or a kernel table
  PAGE_KSTACK,    // a kernel stack
  PAGE_TRAPFRAME, // a process's saved user registers
  PAGE_PIPE,      // a pipe's buffer
  PAGE_OTHER,     // allocated, for none of these
  NPAGECLASS,
};

struct pagestat {
  uint64_t total;            // pages the allocator manages
  uint64_t held[NPAGECLASS]; // of them, by class; held[PAGE_FREE] are free
};
