// Processes and harts.
#pragma once

#include "param.h"
#include "riscv.h"
#include "spinlock.h"

// What swtch() saves: the registers that the calling convention makes the callee keep.
struct context {
  uint64_t ra;
  uint64_t sp;
  uint64_t s[12];
};

struct cpu {
  struct proc *proc;      // the process it runs, or 0 while it is in scheduler()
  struct context context; // of scheduler()
  int noff;               // depth of push_off()
  bool intena;            // interrupts were on before the outermost push_off()
};

extern struct cpu cpus[NCPU];

// This hart. Interrupts must be off: the caller could be moved to another. Inline, for
// every lock that is taken or released asks three times.
static inline struct cpu *
mycpu(void)
{
  return &cpus[cpuid()];
}

// The page at TRAPFRAME in the user table. trampoline.S knows these offsets.
struct trapframe {
  uint64_t kernel_satp;   //   0: satp of the process's kernel table
  uint64_t kernel_sp;     //   8: top of its kernel stack
  uint64_t kernel_trap;   //  16: usertrap()
  uint64_t epc;           //  24: user pc
  uint64_t kernel_hartid; //  32: tp in the kernel
  uint64_t ra;            //  40
  uint64_t sp;            //  48
  uint64_t gp;            //  56
  uint64_t tp;            //  64
  uint64_t t0;            //  72
  uint64_t t1;            //  80
  uint64_t t2;            //  88
  uint64_t s0;            //  96
  uint64_t s1;            // 104
  uint64_t a0;            // 112
  uint64_t a1;            // 120
  uint64_t a2;            // 128
  uint64_t a3;            // 136
  uint64_t a4;            // 144
  uint64_t a5;            // 152
  uint64_t a6;            // 160
  uint64_t a7;            // 168
  uint64_t s2;            // 176
  uint64_t s3;            // 184
  uint64_t s4;            // 192
  uint64_t s5;            // 200
  uint64_t s6;            // 208
  uint64_t s7;            // 216
  uint64_t s8;            // 224
  uint64_t s9;            // 232
  uint64_t s10;           // 240
  uint64_t s11;           // 248
  uint64_t t3;            // 256
  uint64_t t4;            // 264
  uint64_t t5;            // 272
  uint64_t t6;            // 280
};

enum procstate { UNUSED, USED, SLEEPING, RUNNABLE, RUNNING, ZOMBIE };

struct proc {
  struct spinlock lock;

  // p->lock must be held, but to guess from the first two whether it is worth taking:
  enum procstate state;
  void *chan; // what it sleeps on
  bool killed;
  int xstate; // exit status for wait()
  int pid;

  // wait_lock must be held:
  struct proc *parent;

  // The process's own, or its creator's or reaper's:
  uint64_t sz;            // bytes of user memory, from 0
  pagetable_t pagetable;  // user page table
  pagetable_t kpagetable; // kernel page table, with the mirror of user memory
  struct trapframe *trapframe;
  struct context context; // where swtch() resumes it
  struct file *ofile[NOFILE];
  struct inode *cwd;
  char name[16];
};

extern struct proc proc[NPROC];
