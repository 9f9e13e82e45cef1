// Physical pages: a free list, and for each page what it is used for.

#include "defs.h"
#include "memlayout.h"
#include "param.h"
#include "spinlock.h"
#include "../faults/ctl.h"
#include "../faults/hook.h"

#define NPAGES ((PHYSTOP - KERNBASE) / PGSIZE)

// What a freed page is filled with, so that its next reader fails early. Read as a
// page-table entry it is invalid.
#define POISON 0xde

extern char end[]; // first byte after the kernel (kernel.ld)

struct run {
  struct run *next;
};

static struct {
  struct spinlock lock;
  struct run *free;
  uint8_t class[NPAGES]; // enum page_class of each page of RAM
} kmem;

// The harness reads the page counters here. Protected by kmem.lock.
struct faultline_ctl faultline_ctl = {
    .magic = FAULTLINE_MAGIC,
    .version = FAULTLINE_VERSION,
};

#define HELD (faultline_ctl.pages.held)

// The index of a page of the allocator's in kmem.class, or -1 for any other address.
static int64_t
page_index(uint64_t pa)
{
  if (pa % PGSIZE || pa < PGROUNDUP(end) || pa >= PHYSTOP)
    return -1;
  return (pa - KERNBASE) / PGSIZE;
}

// Count a page in another class. kmem.lock must be held.
static void
reclass(int64_t page, enum page_class class)
{
  HELD[kmem.class[page]]--;
  HELD[class]++;
  kmem.class[page] = class;
}

// Put all pages from the end of the kernel to the end of RAM on the free list, lowest
// address first to be handed out.
void
kinit(void)
{
  initlock(&kmem.lock, "kmem");
  kmem.free = 0;
  faultline_ctl.pages = (struct pagestat){0};
  if (FAULT(total_miscounted))
    faultline_ctl.pages.total++;
  for (uint64_t pa = PHYSTOP - PGSIZE; pa >= PGROUNDUP(end); pa -= PGSIZE) {
    struct run *r = (struct run *)pa;
    r->next = kmem.free;
    kmem.free = r;
    kmem.class[page_index(pa)] = PAGE_FREE;
    faultline_ctl.pages.total++;
  }
  HELD[PAGE_FREE] = faultline_ctl.pages.total;
}

// One page of physical memory, contents undefined, or 0 when there is none.
void *
kalloc(void)
{
  if (FAULT(kalloc_nth) && fault_nth(FAULT_N))
    return 0;
  if (FAULT(kalloc_every_kth) && fault_every(FAULT_N))
    return 0;
  if (FAULT(kalloc_random) && fault_random(FAULT_N))
    return 0;
  acquire(&kmem.lock);
  struct run *r = kmem.free;
  if (r) {
    kmem.free = r->next;
    reclass(page_index((uint64_t)r), PAGE_OTHER);
  }
  release(&kmem.lock);
  return r;
}

// Give back a page that kalloc() returned.
void
kfree(void *pa)
{
  int64_t page = page_index((uint64_t)pa);
  if (page < 0)
    panic("kfree: %p is not a page of the allocator", pa);

  acquire(&kmem.lock);
  if (kmem.class[page] == PAGE_FREE)
    panic("kfree: page %p is already free", pa);
  memset(pa, POISON, PGSIZE);
  reclass(page, FAULT(freed_page_miscounted) ? PAGE_OTHER : PAGE_FREE);
  struct run *r = pa;
  r->next = kmem.free;
  kmem.free = r;
  release(&kmem.lock);
}

// Say what an allocated page is used for.
void
page_retag(void *pa, enum page_class class)
{
  acquire(&kmem.lock);
  reclass(page_index((uint64_t)pa), class);
  release(&kmem.lock);
}

// A consistent copy of the page counters.
void
pagestat(struct pagestat *out)
{
  acquire(&kmem.lock);
  *out = faultline_ctl.pages;
  release(&kmem.lock);
}
