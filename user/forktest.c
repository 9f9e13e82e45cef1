// Fork until the kernel has no process left, and see all of them end. Without printf,
// to be small: memory should not run out before processes do.
#include "user/user.h"

#define LIMIT 1000 // more than any kernel's process table

static void
say(const char *s)
{
  write(1, s, (int)strlen(s));
}

static void
fail(const char *what)
{
  say("fork test FAILED: ");
  say(what);
  say("\n");
  exit(1);
}

int
main(void)
{
  say("fork test\n");
  int children = 0;
  while (children < LIMIT) {
    int pid = fork();
    if (pid < 0)
      break;
    if (pid == 0)
      exit(0);
    children++;
  }
  if (children == 0)
    fail("the first fork failed");
  if (children == LIMIT)
    fail("fork never failed");
  for (int i = 0; i < children; i++)
    if (wait(0) < 0)
      fail("wait returned -1 before every child was seen");
  if (wait(0) != -1)
    fail("wait found more children than were forked");
  say("fork test OK\n");
  return 0;
}
