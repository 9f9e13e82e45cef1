// The end: say why, where and how it came to that, and stop.

#include "defs.h"
#include "ktrap.h"
#include "memlayout.h"
#include "proc.h"

extern char etext[]; // first byte after the kernel's text (kernel.ld)

static int panicking; // hart number + 1 of the first hart that panicked, or 0

// Whether some other hart has panicked: then this one must not print any more.
bool
panicked_elsewhere(void)
{
  return panicking && panicking != cpuid() + 1;
}

static void
stop(void)
{
  for (;;)
    wfi();
}

// Take the console for the last words. A second hart stops here, and so does a panic
// while telling of a panic.
static void
begin_panic(void)
{
  intr_off();
  int nobody = 0;
  if (!__atomic_compare_exchange_n(&panicking, &nobody, cpuid() + 1, false,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    stop();
  printf_unlocked();
}

// Print the return addresses of the frames from fp on. A frame pointer holds the
// frame's upper end, with the return address and the caller's frame pointer just below
// (RISC-V ELF psABI). Frames of one stack ascend, and stay within one page. The
// outermost function has a caller's frame pointer of 0. Only the first function may be
// one that calls no other: it keeps its return address in ra and stores just the
// caller's frame pointer.
void
backtrace(uint64_t fp, uint64_t ra)
{
  printf("backtrace:\n");
  uint64_t page = PGROUNDDOWN(fp - 1);
  for (bool first = true; fp % 8 == 0 && fp >= page + 16 && fp <= page + PGSIZE;
       first = false) {
    const uint64_t *frame = (const uint64_t *)fp;
    bool leaf = first && (frame[-1] < KERNBASE || frame[-1] >= (uint64_t)etext);
    uint64_t caller = leaf ? frame[-1] : frame[-2];
    if (!leaf && caller == 0)
      break;
    printf("  0x%016lx\n", leaf ? ra : frame[-1]);
    if (caller <= fp)
      break;
    fp = caller;
  }
}

static void
print_where(void)
{
  struct proc *p = mycpu()->proc;
  if (p)
    printf("  hart %d, pid %d (%s)\n", cpuid(), p->pid, p->name);
  else
    printf("  hart %d, no process\n", cpuid());
  printf("  satp 0x%016lx sstatus 0x%016lx\n", CSR_READ(satp), CSR_READ(sstatus));
}

static void
put(int c, void *unused)
{
  (void)unused;
  consputc(c);
}

// Print a message and stop this hart; the others stop when they next print.
void
panic(const char *message, ...)
{
  begin_panic();
  printf("panic: ");
  va_list ap;
  va_start(ap, message);
  format(put, 0, message, ap);
  va_end(ap);
  printf("\n");
  print_where();

  uint64_t fp = (uint64_t)__builtin_frame_address(0);
  printf("  sp 0x%016lx ra 0x%016lx\n", fp, (uint64_t)__builtin_return_address(0));
  backtrace(fp, 0);
  stop();
  __builtin_unreachable();
}

// The same for a trap in the kernel that nothing provides for.
void
panic_trap(const struct ktrapframe *tf, const char *what)
{
  static const char names[32][4] = {"",   "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
                                    "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                    "a6", "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
                                    "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
  begin_panic();
  printf("panic: kernel trap: %s\n", what);
  print_where();
  printf("  scause 0x%016lx sepc 0x%016lx stval 0x%016lx\n", tf->scause, tf->sepc,
         tf->stval);
  for (int i = 1; i < 32; i++)
    printf(" %4s 0x%016lx%s", names[i], tf->x[i], i % 4 == 0 || i == 31 ? "\n" : "");

  uint64_t fp = tf->x[8];
  bool readable = (fp >= KERNBASE && fp <= PHYSTOP) || PGROUNDDOWN(fp - 1) == KSTACK;
  if (readable)
    backtrace(fp, 0);
  stop();
  __builtin_unreachable();
}
