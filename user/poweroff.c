// poweroff [CODE]: end the machine; QEMU exits with this code, 0 if none is given.
#include "user/user.h"

int
main(int argc, char **argv)
{
  int code = 0;
  if (argc > 2 || (argc == 2 && (!parse_number(argv[1], &code) || code < 0))) {
    fprintf(2, "usage: poweroff [CODE]\n");
    return 2;
  }
  poweroff(code);
  fprintf(2, "poweroff: this kernel cannot\n");
  return 1;
}
