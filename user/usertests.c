// usertests [-l] [-q] [-m PAGES] [NAME...]: run the kernel's tests, all of them or
// those named. -l lists their names, -q leaves out the slow ones. Each test runs in a
// process of its own, in an empty directory, and must leave as many pages in use as it
// found.
//
// usertests -a NONCE NAME...: for a grader, on any xv6 kernel: run tests that are not
// marked REFERENCE, until one fails. What became of each is in a line of its own, which
// is @NONCE NAME ok|failed|unknown.
//
// -m runs them next to a hog that leaves only so many pages free. A test may then fail,
// if it ends by itself, says why, and loses no page. Once the hog is gone it must pass.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"

#define DIRECTORY "/usertests.dir"
#define TICKS     100 // until init has reaped every orphan

static const struct test *const tables[] = {
    copy_tests,   memory_tests,    fault_tests, process_tests,
    signal_tests, exec_tests,      pipe_tests,  file_tests,
    name_tests,   directory_tests, race_tests,  exhaustion_tests,
};

#define MAXTESTS 256

// What became of a test.
enum result { PASSED, TOO_SHORT, FAILED }; // TOO_SHORT: of memory, next to a hog

struct options {
  bool quick;
  bool list;
  int spare; // pages that a hog leaves; -1: no hog
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

// The test must end with status 0, or short of memory by fail(), and what it leaves
// must be removable. It does not get the hog's gate: whatever it leaves behind must not
// keep the hog, and its file descriptors are those of any program.
static enum result
run_in_directory(const struct test *t, const struct hog *hog)
{
  int pid = fork();
  if (pid == 0) {
    if (hog)
      close(hog->gate);
    if (chdir(DIRECTORY) < 0)
      fail("chdir to %s: expected 0, got -1", DIRECTORY);
    t->run();
    exit(0);
  }
  int status = pid < 0 ? 1 : 0;
  bool waited = pid < 0 || wait(&status) == pid;
  if (pid < 0 || !waited)
    printf("%s: cannot fork, or not wait for the test's process\n", t->name);
  else if (status == -1)
    printf("%s: expected the test to end by itself, but the kernel killed it\n",
           t->name);
  if (!empty_directory(DIRECTORY, 0)) {
    printf("%s: cannot remove what the test left in %s\n", t->name, DIRECTORY);
    return FAILED;
  }
  if (waited && status == 0)
    return PASSED;
  return waited && status == 1 && hog ? TOO_SHORT : FAILED;
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

static enum result
run_test(const struct test *t, const struct hog *hog)
{
  static const char *const words[] = {"OK", "OUT OF MEMORY", "FAILED"};
  struct pagestat before, after;
  test_name = t->name;
  if ((t->flags & REFERENCE) && !reference_kernel()) {
    printf("test %s: SKIPPED (xv6 does not promise this)\n", t->name);
    return PASSED;
  }
  if (reference_kernel())
    pagestat(&before);
  enum result result = run_in_directory(t, hog);
  if (reference_kernel()) {
    pages_settle(&before, &after, TICKS);
    if (!pages_same(&before, &after)) {
      print_lost(t->name, &before, &after);
      result = FAILED;
    }
  }
  printf("test %s: %s\n", t->name, words[result]);
  return result;
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
  fprintf(2, "usage: usertests [-l] [-q] [-m PAGES] [NAME...]\n"
             "       usertests -a NONCE NAME...\n");
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

// Run those tests that were chosen, and then, without a hog, those again that were too
// short of memory. Returns how many failed.
static int
run_chosen(const struct options *o)
{
  static const struct test *again[MAXTESTS];
  int nagain = 0, failed = 0;
  bool beside = o->spare >= 0;
  struct hog hog;
  if (beside)
    hog = start_hog(o->spare);
  for (size_t i = 0; i < NELEM(tables); i++)
    for (const struct test *t = tables[i]; t->name; t++) {
      enum result result = chosen(t, o) ? run_test(t, beside ? &hog : 0) : PASSED;
      failed += result == FAILED;
      if (result == TOO_SHORT && nagain < MAXTESTS)
        again[nagain++] = t;
    }
  if (beside) {
    test_name = "usertests";
    stop_hog(hog);
    printf("usertests: the hog is gone\n");
  }
  for (int i = 0; i < nagain; i++)
    failed += run_test(again[i], 0) != PASSED;
  return failed;
}

static void
make_directory(void)
{
  if (mkdir(DIRECTORY) < 0 && !empty_directory(DIRECTORY, 0))
    printf("usertests: cannot make an empty directory %s\n", DIRECTORY);
}

// How many children a process can have at a time; enough of them are not counted on.
static int
children_at_once(int enough)
{
  int gate[2], n = 0;
  char c;
  if (pipe(gate) < 0)
    return 0;
  for (int pid; n < enough && (pid = fork()) >= 0; n++) {
    if (pid == 0) {
      close(gate[1]);
      read(gate[0], &c, 1); // until the parent lets go
      exit(0);
    }
  }
  close(gate[0]);
  close(gate[1]);
  for (int i = 0; i < n; i++)
    wait(0);
  return n;
}

static const struct test *
find_for_any_kernel(const char *name)
{
  for (size_t i = 0; i < NELEM(tables); i++)
    for (const struct test *t = tables[i]; t->name; t++)
      if (strcmp(t->name, name) == 0 && !(t->flags & REFERENCE))
        return t;
  return 0;
}

// Run these tests, the last of them followed by 0, until one fails.
static int
run_on_any_kernel(const char *nonce, char **names)
{
  any_kernel = true;
  for (; *names; names++) {
    const struct test *t = find_for_any_kernel(*names);
    if (t == 0) {
      printf("@%s %s unknown\n", nonce, *names);
      return 2;
    }
    bool few = (t->flags & CROWDED) && children_at_once(10) < 10;
    if (few)
      printf("%s: this kernel has few processes; not tried\n", t->name);
    make_directory();
    bool passed = few || run_test(t, 0) == PASSED;
    unlink(DIRECTORY);
    printf("@%s %s %s\n", nonce, t->name, passed ? "ok" : "failed");
    if (!passed)
      return 1;
  }
  return 0;
}

static int
run_tests(const struct options *o)
{
  printf("usertests starting\n");
  if (!reference_kernel())
    printf("usertests: this kernel does not count pages: leaks are not looked for\n");
  make_directory();
  int failed = run_chosen(o);
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

  if (argc >= 4 && strcmp(argv[1], "-a") == 0)
    return run_on_any_kernel(argv[2], argv + 3);

  struct options o = {.spare = -1, .names = argv + 1};
  while (argc > 1 && o.names[0] && o.names[0][0] == '-') {
    if (strcmp(o.names[0], "-l") == 0)
      o.list = true;
    else if (strcmp(o.names[0], "-q") == 0)
      o.quick = true;
    else if (strcmp(o.names[0], "-m") == 0 && o.names[1] && reference_kernel() &&
             parse_number(o.names[1], &o.spare) && o.spare >= 0)
      o.names++;
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
