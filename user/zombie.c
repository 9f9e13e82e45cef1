// Leave behind a child that ends later than its parent, for init to reap.
#include "user/user.h"

int
main(void)
{
  int pid = fork();
  if (pid < 0) {
    fprintf(2, "zombie: cannot fork\n");
    return 1;
  }
  if (pid == 0)
    sleep(5);
  return 0;
}
