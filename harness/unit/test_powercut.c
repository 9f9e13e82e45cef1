// Power cuts: an operation is on the disk whole or not at all, whenever the power goes.

#include "disk.h"

#define BLOCKS 120
#define INODES 32

static void
setup(void)
{
  disk_format(BLOCKS, INODES);
}

static void
nothing(void *arg)
{
  (void)arg;
}

static void
write_a_file(void *arg)
{
  (void)arg;
  static const char text[6 * BSIZE] = "six blocks of a file";
  make_file("/new", text, sizeof(text));
}

static void
remove_a_file(void *arg)
{
  (void)arg;
  remove_file("/new");
}

static void
make_a_directory(void *arg)
{
  (void)arg;
  make_dir("/d");
}

static void
prepare_move(void *arg)
{
  make_a_directory(arg);
  write_a_file(arg);
}

// Move /new to /d/moved in one operation.
static void
move_a_file(void *arg)
{
  (void)arg;
  char name[DIRSIZ];
  struct dirent none = {0};
  uint32_t off;
  begin_op();
  struct inode *from = nameiparent("/new", name), *to = namei("/d");
  ilock(from);
  struct inode *ip = dirlookup(from, "new", &off);
  writei(from, false, (uint64_t)&none, off, sizeof(none));
  iunlockput(from);
  ilock(to);
  dirlink(to, "moved", ip->inum);
  iunlockput(to);
  iput(ip);
  end_op();
}

// Append over the first use of the indirect block.
static void
prepare_append(void *arg)
{
  (void)arg;
  static const char text[6 * BSIZE] = "as much as one operation may write";
  make_file("/long", text, sizeof(text));
  begin_op();
  struct inode *ip = namei("/long");
  ilock(ip);
  writei(ip, false, (uint64_t)text, 6 * BSIZE, 5 * BSIZE);
  iunlockput(ip);
  end_op();
}

static void
append(void *arg)
{
  (void)arg;
  static const char text[4 * BSIZE] = "more";
  begin_op();
  struct inode *ip = namei("/long");
  ilock(ip);
  writei(ip, false, (uint64_t)text, ip->size, sizeof(text));
  iunlockput(ip);
  end_op();
}

static void
remove_the_long_file(void *arg)
{
  (void)arg;
  remove_file("/long");
}

static void
two_at_a_time(void *arg)
{
  (void)arg;
  begin_op();
  make_file("/one", "1", 1);
  make_file("/two", "2", 1);
  end_op();
}

static const struct {
  void (*prepare)(void *arg);
  void (*operate)(void *arg);
} operations[] = {
    {nothing, write_a_file},     {write_a_file, remove_a_file},
    {nothing, make_a_directory}, {prepare_move, move_a_file},
    {prepare_append, append},    {prepare_append, remove_the_long_file},
    {nothing, two_at_a_time},
};

static bool
same_file_system(const struct disk *a, const struct disk *b)
{
  return memcmp(a->blocks[1], b->blocks[1], BSIZE) == 0 &&
         memcmp(a->blocks[INODE_START], b->blocks[INODE_START],
                (BLOCKS - INODE_START) * BSIZE) == 0;
}

static struct disk start, before, after;

// One operation from the state on the disk: remember in `start` the disk before it, in
// `before` and `after` what the next boots make of it without and with the operation.
// Returns how many blocks the operation writes.
static int64_t
try_operation(void (*operate)(void *arg))
{
  start = *disk;
  machine_life(0, 0);
  before = *disk;
  *disk = start;
  disk_count();
  machine_life(operate, 0);
  int64_t writes = disk->writes;
  machine_life(0, 0);
  after = *disk;
  return writes;
}

// The power goes at the k-th write of the operation, for every k: after the next boot
// the disk is bit by bit the old one or the new one, and never the old one for a later
// k than the new.
START_TEST(a_power_cut_at_any_write_leaves_all_or_nothing)
{
  machine_life(operations[_i].prepare, 0);
  int64_t writes = try_operation(operations[_i].operate);
  ck_assert_int_gt(writes, 3);
  ck_assert(!same_file_system(&before, &after));
  bool committed = false;
  for (int64_t k = 0; k <= writes; k++) {
    *disk = start;
    disk->power = k;
    machine_life(operations[_i].operate, 0);
    disk->power = -1;
    machine_life(0, 0);
    disk_check();
    if (same_file_system(disk, &after))
      committed = true;
    else if (committed || !same_file_system(disk, &before))
      ck_abort_msg(
          "power lost after %ld of %ld writes: the disk is neither the old nor "
          "the new one",
          k, writes);
    ck_assert(committed || k < writes);
    ck_assert(!committed || k > 0);
  }
}
END_TEST

// The power goes just after the commit, and then again at the k-th write of the replay.
START_TEST(a_power_cut_at_any_write_of_the_replay_leaves_all)
{
  int64_t writes = try_operation(write_a_file), blocks = writes / 2 - 1;
  for (int64_t k = 0; k <= blocks + 1; k++) {
    *disk = start;
    disk->power = blocks + 1;
    machine_life(write_a_file, 0);
    ck_assert_int_eq(*(int32_t *)disk->blocks[LOG_START], blocks);
    disk->power = k;
    machine_life(0, 0);
    disk->power = -1;
    machine_life(0, 0);
    ck_assert_msg(same_file_system(disk, &after),
                  "power lost at write %ld of the replay", k);
  }
  disk_check();
}
END_TEST

// A long life with power cuts at random.
START_TEST(random_operations_and_power_cuts_keep_the_file_system_whole)
{
  srand48(_i);
  for (int step = 0; step < 12; step++) {
    void (*operate)(void *arg) = operations[lrand48() % NELEM(operations)].operate;
    if (operate == append || operate == move_a_file)
      operate = write_a_file; // those need what may not be there
    int64_t writes = try_operation(operate);
    *disk = start;
    disk->power = lrand48() % (writes + 1);
    machine_life(operate, 0);
    disk->power = -1;
    machine_life(0, 0);
    disk_check();
    ck_assert(same_file_system(disk, &before) || same_file_system(disk, &after));
  }
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("power cuts");
  TCase *tc = tcase_create("power cuts");
  tcase_add_checked_fixture(tc, setup, 0);
  tcase_set_timeout(tc, 60);
  suite_add_tcase(suite, tc);
  tcase_add_loop_test(tc, a_power_cut_at_any_write_leaves_all_or_nothing, 0,
                      NELEM(operations));
  tcase_add_test(tc, a_power_cut_at_any_write_of_the_replay_leaves_all);
  tcase_add_loop_test(tc, random_operations_and_power_cuts_keep_the_file_system_whole,
                      0, 3);
  return run_suite(suite);
}
