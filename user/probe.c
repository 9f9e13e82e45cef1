// probe NONCE COMMAND...: what the harness puts into any xv6 kernel's file system to do
// things there and to speak with the shim in the kernel. One file without a library,
// and one segment at address 0, so that any tree's kernel can load it. Each answer is
// one line that begins with @NONCE, which the tree under test cannot know.
//
//   probe NONCE hello               @NONCE hello shim=VERSION, 0 if there is no shim
//   probe NONCE list                @NONCE actions NAME...
//   probe NONCE leak ACTION ROUNDS  @NONCE leak ACTION rounds=R before=PAGES
//   after=PAGES
//                                   and ok, or fail=WHAT for the first call that did
//                                   not do what it should
//   probe NONCE pose                take up one pose after the other, in each say
//                                   @NONCE pose NAME and wait for a line of input;
//                                   at the end, or at once, pose fail=WHAT if a call
//                                   did not do what it should
//   probe NONCE pingpong            two processes wake each other, for ever
//   probe NONCE stay                wait until standard input ends
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faults/ctl.h"
#include "kernel/fcntl.h"
#include "kernel/syscall.h"

#define PAGE       4096
#define MAX_ROUNDS 1000
#define WARM_UP    2 // unwatched rounds: they may fill caches

static char *program; // argv[0], by which the probe executes itself
static char *nonce;

static long
call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
  register uint64_t a0 asm("a0") = a;
  register uint64_t a1 asm("a1") = b;
  register uint64_t a2 asm("a2") = c;
  register uint64_t a3 asm("a3") = d;
  register uint64_t a4 asm("a4") = e;
  register long a7 asm("a7") = number;
  asm volatile("ecall"
               : "+r"(a0)
               : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7)
               : "memory");
  return (long)a0;
}

// xv6's results are ints; some kernels leave the upper half of the register undefined.
static int
call2(long number, uint64_t a, uint64_t b)
{
  return (int)call(number, a, b, 0, 0, 0);
}

static void __attribute__((noreturn)) die(int status)
{
  for (;;)
    call2(SYS_exit, (uint64_t)status, 0);
}

static int
fork(void)
{
  return call2(SYS_fork, 0, 0);
}

static int
exec(const char *path, char **argv)
{
  return call2(SYS_exec, (uint64_t)path, (uint64_t)argv);
}

static int
wait(int *status)
{
  return call2(SYS_wait, (uint64_t)status, 0);
}

// The second argument matters to kernels since 2025 only: allocate now, not at first
// use.
static uint64_t
sbrk(int n)
{
  return (uint64_t)call(SYS_sbrk, (uint64_t)n, 1, 0, 0, 0);
}

static int
write(int fd, const char *s, size_t n)
{
  return (int)call(SYS_write, (uint64_t)fd, (uint64_t)s, n, 0, 0);
}

static uint64_t
shim(enum faultline_command command)
{
  return (uint64_t)call(SYS_uptime, FAULTLINE_UPTIME, command, 0, 0, 0);
}

// The answer line.
static char line[512];
static size_t line_used;

static void
say(const char *s)
{
  for (; *s && line_used < sizeof(line); s++)
    line[line_used++] = *s;
}

static void
say_number(uint64_t value)
{
  char digits[21];
  char *p = digits + sizeof(digits);
  *--p = '\0';
  do
    *--p = (char)('0' + value % 10);
  while (value /= 10);
  say(p);
}

static void
say_end(void)
{
  say("\n");
  write(1, line, line_used);
  line_used = 0;
}

static bool
same(const char *a, const char *b)
{
  while (*a && *a == *b)
    a++, b++;
  return *a == *b;
}

// The version of the shim in this kernel, 0 if it has none. A kernel without one
// answers with the ticks since boot, which may happen to be the version.
static uint64_t
shim_version(void)
{
  if (shim(FL_HELLO) != FAULTLINE_VERSION)
    return 0;
  call2(SYS_sleep, 2, 0);
  return shim(FL_HELLO) == FAULTLINE_VERSION ? FAULTLINE_VERSION : 0;
}

// Actions. Each returns 0, or the name of the call that did not do what it should.

static const char *
child_ends(int pid, int want)
{
  int status = 0;
  if (pid < 0)
    return "fork";
  if (wait(&status) != pid)
    return "wait";
  return status == want ? 0 : "status";
}

static const char *
act_fork(void)
{
  int pid = fork();
  if (pid == 0)
    die(3);
  return child_ends(pid, 3);
}

static const char *
act_forkexec(void)
{
  int pid = fork();
  if (pid == 0) {
    char *argv[4];
    argv[0] = program;
    argv[1] = nonce;
    argv[2] = "noop";
    argv[3] = 0;
    exec(program, argv);
    die(1);
  }
  return child_ends(pid, 3); // noop ends with argc
}

#define TEXT_FILE "probe.tmp"

static const char *
make_text_file(void)
{
  int fd = call2(SYS_open, (uint64_t)TEXT_FILE, O_CREATE | O_RDWR);
  if (fd < 0)
    return "open";
  if (write(fd, "not a program\n", 14) != 14)
    return "write";
  return call2(SYS_close, (uint64_t)fd, 0) == 0 ? 0 : "close";
}

static const char *
remove_text_file(void)
{
  return call2(SYS_unlink, (uint64_t)TEXT_FILE, 0) == 0 ? 0 : "unlink";
}

static const char *
act_execfail(void)
{
  char *argv[2];
  argv[0] = program;
  argv[1] = 0;
  if (exec("probe.missing", argv) != -1)
    return "exec-missing";
  if (exec(TEXT_FILE, argv) != -1)
    return "exec-text";
  return exec("/", argv) == -1 ? 0 : "exec-directory";
}

static const char *
grow_and_shrink(int pages, int step)
{
  uint64_t old = sbrk(pages * PAGE);
  if (old == (uint64_t)-1)
    return "sbrk-grow";
  for (int i = 0; i < pages; i += step)
    *(volatile char *)(old + (uint64_t)i * PAGE) = 1;
  return sbrk(-pages * PAGE) == old + (uint64_t)pages * PAGE ? 0 : "sbrk-shrink";
}

static const char *
act_sbrk(void)
{
  return grow_and_shrink(10, 1);
}

static const char *
act_sbrkbig(void)
{
  return grow_and_shrink(3 * 1024 * 1024 / PAGE, 64);
}

static const char *
act_pipe(void)
{
  int fds[2];
  char c = 0;
  if (call2(SYS_pipe, (uint64_t)fds, 0) < 0)
    return "pipe";
  if (write(fds[1], "p", 1) != 1)
    return "write";
  if (call(SYS_read, (uint64_t)fds[0], (uint64_t)&c, 1, 0, 0) != 1 || c != 'p')
    return "read";
  if (call2(SYS_close, (uint64_t)fds[0], 0) < 0 ||
      call2(SYS_close, (uint64_t)fds[1], 0) < 0)
    return "close";
  return 0;
}

static const char *
act_open(void)
{
  int fd = call2(SYS_open, (uint64_t)TEXT_FILE, O_CREATE | O_RDWR);
  if (fd < 0)
    return "open";
  if (call2(SYS_close, (uint64_t)fd, 0) < 0)
    return "close";
  return remove_text_file();
}

// The child ends at once; its own child lives for a tick more, and init reaps it.
static const char *
act_orphan(void)
{
  int pid = fork();
  if (pid == 0) {
    int grandchild = fork();
    if (grandchild == 0)
      call2(SYS_sleep, 2, 0);
    die(grandchild < 0 ? 1 : 3);
  }
  return child_ends(pid, 3);
}

static const char *
act_kill(void)
{
  int pid = fork();
  if (pid == 0)
    for (;;)
      asm volatile("");
  if (pid > 0 && call2(SYS_kill, (uint64_t)pid, 0) < 0)
    return "kill";
  return child_ends(pid, -1);
}

static const char *
act_execargs(void)
{
  int pid = fork();
  if (pid == 0) {
    char *argv[21];
    for (int i = 0; i < 20; i++)
      argv[i] = "argument";
    argv[0] = program;
    argv[1] = nonce;
    argv[2] = "noop";
    argv[20] = 0;
    exec(program, argv);
    die(1);
  }
  return child_ends(pid, 20);
}

static const char *
act_forkmem(void)
{
  int pid = fork();
  if (pid == 0) {
    uint64_t old = sbrk(40 * PAGE);
    if (old == (uint64_t)-1)
      die(1);
    for (uint64_t i = 0; i < 40; i++)
      *(volatile char *)(old + i * PAGE) = 1;
    die(3);
  }
  return child_ends(pid, 3);
}

// prepare and finish, where there are any, run once, outside the watched rounds. settle
// is how many rounds may be followed by the next at once; 0 for any number.
struct action {
  const char *name;
  const char *(*act)(void);
  const char *(*prepare)(void);
  const char *(*finish)(void);
  int settle;
};

static const struct action actions[] = {
    {"fork", act_fork, 0, 0, 0},
    {"forkexec", act_forkexec, 0, 0, 0},
    {"execfail", act_execfail, make_text_file, remove_text_file, 0},
    {"sbrk", act_sbrk, 0, 0, 0},
    {"sbrkbig", act_sbrkbig, 0, 0, 0},
    {"pipe", act_pipe, 0, 0, 0},
    {"open", act_open, 0, 0, 0},
    {"orphan", act_orphan, 0, 0, 16},
    {"kill", act_kill, 0, 0, 0},
    {"execargs", act_execargs, 0, 0, 0},
    {"forkmem", act_forkmem, 0, 0, 0},
};

#define NACTIONS (int)(sizeof(actions) / sizeof(actions[0]))

static const char *
repeat(const struct action *a, int rounds)
{
  for (int i = 1; i <= rounds; i++) {
    const char *failed = a->act();
    if (failed)
      return failed;
    if (a->settle && (i % a->settle == 0 || i == rounds))
      for (int tick = 0; tick < 4; tick++)
        call2(SYS_sleep, 1, 0);
  }
  return 0;
}

static int
leak(const struct action *a, int rounds)
{
  uint64_t before = 0, after = 0;
  const char *failed = shim_version() == 0 ? "shim" : 0;
  if (!failed && a->prepare)
    failed = a->prepare();
  if (!failed)
    failed = repeat(a, WARM_UP);
  if (!failed) {
    before = shim(FL_MARK);
    failed = repeat(a, rounds);
    after = shim(FL_END);
  }
  if (!failed && a->finish)
    failed = a->finish();

  say("leak ");
  say(a->name);
  say(" rounds=");
  say_number((uint64_t)rounds);
  say(" before=");
  say_number(before);
  say(" after=");
  say_number(after);
  say(failed ? " fail=" : " ok");
  say(failed ? failed : "");
  say_end();
  return failed ? 1 : 0;
}

// Poses: states of a process's memory in which the harness looks at the page tables
// while nothing runs. What fails is kept, and the poses go on: a kernel that refuses
// one thing may still show its mistake in the next.

static const char *pose_failed;

static void
must(bool done, const char *what)
{
  if (!done && !pose_failed)
    pose_failed = what;
}

// Read a byte from fd; false at the end.
static bool
read_byte(int fd, char *c)
{
  return (int)call(SYS_read, (uint64_t)fd, (uint64_t)c, 1, 0, 0) == 1;
}

static void
pose(const char *name)
{
  char c = 0;
  say("@");
  say(nonce);
  say(" pose ");
  say(name);
  say_end();
  while (read_byte(0, &c) && c != '\n')
    ;
}

static void
close(int fd)
{
  call2(SYS_close, (uint64_t)fd, 0);
}

// Grow (or shrink) by n bytes, and write to each new page.
static void
resize(int n)
{
  uint64_t old = sbrk(n);
  must(old != (uint64_t)-1, "sbrk");
  if (old != (uint64_t)-1)
    for (uint64_t va = old; n > 0 && va < old + (uint64_t)n; va += PAGE)
      *(volatile char *)va = 1;
}

// A child that does what it is told through a pipe.
struct child {
  int pid;
  int tell; // write g to grow it, s to shrink it; close it to end the child
};

// Grow and shrink as told, until nobody can tell any more.
static void
obey(int fd)
{
  char c = 0;
  while (read_byte(fd, &c))
    resize(c == 'g' ? 5 * PAGE : -2 * PAGE - 100);
}

static struct child
start_child(bool exec_it)
{
  struct child child = {-1, -1};
  int fds[2];
  must(call2(SYS_pipe, (uint64_t)fds, 0) == 0, "pipe");
  child.pid = fork();
  must(child.pid >= 0, "fork");
  if (child.pid == 0) {
    close(fds[1]);
    if (exec_it) {
      char *argv[4];
      argv[0] = program;
      argv[1] = nonce;
      argv[2] = "stay";
      argv[3] = 0;
      close(0);
      call2(SYS_dup, (uint64_t)fds[0], 0);
      close(fds[0]);
      exec(program, argv);
      die(1);
    }
    obey(fds[0]);
    die(3);
  }
  close(fds[0]);
  child.tell = fds[1];
  return child;
}

static void
end_child(struct child child)
{
  close(child.tell);
  if (child.pid > 0)
    must(!child_ends(child.pid, 3), "wait");
}

static void
pose_memory(void)
{
  uint64_t start = sbrk(0);
  pose("fresh");
  resize(3 * PAGE);
  pose("grown");
  resize(2 * 1024 * 1024 + 8 * PAGE);
  pose("grown-far");
  resize(-(8 * PAGE + 100)); // stays above 2 MiB, in the middle of a page
  pose("shrunk");
  resize(-(20 * PAGE));
  pose("shrunk-far");
  resize(30 * PAGE + 300);
  pose("grown-again");
  struct child child = start_child(false);
  pose("child-of-big");
  end_child(child);
  child = start_child(true);
  pose("exec-of-big");
  end_child(child);
  resize((int)(start - sbrk(0)));
  pose("shrunk-to-start");
}

static void
pose_children(void)
{
  struct child child = start_child(false);
  pose("child");
  must(write(child.tell, "g", 1) == 1, "write");
  pose("child-grown");
  must(write(child.tell, "s", 1) == 1, "write");
  pose("child-shrunk");
  end_child(child);
  child = start_child(true);
  pose("exec");
  end_child(child);
}

static void
pose_exec_failed(void)
{
  static char longest[PAGE + 1];
  char *argv[40];
  for (int i = 0; i < PAGE; i++)
    longest[i] = 'x';
  for (int i = 0; i < 39; i++)
    argv[i] = "argument";
  argv[39] = 0;
  must(exec(program, argv) == -1, "exec-many-arguments");
  argv[1] = longest;
  argv[2] = 0;
  must(exec(program, argv) == -1, "exec-long-argument");
  argv[1] = 0;
  must(!make_text_file(), "make-file");
  must(exec("probe.missing", argv) == -1, "exec-missing");
  must(exec(TEXT_FILE, argv) == -1, "exec-text");
  pose("exec-failed");
  must(!remove_text_file(), "unlink");
  for (int i = 1; i < 20; i++)
    argv[i] = longest + PAGE - 300; // each fits a page, all of them no stack
  argv[20] = 0;
  must(exec(program, argv) == -1, "exec-large-arguments");
  pose("exec-failed-late");
}

// The child ends and leaves a child of its own to init.
static void
pose_orphan(void)
{
  int fds[2];
  must(call2(SYS_pipe, (uint64_t)fds, 0) == 0, "pipe");
  int pid = fork();
  if (pid == 0) {
    int grandchild = fork();
    if (grandchild == 0) {
      close(fds[1]);
      obey(fds[0]);
    }
    die(grandchild < 0 ? 1 : 3);
  }
  close(fds[0]);
  must(!child_ends(pid, 3), "orphan");
  pose("orphan");
  close(fds[1]);
}

static void
pose_pipe(void)
{
  int fds[2];
  must(call2(SYS_pipe, (uint64_t)fds, 0) == 0, "pipe");
  must(write(fds[1], "left in it", 10) == 10, "write");
  pose("pipe");
  close(fds[0]);
  pose("pipe-half");
  close(fds[1]);
}

static int
poses(void)
{
  pose_memory();
  pose_children();
  pose_exec_failed();
  pose_orphan();
  pose_pipe();
  pose("end");
  say("@");
  say(nonce);
  say(pose_failed ? " pose fail=" : " pose ok");
  say(pose_failed ? pose_failed : "");
  say_end();
  return pose_failed ? 1 : 0;
}

// Two processes and a byte that goes to and fro: harts that do little but switch.
static int
pingpong(void)
{
  int to[2], fro[2];
  if (call2(SYS_pipe, (uint64_t)to, 0) < 0 || call2(SYS_pipe, (uint64_t)fro, 0) < 0)
    return 1;
  int pid = fork();
  int in = pid == 0 ? to[0] : fro[0], out = pid == 0 ? fro[1] : to[1];
  char c = 'p';
  if (pid > 0)
    write(out, &c, 1);
  while (pid >= 0 && read_byte(in, &c) && write(out, &c, 1) == 1)
    ;
  return 1;
}

// 0 if it is not a number of rounds.
static int
parse_rounds(const char *s)
{
  int rounds = 0;
  for (; *s; s++) {
    if (*s < '0' || *s > '9' || rounds > MAX_ROUNDS)
      return 0;
    rounds = rounds * 10 + (*s - '0');
  }
  return rounds <= MAX_ROUNDS ? rounds : 0;
}

static int
usage(void)
{
  say("usage: probe NONCE hello | list | pose | pingpong | leak ACTION ROUNDS");
  say_end();
  return 2;
}

static int
run(int argc, char **argv)
{
  if (argc >= 3 && same(argv[2], "noop"))
    return argc;
  if (argc == 3 && same(argv[2], "pose"))
    return poses();
  if (argc == 3 && same(argv[2], "pingpong"))
    return pingpong();
  if (argc == 3 && same(argv[2], "stay")) {
    obey(0);
    return 3;
  }
  say("@");
  say(nonce);
  say(" ");
  if (argc == 3 && same(argv[2], "hello")) {
    say("hello shim=");
    say_number(shim_version());
    say_end();
    return 0;
  }
  if (argc == 3 && same(argv[2], "list")) {
    say("actions");
    for (int i = 0; i < NACTIONS; i++) {
      say(" ");
      say(actions[i].name);
    }
    say_end();
    return 0;
  }
  int rounds = argc == 5 && same(argv[2], "leak") ? parse_rounds(argv[4]) : 0;
  if (rounds > 0)
    for (int i = 0; i < NACTIONS; i++)
      if (same(argv[3], actions[i].name))
        return leak(&actions[i], rounds);
  return usage();
}

void __attribute__((noreturn)) _start(int argc, char **argv)
{
  if (argc < 3)
    die(usage());
  program = argv[0];
  nonce = argv[1];
  die(run(argc, argv));
}
