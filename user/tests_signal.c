// kill, sleep, and taking turns on the harts.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/param.h"

static void
kill_nobody(void)
{
  expect("kill of a pid that was never given", kill(1 << 30), -1);
  expect("kill of pid -1", kill(-1), -1);
  if (reference_kernel())
    expect("kill of pid 0", kill(0), -1);
  int pid = fork_or_fail();
  if (pid == 0)
    exit(0);
  wait_for(pid);
  expect("kill of a process that is gone", kill(pid), -1);
}

static void
spin(void)
{
  for (;;)
    asm volatile("");
}

static void
read_pipe(void)
{
  int fds[2];
  char c;
  pipe(fds);
  read(fds[0], &c, 1);
}

static void
fill_pipe(void)
{
  int fds[2];
  char buf[100];
  memset(buf, 'x', sizeof(buf));
  pipe(fds);
  while (write(fds[1], buf, sizeof(buf)) > 0)
    ;
}

static void
sleep_long(void)
{
  sleep(1000000);
}

static void
wait_for_child(void)
{
  int pid = fork();
  if (pid == 0) {
    sleep(3);
    exit(0);
  }
  wait(0);
}

static void
call_on_and_on(void)
{
  for (;;)
    getpid();
}

// Whatever a process is doing when it is killed, it ends soon, with status -1.
static void
kill_each(void)
{
  static const struct {
    const char *what;
    void (*run)(void);
  } victims[] = {
      {"spinning", spin},          {"reading an empty pipe", read_pipe},
      {"sleeping", sleep_long},    {"writing to a full pipe", fill_pipe},
      {"waiting", wait_for_child}, {"making system calls", call_on_and_on},
  };
  for (size_t i = 0; i < NELEM(victims); i++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      victims[i].run();
      exit(42);
    }
    sleep(1);
    expect("kill", kill(pid), 0);
    int start = uptime();
    int status = wait_for(pid);
    if (status != -1)
      fail("killed while %s: expected status -1, got %d", victims[i].what, status);
    if (uptime() - start > 20)
      fail("killed while %s: expected it to end soon, took %d ticks", victims[i].what,
           uptime() - start);
  }
}

static void
kill_self(void)
{
  int pid = fork_or_fail();
  if (pid == 0) {
    kill(getpid());
    exit(42);
  }
  expect("status of a process that killed itself", wait_for(pid), -1);
}

static void
kill_at_once(void)
{
  for (int i = 0; i < 10; i++) {
    int pid = fork_or_fail();
    if (pid == 0)
      spin();
    expect("kill", kill(pid), 0);
    expect("status", wait_for(pid), -1);
  }
}

// Killed while it is exec'ing, forking, opening: at any moment.
static void
kill_any_moment(void)
{
  for (int i = 0; i < 10; i++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      for (;;) {
        int fd = open("victim", O_CREATE | O_RDWR);
        write(fd, "12345678", 8);
        close(fd);
        int child = fork();
        if (child == 0) {
          char *argv[] = {self, "@exit", "0", 0};
          exec(self, argv);
          exit(100);
        }
        wait(0);
      }
    }
    for (volatile int spent = 0; spent < i * 50000; spent++)
      ;
    kill(pid);
    expect("status", wait_for(pid), -1);
  }
}

static void
sleep_ticks(void)
{
  for (int n = 0; n < 4; n++) {
    int before = uptime();
    expect("sleep", sleep(n), 0);
    int slept = uptime() - before;
    if (slept < n || slept > n + 20)
      fail("ticks passed in sleep(%d): expected %d or a few more, got %d", n, n, slept);
  }
}

static void
uptime_monotonic(void)
{
  int last = uptime();
  int start = last;
  while (last < start + 3) {
    int now = uptime();
    if (now < last)
      fail("uptime: expected %d or more, got %d", last, now);
    last = now;
  }
}

// More spinning processes than harts; each must get its turn.
static void
preempt(void)
{
  int fds[2];
  int pids[NCPU + 2];
  expect("pipe", pipe(fds), 0);
  for (size_t i = 0; i < NELEM(pids); i++) {
    pids[i] = fork_or_fail();
    if (pids[i] == 0) {
      write(fds[1], "x", 1);
      spin();
    }
  }
  for (size_t i = 0; i < NELEM(pids); i++) {
    char c;
    expect("read of a byte from each spinning child", read(fds[0], &c, 1), 1);
  }
  for (size_t i = 0; i < NELEM(pids); i++)
    expect("kill", kill(pids[i]), 0);
  for (size_t i = 0; i < NELEM(pids); i++)
    expect_true("wait to find every killed child", wait(0) > 0);
}

const struct test signal_tests[] = {
    {"kill_nobody", kill_nobody, ANYWHERE},
    {"kill_each", kill_each, ANYWHERE},
    {"kill_self", kill_self, ANYWHERE},
    {"kill_at_once", kill_at_once, ANYWHERE},
    {"kill_any_moment", kill_any_moment, ANYWHERE},
    {"sleep_ticks", sleep_ticks, ANYWHERE},
    {"uptime_monotonic", uptime_monotonic, ANYWHERE},
    {"preempt", preempt, CROWDED},
    {0, 0, 0},
};
