// System calls: numbers and arguments.

#include "defs.h"
#include "proc.h"
#include "syscall.h"

static uint64_t (*const syscalls[])(void) = {
    [SYS_fork] = sys_fork,         [SYS_exit] = sys_exit,
    [SYS_wait] = sys_wait,         [SYS_pipe] = sys_pipe,
    [SYS_read] = sys_read,         [SYS_kill] = sys_kill,
    [SYS_exec] = sys_exec,         [SYS_fstat] = sys_fstat,
    [SYS_chdir] = sys_chdir,       [SYS_dup] = sys_dup,
    [SYS_getpid] = sys_getpid,     [SYS_sbrk] = sys_sbrk,
    [SYS_sleep] = sys_sleep,       [SYS_uptime] = sys_uptime,
    [SYS_open] = sys_open,         [SYS_write] = sys_write,
    [SYS_mknod] = sys_mknod,       [SYS_unlink] = sys_unlink,
    [SYS_link] = sys_link,         [SYS_mkdir] = sys_mkdir,
    [SYS_close] = sys_close,       [SYS_pgdump] = sys_pgdump,
    [SYS_pagestat] = sys_pagestat, [SYS_poweroff] = sys_poweroff,
};

// Do the call in the running process's a7 and put its result into a0.
void
syscall(void)
{
  struct proc *p = myproc();
  uint64_t number = p->trapframe->a7;
  if (number < NELEM(syscalls) && syscalls[number]) {
    p->trapframe->a0 = syscalls[number]();
  } else {
    printf("pid %d (%s): no system call %ld\n", p->pid, p->name, (int64_t)number);
    p->trapframe->a0 = -1;
  }
}

// The n-th argument, from 0, as the user passed it. Returns 0.
int
argaddr(int n, uint64_t *out)
{
  *out = (&myproc()->trapframe->a0)[n];
  return 0;
}

// The n-th argument as an int. Returns 0.
int
argint(int n, int *out)
{
  *out = (int)(&myproc()->trapframe->a0)[n];
  return 0;
}

// The string that the n-th argument points to, with its zero, into max bytes at buf.
// Returns its length, or -1.
int
argstr(int n, char *buf, int max)
{
  uint64_t addr;
  argaddr(n, &addr);
  return copyinstr(buf, addr, max);
}
