// System calls with pointers that the kernel must not follow.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/param.h"
#include "kernel/riscv.h"
#include "kernel/memlayout.h"

static void
refuse_all_calls(const char *where, uint64_t bad)
{
  void *p = (void *)bad;
  int fds[2];
  expect("pipe", pipe(fds), 0);
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  struct stat st;

  int wrote = write(fd, p, 100);
  if (wrote != -1 && reference_kernel()) // see kernel_reads()
    fail("write from %s %p to a file: expected -1", where, p);
  expect("fstat", fstat(fd, &st), 0);
  if (st.size != 0)
    fail("write from %s %p: expected no byte in the file, got %lu", where, p, st.size);
  close(fd);
  fd = open_or_fail("data", O_RDWR); // that write may have moved the offset
  expect_refused("write from a bad address to a pipe", write(fds[1], p, 100));
  expect_refused("write from a bad address to the console", write(1, p, 100));
  expect("write good bytes to the file", write(fd, "0123456789", 10), 10);
  close(fd);
  fd = open_or_fail("data", O_RDONLY);
  expect_refused("read of a file to a bad address", read(fd, p, 10));
  expect("write to the pipe", write(fds[1], "x", 1), 1);
  expect_refused("read of a pipe to a bad address", read(fds[0], p, 1));
  if (fstat(fd, p) != -1)
    fail("fstat to %s %p: expected -1", where, p);
  if (open(p, O_RDONLY) != -1 || unlink(p) != -1 || mkdir(p) != -1 || chdir(p) != -1 ||
      link(p, "new") != -1 || link("data", p) != -1 || mknod(p, 1, 0) != -1)
    fail("a path at %s %p: expected -1", where, p);
  close(fd);
  close(fds[0]);
  close(fds[1]);
  expect("unlink", unlink("data"), 0);
}

static void
copy_bad(void)
{
  uint64_t bad[NBADADDRESSES];
  bad_addresses(bad);
  for (int i = 0; i < NBADADDRESSES; i++)
    refuse_all_calls("address", bad[i]);
}

static void
copy_guard(void)
{
  refuse_all_calls("the guard page,", guard_page());
}

// The kernel must not write through addresses near the top of the address space.
static void
copy_wrap(void)
{
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  expect("whether the kernel reads -100 .. 100", kernel_reads((void *)-100L, 200), 0);
  expect("whether the kernel reads -1 .. 0", kernel_reads((void *)-1L, 2), 0);
  if (reference_kernel()) {
    expect("write of -100 .. 100", write(fd, (void *)-100L, 200), -1);
    expect("write of -1 .. 0", write(fd, (void *)-1L, 2), -1);
  }
  expect("write of INT_MAX bytes", write(fd, &fd, INT32_MAX) > 0 ? 1 : 0, 0);
  expect("write of -1 bytes", write(fd, &fd, -1), -1);
  char buf[8];
  expect_true("read of -1 bytes to fail or give nothing", read(fd, buf, -1) <= 0);
  expect("write of 0 bytes", write(fd, &fd, 0), 0);
}

// Strings: in the last bytes of memory, over a page boundary, without an end.
static void
copy_string_end(void)
{
  make_file("f", "x");
  heap_end();
  grow((int)(-(uint64_t)heap_end() % PGSIZE) + 2 * PGSIZE);
  char *end = heap_end();
  expect("alignment of the end of memory", (uint64_t)end % PGSIZE, 0);

  strcpy(end - 2, "f");
  int fd = open(end - 2, O_RDONLY);
  expect_true("open of a name in the last bytes of memory to succeed", fd >= 0);
  close(fd);
  strcpy(end - PGSIZE - 3, "./////f");
  fd = open(end - PGSIZE - 3, O_RDONLY);
  expect_true("open of a name over a page boundary to succeed", fd >= 0);
  close(fd);
  end[-1] = 'f';
  expect("open of a name that runs out of memory", open(end - 1, O_RDONLY), -1);
  memset(end - 64, '/', 64);
  expect("open of 64 bytes without an end", open(end - 64, O_RDONLY), -1);
  expect("unlink of 64 bytes without an end", unlink(end - 64), -1);
  char *argv[] = {end - 1, 0};
  expect("exec with an argument that runs out of memory", exec("/echo", argv), -1);
}

static void
copy_path_limit(void)
{
  char path[MAXPATH + 2];
  make_file("f", "x");
  memset(path, '/', sizeof(path));
  path[0] = '.';
  path[MAXPATH - 2] = 'f';
  path[MAXPATH - 1] = '\0';
  int fd = open(path, O_RDONLY);
  expect_true("open of a path of 127 bytes to succeed", fd >= 0);
  path[MAXPATH - 2] = '/';
  path[MAXPATH - 1] = 'f';
  path[MAXPATH] = '\0';
  expect("open of a path of 128 bytes", open(path, O_RDONLY), -1);
}

// Buffers that begin in memory and end outside.
static void
copy_straddle(void)
{
  static char back[64];
  char *end = grow((int)(-(uint64_t)heap_end() % PGSIZE) + PGSIZE);
  end = heap_end();
  memset(end - 32, 's', 32);
  int fds[2];
  expect("pipe", pipe(fds), 0);
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  if (reference_kernel()) { // else see kernel_reads()
    expect("write of 32 bytes in and 32 outside memory", write(fd, end - 32, 64), -1);
    // The pgtbl lab's own vmcopyin.c of 2020 refuses memory's last byte.
    expect("write of the last 32 bytes", write(fd, end - 32, 32), 32);
  } else {
    expect("write of 32 bytes before the last", write(fd, end - 33, 32), 32);
  }
  expect_true("a pipe to take at most the bytes in memory",
              write(fds[1], end - 32, 64) <= 32);
  close(fds[1]);
  expect_true("read of the pipe to work", read(fds[0], back, sizeof(back)) <= 32);
  close(fd);
  fd = open_or_fail("data", O_RDONLY);
  expect_refused("read of 32 bytes to the last 16", read(fd, end - 16, 32));
  if (reference_kernel()) {
    expect("fstat over the end of memory", fstat(fd, (struct stat *)(end - 8)), -1);
    expect("pipe over the end of memory", pipe((int *)(end - 4)), -1);
  }
}

// After sbrk(-n) the kernel must not reach the old pages either.
static void
copy_freed(void)
{
  char *old = grow((int)(-(uint64_t)heap_end() % PGSIZE));
  old = grow(5 * PGSIZE);
  fill(old, 5 * PGSIZE, 1);
  strcpy(old + 3 * PGSIZE, "data");
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  expect("write from fresh memory", write(fd, old, 4 * PGSIZE), 4 * PGSIZE);
  grow(-5 * PGSIZE);
  for (int page = 0; page < 5; page++) {
    char *p = old + page * PGSIZE;
    if (kernel_reads(p, 10))
      fail("freed page %d of 5: expected the kernel not to read it", page + 1);
    if (open(p, O_RDONLY) != -1)
      fail("open of a name in freed page %d of 5: expected -1", page + 1);
  }
  close(fd);
  fd = open_or_fail("data", O_RDONLY);
  expect_refused("read to a freed page", read(fd, old, 10));
  expect("growing again", grow(PGSIZE) == old, 1);
  expect("first byte of memory that came back", old[0], 0);
  expect("read to memory that came back", read(fd, old, 10), 10);
}

static void
peek_freed(uint64_t address)
{
  exit(kernel_reads((void *)address, 8));
}

// The same, for a child of the process that gave the pages back.
static void
copy_freed_fork(void)
{
  char *old = grow(3 * PGSIZE);
  fill(old, 3 * PGSIZE, 1);
  grow(-3 * PGSIZE);
  uint64_t gone = PGROUNDUP(old);
  expect("whether the kernel reads, in a child, a page freed before fork",
         run_in_child(peek_freed, gone), 0);
}

// A new program is smaller than the old one was: the kernel must not see what was
// there.
static void
copy_exec(void)
{
  char *old = grow(64 * PGSIZE);
  fill(old, 64 * PGSIZE, 1);
  for (int page = 1; page < 64; page += 20) {
    char number[20];
    uint64_t address = PGROUNDUP(old) + page * PGSIZE;
    int n = 0;
    for (int shift = 28; shift >= 0; shift -= 4)
      number[n++] = "0123456789abcdef"[(address >> shift) & 15];
    number[n] = '\0';
    int pid = fork_or_fail();
    if (pid == 0) {
      char *argv[] = {self, "@peek", number, 0};
      exec(self, argv);
      fail("exec %s: expected a new program, got -1", self);
    }
    expect("new program writes from the old one's memory", wait_for(pid), 0);
  }
}

static void
copy_text(void)
{
  make_file("data", "0123456789");
  int fd = open_or_fail("data", O_RDONLY);
  char *text = (char *)(uint64_t)copy_text;
  char before = *text;
  expect("read to the program's text", read(fd, text, 10), -1);
  expect("byte of the program's text", *text, before);
  expect("fstat to the program's text", fstat(fd, (struct stat *)text), -1);
  expect("write from the program's text",
         write(open_or_fail("t", O_CREATE | O_RDWR), text, 10), 10);
}

static void
copy_pointers(void)
{
  uint64_t bad[NBADADDRESSES];
  bad_addresses(bad);
  for (int i = 0; i < NBADADDRESSES; i++) {
    char *argv[] = {"echo", (char *)bad[i], 0};
    expect("pipe to a bad address", pipe((int *)bad[i]), -1);
    expect("exec with a bad argv", exec("/echo", (char **)bad[i]), -1);
    expect("exec with a bad argument", exec("/echo", argv), -1);
    expect("exec of a path at a bad address", exec((char *)bad[i], argv), -1);
  }
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  expect("next file descriptor after failed pipes", fd, 3);
}

// The child is still there to be waited for after a wait() that could not say how it
// ended.
static void
copy_wait(void)
{
  int pid = fork_or_fail();
  if (pid == 0)
    exit(5);
  expect("wait with a bad address", wait((int *)KERNBASE), -1);
  expect("status at the second wait", wait_for(pid), 5);
  expect("wait without children", wait(0), -1);
}

// Both sides of a fork can hand their memory to the kernel, and neither sees the
// other's.
static void
copy_fork(void)
{
  int fds[2];
  expect("pipe", pipe(fds), 0);
  char *heap = grow(4 * PGSIZE);
  fill(heap, 4 * PGSIZE, 9);
  int pid = fork_or_fail();
  if (pid == 0) {
    check_fill("child's copy of the heap", heap, 4 * PGSIZE, 9);
    memset(heap, 'c', 4 * PGSIZE);
    exit(write(fds[1], heap + PGSIZE - 50, 100) == 100 ? 0 : 1);
  }
  expect("status of the child", wait_for(pid), 0);
  check_fill("parent's heap", heap, 4 * PGSIZE, 9);
  expect("read of what the child wrote", read(fds[0], heap + 2 * PGSIZE - 50, 100),
         100);
  for (int i = 0; i < 100; i++)
    expect("byte from the child", heap[2 * PGSIZE - 50 + i], 'c');
}

const struct test copy_tests[] = {
    {"copy_bad", copy_bad, ANYWHERE},
    {"copy_guard", copy_guard, ANYWHERE},
    {"copy_wrap", copy_wrap, ANYWHERE},
    {"copy_string_end", copy_string_end, ANYWHERE},
    {"copy_path_limit", copy_path_limit, ANYWHERE},
    {"copy_straddle", copy_straddle, ANYWHERE},
    {"copy_freed", copy_freed, ANYWHERE},
    {"copy_freed_fork", copy_freed_fork, ANYWHERE},
    {"copy_exec", copy_exec, ANYWHERE},
    {"copy_text", copy_text, REFERENCE},
    {"copy_pointers", copy_pointers, ANYWHERE},
    {"copy_wait", copy_wait, ANYWHERE},
    {"copy_fork", copy_fork, ANYWHERE},
    {0, 0, 0},
};
