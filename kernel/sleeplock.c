// Locks that a process may hold while it sleeps.

#include "defs.h"
#include "proc.h"
#include "sleeplock.h"

void
initsleeplock(struct sleeplock *lk, const char *name)
{
  *lk = (struct sleeplock){.name = name};
  initlock(&lk->guard, name);
}

// Sleep until the lock is free, and take it for the running process.
void
acquiresleep(struct sleeplock *lk)
{
  acquire(&lk->guard);
  while (lk->locked)
    sleep(lk, &lk->guard);
  lk->locked = true;
  lk->pid = myproc()->pid;
  release(&lk->guard);
}

void
releasesleep(struct sleeplock *lk)
{
  acquire(&lk->guard);
  lk->locked = false;
  lk->pid = 0;
  wakeup(lk);
  release(&lk->guard);
}

// Whether the running process holds the lock.
bool
holdingsleep(struct sleeplock *lk)
{
  acquire(&lk->guard);
  bool mine = lk->locked && lk->pid == myproc()->pid;
  release(&lk->guard);
  return mine;
}
