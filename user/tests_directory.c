// Directories.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"

static uint32_t
inode_of(const char *path)
{
  struct stat st;
  if (stat(path, &st) < 0)
    fail("stat of %s: expected 0, got -1", path);
  return st.ino;
}

static void
directory_dots(void)
{
  expect("mkdir", mkdir("d"), 0);
  expect("mkdir", mkdir("d/e"), 0);
  expect("inode of d/.", inode_of("d/."), inode_of("d"));
  expect("inode of d/..", inode_of("d/.."), inode_of("."));
  expect("inode of d/e/..", inode_of("d/e/.."), inode_of("d"));
  expect("inode of /..", inode_of("/.."), ROOTINO);
  expect("inode of /.", inode_of("/."), ROOTINO);
  expect("unlink of d/.", unlink("d/."), -1);
  expect("unlink of d/e/..", unlink("d/e/.."), -1);
}

static void
directory_links(void)
{
  struct stat st;
  expect("mkdir", mkdir("d"), 0);
  expect("stat", stat("d", &st), 0);
  int empty = st.nlink;
  expect("mkdir", mkdir("d/a"), 0);
  expect("mkdir", mkdir("d/b"), 0);
  expect("stat", stat("d", &st), 0);
  expect("links after two directories were made in it", st.nlink, empty + 2);
  expect("unlink", unlink("d/a"), 0);
  expect("unlink", unlink("d/b"), 0);
  expect("stat", stat("d", &st), 0);
  expect("links after they were removed", st.nlink, empty);
}

static void
directory_not_empty(void)
{
  expect("mkdir", mkdir("d"), 0);
  make_file("d/f", "x");
  expect("unlink of a directory with a file in it", unlink("d"), -1);
  expect("unlink of the file", unlink("d/f"), 0);
  expect("mkdir", mkdir("d/e"), 0);
  expect("unlink of a directory with a directory in it", unlink("d"), -1);
  expect("unlink of the inner one", unlink("d/e"), 0);
  expect("unlink of the empty directory", unlink("d"), 0);
  expect("unlink again", unlink("d"), -1);
}

static void
directory_refused(void)
{
  expect("mkdir", mkdir("d"), 0);
  make_file("f", "x");
  expect("mkdir of a name that is there", mkdir("d"), -1);
  expect("mkdir of a file's name", mkdir("f"), -1);
  expect("mkdir in a missing directory", mkdir("missing/e"), -1);
  expect("mkdir below a file", mkdir("f/e"), -1);
  expect("mkdir of .", mkdir("."), -1);
  expect("mkdir of /", mkdir("/"), -1);
  expect("mkdir without a name", mkdir(""), -1);
  expect("chdir to a file", chdir("f"), -1);
  expect("chdir to a missing directory", chdir("missing"), -1);
  expect("open of a directory for writing", open("d", O_WRONLY), -1);
  expect("open of a directory for both", open("d", O_RDWR), -1);
  expect("open of a directory with O_CREATE", open("d", O_CREATE | O_RDWR), -1);
  expect("open of . for writing", open(".", O_RDWR), -1);
  int fd = open_or_fail("d", O_RDONLY);
  expect("write to a directory", write(fd, "x", 1), -1);
}

static void
directory_entries(void)
{
  static const char *const names[] = {".", "..", "one", "two", "fourteen-bytes"};
  bool seen[NELEM(names)] = {false};
  struct dirent entry;
  expect("mkdir", mkdir("d"), 0);
  make_file("d/one", "");
  make_file("d/gone", "");
  make_file("d/two", "");
  make_file("d/fourteen-bytes", "");
  expect("unlink", unlink("d/gone"), 0);
  int fd = open_or_fail("d", O_RDONLY);
  while (read(fd, &entry, sizeof(entry)) == sizeof(entry)) {
    char name[DIRSIZ + 1] = {0};
    memcpy(name, entry.name, DIRSIZ);
    size_t i = 0;
    while (i < NELEM(names) && strcmp(name, names[i]) != 0)
      i++;
    if (entry.inum == 0)
      continue;
    if (i == NELEM(names))
      fail("directory: expected no entry %s", name);
    seen[i] = true;
  }
  for (size_t i = 0; i < NELEM(names); i++)
    if (!seen[i])
      fail("directory: expected an entry %s", names[i]);
}

static void
directory_chdir(void)
{
  uint32_t start = inode_of(".");
  expect("mkdir", mkdir("d"), 0);
  expect("mkdir", mkdir("d/e"), 0);
  int pid = fork_or_fail();
  if (pid == 0) {
    expect("chdir", chdir("d/e"), 0);
    make_file("f", "x");
    expect("chdir", chdir(".."), 0);
    expect("inode of ../d", inode_of("../d"), inode_of("."));
    exit(0);
  }
  expect("status of the child", wait_for(pid), 0);
  expect("inode of the parent's .", inode_of("."), start);
  expect("unlink of what the child made", unlink("d/e/f"), 0);
  expect("chdir to /", chdir("/"), 0);
  expect("inode of .", inode_of("."), ROOTINO);
}

// A process stands in a directory that is removed.
static void
directory_removed(void)
{
  expect("mkdir", mkdir("d"), 0);
  expect("chdir", chdir("d"), 0);
  expect("unlink of the current directory by its name", unlink("../d"), 0);
  expect_true("nothing to be found in the removed directory",
              open("f", O_RDONLY) == -1);
  expect("chdir to the root", chdir("/"), 0);
}

static void
directory_deep(void)
{
  for (int i = 0; i < 10; i++) {
    expect("mkdir", mkdir("deep"), 0);
    expect("chdir", chdir("deep"), 0);
  }
  make_file("f", "x");
  expect("unlink", unlink("f"), 0);
  for (int i = 0; i < 10; i++) {
    expect("chdir", chdir(".."), 0);
    expect("unlink", unlink("deep"), 0);
  }
}

const struct test directory_tests[] = {
    {"directory_dots", directory_dots, ANYWHERE},
    {"directory_links", directory_links, ANYWHERE},
    {"directory_not_empty", directory_not_empty, ANYWHERE},
    {"directory_refused", directory_refused, ANYWHERE},
    {"directory_entries", directory_entries, ANYWHERE},
    {"directory_chdir", directory_chdir, ANYWHERE},
    {"directory_removed", directory_removed, ANYWHERE},
    {"directory_deep", directory_deep, ANYWHERE},
    {0, 0, 0},
};
