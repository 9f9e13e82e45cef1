// probe NONCE leak ACTION ROUNDS: an action done so many times between the shim's
// FL_MARK and FL_END. What is allocated in between and still there afterwards is lost.
#include "probe.h"

#define MAX_ROUNDS 1000
#define WARM_UP    2 // unwatched rounds: they may fill caches

// Actions. Each returns 0, or the name of the call that did not do what it should.

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
  if (pipe(fds) < 0)
    return "pipe";
  if (write(fds[1], "p", 1) != 1)
    return "write";
  if (!read_byte(fds[0], &c) || c != 'p')
    return "read";
  if (close(fds[0]) < 0 || close(fds[1]) < 0)
    return "close";
  return 0;
}

static const char *
act_open(void)
{
  int fd = open(TEXT_FILE, O_CREATE | O_RDWR);
  if (fd < 0)
    return "open";
  if (close(fd) < 0)
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
      sleep(2);
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
// is how many rounds may be followed by the next at once; 0 for any number. The file
// system lab has ten processes in all.
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
    {"orphan", act_orphan, 0, 0, 4},
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
        sleep(1);
  }
  return 0;
}

// Do an action so many times and answer how many pages were live before and after.
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

  say_nonce();
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

void
list_actions(void)
{
  say_nonce();
  say("actions");
  for (int i = 0; i < NACTIONS; i++) {
    say(" ");
    say(actions[i].name);
  }
  say_end();
}

int
leak_command(const char *name, uint64_t rounds)
{
  for (int i = 0; i < NACTIONS && rounds > 0 && rounds <= MAX_ROUNDS; i++)
    if (same(name, actions[i].name))
      return leak(&actions[i], (int)rounds);
  return -1;
}
