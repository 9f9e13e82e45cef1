// Look at processes from the console, without locks: the kernel may be stuck.

#include "defs.h"
#include "proc.h"

// Print a line for each process (console key ^P).
void
procdump(void)
{
  static const char *const states[] = {
      [UNUSED] = "unused",     [USED] = "used",       [SLEEPING] = "sleep",
      [RUNNABLE] = "runnable", [RUNNING] = "running", [ZOMBIE] = "zombie",
  };
  printf("\n");
  for (struct proc *p = proc; p < &proc[NPROC]; p++)
    if (p->state != UNUSED)
      printf("%d %-8s %s, %lu bytes\n", p->pid, states[p->state], p->name, p->sz);
}

// Print the user page table of each process (console key ^T).
void
tabledump(void)
{
  for (struct proc *p = proc; p < &proc[NPROC]; p++)
    if (p->state > USED && p->pagetable) {
      printf("\n%d %s\n", p->pid, p->name);
      vmprint(p->pagetable);
    }
}

// Print a process's user or kernel page table. Returns 0, or -1 if there is no such
// process or it is only being made, or buried.
int
pgdump(int pid, bool kernel)
{
  int result = -1;
  for (struct proc *p = proc; p < &proc[NPROC] && result < 0; p++) {
    acquire(&p->lock);
    pagetable_t table = kernel ? p->kpagetable : p->pagetable;
    if (p->state > USED && p->pid == pid && table) {
      vmprint(table);
      result = 0;
    }
    release(&p->lock);
  }
  return result;
}
