// Workloads that change how much memory there is: fork and sbrk.
#include "probe_sweep.h"

#define BIG  64     // pages
#define FAR  512    // pages that one lowest-level table maps: 2 MiB
#define LEFT 256    // pages that the hog leaves
#define ALL  0x8000 // pages of a machine with 128 MiB

static int gate[2]; // a pipe, at which children wait; made by the actor's first run

// The child of a fork. In a run that the harness may look at it waits until that is
// over, or its parent has ended. Then it says what it finds.
static void __attribute__((noreturn)) forked(const struct state *before)
{
  char c;
  if (may_be_looked_at()) {
    close(gate[1]);
    read_byte(gate[0], &c);
    dup(gate[0]); // in the place of the one it has closed
  }
  child_says(changed(before));
}

// What the parent finds after a fork that returned pid.
static struct verdict
judge_fork(int pid, const struct state *before)
{
  const char *wrong = changed(before);
  struct verdict v = judged(wrong ? CHANGED : pid < 0 ? FAILED : DONE, wrong);
  if (pid < 0)
    return wait(0) < 0 ? v : judged(FALSE_FAILURE, "child");
  spoil_marks(); // which are this process's own: the child must not see it
  if (may_be_looked_at())
    write(gate[1], "g", 1);
  wrong = child_heard(pid);
  return v.kind == DONE && wrong ? judged(FALSE_SUCCESS, wrong) : v;
}

// Fork a process with so many marked pages.
static struct verdict
fork_with(int pages)
{
  if (!grow_marked(pages) || (gate[1] == 0 && pipe(gate) < 0))
    return UNPREPARED;
  struct state before = look();
  arm();
  int pid = fork();
  if (pid == 0)
    forked(&before);
  disarm();
  return judge_fork(pid, &before);
}

static struct verdict
run_fork(void)
{
  return fork_with(2);
}

static struct verdict
run_forkbig(void)
{
  return fork_with(BIG);
}

static struct verdict
run_forkfar(void)
{
  return fork_with(FAR + 2);
}

// Whether pages from va on are there, cleared, and can be written to.
static const char *
fresh(uint64_t va, int pages)
{
  for (uint64_t a = va; a < va + (uint64_t)pages * PAGE; a += PAGE) {
    volatile uint64_t *first = (volatile uint64_t *)a, *last = first + PAGE / 8 - 1;
    if (*first || *last)
      return "not-cleared";
    *first = *last = a;
  }
  return 0;
}

// Change the size by so many pages, and judge. If it was changed, it stays so.
static struct verdict
resize(int pages)
{
  struct state before = look();
  uint64_t old = before.size, end = old + (uint64_t)((int64_t)pages * PAGE);
  arm();
  uint64_t got = sbrk(pages * PAGE);
  disarm();
  if (got == (uint64_t)-1) {
    const char *wrong = changed(&before);
    if (wrong && sbrk(0) == end)
      return judged(FALSE_FAILURE, "size");
    return judged(wrong ? CHANGED : FAILED, wrong);
  }
  if (got != old || sbrk(0) != end)
    return judged(FALSE_SUCCESS, "size");
  before.size = end;
  const char *wrong = pages > 0 ? fresh(old, pages) : 0;
  if (!wrong)
    wrong = changed(&before);
  return judged(wrong ? FALSE_SUCCESS : DONE, wrong);
}

static struct verdict
run_sbrk(void)
{
  return grow_marked(2) ? resize(1) : UNPREPARED;
}

static struct verdict
run_sbrkbig(void)
{
  uint64_t old = grow_marked(2) ? sbrk(0) : 0;
  struct verdict v = old ? resize(BIG) : UNPREPARED;
  if (v.kind == DONE && sbrk(-BIG * PAGE) != old + BIG * PAGE)
    return judged(CHANGED, "shrinking");
  return v;
}

// From just below an address at which a new table is needed to just above it.
static struct verdict
run_sbrkfar(void)
{
  int pages = FAR - (int)(sbrk(0) / PAGE % FAR) - 4;
  return grow_marked(pages) ? resize(8) : UNPREPARED;
}

static struct verdict
run_sbrkshrink(void)
{
  if (!grow_marked(10))
    return UNPREPARED;
  keep_marks(3);
  return resize(-7);
}

// The hog: a child that holds nearly all memory until its end of a pipe is closed.
static int hog_pid, hog_gate;

// In the hog: take all memory, as far as it is to be had, but LEFT pages.
static void
take_memory(void)
{
  int taken = 0;
  for (int pages = BIG; pages > 0 && taken < ALL;)
    if (sbrk(pages * PAGE) == (uint64_t)-1)
      pages /= 2;
    else
      taken += pages;
  sbrk(-LEFT * PAGE);
}

static void
release_hog(void)
{
  close(hog_gate);
  wait(0);
}

static const char *
prepare_hog(void)
{
  int gate[2], ready[2];
  char c = 0;
  if (pipe(gate) < 0 || pipe(ready) < 0)
    return "pipe";
  hog_gate = gate[1];
  hog_pid = fork();
  if (hog_pid == 0) {
    close(gate[1]);
    take_memory();
    write(ready[1], "r", 1);
    while (read_byte(gate[0], &c))
      ;
    die(0);
  }
  close(gate[0]);
  close(ready[1]);
  read_byte(ready[0], &c);
  close(ready[0]);
  return hog_pid < 0 ? "fork" : 0;
}

// More than there is: must fail half-way. A kernel that allocates late may promise what
// it does not have.
static struct verdict
run_sbrkfail(void)
{
  if (!grow_marked(2))
    return UNPREPARED;
  struct state before = look();
  arm();
  uint64_t got = sbrk(8 * FAR * PAGE);
  uint64_t fired = disarm();
  if (got != (uint64_t)-1) {
    if (got != before.size || sbrk(0) != before.size + 8 * FAR * PAGE)
      return judged(FALSE_SUCCESS, "size");
    sbrk(-8 * FAR * PAGE);
  }
  const char *wrong = changed(&before);
  return judged(wrong ? CHANGED : fired ? FAILED : DONE, wrong);
}

const struct workload memory_workloads[] = {
    {"fork", run_fork, 0, 0, 0, 0, true, true},
    {"forkbig", run_forkbig, 0, 0, 0, 0, true, true},
    {"forkfar", run_forkfar, 0, 0, 0, 0, true, true},
    {"sbrk", run_sbrk, 0, 0, 0, 0, true, false},
    {"sbrkbig", run_sbrkbig, 0, 0, 0, 0, true, true},
    {"sbrkfar", run_sbrkfar, 0, 0, 0, 0, true, false},
    {"sbrkshrink", run_sbrkshrink, 0, 0, 0, 0, true, false},
    {"sbrkfail", run_sbrkfail, prepare_hog, release_hog, 0, 0, true, false},
    {0},
};
