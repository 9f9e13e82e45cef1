// What happens when something runs out: the call fails, nothing is lost, and everything
// works again afterwards.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/memlayout.h"
#include "kernel/param.h"
#include "kernel/riscv.h"

#define STEP (1 << 20)

// Whether this kernel promises memory that it does not have, as the labs on lazy
// allocation and copy on write ask for. A process is then killed when it uses it.
static bool
overcommits(void)
{
  const int half = 72 * STEP; // of 128 MiB
  if (sbrk(half) == SBRK_FAILED)
    return false;
  int pid = fork();
  if (pid == 0)
    exit(0);
  bool lent = pid > 0 && wait_for(pid) == 0;
  sbrk(-half);
  if (lent)
    printf("%s: this kernel promises more memory than it has; not tried\n", test_name);
  return lent;
}

static void
memory_all(void)
{
  if (!reference_kernel() && overcommits())
    return;
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
  if (!reference_kernel() && overcommits())
    return;
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
  if (!reference_kernel() && overcommits())
    return;
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

// sbrk of the first page behind a page-table page's range takes pages for itself and
// for tables. With fewer than that it fails and takes none, wherever it was when there
// was none left.
static void
sbrk_nearly_none_left(void)
{
  uint64_t span = PTENTRIES * PGSIZE;
  grow((int)(span - (uint64_t)heap_end() % span));
  for (long spare = 0; spare <= 3; spare++) {
    struct hog hog = start_hog(spare);
    char *p = sbrk(PGSIZE);
    long left = free_pages();
    expect_true("sbrk to succeed with three pages free, and not with none or one",
                (p != SBRK_FAILED) == (spare == 3) || spare == 2);
    if (p == SBRK_FAILED)
      expect_true("a failed sbrk to keep a table page at most", left >= spare - 1);
    stop_hog(hog);
  }
}

// sbrk beyond the end of user memory is refused at once: nobody sees memory run low
// meanwhile.
static void
sbrk_limit_at_once(void)
{
  long before = free_pages();
  int watcher = fork_or_fail();
  if (watcher == 0) {
    long least = before;
    for (int end = uptime() + 5; uptime() < end;) {
      long now = free_pages();
      least = now < least ? now : least;
    }
    exit(before - least < 500 ? 0 : 1);
  }
  expect("result of sbrk beyond the end", (long)sbrk(USERTOP), (long)SBRK_FAILED);
  expect("status of a process that watches the free pages", wait_for(watcher), 0);
}

static const char *
disk_file(int i)
{
  static char name[] = "f0";
  name[1] = (char)('0' + i);
  return name;
}

// Write blocks into a new file, several at a time as long as possible, until it is as
// large as can be or the disk is full. Returns how many.
static int
fill_file(int i)
{
  static char piece[8 * BSIZE];
  int blocks = 0;
  int fd = open(disk_file(i), O_CREATE | O_TRUNC | O_WRONLY);
  if (fd < 0)
    return 0;
  for (int size = sizeof(piece); size >= BSIZE; size /= 2)
    while (blocks + size / BSIZE <= (int)MAXFILE && write(fd, piece, size) == size)
      blocks += size / BSIZE;
  struct stat st;
  expect("fstat", fstat(fd, &st), 0);
  close(fd);
  return (int)(st.size / BSIZE); // a write that failed may have written a part
}

// Fill the disk; then what one file gives back can be had again, no block more or less.
static void
disk_full(void)
{
  int files = 0, blocks;
  do
    blocks = fill_file(files++);
  while (blocks == (int)MAXFILE && files < 10);
  if (blocks == (int)MAXFILE) {
    printf("%s: this disk is too big to be filled quickly; not tried\n", test_name);
    return;
  }
  expect("mkdir on a full disk", mkdir("d"), -1);
  expect("blocks of the first file, written again", fill_file(0), MAXFILE);
  expect("mkdir on a full disk again", mkdir("d"), -1);
  for (int i = 0; i < files; i++)
    expect("unlink", unlink(disk_file(i)), 0);
  expect("mkdir with room again", mkdir("d"), 0);
  make_file("d/file", "works again");
}

static const char *
inode_file(int i)
{
  static char name[] = "i000";
  name[1] = (char)('0' + i / 100);
  name[2] = (char)('0' + i / 10 % 10);
  name[3] = (char)('0' + i % 10);
  return name;
}

// Make files from this number on until there is no inode left. Returns the number that
// could not be made.
static int
make_files(int i)
{
  for (; i < 1000; i++) {
    int fd = open(inode_file(i), O_CREATE | O_RDWR);
    if (fd < 0)
      break;
    close(fd);
  }
  return i;
}

// Files until there is no inode left; then as many again as were removed.
static void
inodes_all(void)
{
  int n = make_files(0);
  if (n == 1000) {
    printf("%s: this disk has too many inodes to use all quickly; not tried\n",
           test_name);
    return;
  }
  expect_true("some inodes to be free", n > 10);
  expect("mkdir without an inode", mkdir("d"), -1);
  expect("mknod without an inode", mknod("d", CONSOLE, 0), -1);
  for (int i = n - 5; i < n; i++)
    expect("unlink", unlink(inode_file(i)), 0);
  expect("files after 5 were removed and made again", make_files(n - 5), n);
  for (int i = 0; i < n; i++)
    expect("unlink", unlink(inode_file(i)), 0);
  expect("mkdir with inodes again", mkdir("d"), 0);
}

const struct test exhaustion_tests[] = {
    {"memory_all", memory_all, SLOW},
    {"memory_back", memory_back, SLOW},
    {"memory_none_left", memory_none_left, SLOW},
    {"memory_forks", memory_forks, SLOW},
    {"sbrk_limit_at_once", sbrk_limit_at_once, REFERENCE},
    {"sbrk_nearly_none_left", sbrk_nearly_none_left, SLOW | REFERENCE},
    // xv6 until 2021 panics when its disk is full, or no inode is left.
    {"disk_full", disk_full, SLOW | REFERENCE},
    {"inodes_all", inodes_all, SLOW | REFERENCE},
    {0, 0, 0},
};
