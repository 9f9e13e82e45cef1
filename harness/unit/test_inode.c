// Inodes, and the super block that says where they are.

#include "disk.h"

#define BLOCKS 400
#define INODES 48

static void
setup(void)
{
  disk_format(BLOCKS, INODES);
  boot();
}

START_TEST(all_inodes_can_be_allocated_and_then_0)
{
  static bool seen[INODES];
  for (int i = 2; i < INODES; i++) { // not 0, and not the root's
    begin_op();
    struct inode *ip = ialloc(ROOTDEV, T_FILE);
    ck_assert_ptr_nonnull(ip);
    ck_assert_uint_gt(ip->inum, ROOTINO);
    ck_assert_uint_lt(ip->inum, INODES);
    ck_assert(!seen[ip->inum]);
    seen[ip->inum] = true;
    end_op();
  }
  begin_op();
  ck_assert_ptr_null(ialloc(ROOTDEV, T_FILE));
  end_op();
}
END_TEST

START_TEST(ialloc_without_a_slot_in_memory_changes_nothing)
{
  disk_format(BLOCKS, 80);
  boot();
  for (int i = 0; i < NINODE - 1; i++) // the current directory has one slot
    ck_assert_ptr_nonnull(iget(ROOTDEV, 20 + i));
  begin_op();
  ck_assert_ptr_null(ialloc(ROOTDEV, T_FILE));
  end_op();
  for (int i = 2; i < 80; i++)
    ck_assert_int_eq(disk_inode(i)->type, 0);
}
END_TEST

START_TEST(iget_refuses_numbers_that_no_inode_has)
{
  static const uint32_t bad[] = {0, INODES, INODES + 1, UINT32_MAX};
  ck_assert_ptr_null(iget(ROOTDEV, bad[_i]));
}
END_TEST

START_TEST(references_to_an_inode_share_it)
{
  struct inode *one = iget(ROOTDEV, 7), *two = iget(ROOTDEV, 7);
  ck_assert_ptr_eq(one, two);
  ck_assert_ptr_eq(idup(one), one);
  ck_assert_int_eq(one->ref, 3);
  ck_assert_ptr_ne(iget(ROOTDEV, 8), one);
}
END_TEST

START_TEST(a_file_without_names_lives_until_its_last_reference_goes)
{
  make_file("/file", "still here", 10);
  begin_op();
  struct inode *ip = namei("/file");
  end_op();
  uint32_t inum = ip->inum;
  remove_file("/file");
  ck_assert_int_eq(disk_inode(inum)->type, T_FILE);
  ilock(ip);
  char contents[100];
  ck_assert_int_eq(readi(ip, false, (uint64_t)contents, 0, 100), 10);
  ck_assert_mem_eq(contents, "still here", 10);
  begin_op();
  iunlockput(ip);
  end_op();
  ck_assert_int_eq(disk_inode(inum)->type, 0);
}
END_TEST

static void
leave_orphan(void *arg)
{
  uint32_t *inum = arg; // in the disk: the next life shall see it
  make_file("/file", "orphan", 6);
  begin_op();
  struct inode *ip = namei("/file");
  end_op();
  remove_file("/file");
  *inum = ip->inum;
}

START_TEST(a_file_that_was_open_without_names_is_freed_at_the_next_boot)
{
  uint32_t free = disk_free_blocks(), *inum = (uint32_t *)disk->blocks[0];
  machine_life(leave_orphan, inum);
  ck_assert_int_eq(disk_inode(*inum)->type, T_FILE);
  machine_life(0, 0);
  ck_assert_int_eq(disk_inode(*inum)->type, 0);
  ck_assert_uint_eq(disk_free_blocks(), free);
}
END_TEST

START_TEST(stati_tells_what_the_inode_is)
{
  make_file("/file", "12345", 5);
  begin_op();
  struct inode *ip = namei("/file");
  ilock(ip);
  struct stat st, expected;
  memset(&st, 0xff, sizeof(st));
  memset(&expected, 0, sizeof(expected)); // the padding too
  expected.dev = ROOTDEV;
  expected.ino = ip->inum;
  expected.type = T_FILE;
  expected.nlink = 1;
  expected.size = 5;
  stati(ip, &st);
  ck_assert_mem_eq(&st, &expected, sizeof(st));
  iunlockput(ip);
  end_op();
}
END_TEST

// What each makes of a good super block.
static void
wrong_magic(struct superblock *super)
{
  super->magic ^= 1;
}
static void
too_large(struct superblock *super)
{
  super->size = MAXIMAGE + 1;
}
static void
more_data_than_disk(struct superblock *super)
{
  super->nblocks = super->size;
}
static void
no_inodes(struct superblock *super)
{
  super->ninodes = 1;
}
static void
log_over_inodes(struct superblock *super)
{
  super->nlog++;
}
static void
log_over_superblock(struct superblock *super)
{
  super->logstart = 1;
}
static void
inodes_over_bitmap(struct superblock *super)
{
  super->ninodes += 16;
}
static void
huge_inode_count(struct superblock *super)
{
  super->ninodes = UINT32_MAX;
}
static void
bitmap_over_data(struct superblock *super)
{
  super->bmapstart++;
}
static void
log_too_small(struct superblock *super)
{
  super->nlog = MAXOPBLOCKS;
}

static const struct {
  void (*damage)(struct superblock *super);
  const char *says;
} damages[] = {
    {wrong_magic, "magic"},           {too_large, "expected at most"},
    {more_data_than_disk, "overlap"}, {no_inodes, "overlap"},
    {log_over_inodes, "overlap"},     {log_over_superblock, "overlap"},
    {inodes_over_bitmap, "overlap"},  {huge_inode_count, "overlap"},
    {bitmap_over_data, "overlap"},    {log_too_small, "log:"},
};

START_TEST(a_damaged_super_block_is_refused)
{
  disk_format(BLOCKS, INODES);
  damages[_i].damage((struct superblock *)disk->blocks[1]);
  ck_assert_panics(boot(), damages[_i].says);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("inode");
  TCase *tc = tcase_create("inodes");
  tcase_add_checked_fixture(tc, setup, 0);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, all_inodes_can_be_allocated_and_then_0);
  tcase_add_test(tc, ialloc_without_a_slot_in_memory_changes_nothing);
  tcase_add_loop_test(tc, iget_refuses_numbers_that_no_inode_has, 0, 4);
  tcase_add_test(tc, references_to_an_inode_share_it);
  tcase_add_test(tc, a_file_without_names_lives_until_its_last_reference_goes);
  tcase_add_test(tc, a_file_that_was_open_without_names_is_freed_at_the_next_boot);
  tcase_add_test(tc, stati_tells_what_the_inode_is);
  tcase_add_loop_test(tc, a_damaged_super_block_is_refused, 0, NELEM(damages));
  return run_suite(suite);
}
