// pgdump [-k] [PID]: print a process's user page table, or with -k its kernel page
// table; its own if no process is named.
#include "user/user.h"

int
main(int argc, char **argv)
{
  int kernel = 0;
  int pid = getpid();
  bool usage = false;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "-k") == 0)
      kernel = 1;
    else if (!parse_number(argv[i], &pid))
      usage = true;
  }
  if (usage) {
    fprintf(2, "usage: pgdump [-k] [PID]\n");
    return 2;
  }
  if (pgdump(pid, kernel) < 0) {
    fprintf(2, "pgdump: no process %d, or this kernel cannot\n", pid);
    return 1;
  }
  return 0;
}
