// Processes that take memory away, down to the last page.
#include "user/tests.h"
#include "kernel/riscv.h"

#define STEP (1 << 20)

long
take_all_memory(void)
{
  char *start = heap_end();
  for (int step = STEP; step >= PGSIZE; step /= 2) {
    char *p;
    while ((p = sbrk(step)) != SBRK_FAILED)
      for (int i = 0; i < step; i += PGSIZE)
        p[i] = 1;
  }
  return (heap_end() - start) / PGSIZE;
}

long
free_pages(void)
{
  struct pagestat pages;
  expect("pagestat", pagestat(&pages), 0);
  return (long)pages.held[PAGE_FREE];
}

// Take memory until just so many pages are free.
static void
leave_free(long pages)
{
  take_all_memory();
  while (free_pages() != pages)
    expect_true("sbrk by a page to succeed",
                sbrk(free_pages() < pages ? -PGSIZE : PGSIZE) != SBRK_FAILED);
}

struct hog
start_hog(long spare)
{
  int go[2], ready[2];
  char c = 0;
  expect("pipe", pipe(go), 0);
  expect("pipe", pipe(ready), 0);
  int pid = fork_or_fail();
  if (pid == 0) {
    close(go[1]);
    leave_free(spare);
    write(ready[1], "r", 1);
    read(go[0], &c, 1);
    exit(0);
  }
  close(go[0]);
  close(ready[1]);
  expect("read of a pipe from the hog", read(ready[0], &c, 1), 1);
  close(ready[0]);
  return (struct hog){pid, go[1]};
}

void
stop_hog(struct hog hog)
{
  close(hog.gate);
  expect("status of the hog", wait_for(hog.pid), 0);
}
