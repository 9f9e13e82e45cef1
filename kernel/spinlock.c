// Mutual exclusion between harts.

#include "defs.h"
#include "proc.h"
#include "spinlock.h"

void
initlock(struct spinlock *lk, const char *name)
{
  *lk = (struct spinlock){.name = name};
}

// Whether this hart holds the lock. Interrupts must be off.
bool
holding(struct spinlock *lk)
{
  return lk->locked && lk->cpu == mycpu();
}

// Wait for the lock and take it. Interrupts stay off on this hart until it is released:
// a handler that wanted the same lock would wait for ever.
void
acquire(struct spinlock *lk)
{
  push_off();
  if (holding(lk))
    panic("acquire: this hart already holds %s", lk->name);
  while (__atomic_exchange_n(&lk->locked, 1, __ATOMIC_ACQUIRE))
    ;
  lk->cpu = mycpu();
}

void
release(struct spinlock *lk)
{
  if (!holding(lk))
    panic("release: this hart does not hold %s", lk->name);
  lk->cpu = 0;
  __atomic_store_n(&lk->locked, 0, __ATOMIC_RELEASE);
  pop_off();
}

// Turn interrupts off until as many pop_off() have followed; nests.
void
push_off(void)
{
  bool were_on = intr_off();
  struct cpu *c = mycpu();
  if (c->noff++ == 0)
    c->intena = were_on;
}

// Undo one push_off(); the outermost restores the interrupts.
void
pop_off(void)
{
  struct cpu *c = mycpu();
  if (intr_get() || c->noff < 1)
    panic("pop_off: interrupts are on, or no push_off");
  if (--c->noff == 0 && c->intena)
    intr_on();
}
