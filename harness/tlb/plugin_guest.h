// The guest as the plugin sees it: registers of the hart that runs the calling thread,
// and physical memory, mapped from the file that QEMU keeps it in.

#ifndef FAULTLINE_PLUGIN_GUEST_H
#define FAULTLINE_PLUGIN_GUEST_H

#include <stdbool.h>
#include <stdint.h>

enum { PAGE = 4096, RAM_BASE = 0x80000000 };
enum { MODE_USER = 0, MODE_SUPERVISOR = 1, MODE_MACHINE = 3 };
enum { PATH_DEPTH = 10 };

// A place in the guest's run: an instruction, and the return addresses above it,
// innermost first, ended by a 0 if there are fewer.
struct place {
  uint64_t pc;
  uint64_t path[PATH_DEPTH];
};

// Map guest memory from `path`. False if that cannot be done; errno says why.
bool guest_map(const char *path);
uint64_t guest_ram_size(void);
bool guest_in_ram(uint64_t pa, uint64_t size);
// The doubleword at an aligned physical address in RAM.
uint64_t guest_word(uint64_t pa);

// Look up the registers, on a hart's own thread; needed before any of those below.
// Returns what is missing, or NULL.
const char *guest_find_registers(void);

// All below: of the calling thread's hart, in a callback with QEMU_PLUGIN_CB_R_REGS.
uint64_t guest_x(unsigned number);
uint64_t guest_pc(void); // true only at the start of a translation block
uint64_t guest_satp(void);
uint64_t guest_sstatus(void);
// Also while a block is translated.
unsigned guest_mode(void);

// The place of the instruction at pc, which the hart is at. The path is read from the
// chain of frame pointers (RISC-V psABI: return address at fp - 8, the caller's frame
// pointer at fp - 16), as long as it climbs within one page of stack.
struct place guest_place(uint64_t pc);
// The same where no frame is set up: at a function's first instruction, or at its
// return.
struct place guest_place_outside(uint64_t pc);

#endif
