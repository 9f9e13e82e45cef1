// Open files: what a file descriptor stands for.
//
// ftable.lock protects the reference counts. The other fields are set before a file has
// a descriptor and change no more, but for the offset, which the inode's lock protects.

#include "defs.h"
#include "file.h"
#include "stat.h"

// Bytes that one call between begin_op() and end_op() may write to a file: its inode,
// its indirect block and the bitmap are written besides.
#define CHUNK ((MAXOPBLOCKS - 2 - MAXBITMAPS) * BSIZE)

struct device devices[NDEV];

static struct {
  struct spinlock lock;
  struct file files[NFILE];
} ftable;

void
fileinit(void)
{
  initlock(&ftable.lock, "ftable");
}

// A file of type FD_NONE with one reference, or 0 if NFILE are open.
struct file *
filealloc(void)
{
  struct file *f = ftable.files;
  acquire(&ftable.lock);
  while (f < &ftable.files[NFILE] && f->ref > 0)
    f++;
  if (f < &ftable.files[NFILE])
    *f = (struct file){.type = FD_NONE, .ref = 1};
  else
    f = 0;
  release(&ftable.lock);
  return f;
}

// Another reference to the same file.
struct file *
filedup(struct file *f)
{
  acquire(&ftable.lock);
  f->ref++;
  release(&ftable.lock);
  return f;
}

// Give up a reference; the last one closes what is behind it. Sleeps.
void
fileclose(struct file *f)
{
  acquire(&ftable.lock);
  struct file last = *f; // its slot is free as soon as the lock is
  f->ref--;
  release(&ftable.lock);
  if (last.ref > 1)
    return;
  switch (last.type) {
  case FD_NONE:
    break;
  case FD_PIPE:
    pipeclose(last.pipe, last.writable);
    break;
  case FD_INODE:
  case FD_DEVICE:
    begin_op();
    iput(last.ip);
    end_op();
    break;
  }
}

// The device behind a file, or 0 if there is none with its number.
static const struct device *
device_of(const struct file *f)
{
  return f->major >= 0 && f->major < NDEV ? &devices[f->major] : 0;
}

// Read up to n bytes to user address addr. Returns how many, 0 at the end, or -1.
int
fileread(struct file *f, uint64_t addr, int n)
{
  if (!f->readable || n < 0)
    return -1;
  if (f->type == FD_PIPE)
    return piperead(f->pipe, addr, n);
  if (f->type == FD_DEVICE) {
    const struct device *d = device_of(f);
    return d && d->read ? d->read(true, addr, n) : -1;
  }
  ilock(f->ip);
  int got = readi(f->ip, true, addr, f->off, n);
  if (got > 0)
    f->off += got;
  iunlock(f->ip);
  return got;
}

// Write n bytes from user address addr to a file on disk, in parts that the log has
// room for. Each ends where a block does, so that it touches no more blocks than it
// counts. Returns n, or -1 if not all could be written.
static int
write_inode(struct file *f, uint64_t addr, int n)
{
  int done = 0;
  while (done < n) {
    begin_op();
    ilock(f->ip);
    int part = CHUNK - f->off % BSIZE;
    if (part > n - done)
      part = n - done;
    int put = writei(f->ip, true, addr + done, f->off, part);
    if (put > 0)
      f->off += put;
    iunlock(f->ip);
    end_op();
    if (put != part)
      return -1;
    done += part;
  }
  return n;
}

// Write n bytes from user address addr. Returns how many were written, or -1; a file on
// disk takes all or fails.
int
filewrite(struct file *f, uint64_t addr, int n)
{
  if (!f->writable || n < 0)
    return -1;
  if (f->type == FD_PIPE)
    return pipewrite(f->pipe, addr, n);
  if (f->type == FD_DEVICE) {
    const struct device *d = device_of(f);
    return d && d->write ? d->write(true, addr, n) : -1;
  }
  return write_inode(f, addr, n);
}

// Copy a struct stat to user address addr. Returns 0, or -1 for a pipe or a bad
// address.
int
filestat(struct file *f, uint64_t addr)
{
  if (f->type != FD_INODE && f->type != FD_DEVICE)
    return -1;
  struct stat st;
  ilock(f->ip);
  stati(f->ip, &st);
  iunlock(f->ip);
  return copyout(addr, &st, sizeof(st));
}
