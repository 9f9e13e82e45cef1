// The disk itself, and the machine that boots from it.

#include "disk.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct disk *disk;

// The driver: transfers at once. Called by the buffer cache and the log.
void
virtio_disk_rw(struct buf *b, bool write)
{
  if (b->blockno >= disk->size)
    ck_abort_msg("block %u is off the disk of %u", b->blockno, disk->size);
  if (!write) {
    disk->reads++;
    memcpy(b->data, disk->blocks[b->blockno], BSIZE);
    return;
  }
  if (disk->writes < NELEM(disk->order))
    disk->order[disk->writes] = b->blockno;
  disk->writes++;
  if (disk->power == 0)
    return;
  if (disk->power > 0)
    disk->power--;
  memcpy(disk->blocks[b->blockno], b->data, BSIZE);
}

void
disk_count(void)
{
  disk->reads = disk->writes = 0;
}

const struct superblock *
disk_super(void)
{
  return (const struct superblock *)disk->blocks[1];
}

uint32_t
disk_data_start(void)
{
  return disk_super()->size - disk_super()->nblocks;
}

struct dinode *
disk_inode(uint32_t inum)
{
  return (struct dinode *)disk->blocks[disk_super()->inodestart + inum / 16] +
         inum % 16;
}

static uint8_t *
bitmap_byte(uint32_t block)
{
  return &disk->blocks[disk_super()->bmapstart + block / 8192][block % 8192 / 8];
}

bool
disk_bit(uint32_t block)
{
  return *bitmap_byte(block) >> block % 8 & 1;
}

uint32_t
disk_free_blocks(void)
{
  uint32_t count = 0;
  for (uint32_t b = disk_data_start(); b < disk->size; b++)
    count += !disk_bit(b);
  return count;
}

void
disk_format(uint32_t size, uint32_t ninodes)
{
  ck_assert_uint_le(size, DISK_BLOCKS);
  if (!disk) {
    disk = mmap(0, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    ck_assert_ptr_ne(disk, MAP_FAILED);
  }
  memset(disk, 0, sizeof(*disk));
  disk->size = size;
  disk->power = -1;

  uint32_t bitmap = INODE_START + (ninodes + 15) / 16, data = bitmap + 1;
  struct superblock super = {.magic = 0x10203040,
                             .size = size,
                             .nblocks = size - data,
                             .ninodes = ninodes,
                             .nlog = LOG_BLOCKS,
                             .logstart = LOG_START,
                             .inodestart = INODE_START,
                             .bmapstart = bitmap};
  memcpy(disk->blocks[1], &super, sizeof(super));
  for (uint32_t b = 0; b <= data; b++)
    *bitmap_byte(b) |= 1 << b % 8;
  struct dirent entries[] = {{1, "."}, {1, ".."}};
  memcpy(disk->blocks[data], entries, sizeof(entries));
  *disk_inode(1) = (struct dinode){
      .type = T_DIR, .nlink = 1, .size = sizeof(entries), .addrs = {data}};
}

void
boot(void)
{
  machine_reset();
  binit();
  inodeinit();
  fsinit(ROOTDEV);
  running->cwd = iget(ROOTDEV, ROOTINO);
}

void
machine_life(void (*body)(void *arg), void *arg)
{
  pid_t life = fork();
  if (life == 0) {
    boot();
    if (body)
      body(arg);
    _exit(0);
  }
  int status;
  ck_assert_int_eq(waitpid(life, &status, 0), life);
  if (!WIFEXITED(status))
    ck_abort_msg("the machine ended with status 0x%x", status);
  if (WEXITSTATUS(status))
    _exit(WEXITSTATUS(status)); // its failed check has been recorded already
}

struct inode *
make(const char *path, int16_t type)
{
  char name[DIRSIZ];
  struct inode *dp = nameiparent(path, name);
  if (!dp)
    return 0;
  ilock(dp);
  struct inode *ip = ialloc(dp->dev, type);
  if (ip) {
    ilock(ip);
    if (dirlink(dp, name, ip->inum) == 0) {
      ip->nlink = 1;
      iupdate(ip);
    } else {
      iunlockput(ip);
      ip = 0;
    }
  }
  iunlockput(dp);
  return ip;
}

int
make_dir(const char *path)
{
  char name[DIRSIZ];
  begin_op();
  struct inode *ip = make(path, T_DIR), *dp = nameiparent(path, name);
  if (ip) {
    dirlink(ip, ".", ip->inum);
    dirlink(ip, "..", dp->inum);
    iunlockput(ip);
    ilock(dp);
    dp->nlink++; // for ".."
    iupdate(dp);
    iunlock(dp);
  }
  if (dp)
    iput(dp);
  end_op();
  return ip ? 0 : -1;
}

int
make_file(const char *path, const void *contents, uint32_t n)
{
  begin_op();
  struct inode *ip = make(path, T_FILE);
  int written = -1;
  if (ip) {
    written = writei(ip, false, (uint64_t)contents, 0, n);
    iunlockput(ip);
  }
  end_op();
  return written;
}

int
remove_file(const char *path)
{
  char name[DIRSIZ];
  uint32_t off;
  struct dirent none = {0};
  begin_op();
  struct inode *dp = nameiparent(path, name), *ip = 0;
  if (dp) {
    ilock(dp);
    if ((ip = dirlookup(dp, name, &off))) {
      writei(dp, false, (uint64_t)&none, off, sizeof(none));
      ilock(ip);
      ip->nlink--;
      iupdate(ip);
      iunlockput(ip);
    }
    iunlockput(dp);
  }
  end_op();
  return ip ? 0 : -1;
}

int
read_file(const char *path, void *contents, uint32_t n)
{
  begin_op();
  struct inode *ip = namei(path);
  int got = -1;
  if (ip) {
    ilock(ip);
    got = readi(ip, false, (uint64_t)contents, 0, n);
    iunlockput(ip);
  }
  end_op();
  return got;
}
