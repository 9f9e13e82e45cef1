#include "probe_sys.h"

char *program;
char *nonce;
char scratch[SCRATCH] __attribute__((aligned(16)));

// The compiler may call it by itself.
void *
memset(void *dst, int c, size_t n)
{
  for (volatile char *d = dst; n > 0; n--)
    *d++ = (char)c;
  return dst;
}

void *
memcpy(void *dst, const void *src, size_t n)
{
  const char *s = src;
  for (volatile char *d = dst; n > 0; n--)
    *d++ = *s++;
  return dst;
}

void
die(int status)
{
  for (;;)
    call2(SYS_exit, (uint64_t)status, 0);
}

int
fork(void)
{
  return call2(SYS_fork, 0, 0);
}

int
exec(const char *path, char **argv)
{
  return call2(SYS_exec, (uint64_t)path, (uint64_t)argv);
}

int
wait(int *status)
{
  return call2(SYS_wait, (uint64_t)status, 0);
}

int
pipe(int fds[2])
{
  return call2(SYS_pipe, (uint64_t)fds, 0);
}

int
open(const char *path, int flags)
{
  return call2(SYS_open, (uint64_t)path, (uint64_t)flags);
}

int
close(int fd)
{
  return call2(SYS_close, (uint64_t)fd, 0);
}

int
dup(int fd)
{
  return call2(SYS_dup, (uint64_t)fd, 0);
}

int
unlink(const char *path)
{
  return call2(SYS_unlink, (uint64_t)path, 0);
}

int
sleep(int ticks)
{
  return call2(SYS_sleep, (uint64_t)ticks, 0);
}

int
fstat(int fd, struct stat *st)
{
  return call2(SYS_fstat, (uint64_t)fd, (uint64_t)st);
}

// The second argument matters to kernels since 2025 only: allocate now, not at first
// use.
uint64_t
sbrk(int n)
{
  return (uint64_t)call(SYS_sbrk, (uint64_t)n, 1, 0, 0);
}

int
read(int fd, void *to, size_t n)
{
  return (int)call(SYS_read, (uint64_t)fd, (uint64_t)to, n, 0);
}

int
write(int fd, const void *from, size_t n)
{
  return (int)call(SYS_write, (uint64_t)fd, (uint64_t)from, n, 0);
}

bool
read_byte(int fd, char *c)
{
  return read(fd, c, 1) == 1;
}

uint64_t
shim_ask(enum faultline_command command, uint64_t a, uint64_t b)
{
  return (uint64_t)call(SYS_uptime, FAULTLINE_UPTIME, command, a, b);
}

uint64_t
shim(enum faultline_command command)
{
  return shim_ask(command, 0, 0);
}

// A kernel without a shim answers with the ticks since boot, which may happen to be the
// version.
uint64_t
shim_version(void)
{
  if (shim(FL_HELLO) != FAULTLINE_VERSION)
    return 0;
  sleep(2);
  return shim(FL_HELLO) == FAULTLINE_VERSION ? FAULTLINE_VERSION : 0;
}

bool
same(const char *a, const char *b)
{
  while (*a && *a == *b)
    a++, b++;
  return *a == *b;
}

size_t
length(const char *s)
{
  size_t n = 0;
  while (s[n])
    n++;
  return n;
}

static char line[512]; // the last byte stays 0
static size_t line_used;

void
say(const char *s)
{
  for (; *s && line_used < sizeof(line) - 1; s++)
    line[line_used++] = *s;
}

void
say_number(uint64_t value)
{
  char digits[21];
  char *p = digits + sizeof(digits);
  *--p = '\0';
  do
    *--p = (char)('0' + value % 10);
  while (value /= 10);
  say(p);
}

char *
said(void)
{
  say("\n");
  line[line_used] = '\0';
  line_used = 0;
  return line;
}

void
say_end(void)
{
  const char *s = said();
  write(1, s, length(s));
}

void
say_nonce(void)
{
  say("@");
  say(nonce);
  say(" ");
}

void
await_line(void)
{
  char c = 0;
  while (read_byte(0, &c) && c != '\n')
    ;
}

const char *
child_ends(int pid, int want)
{
  int status = 0;
  if (pid < 0)
    return "fork";
  if (wait(&status) != pid)
    return "wait";
  return status == want ? 0 : "status";
}

const char *
make_text_file(void)
{
  int fd = open(TEXT_FILE, O_CREATE | O_RDWR);
  if (fd < 0)
    return "open";
  if (write(fd, "not a program\n", 14) != 14)
    return "write";
  return close(fd) == 0 ? 0 : "close";
}

const char *
remove_text_file(void)
{
  return unlink(TEXT_FILE) == 0 ? 0 : "unlink";
}
