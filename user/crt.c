// Where every program begins: exec() enters here with argc and argv in a0 and a1.
#include "user/user.h"

int main(int argc, char **argv);
void _start(int argc, char **argv) __attribute__((noreturn));

void
_start(int argc, char **argv)
{
  exit(main(argc, argv));
}
