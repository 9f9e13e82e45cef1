// Processes: made by fork(), ended by exit(), buried by wait().
//
// A USED process is in the hands of whoever makes it, or buries it: he works on its
// memory without its lock, which others wait for with interrupts off. They see no more
// of it than its pid, and that it was killed.

#include "defs.h"
#include "file.h"
#include "memlayout.h"
#include "proc.h"
#include "../faults/hook.h"

extern char trampoline[];            // trampoline.S
extern const char initcode[];        // initcode.S
extern const uint64_t initcode_size; // in bytes

struct proc proc[NPROC];

static struct proc *initproc;

// Protects every p->parent, and keeps a wakeup of wait() from being lost. Taken before
// any p->lock.
struct spinlock wait_lock;

void
procinit(void)
{
  initlock(&wait_lock, "wait");
  for (struct proc *p = proc; p < &proc[NPROC]; p++)
    initlock(&p->lock, "proc");
}

// A user page table with no user memory, just the trampoline and p's trapframe, or 0.
pagetable_t
proc_pagetable(struct proc *p)
{
  pagetable_t table = uvmcreate();
  if (!table)
    return 0;
  int failed = mappages(table, TRAMPOLINE, PGSIZE, (uint64_t)trampoline, PTE_R | PTE_X);
  if (FAULT(fork_trampoline_unchecked) && p != myproc())
    failed = 0;
  if (FAULT(exec_trampoline_unchecked) && p == myproc())
    failed = 0;
  if (failed) {
    if (!FAULT(user_root_kept))
      uvmfree(table, 0);
    return 0;
  }
  if (mappages(table, TRAPFRAME, PGSIZE, (uint64_t)p->trapframe, PTE_R | PTE_W)) {
    proc_freepagetable(table, 0);
    return 0;
  }
  return table;
}

// Free a user page table and sz bytes of user memory; not the trapframe.
void
proc_freepagetable(pagetable_t table, uint64_t sz)
{
  unmappages(table, TRAPFRAME, 2); // and TRAMPOLINE
  uvmfree(table, sz);
}

// A kernel page table with a stack and an empty mirror, or 0.
static pagetable_t
proc_kpagetable(void)
{
  pagetable_t table = kvmcreate();
  if (!table)
    return 0;
  void *stack = kalloc_for(FAULT(kstack_miscounted) ? PAGE_OTHER : PAGE_KSTACK);
  uint64_t perm = PTE_R | PTE_W;
  if (FAULT(kstack_user))
    perm |= PTE_U;
  if (FAULT(kstack_executable))
    perm |= PTE_X;
  if (FAULT(kstack_remap) && stack)
    mappages(kernel_pagetable, KSTACK, PGSIZE, (uint64_t)stack, perm);
  if (FAULT(kstack_guard_mapped) && stack)
    mappages(table, KSTACK - PGSIZE, PGSIZE, (uint64_t)stack, perm);
  if (FAULT(all_stacks_mapped))
    fault_map_stacks(table);
  int failed = (FAULT(kstack_unchecked) ? false : !stack) ||
               mappages(table, KSTACK, PGSIZE, (uint64_t)stack, perm);
  if (FAULT(kstack_map_unchecked) && stack)
    failed = false;
  if (failed) {
    if (FAULT(kstack_map_panics) && stack)
      panic("kvmmap: no memory for a table");
    if (FAULT(kstack_unmapped_lost) ? false : stack != 0)
      kfree(stack);
    if (FAULT(kstack_freed_by_both) && stack)
      kfree(stack);
    if (!FAULT(kpt_kept_without_stack))
      kvmfree(table);
    return 0;
  }
  return table;
}

// Free a process's kernel page table and the stack in it. The mirrored pages are the
// user table's.
static void
proc_freekpagetable(struct proc *p)
{
  pagetable_t holder =
      FAULT(kstack_via_wrong_table) ? myproc()->kpagetable : p->kpagetable;
  if (FAULT(free_table_before_stack))
    kvmfree(p->kpagetable);
  pte_t *stack = walk(holder, KSTACK, false);
  if (!FAULT(kstack_not_freed))
    kfree((void *)PTE2PA(*stack));
  if (FAULT(kstack_freed_twice))
    kfree((void *)PTE2PA(*stack));
  kvmfree(FAULT(kpt_free_user_table) ? p->pagetable : p->kpagetable);
}

// An UNUSED process, made USED and given a pid; or 0 if there is none.
static struct proc *
claim(void)
{
  static int nextpid = 1;

  for (struct proc *p = proc; p < &proc[NPROC]; p++) {
    acquire(&p->lock);
    bool unused = p->state == UNUSED;
    if (unused) {
      p->state = USED;
      p->pid = __atomic_fetch_add(&nextpid, 1, __ATOMIC_RELAXED);
    }
    release(&p->lock);
    if (unused)
      return p;
  }
  return 0;
}

// A USED process with empty tables and a context in which it will begin in forkret().
// It is the caller's, to make it RUNNABLE or give it to freeproc(). Returns 0 if there
// is none or no memory.
static struct proc *
allocproc(void)
{
  struct proc *p = claim();
  if (!p)
    return 0;
  p->trapframe = kalloc_for(PAGE_TRAPFRAME);
  bool failed = FAULT(trapframe_unchecked) ? false : !p->trapframe;
  if (!failed) {
    p->pagetable = proc_pagetable(p);
    failed = FAULT(user_root_unchecked) ? false : !p->pagetable;
  }
  if (!failed) {
    p->kpagetable = proc_kpagetable();
    failed = !p->kpagetable;
  }
  if (failed) {
    if (FAULT(oom_panic_in_allocproc))
      panic("allocproc: out of memory");
    if (FAULT(oom_free_half_made) && p->pagetable)
      uvmunmap(p->pagetable, KSTACK, 1, true);
    if (FAULT(half_made_kept)) {
      p->state = UNUSED;
      return 0;
    }
    freeproc(p);
    if (FAULT(lock_kept_without_memory))
      acquire(&p->lock);
    return 0;
  }
  memset(p->trapframe, 0, PGSIZE);
  p->context = (struct context){.ra = (uint64_t)forkret, .sp = KSTACK + PGSIZE};
  return p;
}

// Free all that a USED process holds, however much of it there is yet or still, and
// make it UNUSED. It is the caller's; no hart is on its stack, its files are closed,
// and it has no parent. p->lock must not be held.
void
freeproc(struct proc *p)
{
  if (p->pagetable)
    proc_freepagetable(p->pagetable, p->sz);
  if (FAULT(kpt_not_freed) ? false : p->kpagetable != 0)
    proc_freekpagetable(p);
  if (FAULT(trapframe_not_freed) ? false : p->trapframe != 0)
    kfree(p->trapframe);

  acquire(&p->lock);
  p->pagetable = p->kpagetable = 0;
  p->trapframe = 0;
  p->sz = 0;
  p->pid = 0;
  p->name[0] = 0;
  p->chan = 0;
  p->killed = false;
  p->xstate = 0;
  p->state = UNUSED;
  release(&p->lock);
}

// Make the first process, from initcode.S. At boot: failure is the end.
void
userinit(void)
{
  struct proc *p = allocproc();
  if (!p || !(p->sz = uvmalloc(p->pagetable, 0, PGSIZE, PTE_W | PTE_X)) ||
      uvmwrite(p->pagetable, 0, initcode, initcode_size) ||
      mirror_map(p->kpagetable, p->pagetable, 0,
                 FAULT(no_mirror_in_userinit) ? 0 : p->sz))
    panic("userinit: out of memory at boot");
  p->trapframe->sp = PGSIZE;
  safestrcpy(p->name, "initcode", sizeof(p->name));
  p->cwd = 0; // forkret() opens /, once the file system is up
  initproc = p;
  p->state = RUNNABLE;
}

// Where a new process begins: scheduler() has just switched to it for the first time.
void
forkret(void)
{
  struct proc *p = myproc();
  release(&p->lock);
  if (p == initproc && !p->cwd) {
    // Reads the disk, so it needs a process to sleep.
    fsinit(ROOTDEV);
    p->cwd = namei("/");
  }
  usertrapret();
}

// Grow user memory by n bytes, or shrink it if n is negative, in both tables. Returns
// 0, or -1 with nothing changed.
int
growproc(int64_t n)
{
  struct proc *p = myproc();
  uint64_t old = p->sz, new = old + n;
  if (n < 0) {
    if (new > old)
      return -1; // below 0
    // uvmdealloc() fences after both tables have lost the pages and before it frees
    // them.
    if (FAULT(sfence_too_early_in_sbrk))
      uvmdealloc(p->pagetable, old, new);
    if (!FAULT(mirror_not_shrunk))
      mirror_unmap(p->kpagetable, FAULT(mirror_shrunk_one_short) ? new + PGSIZE : new,
                   old);
    if (!FAULT(sfence_too_early_in_sbrk))
      uvmdealloc(p->pagetable, old, new);
  } else if (n > 0) {
    if (FAULT(sbrk_size_first))
      p->sz = new;
    if (!uvmalloc(p->pagetable, old, new, PTE_W))
      return -1;
    if (mirror_map(p->kpagetable, p->pagetable, old,
                   FAULT(no_mirror_in_sbrk) ? old : new)) {
      if (FAULT(sbrk_ignores_mirror)) {
        p->sz = new;
        return 0;
      }
      if (!FAULT(sbrk_fail_keeps_pages))
        uvmdealloc(p->pagetable, new, old);
      return -1;
    }
    sfence_vma(); // the hart may have cached that nothing was there (4.2.1)
  }
  p->sz = new;
  return 0;
}

// Give a child a copy of the running process's memory. Returns 0, or -1 with what was
// done left to freeproc().
static int
copy_memory(struct proc *parent, struct proc *child)
{
  if (FAULT(fork_size_first))
    child->sz = parent->sz;
  if (uvmcopy(parent->pagetable, child->pagetable, parent->sz))
    return -1;
  child->sz = parent->sz;
  if (FAULT(no_mirror_in_fork))
    return 0;
  pagetable_t source = FAULT(mirror_of_parent) ? parent->pagetable : child->pagetable;
  int failed = mirror_map(child->kpagetable, source, 0, child->sz);
  return FAULT(fork_ignores_mirror) ? 0 : failed;
}

// Make a copy of the running process. Returns the child's pid to the parent and,
// through its trapframe, 0 to the child; or -1.
int
fork(void)
{
  struct proc *p = myproc();
  struct proc *child = allocproc();
  if (!child)
    return -1;
  int failed = copy_memory(p, child);
  if (FAULT(fork_ignores_copy) ? false : failed) {
    if (FAULT(fork_fail_frees_table))
      proc_freepagetable(child->pagetable, child->sz);
    if (!FAULT(fork_fail_leaks))
      freeproc(child);
    return -1;
  }
  *child->trapframe = *p->trapframe;
  child->trapframe->a0 = 0;
  for (int fd = 0; fd < NOFILE; fd++)
    child->ofile[fd] = p->ofile[fd] ? filedup(p->ofile[fd]) : 0;
  child->cwd = idup(p->cwd);
  safestrcpy(child->name, p->name, sizeof(child->name));
  int pid = child->pid;

  acquire(&wait_lock);
  child->parent = p;
  release(&wait_lock);

  acquire(&child->lock);
  child->state = RUNNABLE;
  release(&child->lock);
  return pid;
}

// Close what the running process has open.
static void
close_files(struct proc *p)
{
  for (int fd = 0; fd < NOFILE; fd++)
    if (p->ofile[fd]) {
      fileclose(p->ofile[fd]);
      p->ofile[fd] = 0;
    }
  begin_op();
  iput(p->cwd);
  end_op();
  p->cwd = 0;
}

// End the running process. It stays a zombie until its parent waits for it.
void
exit(int status)
{
  struct proc *p = myproc();
  if (p == initproc)
    panic("init exited with status %d", status);
  close_files(p);

  acquire(&wait_lock);
  for (struct proc *child = proc; child < &proc[NPROC]; child++)
    if (child->parent == p) {
      child->parent = initproc;
      wakeup(initproc);
    }
  wakeup(p->parent);
  acquire(&p->lock);
  p->xstate = status;
  p->state = ZOMBIE;
  release(&wait_lock);
  sched();
  panic("exit: a zombie ran");
}

// Look for a zombie child: its status goes to user address addr unless that is 0, and
// it, now USED, to *dead, for the caller to free. Returns its pid; 0 if there is none
// but there are living children; -1 if there are no children or addr is bad: then it
// stays a zombie. wait_lock must be held.
static int
reap(struct proc *p, uint64_t addr, struct proc **dead)
{
  int result = -1;
  for (struct proc *child = proc; child < &proc[NPROC]; child++) {
    if (child->parent != p)
      continue;
    result = 0;
    acquire(&child->lock); // not before its hart has left its stack and its table
    if (child->state == ZOMBIE) {
      result = child->pid;
      if (addr && copyout(addr, &child->xstate, sizeof(child->xstate))) {
        result = -1;
      } else {
        child->parent = 0;
        child->state = USED;
        *dead = child;
      }
    }
    release(&child->lock);
    if (result)
      break;
  }
  return result;
}

// Wait until a child ends, and free what is left of it; see reap(). Returns its pid, or
// -1 if there is no child, if addr is bad, or if the caller was killed.
int
wait(uint64_t addr)
{
  struct proc *p = myproc(), *dead = 0;
  acquire(&wait_lock);
  int pid;
  while ((pid = reap(p, addr, &dead)) == 0 && !killed(p))
    sleep(p, &wait_lock); // exit() wakes its parent
  release(&wait_lock);
  if (!dead)
    return -1;
  freeproc(dead);
  return pid;
}

// Ask a process to end; it does so at its next way out of the kernel. Returns 0, or -1
// if there is none with that pid.
int
kill(int pid)
{
  for (struct proc *p = proc; p < &proc[NPROC]; p++) {
    acquire(&p->lock);
    bool found = p->state != UNUSED && p->pid == pid;
    if (found) {
      p->killed = true;
      if (p->state == SLEEPING)
        p->state = RUNNABLE;
    }
    release(&p->lock);
    if (found)
      return 0;
  }
  return -1;
}

void
setkilled(struct proc *p)
{
  acquire(&p->lock);
  p->killed = true;
  release(&p->lock);
}

bool
killed(struct proc *p)
{
  acquire(&p->lock);
  bool k = p->killed;
  release(&p->lock);
  return k;
}
