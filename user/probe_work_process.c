// Workloads about processes and what joins them: pipe, exit, wait, kill, and all of
// them together as a shell uses them.
#include "probe_sweep.h"

#define STATUS 5   // of children that end as they should
#define SENT   700 // bytes through the pipeline: more than a pipe holds

// The verdict on a call that has failed: all must be as before.
static struct verdict
judge_failed(const struct state *before)
{
  const char *wrong = changed(before);
  return judged(wrong ? CHANGED : FAILED, wrong);
}

static struct verdict
run_pipe(void)
{
  int fds[2];
  char c = 0;
  if (!grow_marked(2))
    return UNPREPARED;
  struct state before = look();
  arm();
  int got = pipe(fds);
  disarm();
  if (got < 0)
    return judge_failed(&before);
  if (fds[0] == fds[1] || write(fds[1], "p", 1) != 1 || !read_byte(fds[0], &c) ||
      c != 'p')
    return judged(FALSE_SUCCESS, "pipe");
  if (close(fds[0]) < 0 || close(fds[1]) < 0)
    return judged(FALSE_SUCCESS, "close");
  const char *wrong = changed(&before);
  return judged(wrong ? CHANGED : DONE, wrong);
}

// A child ends with a directory and both ends of pipes open. What tells that it has
// closed them is the end of what can be read from one.
static struct verdict
run_exit(void)
{
  int fds[2], status = 0;
  char c;
  if (pipe(fds) < 0)
    return UNPREPARED;
  int pid = fork();
  if (pid < 0)
    return UNPREPARED;
  if (pid == 0) {
    if (pipe(fds) < 0 || open("/", O_RDONLY) < 0)
      die(STATUS + 1);
    arm();
    die(STATUS);
  }
  close(fds[1]);
  bool ended = !read_byte(fds[0], &c);
  int got = wait(&status);
  disarm();
  if (got != pid)
    return judged(CHANGED, "child");
  if (status != STATUS)
    return judged(CHANGED, "status");
  return judged(ended ? DONE : CHANGED, ended ? 0 : "open-files");
}

// wait() with an address that is not the process's must fail, and may or may not have
// buried the child.
static struct verdict
run_wait(void)
{
  uint64_t bad[] = {sbrk(0), 1UL << 37, (uint64_t)-PAGE};
  int pid = fork(), status = STATUS;
  if (pid < 0)
    return UNPREPARED;
  if (pid == 0)
    die(STATUS);
  for (int i = 0; i < 3; i++) {
    arm();
    int got = wait((int *)bad[i]);
    disarm();
    if (got != -1)
      return judged(FALSE_SUCCESS, "wait");
  }
  int got = wait(&status);
  if (got != -1 && got != pid)
    return judged(CHANGED, "child");
  return status == STATUS ? judged(DONE, 0) : judged(CHANGED, "status");
}

// The child sleeps in read().
static struct verdict
run_kill(void)
{
  int fds[2], status = 0;
  char c;
  if (pipe(fds) < 0)
    return UNPREPARED;
  int pid = fork();
  if (pid < 0)
    return UNPREPARED;
  if (pid == 0) {
    close(fds[1]);
    read_byte(fds[0], &c);
    die(STATUS);
  }
  struct state before = look();
  arm();
  int got = call2(SYS_kill, (uint64_t)pid, 0);
  disarm();
  struct verdict v = got < 0 ? judge_failed(&before) : judged(DONE, 0);
  if (got < 0)
    close(fds[1]); // ends the child in another way
  if (wait(&status) != pid)
    return judged(FALSE_SUCCESS, "child");
  if (got < 0)
    return status == STATUS ? v : judged(FALSE_FAILURE, "child");
  return status == -1 ? v : judged(FALSE_SUCCESS, "status");
}

// Put fd in the place of to, and close both ends of the pipe.
static bool
redirect(int fds[2], int end, int to)
{
  close(to);
  bool done = dup(fds[end]) == to;
  close(fds[0]);
  close(fds[1]);
  return done;
}

// The pipeline's two children.
static void __attribute__((noreturn)) send(int fds[2])
{
  bool done = redirect(fds, 1, 1);
  for (int i = 0; i < SENT; i++)
    scratch[i] = (char)(i * 7);
  child_says(done && write(1, scratch, SENT) == SENT ? 0 : "send");
}

static void __attribute__((noreturn)) receive(int fds[2])
{
  bool right = redirect(fds, 0, 0);
  int n = 0, got;
  while ((got = read(0, scratch, SCRATCH)) > 0)
    for (int i = 0; i < got; i++)
      right = right && scratch[i] == (char)(n++ * 7);
  child_says(right && n == SENT ? 0 : "receive");
}

// Wait for a child of the pipeline, if there is one. Its fellow may have ended first:
// then it is that one's word that is heard.
static const char *
bury(int pid)
{
  int status = 0;
  if (pid < 0)
    return 0;
  if (wait(&status) < 0)
    return "wait";
  return child_word(status);
}

// As a shell does it: pipe, fork, fork, close, wait, wait; all armed.
static struct verdict
run_pipeline(void)
{
  int fds[2], sender = -1, receiver = -1;
  if (!grow_marked(2))
    return UNPREPARED;
  struct state before = look();
  arm();
  int got = pipe(fds);
  if (got == 0 && (sender = fork()) == 0)
    send(fds);
  if (sender > 0 && (receiver = fork()) == 0)
    receive(fds);
  if (got == 0) {
    close(fds[0]);
    close(fds[1]);
  }
  const char *first = bury(sender), *second = bury(receiver);
  disarm();
  bool all = sender > 0 && receiver > 0;
  if (all && (first || second))
    return judged(FALSE_SUCCESS, first ? first : second);
  if (wait(0) >= 0)
    return judged(FALSE_FAILURE, "child");
  const char *wrong = changed(&before);
  return judged(wrong ? CHANGED : all ? DONE : FAILED, wrong);
}

const struct workload process_workloads[] = {
    {"pipe", run_pipe, 0, 0, 0, 0, false, true},
    {"exit", run_exit, 0, 0, 0, 0, false, false},
    {"wait", run_wait, 0, 0, 0, 0, false, false},
    {"kill", run_kill, 0, 0, 0, 0, true, false},
    {"pipeline", run_pipeline, 0, 0, 0, 0, false, true},
    {0},
};
