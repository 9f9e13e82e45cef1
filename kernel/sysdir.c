// System calls on path names: make, link and remove them, and change the current
// directory.
//
// Each is one operation of the log, so that a power cut leaves all of it or nothing. If
// one fails, it undoes what it has changed before it ends. Of two inodes the directory
// is locked before what is in it.

#include "defs.h"
#include "file.h"
#include "proc.h"
#include "stat.h"

#define MAXLINKS INT16_MAX

// The directory of a path's last element, locked, with that element in name[DIRSIZ]; or
// 0.
static struct inode *
lock_parent(const char *path, char *name)
{
  struct inode *dp = nameiparent(path, name);
  if (dp)
    ilock(dp);
  return dp;
}

// Give a new inode its contents and a name in dp. Both are locked. Returns 0, or -1
// with nothing left in dp, if the disk is full.
static int
enter(struct inode *dp, const char *name, struct inode *ip)
{
  bool dir = ip->type == T_DIR;
  if (dir && (dp->nlink == MAXLINKS || dirlink(ip, ".", ip->inum) ||
              dirlink(ip, "..", dp->inum)))
    return -1;
  if (dirlink(dp, name, ip->inum))
    return -1;
  if (dir) {
    dp->nlink++; // for ".."
    iupdate(dp);
  }
  return 0;
}

// A new inode, locked, with the name in dp, which is locked too; or 0 with nothing
// changed if there is no free inode or the disk is full.
static struct inode *
create_in(struct inode *dp, const char *name, int16_t type, int16_t major,
          int16_t minor)
{
  struct inode *ip = ialloc(dp->dev, type);
  if (!ip)
    return 0;
  ilock(ip);
  ip->major = major;
  ip->minor = minor;
  ip->nlink = 1;
  if (enter(dp, name, ip)) {
    ip->nlink = 0; // so that this frees it
    iunlockput(ip);
    return 0;
  }
  iupdate(ip);
  return ip;
}

// The inode that a path names, locked. It is made if it is not there; if it is, that is
// fine only when a T_FILE is asked for, and a file or device found. Returns 0
// otherwise, or if there is no room. Between begin_op() and end_op().
struct inode *
create(const char *path, int16_t type, int16_t major, int16_t minor)
{
  char name[DIRSIZ];
  struct inode *dp = lock_parent(path, name);
  if (!dp)
    return 0;
  struct inode *ip = dp->nlink > 0 ? dirlookup(dp, name, 0) : 0;
  if (!ip) {
    ip = dp->nlink > 0 ? create_in(dp, name, type, major, minor) : 0;
    iunlockput(dp);
    return ip;
  }
  iunlockput(dp);
  ilock(ip);
  if (type == T_FILE && (ip->type == T_FILE || ip->type == T_DEVICE))
    return ip;
  iunlockput(ip);
  return 0;
}

uint64_t
sys_mkdir(void)
{
  char path[MAXPATH];
  if (argstr(0, path, MAXPATH) < 0)
    return -1;
  begin_op();
  struct inode *ip = create(path, T_DIR, 0, 0);
  if (ip)
    iunlockput(ip);
  end_op();
  return ip ? 0 : -1;
}

uint64_t
sys_mknod(void)
{
  char path[MAXPATH];
  int major, minor;
  argint(1, &major);
  argint(2, &minor);
  if (major != (int16_t)major || minor != (int16_t)minor ||
      argstr(0, path, MAXPATH) < 0)
    return -1;
  begin_op();
  struct inode *ip = create(path, T_DEVICE, major, minor);
  if (ip)
    iunlockput(ip);
  end_op();
  return ip ? 0 : -1;
}

uint64_t
sys_chdir(void)
{
  char path[MAXPATH];
  if (argstr(0, path, MAXPATH) < 0)
    return -1;
  struct proc *p = myproc();
  begin_op();
  struct inode *ip = namei(path);
  bool dir = false;
  if (ip) {
    ilock(ip);
    dir = ip->type == T_DIR;
    iunlock(ip);
    iput(dir ? p->cwd : ip);
  }
  end_op();
  if (dir)
    p->cwd = ip;
  return dir ? 0 : -1;
}

// Count one more link of an inode, if it may get another name: it must not be a
// directory, nor about to be freed.
static bool
add_link(struct inode *ip)
{
  ilock(ip);
  bool may =
      ip->type != 0 && ip->type != T_DIR && ip->nlink > 0 && ip->nlink < MAXLINKS;
  if (may) {
    ip->nlink++;
    iupdate(ip);
  }
  iunlock(ip);
  return may;
}

static void
drop_link(struct inode *ip)
{
  ilock(ip);
  ip->nlink--;
  iupdate(ip);
  iunlock(ip);
}

// Enter a name for an inode at path. Returns 0 or -1.
static int
link_at(const char *path, struct inode *ip)
{
  char name[DIRSIZ];
  struct inode *dp = lock_parent(path, name);
  if (!dp)
    return -1;
  int result = dp->dev == ip->dev ? dirlink(dp, name, ip->inum) : -1;
  iunlockput(dp);
  return result;
}

uint64_t
sys_link(void)
{
  char old[MAXPATH], new[MAXPATH];
  if (argstr(0, old, MAXPATH) < 0 || argstr(1, new, MAXPATH) < 0)
    return -1;
  int result = -1;
  begin_op();
  struct inode *ip = namei(old);
  if (ip) {
    if (add_link(ip)) { // before the name, so that nobody frees a named inode
      result = link_at(new, ip);
      if (result)
        drop_link(ip);
    }
    iput(ip);
  }
  end_op();
  return result;
}

// Remove a name, but not the link, from a locked directory. Returns the inode, locked,
// or 0 if there is no such name, or if it is that of a directory that is not empty.
static struct inode *
remove_name(struct inode *dp, const char *name)
{
  uint32_t off;
  struct inode *ip = dirlookup(dp, name, &off);
  if (!ip)
    return 0;
  if (ip == dp) { // in a damaged directory: it is locked already
    iput(ip);
    return 0;
  }
  ilock(ip);
  const struct dirent none = {0};
  if (ip->nlink > 0 && (ip->type != T_DIR || dirempty(ip)) &&
      writei(dp, false, (uint64_t)&none, off, sizeof(none)) == sizeof(none))
    return ip;
  iunlockput(ip);
  return 0;
}

// Remove the name that a path ends in. Returns 0 or -1.
static int
unlink_at(const char *path)
{
  char name[DIRSIZ];
  struct inode *dp = lock_parent(path, name);
  if (!dp)
    return -1;
  struct inode *ip = 0;
  if (strncmp(name, ".", DIRSIZ) != 0 && strncmp(name, "..", DIRSIZ) != 0)
    ip = remove_name(dp, name);
  if (ip && ip->type == T_DIR) {
    dp->nlink--; // its ".." is gone
    iupdate(dp);
  }
  iunlockput(dp);
  if (!ip)
    return -1;
  ip->nlink--;
  iupdate(ip);
  iunlockput(ip);
  return 0;
}

uint64_t
sys_unlink(void)
{
  char path[MAXPATH];
  if (argstr(0, path, MAXPATH) < 0)
    return -1;
  begin_op();
  int result = unlink_at(path);
  end_op();
  return result;
}
