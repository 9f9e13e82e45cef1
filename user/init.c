// The first process: opens the console, keeps a shell running, and reaps orphans.
#include "user/user.h"
#include "kernel/fcntl.h"
#include "kernel/param.h"

// Standard input, output and error on the console.
static void
open_console(void)
{
  int fd = open("console", O_RDWR);
  if (fd < 0) {
    mknod("console", CONSOLE, 0);
    fd = open("console", O_RDWR);
  }
  if (fd != 0)
    exit(1); // nowhere to say it
  dup(fd);
  dup(fd);
}

static void
make_statistics(void)
{
  struct stat st;
  if (stat("statistics", &st) < 0)
    mknod("statistics", STATISTICS, 0);
}

static int
start_shell(void)
{
  printf("init: starting sh\n");
  int pid = fork();
  if (pid == 0) {
    char *argv[] = {"sh", 0};
    exec("sh", argv);
    printf("init: cannot run sh\n");
    sleep(10); // init will try again
    exit(1);
  }
  return pid;
}

int
main(void)
{
  open_console();
  make_statistics();
  int shell = -1;
  for (;;) {
    if (shell < 0)
      shell = start_shell();
    if (shell < 0) {
      printf("init: cannot fork; trying again\n");
      sleep(10);
      continue;
    }
    // Orphans become init's children.
    int pid = wait(0);
    if (pid == shell || pid < 0)
      shell = -1;
  }
}
