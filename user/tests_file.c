// Open files, their contents and offsets.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"

static void
file_write_read(void)
{
  static char buf[3000];
  static const int sizes[] = {1, 511, 512, 513, 1023, 1024, 1025, 2048, 3000};
  for (size_t i = 0; i < NELEM(sizes); i++) {
    int n = sizes[i];
    fill(buf, n, n);
    int fd = open_or_fail("data", O_CREATE | O_TRUNC | O_RDWR);
    expect("write", write(fd, buf, n), n);
    close(fd);
    memset(buf, 0, sizeof(buf));
    fd = open_or_fail("data", O_RDONLY);
    expect("read of more than there is", read(fd, buf, sizeof(buf)), n);
    check_fill("byte of the file", buf, n, n);
    expect("read at the end", read(fd, buf, sizeof(buf)), 0);
    close(fd);
  }
}

// Written in pieces of one size, read in pieces of another.
static void
file_pieces(void)
{
  static char all[5000], buf[700];
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  fill(all, sizeof(all), 5);
  for (int done = 0; done < 5000; done += 125)
    expect("write", write(fd, all + done, 125), 125);
  close(fd);
  fd = open_or_fail("data", O_RDONLY);
  memset(all, 0, sizeof(all));
  int done = 0, n;
  while ((n = read(fd, buf, 699)) > 0) {
    memcpy(all + done, buf, (size_t)n);
    done += n;
  }
  expect("bytes read", done, 5000);
  check_fill("byte of the file", all, 5000, 5);
}

// The largest file there can be, and not a byte more.
static void
file_largest(void)
{
  static char piece[3 * BSIZE];
  const int largest = MAXFILE * BSIZE;
  int fd = open_or_fail("big", O_CREATE | O_RDWR);
  for (int done = 0, n; done < largest; done += n) {
    n = largest - done < (int)sizeof(piece) ? largest - done : (int)sizeof(piece);
    fill(piece, n, done / BSIZE);
    expect("write of 3 blocks", write(fd, piece, n), n);
  }
  if (!reference_kernel() && write(fd, piece, 1) == 1) {
    printf("%s: this file system has larger files; not tried further\n", test_name);
    return;
  }
  expect_true("no byte to go past the largest size", write(fd, piece, 1) <= 0);
  struct stat st;
  expect("fstat", fstat(fd, &st), 0);
  expect("size", (long)st.size, largest);
  close(fd);
  fd = open_or_fail("big", O_RDONLY);
  for (int done = 0, n; done < largest; done += n) {
    n = read(fd, piece, sizeof(piece));
    expect("read of 3 blocks", n,
           largest - done < (int)sizeof(piece) ? largest - done : (int)sizeof(piece));
    check_fill("byte of the largest file", piece, n, done / BSIZE);
  }
  expect("read at the end", read(fd, piece, 1), 0);
}

static void
file_truncate(void)
{
  struct stat st;
  char buf[20];
  make_file("data", "a long line of text");
  int old = open_or_fail("data", O_RDONLY);
  int fd = open_or_fail("data", O_WRONLY | O_TRUNC);
  expect("fstat", fstat(fd, &st), 0);
  expect("size after O_TRUNC", (long)st.size, 0);
  expect("read through an earlier descriptor", read(old, buf, sizeof(buf)), 0);
  expect("write", write(fd, "xyz", 3), 3);
  expect("read of the new contents", read(old, buf, sizeof(buf)), 3);
  fd = open_or_fail("data", O_WRONLY);
  expect("write without O_TRUNC", write(fd, "X", 1), 1);
  fd = open_or_fail("data", O_RDONLY);
  expect("read", read(fd, buf, sizeof(buf)), 3);
  expect("the bytes differ", memcmp(buf, "Xyz", 3), 0);
}

static void
file_modes(void)
{
  char c;
  expect("open of a missing file", open("missing", O_RDONLY), -1);
  expect("open of a missing file for writing", open("missing", O_WRONLY), -1);
  make_file("data", "x");
  int fd = open_or_fail("data", O_RDONLY);
  expect("write to a file opened for reading", write(fd, "y", 1), -1);
  fd = open_or_fail("data", O_WRONLY);
  expect("read of a file opened for writing", read(fd, &c, 1), -1);
  fd = open_or_fail("data", O_CREATE | O_RDONLY);
  expect("read of a file opened with O_CREATE", read(fd, &c, 1), 1);
  expect("its byte", c, 'x');
}

static void
file_descriptors(void)
{
  static const int bad[] = {-1, NOFILE, NOFILE + 1, 100, INT32_MAX, INT32_MIN, 9};
  char c;
  struct stat st;
  for (size_t i = 0; i < NELEM(bad); i++) {
    expect("read of a bad descriptor", read(bad[i], &c, 1), -1);
    expect("write to a bad descriptor", write(bad[i], "x", 1), -1);
    expect("close of a bad descriptor", close(bad[i]), -1);
    expect("dup of a bad descriptor", dup(bad[i]), -1);
    expect("fstat of a bad descriptor", fstat(bad[i], &st), -1);
  }
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  expect("the lowest free descriptor", fd, 3);
  expect("dup", dup(fd), 4);
  expect("close", close(3), 0);
  expect("close again", close(3), -1);
  expect("the lowest free descriptor again", dup(4), 3);
}

static void
file_open_limit(void)
{
  for (int round = 0; round < 2; round++) {
    for (int fd = 3; fd < NOFILE; fd++)
      expect("open", open("data", O_CREATE | O_RDWR), fd);
    expect("open of one more", open("data", O_RDWR), -1);
    expect("open of one more, new file", open("new", O_CREATE | O_RDWR), -1);
    expect("dup", dup(3), -1);
    int fds[2];
    expect("pipe", pipe(fds), -1);
    for (int fd = 3; fd < NOFILE; fd++)
      expect("close", close(fd), 0);
  }
}

// More files open in the whole system than there is room for.
static void
file_system_limit(void)
{
  int ready[2], hold[2];
  int total = 0;
  expect("pipe", pipe(ready), 0);
  expect("pipe", pipe(hold), 0);
  for (int i = 0; i < 12; i++) {
    if (fork_or_fail() == 0) {
      char opened = 0, c;
      close(hold[1]);
      while (open("data", O_CREATE | O_RDWR) >= 0)
        opened++;
      write(ready[1], &opened, 1);
      read(hold[0], &c, 1);
      exit(0);
    }
    char opened;
    expect("read of a child's count", read(ready[0], &opened, 1), 1);
    total += opened;
  }
  close(hold[0]);
  close(hold[1]);
  for (int i = 0; i < 12; i++)
    expect_true("wait to find every child", wait(0) > 0);
  if (total < NFILE - 30)
    fail("files open at a time: expected nearly %d, got %d", NFILE, total);
  close(open_or_fail("data", O_RDONLY));
}

// dup and fork share the offset; a second open does not.
static void
file_offsets(void)
{
  char c[4];
  make_file("data", "0123456789");
  int fd = open_or_fail("data", O_RDONLY);
  int copy = dup(fd);
  int other = open_or_fail("data", O_RDONLY);
  expect("read", read(fd, c, 2), 2);
  expect("read through the copy", read(copy, c, 1), 1);
  expect("byte through the copy", c[0], '2');
  expect("read through another open", read(other, c, 1), 1);
  expect("byte through another open", c[0], '0');
  int pid = fork_or_fail();
  if (pid == 0) {
    read(fd, c, 3);
    exit(c[0]);
  }
  expect("byte that the child read", wait_for(pid), '3');
  expect("read after the child", read(fd, c, 1), 1);
  expect("byte after the child's", c[0], '6');
  close(fd);
  expect("read through the copy of a closed descriptor", read(copy, c, 1), 1);
  expect("its byte", c[0], '7');
}

// Two processes append through one offset: no record is torn or lost.
static void
file_shared_append(void)
{
  char record[10];
  int count[2] = {0, 0};
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  int pid = fork_or_fail();
  memset(record, pid == 0 ? 'c' : 'p', sizeof(record));
  for (int i = 0; i < 200; i++)
    expect("write of a record", write(fd, record, sizeof(record)), sizeof(record));
  if (pid == 0)
    exit(0);
  expect("status of the child", wait_for(pid), 0);
  fd = open_or_fail("data", O_RDONLY);
  while (read(fd, record, sizeof(record)) == sizeof(record)) {
    for (size_t i = 1; i < sizeof(record); i++)
      expect("byte of a record", record[i], record[0]);
    count[record[0] == 'c']++;
  }
  expect("records of the child", count[1], 200);
  expect("records of the parent", count[0], 200);
}

static void
file_unlinked(void)
{
  char buf[8];
  int fd = open_or_fail("data", O_CREATE | O_RDWR);
  expect("write", write(fd, "before", 6), 6);
  expect("unlink of an open file", unlink("data"), 0);
  expect("open of the unlinked name", open("data", O_RDONLY), -1);
  expect("write after unlink", write(fd, "after", 5), 5);
  make_file("data", "new");
  struct stat old, new;
  expect("fstat", fstat(fd, &old), 0);
  expect("links of the unlinked file", old.nlink, 0);
  expect("its size", (long)old.size, 11);
  expect("stat", stat("data", &new), 0);
  expect_true("a new file of the same name to have another inode", old.ino != new.ino);
  close(fd);
  fd = open_or_fail("data", O_RDONLY);
  expect("read of the new file", read(fd, buf, sizeof(buf)), 3);
}

static void
file_fstat(void)
{
  struct stat st, again;
  make_file("data", "12345");
  expect("stat of a file", stat("data", &st), 0);
  expect("its type", st.type, T_FILE);
  expect("its size", (long)st.size, 5);
  expect("its links", st.nlink, 1);
  expect("its device", st.dev, ROOTDEV);
  expect("mkdir", mkdir("d"), 0);
  expect("stat of a directory", stat("d", &again), 0);
  expect("its type", again.type, T_DIR);
  expect_true("different inodes to have different numbers", st.ino != again.ino);
  expect("stat of the root", stat("/", &st), 0);
  expect("its inode", st.ino, ROOTINO);
  expect("fstat of the console", fstat(1, &st), 0);
}

static void
device_files(void)
{
  struct stat st;
  char c;
  expect("mknod", mknod("console2", CONSOLE, 0), 0);
  expect("mknod of a name that is there", mknod("console2", CONSOLE, 0), -1);
  int fd = open_or_fail("console2", O_WRONLY);
  expect("write of no byte to the console", write(fd, "", 0), 0);
  expect("fstat", fstat(fd, &st), 0);
  expect("type", st.type, T_DEVICE);
  expect("mknod with a major number that is not there", mknod("none", 9, 0), 0);
  fd = open("none", O_RDWR);
  if (fd >= 0) {
    expect("read of a device that is not there", read(fd, &c, 1), -1);
    expect("write to a device that is not there", write(fd, "x", 1), -1);
  }
  expect("mknod with major number 1000", mknod("far", 1000, 0), 0);
  expect("open of major number 1000", open("far", O_RDWR), -1);
  expect("mknod with major number -1", mknod("negative", -1, 0), 0);
  expect("open of major number -1", open("negative", O_RDWR), -1);
}

// The page counters, read as a file, say the same as the system call.
static void
device_statistics(void)
{
  static char text[512];
  struct pagestat now;
  expect("mknod", mknod("counters", STATISTICS, 0), 0);
  int fd = open_or_fail("counters", O_RDONLY);
  int n, used = 0;
  pagestat(&now);
  while ((n = read(fd, text + used, (int)sizeof(text) - 1 - used)) > 0)
    used += n;
  text[used] = '\0';
  expect_true("text that begins with total", memcmp(text, "total ", 6) == 0);
  uint64_t total = 0;
  for (char *p = text + 6; *p >= '0' && *p <= '9'; p++)
    total = total * 10 + (uint64_t)(*p - '0');
  expect("its number", (long)total, (long)now.total);
}

const struct test file_tests[] = {
    {"file_write_read", file_write_read, ANYWHERE},
    {"file_pieces", file_pieces, ANYWHERE},
    {"file_largest", file_largest, ANYWHERE},
    {"file_truncate", file_truncate, ANYWHERE},
    {"file_modes", file_modes, ANYWHERE},
    {"file_descriptors", file_descriptors, ANYWHERE},
    {"file_open_limit", file_open_limit, ANYWHERE},
    {"file_system_limit", file_system_limit, CROWDED},
    {"file_offsets", file_offsets, ANYWHERE},
    {"file_shared_append", file_shared_append, ANYWHERE},
    {"file_unlinked", file_unlinked, ANYWHERE},
    {"file_fstat", file_fstat, ANYWHERE},
    {"device_files", device_files, ANYWHERE},
    {"device_statistics", device_statistics, REFERENCE},
    {0, 0, 0},
};
