// Workloads on files and names.
#include "probe_sweep.h"

#define OLD   "probe.f" // there before each run, with SIZE bytes in it
#define NEW   "probe.n" // not there
#define PLACE "probe.d" // a directory
#define SIZE  300       // bytes

// What a file holds at i, before and after it is written to.
static char
byte_at(int i, bool written)
{
  return (char)('a' + (i + (written ? 5 : 0)) % 26);
}

static bool
find(const char *path, struct stat *st)
{
  int fd = open(path, O_RDONLY);
  if (fd < 0)
    return false;
  bool found = fstat(fd, st) == 0;
  close(fd);
  return found;
}

static bool
there(const char *path)
{
  struct stat st;
  return find(path, &st);
}

// How many names a file has, 0 if it does not have this one.
static int
links(const char *path)
{
  struct stat st;
  return find(path, &st) ? st.nlink : 0;
}

// Write the old file's bytes anew. Returns 0, or what could not be done.
static const char *
fill_old(void)
{
  int fd = open(OLD, O_CREATE | O_RDWR);
  if (fd < 0)
    return "open";
  for (int i = 0; i < SIZE; i++)
    scratch[i] = byte_at(i, false);
  bool done = write(fd, scratch, SIZE) == SIZE;
  close(fd);
  return done ? 0 : "write";
}

// Whether the old file holds what it should.
static bool
holds(bool written)
{
  int fd = open(OLD, O_RDONLY);
  int got = read(fd, scratch, SIZE + 1);
  close(fd);
  for (int i = 0; i < got; i++)
    if (scratch[i] != byte_at(i, written))
      return false;
  return got == SIZE;
}

static const char *
prepare(void)
{
  const char *wrong = fill_old();
  if (!wrong && call2(SYS_mkdir, (uint64_t)PLACE, 0) < 0)
    wrong = "mkdir";
  return wrong;
}

static void
reset(void)
{
  unlink(NEW);
}

static void
finish(void)
{
  unlink(NEW);
  unlink(OLD);
  unlink(PLACE);
}

// The verdict on a call that returned got. was_done: whether its effect is there;
// as_was: whether all is as before it.
static struct verdict
judge(int got, bool was_done, bool as_was, const struct state *before)
{
  if (got >= 0)
    return was_done ? judged(DONE, 0) : judged(FALSE_SUCCESS, "files");
  if (was_done)
    return judged(FALSE_FAILURE, "files");
  const char *wrong = as_was ? changed(before) : "files";
  return judged(wrong ? CHANGED : FAILED, wrong);
}

// A system call with a path, or two, that opens nothing.
static int
armed_call(long number, const char *path, const char *second)
{
  arm();
  int got = call2(number, (uint64_t)path, (uint64_t)second);
  disarm();
  return got;
}

static int
armed_open(const char *path, int flags)
{
  arm();
  int fd = open(path, flags);
  disarm();
  return fd;
}

static struct verdict
run_open(void)
{
  char c = 0;
  struct state before = look();
  int fd = armed_open(OLD, O_RDONLY);
  bool reads = fd >= 0 && read_byte(fd, &c) && c == byte_at(0, false);
  return judge(fd, reads, true, &before);
}

static struct verdict
run_create(void)
{
  struct stat st;
  struct state before = look();
  int fd = armed_open(NEW, O_CREATE | O_RDWR);
  bool found = find(NEW, &st);
  bool fits = found && st.type == T_FILE && st.size == 0 && st.nlink == 1;
  bool writes = fd >= 0 && write(fd, "w", 1) == 1;
  return judge(fd, fits && (fd < 0 || writes), !found, &before);
}

// SIZE bytes of memory that lie in two pages, which nothing has touched yet. 0 if they
// are not to be had.
static char *
across(void)
{
  uint64_t base = sbrk(2 * PAGE);
  return base == (uint64_t)-1 ? 0 : (char *)base + PAGE - SIZE / 3;
}

static struct verdict
run_read(void)
{
  char c = 0, *to = across();
  int fd = open(OLD, O_RDONLY);
  if (!to || fd < 0 || !grow_marked(2))
    return UNPREPARED;
  struct state before = look();
  arm();
  int got = read(fd, to, SIZE);
  disarm();
  bool fits = got > 0;
  for (int i = 0; i < got && fits; i++)
    fits = to[i] == byte_at(i, false);
  if (got >= 0 && got < SIZE)
    return fits ? judged(FAILED, 0) : judged(FALSE_SUCCESS, got ? "data" : "end");
  // One that failed has not moved on.
  return judge(got, fits, got >= 0 || (read_byte(fd, &c) && c == byte_at(0, false)),
               &before);
}

static struct verdict
run_write(void)
{
  char *from = across();
  int fd = open(OLD, O_RDWR);
  if (!from || fd < 0 || !grow_marked(2))
    return UNPREPARED;
  for (int i = 0; i < SIZE; i++)
    from[i] = byte_at(i, true);
  struct state before = look();
  arm();
  int got = write(fd, from, SIZE);
  disarm();
  struct verdict v = judge(got, got == SIZE && holds(true), holds(false), &before);
  if (fill_old())
    return UNPREPARED;
  return v;
}

static struct verdict
run_mkdir(void)
{
  struct stat st;
  struct state before = look();
  int got = armed_call(SYS_mkdir, NEW, 0);
  bool found = find(NEW, &st);
  return judge(got, found && st.type == T_DIR && there(NEW "/.."), !found, &before);
}

static struct verdict
run_link(void)
{
  struct state before = look();
  int got = armed_call(SYS_link, OLD, NEW);
  return judge(got, links(OLD) == 2 && links(NEW) == 2,
               links(OLD) == 1 && links(NEW) == 0, &before);
}

static struct verdict
run_unlink(void)
{
  if (call2(SYS_link, (uint64_t)OLD, (uint64_t)NEW) < 0)
    return UNPREPARED;
  struct state before = look();
  int got = armed_call(SYS_unlink, NEW, 0);
  return judge(got, links(OLD) == 1 && links(NEW) == 0,
               links(OLD) == 2 && links(NEW) == 2, &before);
}

static struct verdict
run_chdir(void)
{
  struct state before = look();
  int got = armed_call(SYS_chdir, PLACE, 0);
  return judge(got, !there(OLD) && there("../" OLD), there(OLD), &before);
}

const struct workload file_workloads[] = {
    {"open", run_open, prepare, finish, 0, 0, true, false},
    {"create", run_create, prepare, finish, reset, 0, true, false},
    {"read", run_read, prepare, finish, 0, 0, false, false},
    {"write", run_write, prepare, finish, 0, 0, false, false},
    {"mkdir", run_mkdir, prepare, finish, reset, 0, true, false},
    {"link", run_link, prepare, finish, reset, 0, true, false},
    {"unlink", run_unlink, prepare, finish, reset, 0, true, false},
    {"chdir", run_chdir, prepare, finish, 0, 0, true, false},
    {0},
};
