// Path names and directories, on a small disk:
//
//   /a/             /f              /exactly14bytes
//   /a/b/c

#include "disk.h"

#include <unistd.h>

static void
setup(void)
{
  disk_format(300, 80);
  boot();
  ck_assert_int_eq(make_dir("/a"), 0);
  ck_assert_int_eq(make_dir("/a/b"), 0);
  ck_assert_int_eq(make_file("/a/b/c", "c", 1), 1);
  ck_assert_int_eq(make_file("/f", "f", 1), 1);
  ck_assert_int_eq(make_file("/exactly14bytes", "14", 2), 2);
  begin_op();
}

static void
teardown(void)
{
  end_op();
  disk_check();
}

// In the order of setup(), after the root.
enum { ROOT = 1, A, B, C, F, LONG };

static const struct {
  const char *path, *rest, *name;
} steps[] = {
    {"a", "", "a"},
    {"/a", "", "a"},
    {"a/bb/c", "bb/c", "a"},
    {"///a//bb", "bb", "a"},
    {"a/", "", "a"},
    {"a///", "", "a"},
    {"./x", "x", "."},
    {"..", "", ".."},
    {"thirteenbytes/x", "x", "thirteenbytes"},
    {"fourteen.bytes/x", "x", "fourteen.bytes"},
    {"fifteen..bytes!/x", "x", "fifteen..bytes"},
    {"a name that is far too long/y", "y", "a name that is"},
};

START_TEST(path_next_splits_off_the_first_element)
{
  char name[DIRSIZ + 1];
  memset(name, '#', sizeof(name));
  ck_assert_str_eq(path_next(steps[_i].path, name), steps[_i].rest);
  char expected[DIRSIZ] = {0};
  memcpy(expected, steps[_i].name, strlen(steps[_i].name));
  ck_assert_mem_eq(name, expected, DIRSIZ);
  ck_assert_int_eq(name[DIRSIZ], '#');
}
END_TEST

START_TEST(path_next_finds_no_element_in_slashes)
{
  static const char *const paths[] = {"", "/", "////"};
  char name[DIRSIZ];
  ck_assert_ptr_null(path_next(paths[_i], name));
}
END_TEST

static const struct {
  const char *path;
  uint32_t inum; // 0: there is none
} paths[] = {
    {"/", ROOT},
    {"////", ROOT},
    {"", ROOT},
    {".", ROOT},
    {"..", ROOT},
    {"/..", ROOT},
    {"/../..", ROOT},
    {"/.", ROOT},
    {"a", A},
    {"/a", A},
    {"//a", A},
    {"/a/", A},
    {"/a/.", A},
    {"/a/b/..", A},
    {"/a/b", B},
    {"a//b///", B},
    {"/a/b/c", C},
    {"/a/./b/../b/c", C},
    {"/../a/b/c", C},
    {"/f", F},
    {"/exactly14bytes", LONG},
    {"/exactly14bytesX", LONG}, // names are cut to 14 bytes
    {"/exactly14byte", 0},
    {"/A", 0},
    {"/nothing", 0},
    {"/nothing/c", 0},
    {"/a/nothing/c", 0},
    {"/a/b/c/d", 0},
    {"/f/x", 0},
    {"/f/.", 0},
    {"c", 0},
    {" /a", 0},
};

START_TEST(namei_finds_the_inode)
{
  struct inode *ip = namei(paths[_i].path);
  ck_assert_uint_eq(ip ? ip->inum : 0, paths[_i].inum);
  if (ip) {
    ck_assert_int_eq(holdingsleep(&ip->lock), 0);
    iput(ip);
  }
}
END_TEST

static const struct {
  const char *path;
  uint32_t inum; // of the last element's directory
  const char *name;
} parents[] = {
    {"/a", ROOT, "a"},    {"x", ROOT, "x"},   {"/new", ROOT, "new"},
    {"/a/b", A, "b"},     {"/a/b/", A, "b"},  {"a/b/c", B, "c"},
    {"/a/new", A, "new"}, {"/a/..", A, ".."}, {"/a/b/../x", A, "x"},
    {"/", 0, 0},          {"", 0, 0},         {"///", 0, 0},
    {"/nothing/x", 0, 0}, {"/f/x", 0, 0},     {"/a/b/c/d/e", 0, 0},
};

START_TEST(nameiparent_finds_the_directory_and_the_name)
{
  char name[DIRSIZ];
  struct inode *dp = nameiparent(parents[_i].path, name);
  ck_assert_uint_eq(dp ? dp->inum : 0, parents[_i].inum);
  if (dp) {
    ck_assert_int_eq(strncmp(name, parents[_i].name, DIRSIZ), 0);
    iput(dp);
  }
}
END_TEST

START_TEST(relative_paths_begin_at_the_current_directory)
{
  running->cwd = namei("/a/b");
  struct inode *c = namei("c"), *a = namei(".."), *f = namei("/f");
  ck_assert_uint_eq(c->inum, C);
  ck_assert_uint_eq(a->inum, A);
  ck_assert_uint_eq(f->inum, F);
  ck_assert_uint_eq(running->cwd->inum, B);
}
END_TEST

// References that leak would fill the table of inodes.
START_TEST(walking_leaves_no_reference_behind)
{
  char name[DIRSIZ];
  for (int i = 0; i < 3 * NINODE; i++) {
    size_t which = i % NELEM(paths);
    struct inode *ip = namei(paths[which].path);
    if (ip)
      iput(ip);
    if ((ip = nameiparent(parents[i % NELEM(parents)].path, name)))
      iput(ip);
  }
  for (int i = 0; i < NINODE - 1; i++)            // the current directory has one slot
    ck_assert_ptr_nonnull(iget(ROOTDEV, 20 + i)); // none that was walked over
  ck_assert_ptr_null(iget(ROOTDEV, 79));
}
END_TEST

START_TEST(namei_without_a_free_inode_slot_gives_0)
{
  for (int i = 0; i < NINODE - 1; i++)
    iget(ROOTDEV, 20 + i);
  ck_assert_ptr_null(namei("/a"));
  ck_assert_ptr_eq(namei("/"), running->cwd);
}
END_TEST

static struct inode *
locked(const char *path)
{
  struct inode *ip = namei(path);
  ck_assert_ptr_nonnull(ip);
  ilock(ip);
  return ip;
}

START_TEST(dirlookup_tells_where_the_entry_is)
{
  struct inode *dp = locked("/");
  uint32_t off = 0;
  struct inode *ip = dirlookup(dp, "f", &off);
  ck_assert_uint_eq(ip->inum, F);
  ck_assert_uint_eq(off, 3 * sizeof(struct dirent)); // after ., .. and a
  iput(ip);
  iunlockput(dp);
}
END_TEST

START_TEST(dirlookup_gives_0_for_a_name_that_is_not_there)
{
  static const char *const names[] = {"", "ff", "b", "exactly14byte", "..."};
  struct inode *dp = locked("/");
  ck_assert_ptr_null(dirlookup(dp, names[_i], 0));
  iunlockput(dp);
}
END_TEST

START_TEST(dirlookup_passes_over_removed_entries)
{
  end_op();
  ck_assert_int_eq(remove_file("/f"), 0);
  begin_op();
  struct inode *dp = locked("/");
  ck_assert_ptr_null(dirlookup(dp, "f", 0));
  iunlockput(dp);
}
END_TEST

START_TEST(dirlink_adds_at_the_end)
{
  struct inode *dp = locked("/a"), *ip = namei("/f");
  uint32_t size = dp->size, off;
  ck_assert_int_eq(dirlink(dp, "again", F), 0);
  ck_assert_uint_eq(dp->size, size + sizeof(struct dirent));
  ck_assert_ptr_eq(dirlookup(dp, "again", &off), ip);
  ck_assert_uint_eq(off, size);
  ilock(ip);
  ip->nlink++;
  iupdate(ip);
  iunlock(ip);
  iunlockput(dp);
}
END_TEST

START_TEST(dirlink_reuses_the_place_of_a_removed_entry)
{
  end_op();
  remove_file("/f");
  begin_op();
  struct inode *dp = locked("/"), *ip = ialloc(ROOTDEV, T_FILE);
  uint32_t size = dp->size, off;
  ck_assert_int_eq(dirlink(dp, "new", ip->inum), 0);
  ck_assert_uint_eq(dp->size, size);
  dirlookup(dp, "new", &off);
  ck_assert_uint_eq(off, 3 * sizeof(struct dirent));
  ilock(ip);
  ip->nlink = 1;
  iupdate(ip);
  iunlock(ip);
  iunlockput(dp);
}
END_TEST

START_TEST(dirlink_refuses_a_name_that_is_there)
{
  static const char *const names[] = {"a", "f", ".", "..", "exactly14bytes"};
  struct inode *dp = locked("/");
  uint32_t size = dp->size;
  ck_assert_int_eq(dirlink(dp, names[_i], F), -1);
  ck_assert_uint_eq(dp->size, size);
  iunlockput(dp);
}
END_TEST

START_TEST(dirlink_refuses_an_inode_number_that_an_entry_cannot_hold)
{
  struct inode *dp = locked("/");
  ck_assert_int_eq(dirlink(dp, "big", 65536 + F), -1);
  iunlockput(dp);
}
END_TEST

START_TEST(dirlink_refuses_a_removed_directory)
{
  struct inode *ip = ialloc(ROOTDEV, T_DIR);
  ilock(ip);
  ck_assert_int_eq(dirlink(ip, "x", F), -1);
  ck_assert_uint_eq(ip->size, 0);
  iunlockput(ip);
}
END_TEST

START_TEST(a_name_of_14_bytes_has_no_final_zero_on_disk)
{
  struct inode *dp = locked("/");
  struct dirent de;
  uint32_t off;
  dirlookup(dp, "exactly14bytes", &off);
  readi(dp, false, (uint64_t)&de, off, sizeof(de));
  ck_assert_mem_eq(de.name, "exactly14bytes", DIRSIZ);
  ck_assert_int_eq(dirlink(dp, "fourteen.bytes", F), 0);
  struct inode *ip = dirlookup(dp, "fourteen.bytes", &off);
  readi(dp, false, (uint64_t)&de, off, sizeof(de));
  ck_assert_mem_eq(de.name, "fourteen.bytes", DIRSIZ);
  ck_assert_uint_eq(ip->inum, F);
  ilock(ip);
  ip->nlink++;
  iupdate(ip);
  iunlock(ip);
  iunlockput(dp);
}
END_TEST

// 64 entries fill a block.
START_TEST(a_directory_grows_over_blocks_and_is_searched_to_its_end)
{
  end_op();
  char path[16];
  for (int i = 0; i < 70; i++) {
    snprintf(path, sizeof(path), "/a/%d", i);
    ck_assert_int_eq(make_file(path, path, strlen(path)), strlen(path));
  }
  for (int i = 0; i < 70; i++) {
    char text[16] = "";
    snprintf(path, sizeof(path), "/a/%d", i);
    read_file(path, text, sizeof(text));
    ck_assert_str_eq(text, path);
  }
  begin_op();
}
END_TEST

START_TEST(dirlink_on_a_full_disk_changes_nothing)
{
  struct inode *dp = locked("/a");
  int entries = 3; // ., .. and b
  for (; entries < 64; entries++) {
    char name[8];
    snprintf(name, sizeof(name), "%d", entries);
    ck_assert_int_eq(dirlink(dp, name, F), 0);
  }
  struct buf *map = bread(ROOTDEV, disk_super()->bmapstart);
  memset(map->data, 0xff, BSIZE);
  brelse(map);
  ck_assert_int_eq(dirlink(dp, "more", F), -1);
  ck_assert_uint_eq(dp->size, BSIZE);
  ck_assert_uint_eq(dp->addrs[1], 0);
  ck_assert_ptr_null(dirlookup(dp, "more", 0));
  _exit(0); // this disk is not whole: do not check it
}
END_TEST

START_TEST(a_directory_is_empty_with_nothing_but_dot_and_dotdot)
{
  end_op();
  make_dir("/e");
  begin_op();
  struct inode *e = locked("/e"), *a = locked("/a");
  ck_assert_int_eq(dirempty(e), 1);
  ck_assert_int_eq(dirempty(a), 0);
  iunlockput(e);
  iunlockput(a);
  end_op();
  make_file("/e/x", "", 0);
  begin_op();
  e = locked("/e");
  ck_assert_int_eq(dirempty(e), 0);
  iunlockput(e);
  end_op();
  remove_file("/e/x");
  begin_op();
  e = locked("/e");
  ck_assert_int_eq(dirempty(e), 1);
  iunlockput(e);
}
END_TEST

static TCase *
disk_case(Suite *suite, const char *name)
{
  TCase *tc = tcase_create(name);
  tcase_add_checked_fixture(tc, setup, teardown);
  suite_add_tcase(suite, tc);
  return tc;
}

int
main(void)
{
  Suite *suite = suite_create("dir");
  TCase *tc = disk_case(suite, "paths");
  tcase_add_loop_test(tc, path_next_splits_off_the_first_element, 0, NELEM(steps));
  tcase_add_loop_test(tc, path_next_finds_no_element_in_slashes, 0, 3);
  tcase_add_loop_test(tc, namei_finds_the_inode, 0, NELEM(paths));
  tcase_add_loop_test(tc, nameiparent_finds_the_directory_and_the_name, 0,
                      NELEM(parents));
  tcase_add_test(tc, relative_paths_begin_at_the_current_directory);
  tcase_add_test(tc, walking_leaves_no_reference_behind);
  tcase_add_test(tc, namei_without_a_free_inode_slot_gives_0);

  tc = disk_case(suite, "entries");
  tcase_add_test(tc, dirlookup_tells_where_the_entry_is);
  tcase_add_loop_test(tc, dirlookup_gives_0_for_a_name_that_is_not_there, 0, 5);
  tcase_add_test(tc, dirlookup_passes_over_removed_entries);
  tcase_add_test(tc, dirlink_adds_at_the_end);
  tcase_add_test(tc, dirlink_reuses_the_place_of_a_removed_entry);
  tcase_add_loop_test(tc, dirlink_refuses_a_name_that_is_there, 0, 5);
  tcase_add_test(tc, dirlink_refuses_an_inode_number_that_an_entry_cannot_hold);
  tcase_add_test(tc, dirlink_refuses_a_removed_directory);
  tcase_add_test(tc, a_name_of_14_bytes_has_no_final_zero_on_disk);
  tcase_add_test(tc, a_directory_grows_over_blocks_and_is_searched_to_its_end);
  tcase_add_test(tc, dirlink_on_a_full_disk_changes_nothing);
  tcase_add_test(tc, a_directory_is_empty_with_nothing_but_dot_and_dotdot);
  return run_suite(suite);
}
