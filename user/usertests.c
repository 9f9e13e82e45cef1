// usertests [-l] [-q] [NAME...]: run the kernel's tests, all of them or those named. -l
// lists their names, -q leaves out the slow ones. Each test runs in a process of its
// own, in an empty directory, and must leave as many pages in use as it found.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"

#define DIRECTORY "/usertests.dir"
#define TICKS     20 // until init has reaped every orphan

static const struct test *const tables[] = {
    copy_tests,   memory_tests,    fault_tests, process_tests,
    signal_tests, exec_tests,      pipe_tests,  file_tests,
    name_tests,   directory_tests, race_tests,  exhaustion_tests,
};

struct options {
  bool quick;
  bool list;
  int nnames;
  char **names;
};

// Empty the directory, and those in it. Returns false if something stays.
static bool
empty_directory(const char *path, int depth)
{
  if (chdir(path) < 0)
    return false;
  int fd = open(".", O_RDONLY);
  struct dirent entry;
  bool empty = fd >= 0;
  while (fd >= 0 && read(fd, &entry, sizeof(entry)) == sizeof(entry)) {
    char name[DIRSIZ + 1];
    memcpy(name, entry.name, DIRSIZ);
    name[DIRSIZ] = '\0';
    if (entry.inum == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
      continue;
    if (unlink(name) < 0 && depth < 4) {
      empty_directory(name, depth + 1);
      empty &= unlink(name) == 0;
    }
  }
  if (fd >= 0)
    close(fd);
  chdir(depth == 0 ? "/" : "..");
  return empty;
}

// True if the test ended with status 0 and what it left could be removed.
static bool
run_in_directory(const struct test *t)
{
  int pid = fork();
  if (pid == 0) {
    if (chdir(DIRECTORY) < 0)
      fail("chdir to %s: expected 0, got -1", DIRECTORY);
    t->run();
    exit(0);
  }
  int status = 0;
  bool ok = pid > 0 && wait(&status) == pid;
  if (!ok)
    printf("%s: cannot fork, or not wait for the test's process\n", t->name);
  else if (status == -1)
    printf("%s: expected the test to end by itself, but the kernel killed it\n",
           t->name);
  if (!empty_directory(DIRECTORY, 0)) {
    printf("%s: cannot remove what the test left in %s\n", t->name, DIRECTORY);
    ok = false;
  }
  return ok && status == 0;
}

// "NAME: lost 3 pages (table 2, kstack 1)"
static void
print_lost(const char *name, const struct pagestat *before,
           const struct pagestat *after)
{
  printf("%s: lost %ld pages (", name, pages_lost(before, after));
  const char *separator = "";
  for (int class = PAGE_FREE + 1; class < NPAGECLASS; class ++) {
    long lost = (long)(after->held[class] - before->held[class]);
    if (lost == 0)
      continue;
    printf("%s%s %ld", separator, page_class_name(class), lost);
    separator = ", ";
  }
  printf(")\n");
}

static bool
run_test(const struct test *t)
{
  struct pagestat before, after;
  test_name = t->name;
  if ((t->flags & REFERENCE) && !reference_kernel()) {
    printf("test %s: SKIPPED (xv6 does not promise this)\n", t->name);
    return true;
  }
  if (reference_kernel())
    pagestat(&before);
  bool ok = run_in_directory(t);
  if (reference_kernel()) {
    pages_settle(&before, &after, TICKS);
    if (!pages_same(&before, &after)) {
      print_lost(t->name, &before, &after);
      ok = false;
    }
  }
  printf("test %s: %s\n", t->name, ok ? "OK" : "FAILED");
  return ok;
}

static bool
chosen(const struct test *t, const struct options *o)
{
  for (int i = 0; i < o->nnames; i++)
    if (strcmp(t->name, o->names[i]) == 0)
      return true;
  return o->nnames == 0 && !(o->quick && (t->flags & SLOW));
}

static bool
exists(const char *name)
{
  for (size_t i = 0; i < NELEM(tables); i++)
    for (const struct test *t = tables[i]; t->name; t++)
      if (strcmp(t->name, name) == 0)
        return true;
  return false;
}

static int
usage(void)
{
  fprintf(2, "usage: usertests [-l] [-q] [NAME...]\n");
  return 2;
}

static int
list_tests(void)
{
  for (size_t i = 0; i < NELEM(tables); i++)
    for (const struct test *t = tables[i]; t->name; t++)
      printf("%s%s\n", t->name, t->flags & SLOW ? " (slow)" : "");
  return 0;
}

static int
run_tests(const struct options *o)
{
  printf("usertests starting\n");
  if (!reference_kernel())
    printf("usertests: this kernel does not count pages: leaks are not looked for\n");
  if (mkdir(DIRECTORY) < 0 && !empty_directory(DIRECTORY, 0))
    printf("usertests: cannot make an empty directory %s\n", DIRECTORY);
  int failed = 0;
  for (size_t i = 0; i < NELEM(tables); i++)
    for (const struct test *t = tables[i]; t->name; t++)
      if (chosen(t, o) && !run_test(t))
        failed++;
  unlink(DIRECTORY);
  printf(failed == 0 ? "ALL TESTS PASSED\n" : "SOME TESTS FAILED\n");
  return failed == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
  static char path[64] = "/";
  if (argc > 1 && argv[1][0] == '@')
    return exec_child(argc, argv);
  if (argc < 1 || strlen(argv[0]) + 2 > sizeof(path))
    return usage();
  strcpy(path + (argv[0][0] != '/'), argv[0]);
  self = path;

  struct options o = {false, false, 0, argv + 1};
  while (argc > 1 && o.names[0] && o.names[0][0] == '-') {
    if (strcmp(o.names[0], "-l") == 0)
      o.list = true;
    else if (strcmp(o.names[0], "-q") == 0)
      o.quick = true;
    else
      return usage();
    o.names++;
  }
  while (o.names[o.nnames]) {
    if (!exists(o.names[o.nnames])) {
      fprintf(2, "usertests: no test is called %s\n", o.names[o.nnames]);
      return 2;
    }
    o.nnames++;
  }
  return o.list ? list_tests() : run_tests(&o);
}
