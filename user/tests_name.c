// Names and links.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"

static void
link_counts(void)
{
  struct stat one, two;
  char buf[8];
  make_file("one", "same");
  expect("link", link("one", "two"), 0);
  expect("stat one", stat("one", &one), 0);
  expect("stat two", stat("two", &two), 0);
  expect("inode of the second name", two.ino, one.ino);
  expect("links", two.nlink, 2);
  expect("unlink of the first name", unlink("one"), 0);
  expect("open of the first name", open("one", O_RDONLY), -1);
  int fd = open_or_fail("two", O_RDONLY);
  expect("read by the second name", read(fd, buf, sizeof(buf)), 4);
  expect("stat two", stat("two", &two), 0);
  expect("links", two.nlink, 1);
}

static void
link_refused(void)
{
  make_file("file", "x");
  make_file("other", "y");
  expect("mkdir", mkdir("d"), 0);
  expect("link to a directory", link("d", "e"), -1);
  expect("link to a missing file", link("missing", "new"), -1);
  expect("link over a name that is there", link("file", "other"), -1);
  expect("link of a name to itself", link("file", "file"), -1);
  expect("link in a missing directory", link("file", "missing/new"), -1);
  expect("link below a file", link("file", "other/new"), -1);
  struct stat st;
  expect("stat", stat("file", &st), 0);
  expect("links after these", st.nlink, 1);
}

static void
unlink_refused(void)
{
  expect("unlink of a missing file", unlink("missing"), -1);
  expect("unlink in a missing directory", unlink("missing/x"), -1);
  expect("unlink of nothing", unlink(""), -1);
  expect("unlink of .", unlink("."), -1);
  expect("unlink of ..", unlink(".."), -1);
  expect("unlink of the root", unlink("/"), -1);
  make_file("file", "x");
  expect("unlink below a file", unlink("file/x"), -1);
  expect("unlink", unlink("file"), 0);
  expect("unlink again", unlink("file"), -1);
}

// Names of 14 bytes have no final zero on disk; what is longer is cut off.
static void
name_length(void)
{
  char buf[4];
  make_file("fourteen-bytes", "14");
  int fd = open_or_fail("fourteen-bytes", O_RDONLY);
  expect("read", read(fd, buf, sizeof(buf)), 2);
  expect("open of its first 13 bytes", open("fourteen-byte", O_RDONLY), -1);
  fd = open("fourteen-bytes-and-more", O_RDONLY);
  expect_true("a longer name to mean its first 14 bytes", fd >= 0);
  expect("mkdir with a name of 14 bytes", mkdir("directory-of14"), 0);
  make_file("directory-of14/another-of-14b", "in");
  fd = open("directory-of14/another-of-14b", O_RDONLY);
  expect_true("a name of 14 bytes in a directory of 14 to be found", fd >= 0);
  expect("unlink in it", unlink("directory-of14/another-of-14b"), 0);
  expect("unlink of it", unlink("directory-of14"), 0);
}

static void
name_slashes(void)
{
  static const char *const names[] = {"d/f",   "d//f",      "./d/f",
                                      "d/./f", "./././d/f", "d/../d/f"};
  expect("mkdir", mkdir("d"), 0);
  make_file("d/f", "x");
  for (size_t i = 0; i < NELEM(names); i++) {
    int fd = open(names[i], O_RDONLY);
    if (fd < 0)
      fail("open of %s: expected a file descriptor, got -1", names[i]);
    close(fd);
  }
  expect("open below a file", open("d/f/x", O_RDONLY), -1);
  expect("open of . below a file", open("d/f/.", O_RDONLY), -1);
  expect("open in a missing directory", open("d/g/x", O_CREATE | O_RDWR), -1);
  expect("mkdir with a slash behind", mkdir("d/e/"), 0);
  expect("unlink with a slash behind", unlink("d/e/"), 0);
}

static char *
numbered(int i)
{
  static char name[] = "l00";
  name[1] = (char)('0' + i / 10);
  name[2] = (char)('0' + i % 10);
  return name;
}

// Many names for one file, in a directory that needs more than a block for them. Slots
// of names that are gone are used again.
static void
link_many(void)
{
  const int many = BSIZE / sizeof(struct dirent) + 2;
  struct stat st;
  make_file("file", "x");
  for (int i = 0; i < many; i++)
    expect("link", link("file", numbered(i)), 0);
  expect("stat", stat(numbered(many - 1), &st), 0);
  expect("links", st.nlink, many + 1);
  expect("stat", stat(".", &st), 0);
  long size = (long)st.size;
  expect_true("the directory to be larger than a block", size > BSIZE);
  for (int i = many - 1; i >= 0; i--)
    expect("unlink", unlink(numbered(i)), 0);
  expect("open of an unlinked name", open(numbered(1), O_RDONLY), -1);
  for (int i = 0; i < 5; i++)
    expect("link again", link("file", numbered(i)), 0);
  expect("stat", stat(".", &st), 0);
  expect("size of the directory after some names came back", (long)st.size, size);
  expect("stat", stat("file", &st), 0);
  expect("links at the end", st.nlink, 6);
}

const struct test name_tests[] = {
    {"link_counts", link_counts, ANYWHERE},
    {"link_refused", link_refused, ANYWHERE},
    {"unlink_refused", unlink_refused, ANYWHERE},
    {"name_length", name_length, ANYWHERE},
    {"name_slashes", name_slashes, ANYWHERE},
    {"link_many", link_many, ANYWHERE},
    {0, 0, 0},
};
