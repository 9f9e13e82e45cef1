// Directories and path names.
//
// A directory's inode lock protects its entries. A path is walked with one directory
// locked at a time, and the reference to the next is taken before the lock is let go.
// An empty directory that was removed while in use has nlink 0 and gets no new entries.

#include "defs.h"
#include "file.h"
#include "proc.h"
#include "stat.h"

// Entries that are read at a time.
#define BATCH 16

// What a search calls for each entry, empty ones included; it returns whether to stop
// there.
typedef bool (*entry_test)(const struct dirent *de, const void *arg);

// Find the first entry of a locked directory for which test says so, from offset off
// on. Returns 0 with the entry in *de and its offset in *at; or -1 with the offset of
// the end of the directory in *at.
static int
search(struct inode *dp, uint32_t off, entry_test test, const void *arg,
       struct dirent *de, uint32_t *at)
{
  struct dirent batch[BATCH];
  int n;
  for (*at = off; (n = readi(dp, false, (uint64_t)batch, *at, sizeof(batch))) > 0;) {
    int entries = n / sizeof(*de);
    for (int i = 0; i < entries; i++, *at += sizeof(*de))
      if (test(&batch[i], arg)) {
        *de = batch[i];
        return 0;
      }
    if (entries == 0)
      break; // a damaged directory ends in part of an entry
  }
  return -1;
}

static bool
has_name(const struct dirent *de, const void *name)
{
  return de->inum && strncmp(de->name, name, DIRSIZ) == 0;
}

static bool
is_unused(const struct dirent *de, const void *arg)
{
  (void)arg;
  return de->inum == 0;
}

static bool
is_child(const struct dirent *de, const void *arg)
{
  return !is_unused(de, arg) && !has_name(de, ".") && !has_name(de, "..");
}

// Look for a name in a locked directory. Returns a reference to its inode, and the
// entry's offset in *off unless off is 0; or 0 if there is none, if the entry is
// damaged, or if too many inodes are in use.
struct inode *
dirlookup(struct inode *dp, const char *name, uint32_t *off)
{
  struct dirent de;
  uint32_t at;
  if (search(dp, 0, has_name, name, &de, &at))
    return 0;
  if (off)
    *off = at;
  return iget(dp->dev, de.inum);
}

// Add a name for inode inum to a locked directory. Returns 0, or -1 with nothing
// changed if the name is there already, the directory was removed or the disk is full.
int
dirlink(struct inode *dp, const char *name, uint32_t inum)
{
  struct dirent de;
  uint32_t at;
  if (dp->nlink == 0 || inum > UINT16_MAX ||
      search(dp, 0, has_name, name, &de, &at) == 0)
    return -1;
  search(dp, 0, is_unused, 0, &de, &at);
  de.inum = inum;
  strncpy(de.name, name, DIRSIZ);
  return writei(dp, false, (uint64_t)&de, at, sizeof(de)) == sizeof(de) ? 0 : -1;
}

// Whether a locked directory has entries other than "." and "..".
bool
dirempty(struct inode *dp)
{
  struct dirent de;
  uint32_t at;
  return search(dp, 0, is_child, 0, &de, &at) != 0;
}

// Copy the first element of a path to name[DIRSIZ], cut off to DIRSIZ bytes and filled
// with zeros if shorter. Returns the rest of the path, without leading slashes, or 0 if
// there is no element.
const char *
path_next(const char *path, char *name)
{
  while (*path == '/')
    path++;
  if (!*path)
    return 0;
  const char *end = path;
  while (*end && *end != '/')
    end++;
  size_t n = end - path < DIRSIZ ? end - path : DIRSIZ;
  memset(name, 0, DIRSIZ);
  memmove(name, path, n);
  while (*end == '/')
    end++;
  return end;
}

// One step of a walk: a reference to what a locked directory calls name, or 0. A
// removed directory's parent may be gone as well, so it leads nowhere but to itself.
static struct inode *
step(struct inode *dp, const char *name)
{
  if (dp->type != T_DIR || (dp->nlink == 0 && strncmp(name, ".", DIRSIZ) != 0))
    return 0;
  return dirlookup(dp, name, 0);
}

// Walk a path, from the running process's directory unless it begins with a slash, to
// its end, or to the directory of its last element if parent is set. The last element
// is left in name[DIRSIZ]. Returns a reference, or 0.
static struct inode *
walk_path(const char *path, bool parent, char *name)
{
  struct inode *ip = *path == '/' ? iget(ROOTDEV, ROOTINO) : idup(myproc()->cwd);
  while (ip && (path = path_next(path, name))) {
    ilock(ip);
    if (parent && !*path) {
      bool dir = ip->type == T_DIR;
      iunlock(ip);
      if (dir)
        return ip;
      iput(ip);
      return 0;
    }
    struct inode *next = step(ip, name);
    iunlockput(ip);
    ip = next;
  }
  if (ip && parent) { // there was no last element
    iput(ip);
    return 0;
  }
  return ip;
}

// A reference to the inode that a path names, or 0. Between begin_op() and end_op(),
// like all that may call iput().
struct inode *
namei(const char *path)
{
  char name[DIRSIZ];
  return walk_path(path, false, name);
}

// A reference to the directory of a path's last element, which is left in name[DIRSIZ];
// or 0.
struct inode *
nameiparent(const char *path, char *name)
{
  return walk_path(path, true, name);
}
