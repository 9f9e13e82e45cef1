// echo [WORD...]: print the words, one blank between them.
#include "user/user.h"

int
main(int argc, char **argv)
{
  const char *separator = "";
  for (int i = 1; i < argc; i++) {
    write(1, separator, (int)strlen(separator));
    write(1, argv[i], (int)strlen(argv[i]));
    separator = " ";
  }
  write(1, "\n", 1);
  return 0;
}
