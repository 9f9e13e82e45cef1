// The callbacks: what a guest does, made events of the model. One lock orders the
// events of all harts. A store's event comes after the store and before anything else
// that its hart does, and a fence's event before the fence; so harts that synchronize,
// as the architecture wants it of a change and the fence on another hart, have their
// events in that order.

#ifndef FAULTLINE_PLUGIN_EVENTS_H
#define FAULTLINE_PLUGIN_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "qemu_plugin.h"

struct options {
  const char *ram, *out;
  unsigned limit;
  uint64_t kfree, kalloc, kalloc_end; // 0 if not known
  bool svvptc;
};

// Before a machine has any hart: make what all need.
void events_prepare(const struct options *options, unsigned harts);
// On a hart's own thread, before it runs; called for each hart. Memory and registers
// can be looked at only now; if they cannot, the process ends.
void events_begin(void);
// What a hart has in its scoreboard: not 0 if blocks, loads and stores have to be
// looked at.
qemu_plugin_u64 events_attention(void);

// An instruction, in a callback's argument: its address, of 40 bits, and what was
// decoded.
struct packed {
  uint64_t half_pc : 39;
  uint64_t rs1 : 5;
  uint64_t rest : 13; // an access's offset + 2048; sfence.vma's rs2; a block's length
  uint64_t size : 3;
  uint64_t store : 1;
  uint64_t mode : 2;
  uint64_t fence : 1; // a block that begins with an sfence.vma
};

void *pack(struct packed packed);

// All of these need QEMU_PLUGIN_CB_R_REGS.
void on_satp(unsigned hart, void *packed);  // before an instruction that writes satp
void on_fence(unsigned hart, void *packed); // before an sfence.vma
void on_block(unsigned hart,
              void *packed); // before a block, if the hart needs attention
void on_access(unsigned hart, void *packed);        // before a load or store, likewise
void on_kfree(unsigned hart, void *packed);         // before kfree's first instruction
void on_kalloc_return(unsigned hart, void *packed); // before kalloc's return
// After a store in S-mode, and in M-mode, where the address is physical.
void on_store(unsigned hart, qemu_plugin_meminfo_t info, uint64_t va, void *packed);
void on_machine_store(unsigned hart, qemu_plugin_meminfo_t info, uint64_t va,
                      void *packed);

#endif
