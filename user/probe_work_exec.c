// Workloads that replace the actor's program.
#include "probe_image.h"
#include "probe_sweep.h"

#define FILE_NAME "probe.x"
#define NARGS     30
#define ARG_SIZE  96 // bytes: all of them just fit the page of the stack

static const char *few[] = {FILE_NAME, "one", 0};

// The long argument list: NARGS strings.
static struct many {
  char *argv[NARGS + 1];
  char text[NARGS][ARG_SIZE];
} *many = (struct many *)scratch;
_Static_assert(sizeof(struct many) <= SCRATCH, "the arguments must fit");

static int many_status; // what the program makes of them

// exec returns only if it fails. must_fail: it should.
static struct verdict
run_exec(char **argv, bool must_fail)
{
  char *line = stop_line();
  if (!grow_marked(2))
    return UNPREPARED;
  if (line)
    argv[0] = line;
  struct state before = look();
  arm();
  exec(FILE_NAME, argv);
  uint64_t fired = disarm();
  const char *wrong = changed(&before);
  return judged(wrong ? CHANGED : must_fail && !fired ? DONE : FAILED, wrong);
}

static struct verdict
with_few(bool must_fail)
{
  char *argv[3];
  for (int i = 0; i < 3; i++)
    argv[i] = (char *)(uint64_t)few[i];
  return run_exec(argv, must_fail);
}

static struct verdict
run_few(void)
{
  return with_few(false);
}

static int
status_few(void)
{
  return image_status(2, (char **)(uint64_t)few);
}

static struct verdict
run_many(void)
{
  many->argv[0] = (char *)(uint64_t)FILE_NAME; // or a line of an earlier run
  return run_exec(many->argv, false);
}

static int
status_many(void)
{
  return many_status;
}

static struct verdict
run_refused(void)
{
  return with_few(true);
}

// Pages are marked here for all actors: one that stays must not grow when it is
// watched.
static const char *
prepare_good(void)
{
  return grow_marked(2) ? write_image(FILE_NAME, IMAGE_GOOD) : "sbrk";
}

static const char *
prepare_many(void)
{
  const char *wrong = prepare_good();
  for (int i = 0; i < NARGS; i++) {
    for (int j = 0; j < ARG_SIZE - 1; j++)
      many->text[i][j] = (char)('a' + (i * 7 + j) % 26);
    many->text[i][ARG_SIZE - 1] = '\0';
    many->argv[i] = many->text[i];
  }
  many->argv[NARGS] = 0;
  many_status = image_status(NARGS, many->argv);
  return wrong;
}

static const char *
prepare_big(void)
{
  return write_image(FILE_NAME, IMAGE_BIG);
}

static const char *
prepare_far(void)
{
  return write_image(FILE_NAME, IMAGE_FAR);
}

static const char *
prepare_no_magic(void)
{
  return write_image(FILE_NAME, IMAGE_NO_MAGIC);
}

static const char *
prepare_cut(void)
{
  return write_image(FILE_NAME, IMAGE_CUT);
}

static void
finish(void)
{
  unlink(FILE_NAME);
}

const struct workload exec_workloads[] = {
    {"exec", run_few, prepare_good, finish, 0, status_few, true, true},
    {"execargs", run_many, prepare_many, finish, 0, status_many, true, true},
    {"execbig", run_few, prepare_big, finish, 0, status_few, true, false},
    {"execfar", run_few, prepare_far, finish, 0, status_few, true, false},
    {"execbad", run_refused, prepare_no_magic, finish, 0, 0, true, false},
    {"execlate", run_refused, prepare_cut, finish, 0, 0, true, false},
    {0},
};
