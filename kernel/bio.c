// The buffer cache: disk blocks in memory, each there at most once.
//
// bcache.lock protects which block each buffer is for, the reference counts and the
// order of use; a buffer's own sleep lock, held from bread() to brelse(), its contents.
// A process holds one buffer at a time, and waits for another only when it holds none:
// so whoever finds all buffers in use will get one.

#include "defs.h"
#include "buf.h"
#include "param.h"

// The log pins what it has not yet written home, and leaves some for everyone else.
_Static_assert(NBUF > LOGBLOCKS, "the log can pin the whole buffer cache");

static struct {
  struct spinlock lock;
  struct buf bufs[NBUF];
  struct buf ends; // of the ring: next is the last used buffer, prev the longest unused
  int waiting;     // processes that sleep until a buffer is free
} bcache;

static void
unlink_buf(struct buf *b)
{
  b->prev->next = b->next;
  b->next->prev = b->prev;
}

static void
insert_as_last_used(struct buf *b)
{
  b->prev = &bcache.ends;
  b->next = bcache.ends.next;
  b->prev->next = b;
  b->next->prev = b;
}

// Make the cache empty. Nobody may have a buffer.
void
binit(void)
{
  initlock(&bcache.lock, "bcache");
  bcache.waiting = 0;
  bcache.ends.prev = bcache.ends.next = &bcache.ends;
  for (struct buf *b = bcache.bufs; b < &bcache.bufs[NBUF]; b++) {
    b->valid = b->disk = false;
    b->dev = b->blockno = b->refcnt = 0;
    initsleeplock(&b->lock, "buffer");
    insert_as_last_used(b);
  }
}

// The buffer that is for this block, or else the longest unused one, made to be for it;
// 0 if all are in use. bcache.lock must be held.
static struct buf *
choose(uint32_t dev, uint32_t blockno)
{
  struct buf *unused = 0;
  for (struct buf *b = bcache.ends.next; b != &bcache.ends; b = b->next) {
    if (b->dev == dev && b->blockno == blockno)
      return b;
    if (b->refcnt == 0)
      unused = b;
  }
  if (unused) {
    unused->dev = dev;
    unused->blockno = blockno;
    unused->valid = false;
  }
  return unused;
}

// Give up a reference. A buffer that nobody has any more can be used for another block.
static void
drop(struct buf *b)
{
  acquire(&bcache.lock);
  if (--b->refcnt == 0) {
    unlink_buf(b);
    insert_as_last_used(b);
    if (bcache.waiting > 0)
      wakeup(&bcache.waiting);
  }
  release(&bcache.lock);
}

// The buffer with a block's contents, locked. Sleeps until there is one. The caller
// must hold no other buffer, and there must be such a block on the disk.
struct buf *
bread(uint32_t dev, uint32_t blockno)
{
  acquire(&bcache.lock);
  struct buf *b;
  while (!(b = choose(dev, blockno))) {
    bcache.waiting++;
    sleep(&bcache.waiting, &bcache.lock);
    bcache.waiting--;
  }
  b->refcnt++;
  release(&bcache.lock);

  acquiresleep(&b->lock);
  if (!b->valid) {
    virtio_disk_rw(b, false);
    b->valid = true;
  }
  return b;
}

// Write a buffer to its place on the disk, now. It must be locked.
void
bwrite(struct buf *b)
{
  if (!holdingsleep(&b->lock))
    panic("bwrite: block %u is not locked", b->blockno);
  virtio_disk_rw(b, true);
}

// Unlock a buffer that bread() returned and give it back.
void
brelse(struct buf *b)
{
  if (!holdingsleep(&b->lock))
    panic("brelse: block %u is not locked", b->blockno);
  releasesleep(&b->lock);
  drop(b);
}

// Keep a block in the cache after brelse(), until bunpin(). The caller holds it.
void
bpin(struct buf *b)
{
  acquire(&bcache.lock);
  b->refcnt++;
  release(&bcache.lock);
}

void
bunpin(struct buf *b)
{
  drop(b);
}
