// Traps: system calls, interrupts and faults, from user space and from the kernel.

#include "defs.h"
#include "ktrap.h"
#include "memlayout.h"
#include "proc.h"
#include "../faults/hook.h"

// Labels in the trampoline page, at the addresses where the kernel's text has it.
extern char trampoline[], uservec[], userret[];
void kernelvec(void);

_Static_assert(TRAPFRAME == 0x3fffffe000, "trampoline.S knows TRAPFRAME");
_Static_assert(KSTACK == 0x3ffff000, "kernelvec.S knows KSTACK");
_Static_assert(sizeof(struct ktrapframe) == 288, "kernelvec.S knows struct ktrapframe");

struct spinlock tickslock;
unsigned ticks; // timer interrupts of hart 0 since boot

enum interrupt { NOT_OURS, DEVICE, TIMER };

void
trapinit(void)
{
  initlock(&tickslock, "ticks");
}

// Let this hart take traps.
void
trapinithart(void)
{
  CSR_WRITE(stvec, kernelvec);
}

static void
tick(void)
{
  acquire(&tickslock);
  ticks++;
  wakeup(&ticks);
  release(&tickslock);
}

static void
device_interrupt(void)
{
  int irq = plic_claim();
  if (irq == UART0_IRQ)
    uartintr();
  else if (irq == VIRTIO0_IRQ)
    virtio_disk_intr();
  else if (irq)
    printf("interrupt %d from an unknown device\n", irq);
  if (irq)
    plic_complete(irq);
}

// Serve an interrupt and say of what kind it was.
static enum interrupt
interrupt(uint64_t scause)
{
  switch (scause) {
  case SCAUSE_EXTERNAL:
    device_interrupt();
    return DEVICE;
  case SCAUSE_SOFTWARE: // machinevec() passes the timer on
    asm volatile("csrc sip, %0" : : "r"(SIE_SSIE));
    if (cpuid() == 0)
      tick();
    return TIMER;
  default:
    return NOT_OURS;
  }
}

static const char *
cause_name(uint64_t scause)
{
  static const char *const names[] = {"instruction address misaligned",
                                      "instruction access fault",
                                      "illegal instruction",
                                      "breakpoint",
                                      "load address misaligned",
                                      "load access fault",
                                      "store address misaligned",
                                      "store access fault",
                                      "environment call from user mode",
                                      "environment call from supervisor mode",
                                      0,
                                      0,
                                      "instruction page fault",
                                      "load page fault",
                                      0,
                                      "store page fault"};
  const char *name = scause < NELEM(names) ? names[scause] : 0;
  return name ? name : "unknown trap";
}

// Called by uservec with the process's kernel table and stack in place.
static void
usertrap(void)
{
  struct proc *p = myproc();
  uint64_t scause = CSR_READ(scause), stval = CSR_READ(stval);
  enum interrupt kind = NOT_OURS;

  CSR_WRITE(stvec, kernelvec);
  p->trapframe->epc = CSR_READ(sepc);

  if (scause == SCAUSE_USER_ECALL) {
    if (killed(p))
      exit(-1);
    p->trapframe->epc += 4; // resume behind the ecall
    intr_on();              // scause, sepc and sstatus have been read
    syscall();
  } else if ((kind = interrupt(scause)) == NOT_OURS) {
    printf("pid %d (%s): %s at pc 0x%lx, address 0x%lx: killed\n", p->pid, p->name,
           cause_name(scause), p->trapframe->epc, stval);
    setkilled(p);
  }

  if (killed(p))
    exit(-1);
  if (kind == TIMER)
    yield();
  usertrapret();
}

// The address of one of the trampoline's labels in every page table.
static uint64_t
in_trampoline(const char *label)
{
  return TRAMPOLINE + ((uint64_t)label - (uint64_t)trampoline);
}

// Go (back) to user space.
void
usertrapret(void)
{
  struct proc *p = myproc();

  // From here on a trap would be taken for the user's.
  intr_off();
  CSR_WRITE(stvec, in_trampoline(uservec));

  p->trapframe->kernel_satp =
      MAKE_SATP(FAULT(kernel_satp_global) ? kernel_pagetable : p->kpagetable);
  p->trapframe->kernel_sp = KSTACK + PGSIZE;
  p->trapframe->kernel_trap = (uint64_t)usertrap;
  p->trapframe->kernel_hartid = cpuid();

  CSR_WRITE(sstatus, (CSR_READ(sstatus) & ~SSTATUS_SPP) | SSTATUS_SPIE);
  CSR_WRITE(sepc, p->trapframe->epc);

  void (*go)(uint64_t satp) = (void *)in_trampoline(userret);
  go(MAKE_SATP(FAULT(user_satp_kernel) ? p->kpagetable : p->pagetable));
  __builtin_unreachable();
}

// Whether a fault in the kernel is one that copy.S provides for; if so, sepc now
// leads to its way out.
static bool
fixed_up(struct ktrapframe *tf)
{
  if (tf->scause != SCAUSE_LOAD_PAGEFAULT && tf->scause != SCAUSE_STORE_PAGEFAULT)
    return false;
  uint64_t resume = tf->stval < USERTOP ? usercopy_fixup(tf->sepc) : 0;
  if (resume)
    tf->sepc = resume;
  return resume != 0;
}

// Called by kernelvec with interrupts off, on the stack of whoever was interrupted.
void
kerneltrap(struct ktrapframe *tf)
{
  if (!(tf->sstatus & SSTATUS_SPP))
    panic_trap(tf, "kernel trap from user mode");
  if (intr_get())
    panic_trap(tf, "kernel trap with interrupts on");
  if (fixed_up(tf))
    return;

  switch (interrupt(tf->scause)) {
  case NOT_OURS:
    panic_trap(tf, tf->x[2] - KSTACK + PGSIZE < PGSIZE + sizeof(*tf)
                       ? "kernel stack overflow"
                       : cause_name(tf->scause));
  case TIMER:
    if (myproc())
      yield(); // other traps meanwhile change sepc and sstatus: kernelvec restores them
    break;
  case DEVICE:
    break;
  }
}
