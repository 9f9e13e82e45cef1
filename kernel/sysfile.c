// System calls on file descriptors, and open().
//
// A process's table of open files is its own: only the running process touches it.

#include "defs.h"
#include "fcntl.h"
#include "file.h"
#include "proc.h"
#include "stat.h"
#include "../faults/hook.h"

// The open file whose descriptor is the n-th argument, or 0; the descriptor in *fd
// unless fd is 0.
static struct file *
argfile(int n, int *fd)
{
  int i;
  argint(n, &i);
  if (fd)
    *fd = i;
  return i >= 0 && i < NOFILE ? myproc()->ofile[i] : 0;
}

// Give a file the lowest free descriptor, which takes over the caller's reference.
// Returns it, or -1 if the process has NOFILE open.
static int
fdalloc(struct file *f)
{
  struct file **ofile = myproc()->ofile;
  for (int fd = 0; fd < NOFILE; fd++)
    if (!ofile[fd]) {
      ofile[fd] = f;
      return fd;
    }
  return -1;
}

// Take a descriptor and its reference away again.
static void
fdclose(int fd)
{
  struct file **slot = &myproc()->ofile[fd], *f = *slot;
  *slot = 0;
  fileclose(f);
}

uint64_t
sys_dup(void)
{
  struct file *f = argfile(0, 0);
  int fd = f ? fdalloc(f) : -1;
  if (fd >= 0)
    filedup(f);
  return fd;
}

// What read() and write() have in common.
static int
move(int (*how)(struct file *f, uint64_t addr, int n))
{
  struct file *f = argfile(0, 0);
  uint64_t addr;
  int n;
  argaddr(1, &addr);
  argint(2, &n);
  return f ? how(f, addr, n) : -1;
}

uint64_t
sys_read(void)
{
  return move(fileread);
}

uint64_t
sys_write(void)
{
  return move(filewrite);
}

uint64_t
sys_close(void)
{
  int fd;
  if (!argfile(0, &fd))
    return -1;
  fdclose(fd);
  return 0;
}

uint64_t
sys_fstat(void)
{
  struct file *f = argfile(0, 0);
  uint64_t addr;
  argaddr(1, &addr);
  return f ? filestat(f, addr) : -1;
}

uint64_t
sys_pipe(void)
{
  uint64_t addr;
  struct file *ends[2];
  int fds[2] = {-1, -1};
  argaddr(0, &addr);
  int failed = pipealloc(&ends[0], &ends[1]);
  if (FAULT(pipe_fail_keeps_descriptor) && failed)
    fdalloc(filealloc());
  if (failed)
    return -1;
  fds[0] = fdalloc(ends[0]);
  fds[1] = fdalloc(ends[1]);
  if (fds[0] >= 0 && fds[1] >= 0 && copyout(addr, fds, sizeof(fds)) == 0)
    return 0;
  for (int i = 0; i < 2; i++) {
    if (fds[i] >= 0)
      fdclose(fds[i]);
    else
      fileclose(ends[i]);
  }
  return -1;
}

// The inode that open() is for, locked, made if flags say so; or 0 if there is none or
// it must not be opened like this. Between begin_op() and end_op().
static struct inode *
open_inode(const char *path, int flags)
{
  struct inode *ip;
  if (flags & O_CREATE) {
    ip = create(path, T_FILE, 0, 0);
  } else {
    ip = namei(path);
    if (ip)
      ilock(ip);
  }
  if (!ip)
    return 0;
  bool allowed = false;
  switch (ip->type) {
  case T_FILE:
    allowed = true;
    break;
  case T_DIR:
    allowed = flags == O_RDONLY;
    break;
  case T_DEVICE:
    allowed = ip->major >= 0 && ip->major < NDEV;
    break;
  }
  if (!allowed) {
    iunlockput(ip);
    return 0;
  }
  if (ip->type == T_FILE && flags & O_TRUNC)
    itrunc(ip);
  return ip;
}

// The file and the descriptor are taken first: the disk is not touched if there is
// none.
uint64_t
sys_open(void)
{
  char path[MAXPATH];
  int flags;
  argint(1, &flags);
  struct file *f = argstr(0, path, MAXPATH) >= 0 ? filealloc() : 0;
  if (!f)
    return -1;
  int fd = fdalloc(f);
  if (fd < 0) {
    fileclose(f);
    return -1;
  }
  begin_op();
  struct inode *ip = open_inode(path, flags);
  if (!ip) {
    end_op();
    fdclose(fd);
    return -1;
  }
  f->type = ip->type == T_DEVICE ? FD_DEVICE : FD_INODE;
  f->major = ip->major;
  f->ip = ip;
  f->readable = !(flags & O_WRONLY);
  f->writable = flags & (O_WRONLY | O_RDWR);
  iunlock(ip);
  end_op();
  return fd;
}
