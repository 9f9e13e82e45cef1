// How tests look at results and say what is wrong.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "kernel/memlayout.h"

const char *test_name = "usertests";
char *self;

bool any_kernel;

// Whether this kernel counts pages. Its promises are then stricter than xv6's.
bool
reference_kernel(void)
{
  static int known; // 1 yes, -1 no
  struct pagestat now;
  if (any_kernel)
    return false;
  if (!known)
    known = pagestat(&now) == 0 ? 1 : -1;
  return known == 1;
}

// The last children of the process that forked last: none may outlive its failure.
static int children[32];
static size_t forks;
static int forker;

// Say why the test fails, and end it.
void
fail(const char *fmt, ...)
{
  va_list ap;
  fprintf(1, "%s: ", test_name);
  va_start(ap, fmt);
  vfprintf(1, fmt, ap);
  va_end(ap);
  fprintf(1, "\n");
  for (size_t i = 0; i < NELEM(children) && i < forks && forker == getpid(); i++)
    kill(children[i]); // it may wait for this process for ever
  exit(1);
}

void
expect(const char *what, long got, long want)
{
  if (got != want)
    fail("%s: expected %ld, got %ld", what, want, got);
}

void
expect_true(const char *what, bool holds)
{
  if (!holds)
    fail("expected %s", what);
}

// A call that got a bad address must fail. xv6 answers 0 to some of these, having moved
// no byte.
void
expect_refused(const char *what, long got)
{
  if (got != -1 && (got != 0 || reference_kernel()))
    fail("%s: expected -1, got %ld", what, got);
}

// Whether the kernel copies from there when it is asked to. It is asked by way of a
// pipe: xv6's write() to a file could fail and not say so until October 2020.
bool
kernel_reads(const void *p, int n)
{
  int fds[2];
  expect("pipe", pipe(fds), 0);
  int got = write(fds[1], p, n);
  close(fds[0]);
  close(fds[1]);
  return got > 0;
}

int
fork_or_fail(void)
{
  int pid = fork();
  if (pid < 0)
    fail("fork: expected a child, got %d", pid);
  if (pid > 0) {
    if (forker != getpid())
      forks = 0;
    forker = getpid();
    children[forks++ % NELEM(children)] = pid;
  }
  return pid;
}

// The status of this child, which must be the next to end.
int
wait_for(int pid)
{
  int status = 0;
  expect("wait", wait(&status), pid);
  return status;
}

// The status of a child that calls run(arg); 42 if that returns.
int
run_in_child(void (*run)(uint64_t), uint64_t arg)
{
  int pid = fork_or_fail();
  if (pid == 0) {
    run(arg);
    exit(42);
  }
  return wait_for(pid);
}

void
load(uint64_t address)
{
  *(volatile char *)address;
}

uint64_t
guard_page(void)
{
  static char data; // the last that exec() has put below the guard page, or near it
  char local;
  uint64_t lowest = PGROUNDDOWN(&data);
  for (uint64_t page = PGROUNDDOWN(&local) - PGSIZE; page > lowest; page -= PGSIZE)
    if (run_in_child(load, page) == -1)
      return page;
  fail("the guard page: expected a page below the stack that cannot be read, found "
       "none");
}

int
open_or_fail(const char *name, int flags)
{
  int fd = open(name, flags);
  if (fd < 0)
    fail("open %s with flags 0x%x: expected a file descriptor, got %d", name,
         (unsigned)flags, fd);
  return fd;
}

void
make_file(const char *name, const char *contents)
{
  int fd = open_or_fail(name, O_CREATE | O_TRUNC | O_WRONLY);
  int n = (int)strlen(contents);
  expect("write to a new file", write(fd, contents, n), n);
  close(fd);
}

static char
filling(int i, int seed)
{
  return (char)(seed + i + (i >> 8) * 3);
}

// Put bytes into buf that say where they belong.
void
fill(char *buf, int n, int seed)
{
  for (int i = 0; i < n; i++)
    buf[i] = filling(i, seed);
}

void
check_fill(const char *what, const char *buf, int n, int seed)
{
  for (int i = 0; i < n; i++)
    if (buf[i] != filling(i, seed))
      fail("%s: byte %d: expected %d, got %d", what, i, filling(i, seed), buf[i]);
}

char *
heap_end(void)
{
  return sbrk(0);
}

// sbrk(n) that must succeed. Returns where the new memory begins.
char *
grow(int n)
{
  char *old = sbrk(n);
  if (old == SBRK_FAILED)
    fail("sbrk(%d): expected memory, got -1", n);
  return old;
}

void
bad_addresses(uint64_t out[NBADADDRESSES])
{
  const uint64_t list[NBADADDRESSES] = {
      PGROUNDUP(heap_end()),
      CLINT,
      USERTOP - PGSIZE,
      PLIC,
      UART0,
      VIRTIO0,
      KSTACK,
      KERNBASE,
      PHYSTOP - PGSIZE,
      PHYSTOP,
      TRAPFRAME,
      TRAMPOLINE,
      MAXVA,
      1UL << 63,
      0xffffffff80000000UL,
      -(uint64_t)PGSIZE,
  };
  memcpy(out, list, sizeof(list));
}
