// Who runs: the scheduler of each hart, sleeping and waking.
//
// p->lock protects p->state and p->chan. It is held across swtch(), in both directions:
// the process takes it and scheduler() releases it, or the other way round. So whoever
// holds p->lock and sees a process not RUNNING knows that no hart is on its stack, and
// none has its kernel table loaded.

#include "defs.h"
#include "proc.h"
#include "../faults/hook.h"

struct cpu cpus[NCPU];

// The process that runs on this hart, or 0.
struct proc *
myproc(void)
{
  bool were_on = intr_off();
  struct proc *p = mycpu()->proc;
  if (were_on)
    intr_on();
  return p;
}

// Run a process until it gives the hart back. p->lock must be held; it is RUNNABLE.
static void
run(struct cpu *c, struct proc *p)
{
  p->state = RUNNING;
  c->proc = p;

  // Its stack is only in its own table, and another hart may have changed that table
  // and stored instructions for it.
  if (!FAULT(satp_after_swtch))
    kvmswitch(FAULT(satp_wrong_process) ? proc[0].kpagetable : p->kpagetable);
  if (FAULT(sfence_of_another_asid))
    asm volatile("sfence.vma zero, %0" : : "r"(p->pid) : "memory");
  if (!FAULT(sfence_skipped_in_scheduler))
    if (!FAULT(sfence_of_another_asid))
      sfence_vma();
  fence_i();

  swtch(&c->context, &p->context);

  // Leave its table, and forget it, before p->lock lets anyone free it.
  if (!FAULT(satp_not_restored))
    kvmswitch(kernel_pagetable);
  if (!FAULT(sfence_skipped_after_swtch))
    sfence_vma();
  c->proc = 0;
}

// Find processes to run, for ever. Each hart calls it once, on its boot stack.
void
scheduler(void)
{
  struct cpu *c = mycpu();
  c->proc = 0;
  for (;;) {
    // Take what is pending, then look with interrupts off: one that comes after a
    // process was passed over still ends the wfi.
    intr_on();
    intr_off();
    bool found = false;
    for (struct proc *p = proc; p < &proc[NPROC]; p++) {
      // Most are not: look before taking the lock, under which it is certain.
      if (__atomic_load_n(&p->state, __ATOMIC_RELAXED) != RUNNABLE)
        continue;
      acquire(&p->lock);
      if (p->state == RUNNABLE) {
        run(c, p);
        found = true;
      }
      release(&p->lock);
    }
    if (FAULT(satp_not_restored) && !found)
      kvmswitch(kernel_pagetable);
    if (!found)
      wfi();
  }
}

// Give the hart back to scheduler(). Only p->lock is held, and p->state says what the
// process waits for.
void
sched(void)
{
  struct proc *p = myproc();
  if (!holding(&p->lock))
    panic("sched: p->lock is not held");
  if (mycpu()->noff != 1)
    panic("sched: holds a lock besides p->lock");
  if (p->state == RUNNING)
    panic("sched: still running");
  if (intr_get())
    panic("sched: interrupts are on");

  // Whether interrupts were on is the process's, not the hart's, matter.
  bool intena = mycpu()->intena;
  swtch(&p->context, &mycpu()->context);
  mycpu()->intena = intena;
}

// Let others run.
void
yield(void)
{
  struct proc *p = myproc();
  acquire(&p->lock);
  p->state = RUNNABLE;
  sched();
  release(&p->lock);
}

// Release lk, wait for wakeup(chan), and take lk again. May return early if the process
// is killed. chan must not be on a stack.
void
sleep(void *chan, struct spinlock *lk)
{
  struct proc *p = myproc();
  acquire(&p->lock); // from here on wakeup() waits for us
  __atomic_store_n(&p->chan, chan, __ATOMIC_RELAXED);
  p->state = SLEEPING;
  release(lk);
  sched();
  p->chan = 0;
  release(&p->lock);
  acquire(lk);
}

// Make all that sleep on chan runnable. No p->lock may be held. Who has held the lock
// that they gave to sleep() since, to make true what they wait for, sees their chan: so
// only the locks of those are taken.
void
wakeup(void *chan)
{
  struct proc *self = myproc();
  for (struct proc *p = proc; p < &proc[NPROC]; p++) {
    if (p == self || __atomic_load_n(&p->chan, __ATOMIC_RELAXED) != chan)
      continue;
    acquire(&p->lock);
    if (p->state == SLEEPING && p->chan == chan)
      p->state = RUNNABLE;
    release(&p->lock);
  }
}
