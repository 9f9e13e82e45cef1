// What is in an inode: the map from its contents to blocks of the disk, reading and
// writing.
//
// The inode is locked throughout, which protects its blocks too. A process holds one
// buffer at a time (bio.c).

#include "defs.h"
#include "buf.h"
#include "file.h"
#include "stat.h"

// The block whose number is in *slot, for use by ip. A slot with 0 gets a new block if
// alloc is set. Returns 0 if there is none, if the disk is full, or if the number is no
// data block's; *slot changes only if it gets a new block.
static uint32_t
block_in_slot(struct inode *ip, uint32_t *slot, bool alloc)
{
  if (*slot == 0 && alloc)
    *slot = balloc(ip->dev);
  return is_data_block(*slot) ? *slot : 0;
}

// The disk block of block bn of a locked inode's contents, new if it has none and alloc
// is set. Returns 0 for none: not there, disk full, beyond MAXFILE, or a damaged
// number.
static uint32_t
bmap(struct inode *ip, uint32_t bn, bool alloc)
{
  if (bn < NDIRECT)
    return block_in_slot(ip, &ip->addrs[bn], alloc);
  if (bn >= MAXFILE)
    return 0;
  bool had_table = ip->addrs[NDIRECT];
  uint32_t table = block_in_slot(ip, &ip->addrs[NDIRECT], alloc);
  if (!table)
    return 0;

  // balloc() needs a buffer of its own, so the table's is given back meanwhile. Nobody
  // else looks at it: ip is locked.
  struct buf *b = bread(ip->dev, table);
  uint32_t addr = ((uint32_t *)b->data)[bn - NDIRECT], old = addr;
  brelse(b);
  uint32_t block = block_in_slot(ip, &addr, alloc);
  if (addr != old) {
    b = bread(ip->dev, table);
    ((uint32_t *)b->data)[bn - NDIRECT] = addr;
    log_write(b);
    brelse(b);
  }
  if (!block && !had_table) {
    bfree(ip->dev, table);
    ip->addrs[NDIRECT] = 0;
  }
  return block;
}

// Free the contents of a locked inode.
void
itrunc(struct inode *ip)
{
  uint32_t table = ip->addrs[NDIRECT];
  if (is_data_block(table))
    for (uint32_t i = 0; i < NINDIRECT; i++) {
      struct buf *b = bread(ip->dev, table);
      uint32_t addr = ((uint32_t *)b->data)[i];
      brelse(b);
      if (addr)
        bfree(ip->dev, addr);
    }
  for (uint32_t i = 0; i <= NDIRECT; i++) {
    if (ip->addrs[i])
      bfree(ip->dev, ip->addrs[i]);
    ip->addrs[i] = 0;
  }
  ip->size = 0;
  iupdate(ip);
}

// What fstat() tells of a locked inode.
void
stati(struct inode *ip, struct stat *st)
{
  memset(st, 0, sizeof(*st)); // the padding goes to user memory too
  st->dev = ip->dev;
  st->ino = ip->inum;
  st->type = ip->type;
  st->nlink = ip->nlink;
  st->size = ip->size;
}

// How many of n bytes from off on lie in one block.
static uint32_t
in_one_block(uint32_t off, uint32_t n)
{
  uint32_t rest = BSIZE - off % BSIZE;
  return n < rest ? n : rest;
}

// Read up to n bytes of a locked inode's contents from off on to dst, a user address if
// user is set. Returns how many there were, or -1 if dst is bad.
int
readi(struct inode *ip, bool user, uint64_t dst, uint32_t off, uint32_t n)
{
  if (off >= ip->size)
    return 0;
  if (n > ip->size - off)
    n = ip->size - off;
  uint32_t done = 0;
  while (done < n) {
    uint32_t block = bmap(ip, (off + done) / BSIZE, false);
    if (!block)
      break;
    uint32_t part = in_one_block(off + done, n - done);
    struct buf *b = bread(ip->dev, block);
    int failed = copy_to(user, dst + done, b->data + (off + done) % BSIZE, part);
    brelse(b);
    if (failed)
      return -1;
    done += part;
  }
  return done;
}

// Whether the n > 0 bytes at src, which lie in two pages at most, can be read. That
// does not change before they are copied: only the process itself changes its memory.
static bool
is_readable(bool user, uint64_t src, uint32_t n)
{
  char c;
  return copy_from(user, &c, src, 1) == 0 && copy_from(user, &c, src + n - 1, 1) == 0;
}

// Write n bytes from src, a user address if user is set, to a locked inode's contents
// from off on. Returns how many were written, fewer if src is bad or the disk is full;
// -1 if off is beyond the end, or the end would be beyond MAXFILE blocks.
int
writei(struct inode *ip, bool user, uint64_t src, uint32_t off, uint32_t n)
{
  if (off > ip->size || (uint64_t)off + n > MAXFILE * BSIZE)
    return -1;
  uint32_t done = 0;
  while (done < n) {
    uint32_t part = in_one_block(off + done, n - done);
    if (!is_readable(user, src + done, part)) // before a block is made for nothing
      break;
    uint32_t block = bmap(ip, (off + done) / BSIZE, true);
    if (!block)
      break;
    struct buf *b = bread(ip->dev, block);
    int failed = copy_from(user, b->data + (off + done) % BSIZE, src + done, part);
    log_write(b);
    brelse(b);
    if (failed)
      break;
    done += part;
  }
  if (off + done > ip->size)
    ip->size = off + done;
  iupdate(ip); // at least addrs may have changed
  return done;
}
