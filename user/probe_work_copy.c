// Workloads that have the kernel copy from and to user memory: up to each boundary,
// over it, and beyond. The result must be the same as a load or a store of the user's.
#include "probe_sweep.h"

#define MOST   300  // bytes copied at once
#define MARKER 0x7f // what is written behind what a pipe may still hold

enum expect {
  ALL,  // all of it is copied
  PART, // less than that, for it ends in the middle
  NONE, // nothing is
};

struct place {
  uint64_t va;
  int n;
  enum expect expect;
  const char *name;
};

#define MAX_PLACES 12

static uint64_t guard; // the page below the stack, if the user cannot touch it; or 0

// Find the guard page: a child touches it and has to be killed. Some kernels have none.
static const char *
find_guard(void)
{
  int status = 0;
  uint64_t page = (uint64_t)&status / PAGE * PAGE - PAGE;
  int pid = fork();
  if (pid == 0) {
    (void)*(volatile char *)page;
    die(0);
  }
  if (pid < 0 || wait(&status) != pid)
    return "fork";
  guard = status == -1 ? page : 0;
  return 0;
}

// All places to copy from or to. Returns how many, 0 if memory is not to be had.
static int
list_places(struct place places[MAX_PLACES])
{
  uint64_t base = sbrk(3 * PAGE), end = base + 3 * PAGE;
  if (base == (uint64_t)-1)
    return 0;
  const struct place all[] = {
      {base + PAGE, MOST, ALL, "page-start"},
      {base + 2 * PAGE - 100, MOST, ALL, "page-end"},
      {end - 8, 8, ALL, "last-bytes"},
      {end - 100, MOST, PART, "across-end"},
      {end, 1, NONE, "end"},
      {guard ? guard : end, 1, NONE, "guard"},
      {guard ? guard + PAGE - 1 : end, 1, NONE, "guard-end"},
      {0x0c000000, 1, NONE, "plic"},
      {0x80000000, 1, NONE, "kernel"},
      {0x3ffffff000, 1, NONE, "trampoline"},
      {(uint64_t)-PAGE, MOST, NONE, "top"},
      {(uint64_t)-1, MOST, NONE, "wrapping"},
  };
  for (int i = 0; i < MAX_PLACES; i++)
    places[i] = all[i];
  return MAX_PLACES;
}

// Read what is left in a pipe, up to a marker written now; returns how many bytes.
static int
drain(const int fds[2])
{
  char c = MARKER;
  int n = 0;
  write(fds[1], &c, 1);
  while (read_byte(fds[0], &c) && c != MARKER)
    n++;
  return n;
}

// Whether the kernel does with a place what it should: it copied got bytes.
static bool
as_expected(const struct place *p, int got)
{
  switch (p->expect) {
  case ALL:
    return got == p->n;
  case PART:
    return got < p->n;
  default:
    return got <= 0;
  }
}

// Have the kernel read from a place. Returns how many bytes it said it had, or -1; -2
// if that is not true.
static int
copy_in(const struct place *p, const int fds[2])
{
  int got = write(fds[1], (const void *)p->va, (size_t)p->n);
  int had = drain(fds);
  return p->expect == PART || had == (got < 0 ? 0 : got) ? got : -2;
}

// Have the kernel write to a place, likewise.
static int
copy_out(const struct place *p, const int fds[2])
{
  for (int i = 0; i < p->n; i++)
    scratch[i] = (char)('a' + i % 26);
  if (write(fds[1], scratch, (size_t)p->n) != p->n)
    return -2;
  int got = read(fds[0], (void *)p->va, (size_t)p->n);
  for (int i = 0; i < got && p->expect == ALL; i++)
    if (((volatile char *)p->va)[i] != scratch[i])
      return -2;
  drain(fds);
  return got;
}

// Have the kernel read a path from a place: one that names the root, if it is all
// there.
static int
copy_string(const struct place *p, const int fds[2])
{
  char *s = (char *)p->va;
  int room = p->expect == ALL ? p->n : p->expect == PART ? 100 : 0;
  if (room > 120)
    room = 120; // paths may have 128 bytes
  for (int i = 0; i < room; i++)
    s[i] = i % 2 ? '.' : '/';
  if (p->expect == ALL)
    s[room - 1] = '\0';
  (void)fds;
  int fd = open(s, O_RDONLY);
  if (fd >= 0)
    close(fd);
  return fd >= 0 ? p->n : -1;
}

// Go through all places.
static struct verdict
copy(int (*how)(const struct place *p, const int fds[2]))
{
  struct place places[MAX_PLACES];
  int fds[2], n = pipe(fds) < 0 ? 0 : list_places(places);
  if (n == 0)
    return UNPREPARED;
  struct state before = look();
  const struct place *wrong = 0;
  int got = 0;
  arm();
  for (int i = 0; i < n && !wrong; i++) {
    got = how(&places[i], fds);
    if (!as_expected(&places[i], got))
      wrong = &places[i];
  }
  uint64_t fired = disarm();
  if (wrong && !(fired && wrong->expect == ALL && got > -2))
    return judged(got < 0 ? FALSE_FAILURE : FALSE_SUCCESS, wrong->name);
  const char *other = changed(&before);
  return judged(other ? CHANGED : wrong ? FAILED : DONE, other);
}

static struct verdict
run_copyin(void)
{
  return copy(copy_in);
}

static struct verdict
run_copyout(void)
{
  return copy(copy_out);
}

static struct verdict
run_copyinstr(void)
{
  return copy(copy_string);
}

const struct workload copy_workloads[] = {
    {"copyin", run_copyin, find_guard, 0, 0, 0, false, false},
    {"copyout", run_copyout, find_guard, 0, 0, 0, false, false},
    {"copyinstr", run_copyinstr, find_guard, 0, 0, 0, false, false},
    {0},
};
