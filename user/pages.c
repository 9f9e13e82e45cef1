// Reading and comparing the kernel's page counters.
#include "user/user.h"

const char *
page_class_name(int class)
{
  static const char *const names[NPAGECLASS] = {
      [PAGE_FREE] = "free",     [PAGE_USER] = "user",           [PAGE_TABLE] = "table",
      [PAGE_KSTACK] = "kstack", [PAGE_TRAPFRAME] = "trapframe", [PAGE_PIPE] = "pipe",
      [PAGE_OTHER] = "other",
  };
  return class >= 0 && class < NPAGECLASS ? names[class] : "unknown";
}

// Pages that were free before and are not after.
long
pages_lost(const struct pagestat *before, const struct pagestat *after)
{
  return (long)(before->held[PAGE_FREE] - after->held[PAGE_FREE]);
}

bool
pages_same(const struct pagestat *before, const struct pagestat *after)
{
  return memcmp(before, after, sizeof(*before)) == 0;
}

// Read the counters into after. If they differ from before, read again for up to so
// many ticks: init may not have reaped every orphan yet.
void
pages_settle(const struct pagestat *before, struct pagestat *after, int ticks)
{
  pagestat(after);
  for (int i = 0; i < ticks && !pages_same(before, after); i++) {
    sleep(1);
    pagestat(after);
  }
}
