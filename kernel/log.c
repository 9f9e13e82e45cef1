// The log: the blocks that file system calls change reach the disk together or not at
// all, whenever the power goes.
//
// A call stands between begin_op() and end_op() and hands each buffer it changes to
// log_write(), which pins it in the cache. When the last of several calls under way
// ends, all their blocks are written to the log (group commit), then the log's header
// with their numbers: that one write commits. Then they are written to their homes, and
// a header without blocks frees the log. initlog() repeats the second half if it finds
// blocks in the header.
//
// log.lock protects the counts and the list; never held across a transfer. While
// log.committing is set, no call is under way, and the list and log.io belong to the
// process that set it.

#include "defs.h"
#include "buf.h"
#include "param.h"

// The header block as it lies on disk. It fills less than one sector, so that a power
// cut leaves either the old or the new one.
struct logheader {
  int32_t n;                // blocks in the log
  int32_t block[LOGBLOCKS]; // home of each
};

static struct {
  struct spinlock lock;
  uint32_t dev;
  uint32_t start;  // block of the header; the logged blocks follow
  int capacity;    // blocks that fit
  int outstanding; // calls between begin_op() and end_op()
  bool committing;
  struct logheader header;
  struct buf io; // to transfer the log's own blocks, which are not worth caching
} log;

// Transfer a block of the log, counted from its header.
static void
transfer(uint32_t index, bool write)
{
  log.io.dev = log.dev;
  log.io.blockno = log.start + index;
  virtio_disk_rw(&log.io, write);
}

// Write the header. With blocks in it, this is the moment at which they are committed.
static void
write_header(void)
{
  memset(log.io.data, 0, BSIZE);
  memmove(log.io.data, &log.header, sizeof(log.header));
  transfer(0, true);
}

// Bring home the blocks of the header that is on the disk, if any, and empty it.
static void
replay(const struct superblock *sb)
{
  transfer(0, false);
  memmove(&log.header, log.io.data, sizeof(log.header));
  if (log.header.n == 0)
    return;
  if (log.header.n < 0 || log.header.n > log.capacity)
    panic("log: header says %d blocks, the log has room for %d; the image is damaged",
          log.header.n, log.capacity);
  for (int i = 0; i < log.header.n; i++) {
    uint32_t home = log.header.block[i];
    if (home < sb->inodestart || home >= sb->size)
      panic("log: entry %d is for block %u, which no file system call writes; "
            "the image is damaged",
            i, home);
  }
  for (int i = 0; i < log.header.n; i++) {
    transfer(1 + i, false);
    struct buf *b = bread(log.dev, log.header.block[i]);
    memmove(b->data, log.io.data, BSIZE);
    bwrite(b);
    brelse(b);
  }
  log.header.n = 0;
  write_header();
}

// Take the log's place from the super block, and finish what a power cut interrupted.
// Sleeps; before any other use of the file system.
void
initlog(uint32_t dev, const struct superblock *sb)
{
  initlock(&log.lock, "log");
  initsleeplock(&log.io.lock, "log block");
  log.dev = dev;
  log.start = sb->logstart;
  log.capacity = sb->nlog > LOGBLOCKS ? LOGBLOCKS : (int)sb->nlog - 1;
  if (log.capacity < MAXOPBLOCKS)
    panic("log: %u blocks with the header, one call needs up to %d", sb->nlog,
          MAXOPBLOCKS + 1);
  log.outstanding = 0;
  log.committing = false;
  acquiresleep(&log.io.lock);
  replay(sb);
  releasesleep(&log.io.lock);
}

// Before a call's first look at what it may change: wait until there is room in the log
// for all that it may write, which is at most MAXOPBLOCKS different blocks.
void
begin_op(void)
{
  acquire(&log.lock);
  while (log.committing ||
         log.header.n + (log.outstanding + 1) * MAXOPBLOCKS > log.capacity)
    sleep(&log.outstanding, &log.lock);
  log.outstanding++;
  release(&log.lock);
}

// Copy the changed blocks from the cache to the log.
static void
write_log(void)
{
  for (int i = 0; i < log.header.n; i++) {
    struct buf *b = bread(log.dev, log.header.block[i]);
    memmove(log.io.data, b->data, BSIZE);
    brelse(b);
    transfer(1 + i, true);
  }
}

// Write the changed blocks from the cache to their homes.
static void
write_home(void)
{
  for (int i = 0; i < log.header.n; i++) {
    struct buf *b = bread(log.dev, log.header.block[i]);
    bwrite(b);
    bunpin(b);
    brelse(b);
  }
}

static void
commit(void)
{
  if (log.header.n == 0)
    return;
  acquiresleep(&log.io.lock);
  write_log();
  write_header();
  write_home();
  log.header.n = 0;
  write_header();
  releasesleep(&log.io.lock);
}

// A call has changed all it wanted. When it returns from here and no other call is
// under way, the changes are on the disk.
void
end_op(void)
{
  acquire(&log.lock);
  if (log.committing || log.outstanding == 0)
    panic("end_op: without begin_op");
  bool last = --log.outstanding == 0;
  log.committing = last;
  if (!last)
    wakeup(&log.outstanding); // it may have needed less room than it had reserved
  release(&log.lock);
  if (!last)
    return;

  commit();
  acquire(&log.lock);
  log.committing = false;
  wakeup(&log.outstanding);
  release(&log.lock);
}

// A call has changed a buffer, which it has locked: write it with the others. A block
// that is in the log already takes no more room.
void
log_write(struct buf *b)
{
  acquire(&log.lock);
  if (log.outstanding == 0)
    panic("log_write: block %u changed outside of begin_op and end_op", b->blockno);
  int i = 0;
  while (i < log.header.n && log.header.block[i] != (int32_t)b->blockno)
    i++;
  if (i == log.header.n) {
    if (i == log.capacity)
      panic("log_write: the calls under way wrote more than they had reserved");
    log.header.block[i] = b->blockno;
    log.header.n++;
    bpin(b);
  }
  release(&log.lock);
}
