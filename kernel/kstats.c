// The page counters, for programs: a system call, and a device that reads as text.

#include "defs.h"
#include "file.h"
#include "proc.h"

static const char *const class_names[NPAGECLASS] = {
    [PAGE_FREE] = "free",     [PAGE_USER] = "user",           [PAGE_TABLE] = "table",
    [PAGE_KSTACK] = "kstack", [PAGE_TRAPFRAME] = "trapframe", [PAGE_PIPE] = "pipe",
    [PAGE_OTHER] = "other",
};

// The text that readers are being given, and how much of it they have had.
static struct {
  struct spinlock lock;
  char text[256];
  int size, done;
} stats;

static void
put(int c, void *unused)
{
  (void)unused;
  if (stats.size < (int)sizeof(stats.text))
    stats.text[stats.size++] = c;
}

static void
line(const char *message, ...)
{
  va_list ap;
  va_start(ap, message);
  format(put, 0, message, ap);
  va_end(ap);
}

static void
snapshot(void)
{
  struct pagestat pages;
  pagestat(&pages);
  stats.size = stats.done = 0;
  line("total %lu\n", pages.total);
  for (int class = 0; class < NPAGECLASS; class ++)
    line("%s %lu\n", class_names[class], pages.held[class]);
}

// Read on in the text; at its end 0, and the next read begins a fresh one.
static int
stats_read(bool user, uint64_t dst, int n)
{
  acquire(&stats.lock);
  if (stats.size == 0)
    snapshot();
  if (n > stats.size - stats.done)
    n = stats.size - stats.done;
  if (copy_to(user, dst, stats.text + stats.done, n) < 0)
    n = -1;
  else if (n == 0)
    stats.size = 0;
  else
    stats.done += n;
  release(&stats.lock);
  return n;
}

void
kstatsinit(void)
{
  initlock(&stats.lock, "statistics");
  devices[STATISTICS].read = stats_read;
}

uint64_t
sys_pagestat(void)
{
  uint64_t addr;
  struct pagestat pages;
  argaddr(0, &addr);
  pagestat(&pages);
  return copyout(addr, &pages, sizeof(pages));
}
