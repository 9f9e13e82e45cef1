// Pipes.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/param.h"

static void
make_pipe(int fds[2])
{
  expect("pipe", pipe(fds), 0);
}

static void
pipe_order(void)
{
  int fds[2];
  char buf[16];
  make_pipe(fds);
  expect("first write", write(fds[1], "abc", 3), 3);
  expect("second write", write(fds[1], "defg", 4), 4);
  expect("read of 2", read(fds[0], buf, 2), 2);
  expect("read of what is left", read(fds[0], buf + 2, 14), 5);
  expect("the bytes differ", memcmp(buf, "abcdefg", 7), 0);
}

// One process writes, another reads, in pieces of different sizes.
static void
pass_through(int total, int piece_in, int piece_out)
{
  static char out[6000], in[6000];
  int fds[2];
  make_pipe(fds);
  int pid = fork_or_fail();
  if (pid == 0) {
    close(fds[0]);
    fill(out, total, 3);
    for (int done = 0; done < total;) {
      int n = total - done < piece_in ? total - done : piece_in;
      expect("write to the pipe", write(fds[1], out + done, n), n);
      done += n;
    }
    exit(0);
  }
  close(fds[1]);
  int done = 0, n;
  while ((n = read(fds[0], in + done, piece_out)) > 0)
    done += n;
  expect("read at the end", n, 0);
  expect("bytes that came through", done, total);
  check_fill("bytes through a pipe", in, total, 3);
  close(fds[0]);
  expect("status of the writer", wait_for(pid), 0);
}

static void
pipe_sizes(void)
{
  static const int sizes[] = {1, 511, 512, 513, 4095};
  for (size_t i = 0; i < NELEM(sizes); i++) {
    int total = sizes[i] == 1 ? 600 : 4500;
    pass_through(total, sizes[i], 1500);
    pass_through(total, 1500, sizes[i]);
  }
}

static void
pipe_eof(void)
{
  int fds[2];
  char c;
  make_pipe(fds);
  int copy = dup(fds[1]);
  write(fds[1], "x", 1);
  close(fds[1]);
  expect("read while a copy of the write end is open", read(fds[0], &c, 1), 1);
  close(copy);
  expect("read after the last write end is closed", read(fds[0], &c, 1), 0);
  expect("read again", read(fds[0], &c, 1), 0);
}

// xv6 of 2020 and before looks for a reader only when the pipe is full.
static void
pipe_no_reader(void)
{
  static char more[600]; // than a pipe has room for
  int fds[2];
  make_pipe(fds);
  close(fds[0]);
  if (reference_kernel())
    expect("write without a reader", write(fds[1], "x", 1), -1);
  expect("write of 600 bytes without a reader", write(fds[1], more, 600), -1);
}

// A writer that waits for room must not wait for ever when the reader goes.
static void
pipe_reader_goes(void)
{
  static char buf[3000];
  int fds[2];
  make_pipe(fds);
  int pid = fork_or_fail();
  if (pid == 0) {
    close(fds[0]);
    exit(write(fds[1], buf, sizeof(buf)) == -1 ? 0 : 1);
  }
  close(fds[1]);
  sleep(1);
  close(fds[0]);
  expect("status of the writer", wait_for(pid), 0);
}

// As soon as there is a byte, a waiting reader gets it.
static void
pipe_wakes_reader(void)
{
  int fds[2], back[2];
  char c = 0;
  make_pipe(fds);
  make_pipe(back);
  int pid = fork_or_fail();
  if (pid == 0) {
    for (int i = 0; i < 100; i++) {
      expect("read in the child", read(fds[0], &c, 1), 1);
      c++;
      expect("write in the child", write(back[1], &c, 1), 1);
    }
    exit(0);
  }
  for (int i = 0; i < 100; i++) {
    char answer;
    c = (char)i;
    expect("write", write(fds[1], &c, 1), 1);
    expect("read", read(back[0], &answer, 1), 1);
    expect("answer", answer, (char)(i + 1));
  }
  expect("status of the child", wait_for(pid), 0);
}

static void
pipe_wrong_end(void)
{
  int fds[2];
  char c;
  make_pipe(fds);
  expect("write to the read end", write(fds[0], "x", 1), -1);
  expect("read from the write end", read(fds[1], &c, 1), -1);
  struct stat st;
  expect("fstat of a pipe", fstat(fds[0], &st), -1);
}

// Several writers, one reader: every byte arrives once.
static void
pipe_writers(void)
{
  int fds[2];
  char buf[100];
  int count[4] = {0, 0, 0, 0};
  make_pipe(fds);
  for (int w = 0; w < 4; w++) {
    if (fork_or_fail() == 0) {
      memset(buf, w, sizeof(buf));
      for (int i = 0; i < 30; i++)
        expect("write", write(fds[1], buf, sizeof(buf)), sizeof(buf));
      exit(0);
    }
  }
  close(fds[1]);
  int n;
  while ((n = read(fds[0], buf, sizeof(buf))) > 0) {
    for (int i = 0; i < n; i++) {
      if ((uint8_t)buf[i] > 3)
        fail("byte from a pipe: expected 0 to 3, got %d", buf[i]);
      count[(int)buf[i]]++;
    }
  }
  for (int w = 0; w < 4; w++) {
    expect("bytes from this writer", count[w], 3000);
    int status;
    expect_true("wait to find every writer", wait(&status) > 0 && status == 0);
  }
}

// As many pipes as file descriptors allow; the call that fails must not keep one.
static void
pipe_limit(void)
{
  int fds[NOFILE][2];
  for (int round = 0; round < 3; round++) {
    int n = 0;
    while (n < NOFILE && pipe(fds[n]) == 0)
      n++;
    expect("pipes with 13 free file descriptors", n, (NOFILE - 3) / 2);
    int fd = open("file", O_CREATE | O_RDWR);
    expect("the last free file descriptor", fd, NOFILE - 1);
    close(fd);
    for (int i = 0; i < n; i++) {
      close(fds[i][0]);
      close(fds[i][1]);
    }
  }
}

const struct test pipe_tests[] = {
    {"pipe_order", pipe_order, ANYWHERE},
    {"pipe_sizes", pipe_sizes, ANYWHERE},
    {"pipe_eof", pipe_eof, ANYWHERE},
    {"pipe_no_reader", pipe_no_reader, ANYWHERE},
    {"pipe_reader_goes", pipe_reader_goes, ANYWHERE},
    {"pipe_wakes_reader", pipe_wakes_reader, ANYWHERE},
    {"pipe_wrong_end", pipe_wrong_end, ANYWHERE},
    {"pipe_writers", pipe_writers, ANYWHERE},
    {"pipe_limit", pipe_limit, ANYWHERE},
    {0, 0, 0},
};
