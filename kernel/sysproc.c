// System calls about processes, time and memory.

#include "defs.h"
#include "proc.h"

uint64_t
sys_fork(void)
{
  return fork();
}

uint64_t
sys_exit(void)
{
  int status;
  argint(0, &status);
  exit(status);
}

uint64_t
sys_wait(void)
{
  uint64_t addr;
  argaddr(0, &addr);
  return wait(addr);
}

uint64_t
sys_kill(void)
{
  int pid;
  argint(0, &pid);
  return kill(pid);
}

uint64_t
sys_getpid(void)
{
  return myproc()->pid;
}

// Grow or shrink memory by n bytes. Returns the end of memory before, or -1.
uint64_t
sys_sbrk(void)
{
  int n;
  argint(0, &n);
  uint64_t old = myproc()->sz;
  return growproc(n) < 0 ? (uint64_t)-1 : old;
}

// Sleep for n ticks. Returns 0, or -1 if killed meanwhile.
uint64_t
sys_sleep(void)
{
  int n;
  argint(0, &n);
  acquire(&tickslock);
  unsigned start = ticks;
  int result = 0;
  while (n > 0 && ticks - start < (unsigned)n) {
    if (killed(myproc())) {
      result = -1;
      break;
    }
    sleep(&ticks, &tickslock);
  }
  release(&tickslock);
  return result;
}

// Ticks since boot.
uint64_t
sys_uptime(void)
{
  acquire(&tickslock);
  uint64_t now = ticks;
  release(&tickslock);
  return now;
}

// Print the page table of a process, the user's or the kernel's. Returns 0 or -1.
uint64_t
sys_pgdump(void)
{
  int pid, kernel;
  argint(0, &pid);
  argint(1, &kernel);
  return pgdump(pid, kernel != 0);
}

// End the machine; QEMU exits with the code given. machinevec() tells the test device.
uint64_t
sys_poweroff(void)
{
  int code;
  argint(0, &code);
  uint64_t word = code ? ((uint64_t)(code & 0xffff) << 16) | 0x3333 : 0x5555;
  register uint64_t a0 asm("a0") = word;
  asm volatile("ecall" : : "r"(a0) : "memory");
  __builtin_unreachable();
}
