// Machine mode: hand everything to supervisor mode, keep only the timer.

#include "defs.h"
#include "memlayout.h"
#include "param.h"

void main(void);
void machinevec(void);

_Static_assert(NCPU == 8, "entry.S knows NCPU");

__attribute__((aligned(PGSIZE))) char stack0[NCPU * PGSIZE]; // entry.S

// What machinevec() needs on each hart; machinevec.S knows the offsets.
struct timer {
  uint64_t save[3];   // registers it uses
  uint64_t *mtimecmp; // this hart's compare register
  uint64_t interval;  // timebase cycles from tick to tick
};
static struct timer timers[NCPU];

// A tenth of a second of QEMU's 10 MHz timebase, as xv6 has it.
#define TICK_CYCLES 1000000

// The CLINT's registers (SiFive FU540 manual, chapter 9).
#define CLINT_MTIMECMP(hart) ((uint64_t *)(CLINT + 0x4000) + (hart))
#define CLINT_MTIME          ((volatile uint64_t *)(CLINT + 0xbff8))

// Ask the CLINT for an interrupt every tick. machinevec() turns each into a supervisor
// software interrupt.
static void
timerinit(uint64_t hart)
{
  struct timer *t = &timers[hart];
  t->mtimecmp = CLINT_MTIMECMP(hart);
  t->interval = TICK_CYCLES;
  *(volatile uint64_t *)t->mtimecmp = *CLINT_MTIME + TICK_CYCLES;

  CSR_WRITE(mscratch, t);
  CSR_WRITE(mtvec, machinevec);
  CSR_WRITE(mstatus, CSR_READ(mstatus) | MSTATUS_MIE);
  CSR_WRITE(mie, CSR_READ(mie) | MIE_MTIE);
}

// Called by entry.S on each hart; "returns" into main() in supervisor mode.
void
start(void)
{
  uint64_t hart = CSR_READ(mhartid);

  CSR_WRITE(mstatus, (CSR_READ(mstatus) & ~MSTATUS_MPP_MASK) | MSTATUS_MPP_S);
  CSR_WRITE(mepc, main);
  CSR_WRITE(satp, 0);

  // All traps go to supervisor mode, but for its own environment calls: machinevec()
  // powers the machine off.
  CSR_WRITE(medeleg, 0xffff & ~(1 << 9));
  CSR_WRITE(mideleg, 0xffff);
  CSR_WRITE(sie, CSR_READ(sie) | SIE_SEIE | SIE_STIE | SIE_SSIE);

  // One PMP entry, top of range, over all of memory: without it supervisor mode may
  // touch nothing (privileged spec 3.7).
  CSR_WRITE(pmpaddr0, 0x3fffffffffffffUL);
  CSR_WRITE(pmpcfg0, 0xf);

  // cycle, time and instret may be read in supervisor and user mode.
  CSR_WRITE(mcounteren, 7);
  CSR_WRITE(scounteren, 7);

  timerinit(hart);
  asm volatile("mv tp, %0\n\tmret" : : "r"(hart));
}
