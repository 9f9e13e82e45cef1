// A lock to spin on, with interrupts off on the hart that holds it.
#pragma once

#include <stdint.h>

struct cpu;

struct spinlock {
  uint32_t locked;  // 1 while held; a word, because RV64A has no smaller swap
  const char *name; // for messages
  struct cpu *cpu;  // the hart that holds it, or 0
};
