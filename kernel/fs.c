// The file system below names: what the super block says, free blocks, and inodes.
// Their contents are bmap.c's.
//
// itable.lock protects which inode each slot is for and the reference counts; an
// inode's own sleep lock, held from ilock() to iunlock(), what is in it and in its
// blocks. A reference keeps the slot, and the inode on disk, from being reused. Who
// locks two inodes locks the directory before what is in it. The super block never
// changes.
//
// Whatever changes the disk, and iput(), which may, stands between begin_op() and
// end_op().

#include "defs.h"
#include "buf.h"
#include "file.h"

static struct superblock sb;

static struct {
  struct spinlock lock;
  struct inode inodes[NINODE];
} itable;

// First block of the data area.
static uint32_t
data_start(void)
{
  return sb.size - sb.nblocks;
}

// Whether b is a block that files may have.
bool
is_data_block(uint32_t b)
{
  return b >= data_start() && b < sb.size;
}

// Find the first zero bit of a bitmap block, among bits from to end. Returns end if
// there is none.
static uint32_t
first_zero(const uint8_t *bits, uint32_t from, uint32_t end)
{
  uint32_t bit = from;
  while (bit < end && bits[bit / 8] >> bit % 8 & 1)
    bit += bits[bit / 8] == 0xff ? 8 - bit % 8 : 1;
  return bit < end ? bit : end;
}

// Make a free block a file's, filled with zeros. Returns its number, or 0 if the disk
// is full.
uint32_t
balloc(uint32_t dev)
{
  for (uint32_t b = data_start(); b < sb.size;) {
    uint32_t base = b - b % BPB;
    uint32_t end = sb.size - base < BPB ? sb.size - base : BPB;
    struct buf *map = bread(dev, BBLOCK(b, &sb));
    uint32_t bit = first_zero(map->data, b - base, end);
    if (bit < end) {
      map->data[bit / 8] |= 1 << bit % 8;
      log_write(map);
    }
    brelse(map);
    b = base + bit;
    if (bit < end) {
      struct buf *block = bread(dev, b);
      memset(block->data, 0, BSIZE);
      log_write(block);
      brelse(block);
      return b;
    }
  }
  return 0;
}

// Make a file's block free again. A number that cannot be one is a damaged image's, and
// left alone.
void
bfree(uint32_t dev, uint32_t b)
{
  if (!is_data_block(b)) {
    printf("fs: block %u, which a file claims, is no data block: not freed\n", b);
    return;
  }
  struct buf *map = bread(dev, BBLOCK(b, &sb));
  uint8_t *byte = &map->data[b % BPB / 8], bit = 1 << b % 8;
  if (*byte & bit) {
    *byte &= ~bit;
    log_write(map);
  } else {
    printf("fs: block %u, which a file claims, is free already\n", b);
  }
  brelse(map);
}

void
inodeinit(void)
{
  initlock(&itable.lock, "itable");
  for (struct inode *ip = itable.inodes; ip < &itable.inodes[NINODE]; ip++) {
    ip->ref = 0;
    ip->valid = false;
    initsleeplock(&ip->lock, "inode");
  }
}

// A reference to an inode by its number; not locked, nor read from disk yet. Returns 0
// if there is no such number or if NINODE others are in use.
struct inode *
iget(uint32_t dev, uint32_t inum)
{
  if (inum == 0 || inum >= sb.ninodes)
    return 0;
  struct inode *found = 0, *unused = 0;
  acquire(&itable.lock);
  for (struct inode *ip = itable.inodes; ip < &itable.inodes[NINODE] && !found; ip++) {
    if (ip->ref == 0)
      unused = ip;
    else if (ip->dev == dev && ip->inum == inum)
      found = ip;
  }
  if (!found && unused) {
    found = unused;
    found->dev = dev;
    found->inum = inum;
    found->valid = false;
  }
  if (found)
    found->ref++;
  release(&itable.lock);
  return found;
}

// Another reference to the same inode.
struct inode *
idup(struct inode *ip)
{
  acquire(&itable.lock);
  ip->ref++;
  release(&itable.lock);
  return ip;
}

// The inode on disk, in the buffer of its block.
static struct dinode *
dinode_in(struct buf *b, uint32_t inum)
{
  return (struct dinode *)b->data + inum % IPB;
}

// A free inode, made one of this type, without links yet: one that iput() frees again
// unless the caller changes that. Returns a reference to it, or 0 if there is no free
// inode on disk or no slot for it in memory.
struct inode *
ialloc(uint32_t dev, int16_t type)
{
  for (uint32_t first = 0; first < sb.ninodes; first += IPB) {
    struct buf *b = bread(dev, IBLOCK(first, &sb));
    uint32_t inum = first ? first : 1, end = first + IPB;
    while (inum < end && dinode_in(b, inum)->type)
      inum++;
    bool found = inum < end && inum < sb.ninodes;
    struct inode *ip = found ? iget(dev, inum) : 0;
    if (ip) {
      *dinode_in(b, inum) = (struct dinode){.type = type};
      log_write(b);
    }
    brelse(b);
    if (found)
      return ip;
  }
  return 0;
}

// Write what was changed in a locked inode to its place on disk.
void
iupdate(struct inode *ip)
{
  struct buf *b = bread(ip->dev, IBLOCK(ip->inum, &sb));
  struct dinode *di = dinode_in(b, ip->inum);
  di->type = ip->type;
  di->major = ip->major;
  di->minor = ip->minor;
  di->nlink = ip->nlink;
  di->size = ip->size;
  memmove(di->addrs, ip->addrs, sizeof(di->addrs));
  log_write(b);
  brelse(b);
}

// Lock an inode and see that its contents are in memory. One that a damaged directory
// names although it is free has type 0.
void
ilock(struct inode *ip)
{
  acquiresleep(&ip->lock);
  if (ip->valid)
    return;
  struct buf *b = bread(ip->dev, IBLOCK(ip->inum, &sb));
  const struct dinode *di = dinode_in(b, ip->inum);
  ip->type = di->type;
  ip->major = di->major;
  ip->minor = di->minor;
  ip->nlink = di->nlink;
  ip->size = di->size;
  memmove(ip->addrs, di->addrs, sizeof(ip->addrs));
  brelse(b);
  ip->valid = ip->type != 0; // a free inode may become another's before the next look
}

void
iunlock(struct inode *ip)
{
  if (!holdingsleep(&ip->lock))
    panic("iunlock: inode %u is not locked", ip->inum);
  releasesleep(&ip->lock);
}

// Give up a reference. The last one to an inode without links frees it and its blocks:
// nobody can come by another reference then.
void
iput(struct inode *ip)
{
  acquire(&itable.lock);
  bool last = ip->ref == 1 && ip->valid && ip->nlink == 0;
  if (!last)
    ip->ref--;
  release(&itable.lock);
  if (!last)
    return;

  acquiresleep(&ip->lock);
  itrunc(ip);
  ip->type = 0;
  iupdate(ip);
  ip->valid = false;
  releasesleep(&ip->lock);

  acquire(&itable.lock);
  ip->ref--;
  release(&itable.lock);
}

void
iunlockput(struct inode *ip)
{
  iunlock(ip);
  iput(ip);
}

// Panic unless the super block is that of an image this kernel can use.
static void
check_superblock(void)
{
  if (sb.magic != FSMAGIC)
    panic("fsinit: magic number 0x%x in the super block, expected 0x%x: "
          "the disk holds no xv6 file system",
          sb.magic, FSMAGIC);
  if (sb.size > MAXIMAGE)
    panic("fsinit: image of %u blocks, expected at most %u", sb.size, MAXIMAGE);
  uint64_t inodes = (sb.ninodes + (uint64_t)IPB - 1) / IPB;
  uint64_t bitmap = (sb.size + (uint64_t)BPB - 1) / BPB;
  if (sb.nblocks >= sb.size || sb.ninodes <= ROOTINO || sb.logstart < 2 ||
      (uint64_t)sb.logstart + sb.nlog > sb.inodestart ||
      sb.inodestart + inodes > sb.bmapstart || sb.bmapstart + bitmap > data_start())
    panic("fsinit: the super block's areas overlap: size %u, nblocks %u, ninodes %u, "
          "nlog %u, logstart %u, inodestart %u, bmapstart %u",
          sb.size, sb.nblocks, sb.ninodes, sb.nlog, sb.logstart, sb.inodestart,
          sb.bmapstart);
}

// Free the inodes that had no link any more but were still open when the power went.
static void
reclaim_orphans(uint32_t dev)
{
  for (uint32_t inum = 1; inum < sb.ninodes; inum++) {
    struct buf *b = bread(dev, IBLOCK(inum, &sb));
    const struct dinode *di = dinode_in(b, inum);
    bool orphan = di->type != 0 && di->nlink == 0;
    brelse(b);
    if (orphan) {
      begin_op();
      struct inode *ip = iget(dev, inum);
      ilock(ip);
      iunlockput(ip);
      end_op();
    }
  }
}

// Begin to use the file system on dev, as the power cut left it. Sleeps; panics if
// there is none.
void
fsinit(uint32_t dev)
{
  struct buf *b = bread(dev, 1);
  memmove(&sb, b->data, sizeof(sb));
  brelse(b);
  check_superblock();
  initlog(dev, &sb);
  reclaim_orphans(dev);
}
