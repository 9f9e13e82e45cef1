// bench MEASURE...: how long things take, one line a measure:
//
//   NAME ITERATIONS MICROSECONDS BYTES     each took so long, and moved so many bytes
//   pages CLASS=PAGES...                   what one more process takes, by class
//
// Without an argument, all measures. Time is the machine's clock, so the machine should
// have nothing else to do, and QEMU no -icount.
#include "user/user.h"
#include "kernel/fcntl.h"

#define PAGE         4096
#define TICKS_PER_US 10     // of QEMU virt's clock
#define ENOUGH_US    200000 // a measure takes at least so long
#define SBRK_PAGES   16
#define PIPE_CHUNK   2048
#define PIPE_BYTES   (64 * 1024)
#define FILE_CHUNK   4096
#define FILE_BYTES   (128 * 1024) // more than the buffer cache holds
#define FILE_NAME    "bench.tmp"

static char buffer[FILE_CHUNK];

static uint64_t
now(void)
{
  uint64_t ticks;
  asm volatile("rdtime %0" : "=r"(ticks));
  return ticks;
}

static void __attribute__((noreturn)) die(const char *what)
{
  fprintf(2, "bench: %s failed\n", what);
  unlink(FILE_NAME);
  exit(1);
}

// The child ends at once; wait for it.
static void
reap(int pid)
{
  int status;
  if (pid < 0)
    die("fork");
  if (wait(&status) != pid || status != 0)
    die("the child");
}

static void
fork_once(void)
{
  int pid = fork();
  if (pid == 0)
    exit(0);
  reap(pid);
}

static void
exec_once(void)
{
  int pid = fork();
  if (pid == 0) {
    char *argv[] = {"bench", "nothing", 0};
    exec("bench", argv);
    exit(1);
  }
  reap(pid);
}

static void
sbrk_once(void)
{
  char *grown = sbrk(SBRK_PAGES * PAGE);
  if (grown == SBRK_FAILED)
    die("sbrk");
  for (int i = 0; i < SBRK_PAGES; i++)
    grown[i * PAGE] = 1;
  if (sbrk(-SBRK_PAGES * PAGE) == SBRK_FAILED)
    die("sbrk down");
}

static int to_reader; // the writing end of a pipe that a child empties

static void
pipe_begin(void)
{
  int fds[2];
  if (pipe(fds) < 0)
    die("pipe");
  int pid = fork();
  if (pid < 0)
    die("fork");
  if (pid == 0) {
    close(fds[1]);
    while (read(fds[0], buffer, PIPE_CHUNK) > 0)
      ;
    exit(0);
  }
  close(fds[0]);
  to_reader = fds[1];
}

static void
pipe_once(void)
{
  for (int i = 0; i < PIPE_BYTES; i += PIPE_CHUNK)
    if (write(to_reader, buffer, PIPE_CHUNK) != PIPE_CHUNK)
      die("write to the pipe");
}

static void
pipe_end(void)
{
  close(to_reader);
  wait(0);
}

// A new file: created, written, closed.
static void
write_once(void)
{
  int fd = open(FILE_NAME, O_CREATE | O_TRUNC | O_WRONLY);
  if (fd < 0)
    die("open");
  for (int i = 0; i < FILE_BYTES; i += FILE_CHUNK)
    if (write(fd, buffer, FILE_CHUNK) != FILE_CHUNK)
      die("write");
  close(fd);
}

static void
read_once(void)
{
  int fd = open(FILE_NAME, O_RDONLY);
  if (fd < 0)
    die("open");
  for (int i = 0; i < FILE_BYTES; i += FILE_CHUNK)
    if (read(fd, buffer, FILE_CHUNK) != FILE_CHUNK)
      die("read");
  close(fd);
}

static void
remove_file(void)
{
  unlink(FILE_NAME);
}

static const struct measure {
  const char *name;
  void (*begin)(void); // not timed, like end
  void (*once)(void);
  void (*end)(void);
  int bytes; // that once moves
} measures[] = {
    {"fork", 0, fork_once, 0, 0},
    {"exec", 0, exec_once, 0, 0},
    {"sbrk", 0, sbrk_once, 0, 0},
    {"pipe", pipe_begin, pipe_once, pipe_end, PIPE_BYTES},
    {"file-write", 0, write_once, remove_file, FILE_BYTES},
    {"file-read", write_once, read_once, remove_file, FILE_BYTES},
};

// Twice as often until it takes long enough. The first time is not counted: it may fill
// caches.
static void
time_measure(const struct measure *m)
{
  uint64_t us = 0, count = 1;
  if (m->begin)
    m->begin();
  m->once();
  for (;; count *= 2) {
    uint64_t start = now();
    for (uint64_t i = 0; i < count; i++)
      m->once();
    us = (now() - start) / TICKS_PER_US;
    if (us >= ENOUGH_US)
      break;
  }
  if (m->end)
    m->end();
  uint64_t hundredths = us * 100 / count;
  printf("%s %lu %lu.%lu%lu %d\n", m->name, count, hundredths / 100,
         hundredths / 10 % 10, hundredths % 10, m->bytes);
}

// A child that waits for the pipe to be closed, and nothing else.
static void
count_pages(void)
{
  struct pagestat before, after;
  int fds[2];
  char c = 0;
  if (pipe(fds) < 0 || pagestat(&before) < 0)
    die("pagestat");
  int pid = fork();
  if (pid == 0) {
    close(fds[1]);
    read(fds[0], &c, 1);
    exit(0);
  }
  pagestat(&after);
  close(fds[1]);
  reap(pid);
  close(fds[0]);
  printf("pages");
  for (int class = PAGE_FREE + 1; class < NPAGECLASS; class ++)
    printf(" %s=%ld", page_class_name(class),
           (long)(after.held[class] - before.held[class]));
  printf("\n");
}

static bool
asked(const char *name, int argc, char **argv)
{
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0)
      return true;
  return argc == 1;
}

int
main(int argc, char **argv)
{
  int done = 0;
  if (argc == 2 && strcmp(argv[1], "nothing") == 0)
    return 0;
  for (int i = 0; i < (int)NELEM(measures); i++)
    if (asked(measures[i].name, argc, argv)) {
      time_measure(&measures[i]);
      done++;
    }
  if (asked("pages", argc, argv)) {
    count_pages();
    done++;
  }
  if (argc > 1 && done != argc - 1) {
    fprintf(2, "usage: bench [fork|exec|sbrk|pipe|file-write|file-read|pages]...\n");
    return 2;
  }
  return 0;
}
