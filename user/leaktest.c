// leaktest [ROUNDS] [ACTION...]: repeat what processes do all the time and see whether
// the kernel gives every page back.
#include "user/user.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"

#define WARM_UP 2   // rounds that may fill caches
#define TICKS   100 // until init has reaped every orphan

// A round returns false if a call did not do what it should.
struct action {
  const char *name;
  bool (*round)(void);
};

static char *program; // this program's path

static bool
wait_for(int pid, int want)
{
  int status;
  return pid > 0 && wait(&status) == pid && status == want;
}

static bool
do_fork(void)
{
  int pid = fork();
  if (pid == 0)
    exit(7);
  return wait_for(pid, 7);
}

static bool
do_exec(void)
{
  int pid = fork();
  if (pid == 0) {
    char *argv[] = {program, "@exit", 0};
    exec(program, argv);
    exit(1);
  }
  return wait_for(pid, 7);
}

static bool
do_exec_fail(void)
{
  char *argv[] = {"x", 0};
  int fd = open("leaktest.tmp", O_CREATE | O_WRONLY);
  if (fd < 0 || write(fd, "not a program\n", 14) != 14)
    return false;
  close(fd);
  bool refused = exec("leaktest.tmp", argv) == -1 && exec("/", argv) == -1 &&
                 exec("missing.tmp", argv) == -1;
  return unlink("leaktest.tmp") == 0 && refused;
}

static bool
grow_and_shrink(int pages)
{
  char *old = sbrk(pages * PGSIZE);
  if (old == SBRK_FAILED)
    return false;
  for (int i = 0; i < pages; i++)
    old[i * PGSIZE] = 1;
  return sbrk(-pages * PGSIZE) == old + pages * PGSIZE;
}

static bool
do_sbrk(void)
{
  return grow_and_shrink(10);
}

static bool
do_sbrk_big(void)
{
  return grow_and_shrink(1024); // over the edge of a page-table page
}

static bool
do_pipe(void)
{
  int fds[2];
  char c;
  if (pipe(fds) < 0)
    return false;
  bool moved = write(fds[1], "x", 1) == 1 && read(fds[0], &c, 1) == 1 && c == 'x';
  return close(fds[0]) == 0 && close(fds[1]) == 0 && moved;
}

static bool
do_open(void)
{
  int fd = open("leaktest.tmp", O_CREATE | O_RDWR);
  return fd >= 0 && close(fd) == 0 && unlink("leaktest.tmp") == 0;
}

static bool
do_orphan(void)
{
  int pid = fork();
  if (pid == 0) {
    if (fork() == 0)
      sleep(1);
    exit(7);
  }
  return wait_for(pid, 7);
}

static bool
do_kill(void)
{
  int pid = fork();
  if (pid == 0)
    for (;;)
      ;
  return pid > 0 && kill(pid) == 0 && wait_for(pid, -1);
}

static const struct action actions[] = {
    {"fork", do_fork}, {"exec", do_exec},        {"execfail", do_exec_fail},
    {"sbrk", do_sbrk}, {"sbrkbig", do_sbrk_big}, {"pipe", do_pipe},
    {"open", do_open}, {"orphan", do_orphan},    {"kill", do_kill},
};

// Orphans live for a tick; do not let more of them gather than there are processes.
static bool
repeat(const struct action *a, int rounds)
{
  for (int i = 0; i < rounds; i++) {
    if (!a->round()) {
      printf("leaktest %s: FAILED: round %d did not do what it should\n", a->name,
             i + 1);
      return false;
    }
    if (a->round == do_orphan && i % 16 == 15)
      sleep(3);
  }
  return true;
}

// "table 2.0, kstack 1.0": pages lost per round.
static void
print_classes(const struct pagestat *before, const struct pagestat *after, int rounds)
{
  const char *separator = "";
  for (int class = PAGE_FREE + 1; class < NPAGECLASS; class ++) {
    long lost = (long)(after->held[class] - before->held[class]);
    if (lost == 0)
      continue;
    long tenths = (lost < 0 ? -lost : lost) * 10 / rounds;
    printf("%s%s %s%ld.%ld", separator, page_class_name(class), lost < 0 ? "-" : "",
           tenths / 10, tenths % 10);
    separator = ", ";
  }
}

// True if nothing was lost.
static bool
measure(const struct action *a, int rounds)
{
  struct pagestat before, after, settled;
  pagestat(&before);
  if (!repeat(a, WARM_UP))
    return false;
  pages_settle(&before, &settled, TICKS);
  if (!repeat(a, rounds))
    return false;
  pages_settle(&settled, &after, TICKS);
  if (pages_same(&settled, &after)) {
    printf("leaktest %s: %d rounds, 0 pages lost\n", a->name, rounds);
    return true;
  }
  printf("leaktest %s: %d rounds, %ld pages lost, a round: ", a->name, rounds,
         pages_lost(&settled, &after));
  print_classes(&settled, &after, rounds);
  printf("\n");
  return false;
}

static bool
chosen(const char *name, int argc, char **argv)
{
  for (int i = 0; i < argc; i++)
    if (strcmp(argv[i], name) == 0)
      return true;
  return argc == 0;
}

static int
usage(void)
{
  fprintf(2, "usage: leaktest [ROUNDS] [ACTION...], actions are:");
  for (size_t i = 0; i < NELEM(actions); i++)
    fprintf(2, " %s", actions[i].name);
  fprintf(2, "\n");
  return 2;
}

int
main(int argc, char **argv)
{
  if (argc == 2 && strcmp(argv[1], "@exit") == 0)
    return 7;
  program = argv[0];
  int rounds = 20;
  int first = 1; // of the actions' names
  if (argc > 1 && parse_number(argv[1], &rounds))
    first = 2;
  if (rounds < 1)
    return usage();
  for (int i = first; i < argc; i++) {
    bool known = false;
    for (size_t k = 0; k < NELEM(actions); k++)
      known |= strcmp(argv[i], actions[k].name) == 0;
    if (!known)
      return usage();
  }
  struct pagestat now;
  if (pagestat(&now) < 0) {
    fprintf(2, "leaktest: this kernel does not count pages\n");
    return 2;
  }
  bool ok = true;
  for (size_t i = 0; i < NELEM(actions); i++)
    if (chosen(actions[i].name, argc - first, argv + first))
      ok &= measure(&actions[i], rounds);
  printf(ok ? "leaktest: no pages lost\n" : "leaktest: FAILED\n");
  return ok ? 0 : 1;
}
