// What happens when something runs out: the call fails, nothing is lost, and everything
// works again afterwards.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"
#include "kernel/riscv.h"

#define STEP (1 << 20)

// Take memory in steps, ever smaller, until there is none. Returns pages.
static long
take_all_memory(void)
{
  char *start = heap_end();
  for (int step = STEP; step >= PGSIZE; step /= 2) {
    char *p;
    while ((p = sbrk(step)) != SBRK_FAILED)
      for (int i = 0; i < step; i += PGSIZE)
        p[i] = 1;
  }
  return (heap_end() - start) / PGSIZE;
}

static void
memory_all(void)
{
  static long pages[3];
  int fds[2];
  expect("pipe", pipe(fds), 0);
  for (int round = 0; round < 3; round++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      pages[round] = take_all_memory();
      write(fds[1], &pages[round], sizeof(pages[round]));
      exit(0);
    }
    expect("status of the child", wait_for(pid), 0);
    expect("read", read(fds[0], &pages[round], sizeof(pages[round])),
           sizeof(pages[round]));
    if (pages[round] < 1000)
      fail("pages that one process could take: expected 1000 or more, got %ld",
           pages[round]);
    expect("pages that could be taken, as in the first round", pages[round], pages[0]);
  }
}

// All memory taken and given back by one process, down to the last page.
static void
memory_back(void)
{
  char *start = heap_end();
  long pages = take_all_memory();
  for (int round = 0; round < 2; round++) {
    sbrk((int)(start - heap_end()));
    expect("end of memory after giving all back", heap_end() - start, 0);
    expect("pages that could be taken again", take_all_memory(), pages);
  }
}

// Every call with no page left. It may succeed, if it needs none; it must not stop the
// machine, and afterwards must work.
static void
without_memory(uint64_t unused)
{
  (void)unused;
  int fds[2], status;
  char *argv[] = {self, "@exit", "3", 0};
  char buf[8];
  long pages = take_all_memory();
  for (int spare = 0; spare < 16; spare++) {
    int pid = fork();
    if (pid == 0)
      exit(0);
    if (pid > 0)
      exit(1); // a copy of all that memory cannot exist
    expect("exec without memory", exec(self, argv), -1);
    if (pipe(fds) == 0) {
      write(fds[1], "x", 1);
      expect("read of a pipe", read(fds[0], buf, 1), 1);
      close(fds[0]);
      close(fds[1]);
    }
    int fd = open("file", O_CREATE | O_RDWR);
    if (fd >= 0) {
      write(fd, "y", 1);
      close(fd);
    }
    expect("wait without children", wait(&status), -1);
    sbrk(-PGSIZE); // once more with one page to spare
  }
  sbrk(-(int)(pages / 2) * PGSIZE);
  sbrk(-(int)(pages / 4) * PGSIZE);
  int pid = fork_or_fail();
  if (pid == 0) {
    exec(self, argv);
    exit(100);
  }
  exit(wait_for(pid) == 3 ? 0 : 2);
}

static void
memory_none_left(void)
{
  expect("status of a process that tries every call", run_in_child(without_memory, 0),
         0);
  expect("unlink", unlink("file"), 0);
}

// Forks of a big process until memory runs out.
static void
memory_forks(void)
{
  char *p = grow(12 * STEP);
  for (int i = 0; i < 12 * STEP; i += PGSIZE)
    p[i] = (char)(i >> PGSHIFT);
  int hold[2];
  char c;
  expect("pipe", pipe(hold), 0);
  int children = 0;
  for (; children < NPROC; children++) {
    int pid = fork();
    if (pid < 0)
      break;
    if (pid == 0) {
      close(hold[1]);
      read(hold[0], &c, 1);
      exit(p[100 * PGSIZE] == 100 ? 0 : 1);
    }
  }
  close(hold[0]);
  close(hold[1]);
  expect_true("some forks of a process of 12 MiB to succeed", children > 0);
  for (int i = 0; i < children; i++) {
    int status;
    expect_true("wait to find every child", wait(&status) > 0);
    expect("status of a child", status, 0);
  }
  int pid = fork_or_fail();
  if (pid == 0)
    exit(0);
  expect("status of a child afterwards", wait_for(pid), 0);
}

// Write into files f0, f1 … until the disk is full. Returns blocks.
static int
fill_disk(int *files)
{
  static char block[BSIZE];
  char name[] = "f0";
  int blocks = 0;
  for (*files = 0; *files < 10; ++*files) {
    name[1] = (char)('0' + *files);
    int fd = open(name, O_CREATE | O_RDWR);
    if (fd < 0)
      return blocks;
    int n = 0;
    while (n < (int)MAXFILE && write(fd, block, BSIZE) == BSIZE)
      n++;
    close(fd);
    blocks += n;
    if (n < (int)MAXFILE) {
      ++*files;
      return blocks;
    }
  }
  return blocks;
}

static void
disk_full(void)
{
  int blocks = 0;
  for (int round = 0; round < 2; round++) {
    int files;
    int n = fill_disk(&files);
    if (files == 10) {
      printf("%s: this disk is too big to be filled quickly; not tried\n", test_name);
      return;
    }
    expect_true("some blocks to be free", n > 0);
    expect_true("mkdir on a full disk to fail or succeed, not more", mkdir("d") <= 0);
    unlink("d");
    char name[] = "f0";
    for (int i = 0; i < files; i++) {
      name[1] = (char)('0' + i);
      expect("unlink", unlink(name), 0);
    }
    if (round == 0)
      blocks = n;
    expect("blocks that could be written, as in the first round", n, blocks);
  }
  make_file("after", "works again");
}

static void
number_name(char *name, int i)
{
  name[1] = (char)('0' + i / 100);
  name[2] = (char)('0' + i / 10 % 10);
  name[3] = (char)('0' + i % 10);
}

// Files until there is no inode left.
static void
inodes_all(void)
{
  char name[] = "i000";
  int first = 0;
  for (int round = 0; round < 2; round++) {
    int n = 0;
    for (; n < 1000; n++) {
      number_name(name, n);
      int fd = open(name, O_CREATE | O_RDWR);
      if (fd < 0)
        break;
      close(fd);
    }
    if (n < 1000)
      expect("mkdir without an inode", mkdir("d"), -1);
    for (int i = 0; i < n; i++) {
      number_name(name, i);
      expect("unlink", unlink(name), 0);
    }
    expect_true("some inodes to be free", n > 10);
    if (round == 0)
      first = n;
    expect("files that could be made, as in the first round", n, first);
  }
}

const struct test exhaustion_tests[] = {
    {"memory_all", memory_all, SLOW},
    {"memory_back", memory_back, SLOW},
    {"memory_none_left", memory_none_left, SLOW},
    {"memory_forks", memory_forks, SLOW},
    {"disk_full", disk_full, SLOW},
    {"inodes_all", inodes_all, SLOW},
    {0, 0, 0},
};
