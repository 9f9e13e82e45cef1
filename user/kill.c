// kill PID...: end processes.
#include "user/user.h"

int
main(int argc, char **argv)
{
  if (argc < 2) {
    fprintf(2, "usage: kill PID...\n");
    return 2;
  }
  int status = 0;
  for (int i = 1; i < argc; i++) {
    int pid;
    if (!parse_number(argv[i], &pid) || kill(pid) < 0) {
      fprintf(2, "kill: no process %s\n", argv[i]);
      status = 1;
    }
  }
  return status;
}
