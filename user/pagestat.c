// pagestat: how many physical pages are free, and who holds the others.
#include "user/user.h"

int
main(void)
{
  struct pagestat pages;
  if (pagestat(&pages) < 0) {
    fprintf(2, "pagestat: this kernel does not count pages\n");
    return 1;
  }
  printf("total %lu\n", pages.total);
  for (int class = 0; class < NPAGECLASS; class ++)
    printf("%s %lu\n", page_class_name(class), pages.held[class]);
  return 0;
}
