// The log: what is written when, and what is replayed at boot.

#include "disk.h"

#define BLOCKS 120
#define INODES 32

static void
setup(void)
{
  disk_format(BLOCKS, INODES);
}

static void
setup_booted(void)
{
  setup();
  boot();
  disk_count();
}

// A block that the tests may scribble on as if it were a file's.
static uint32_t
data_block(int i)
{
  return disk_data_start() + 10 + i;
}

// Put a letter all over a data block, within an operation.
static void
scribble(int i, char letter)
{
  struct buf *b = bread(ROOTDEV, data_block(i));
  memset(b->data, letter, BSIZE);
  log_write(b);
  brelse(b);
}

static char
on_disk(int i)
{
  return disk->blocks[data_block(i)][0];
}

START_TEST(a_commit_writes_log_then_header_then_homes_then_header)
{
  begin_op();
  scribble(0, 'a');
  scribble(5, 'b');
  end_op();
  const uint32_t order[] = {LOG_START + 1, LOG_START + 2, LOG_START,
                            data_block(0), data_block(5), LOG_START};
  ck_assert_uint_eq(disk->writes, NELEM(order));
  ck_assert_mem_eq(disk->order, order, sizeof(order));
  ck_assert_int_eq(on_disk(0), 'a');
  ck_assert_int_eq(on_disk(5), 'b');
}
END_TEST

START_TEST(nothing_is_written_before_the_operation_ends)
{
  begin_op();
  scribble(0, 'a');
  ck_assert_uint_eq(disk->writes, 0);
  end_op();
  ck_assert_uint_gt(disk->writes, 0);
}
END_TEST

START_TEST(an_operation_that_changes_nothing_writes_nothing)
{
  begin_op();
  brelse(bread(ROOTDEV, data_block(0)));
  end_op();
  ck_assert_uint_eq(disk->writes, 0);
}
END_TEST

START_TEST(a_block_changed_again_takes_no_more_room)
{
  begin_op();
  for (int i = 0; i < 100; i++)
    scribble(0, 'a' + i % 26);
  scribble(1, 'x');
  scribble(0, 'z');
  end_op();
  ck_assert_uint_eq(disk->writes, 6); // two blocks, as above
  ck_assert_int_eq(on_disk(0), 'z');
}
END_TEST

START_TEST(operations_under_way_together_commit_together)
{
  begin_op();
  begin_op();
  scribble(0, 'a');
  end_op();
  ck_assert_uint_eq(disk->writes, 0);
  scribble(1, 'b');
  end_op();
  ck_assert_uint_eq(disk->writes, 6);
  ck_assert_int_eq(on_disk(0), 'a');
  ck_assert_int_eq(on_disk(1), 'b');
}
END_TEST

START_TEST(the_header_is_empty_after_a_commit)
{
  begin_op();
  scribble(0, 'a');
  end_op();
  ck_assert_int_eq(*(int32_t *)disk->blocks[LOG_START], 0);
}
END_TEST

START_TEST(changed_blocks_stay_in_the_cache_until_committed)
{
  begin_op();
  scribble(0, 'a');
  for (uint32_t i = 1; i < 2 * NBUF; i++)
    brelse(bread(ROOTDEV, i));
  disk_count();
  struct buf *b = bread(ROOTDEV, data_block(0));
  ck_assert_uint_eq(disk->reads, 0);
  ck_assert_int_eq(b->data[7], 'a');
  brelse(b);
  end_op();
  ck_assert_int_eq(on_disk(0), 'a');
}
END_TEST

START_TEST(committed_blocks_may_leave_the_cache)
{
  for (int round = 0; round < 3; round++) {
    begin_op();
    for (int i = 0; i < MAXOPBLOCKS; i++)
      scribble(i, 'a' + round);
    end_op();
  }
  for (uint32_t i = 0; i < NBUF; i++)
    brelse(bread(ROOTDEV, i));
  disk_count();
  brelse(bread(ROOTDEV, data_block(0)));
  ck_assert_uint_eq(disk->reads, 1);
}
END_TEST

START_TEST(the_log_admits_as_many_operations_as_it_has_room_for)
{
  for (int i = 0; i < LOGBLOCKS / MAXOPBLOCKS; i++)
    begin_op();
  ck_assert_panics(begin_op(), "sleeps");
}
END_TEST

START_TEST(room_that_was_not_used_is_given_to_others)
{
  for (int i = 0; i < LOGBLOCKS / MAXOPBLOCKS; i++)
    begin_op();
  end_op();
  begin_op();
  scribble(0, 'a');
  end_op();
  ck_assert_panics(begin_op(), "sleeps"); // one block is taken, so ten are not free
}
END_TEST

START_TEST(writing_more_blocks_than_the_log_holds_panics)
{
  begin_op();
  for (int i = 0; i < LOGBLOCKS; i++)
    scribble(i, 'x');
  ck_assert_panics(scribble(LOGBLOCKS, 'x'), "more than they had reserved");
}
END_TEST

START_TEST(writing_outside_of_an_operation_panics)
{
  ck_assert_panics(scribble(0, 'x'), "outside of begin_op and end_op");
}
END_TEST

START_TEST(ending_what_was_not_begun_panics)
{
  ck_assert_panics(end_op(), "without begin_op");
}
END_TEST

// A log with two blocks in it, and n in its header.
static void
write_log_by_hand(int32_t n)
{
  int32_t header[] = {n, data_block(0), data_block(3)};
  memcpy(disk->blocks[LOG_START], header, sizeof(header));
  memset(disk->blocks[LOG_START + 1], 'p', BSIZE);
  memset(disk->blocks[LOG_START + 2], 'q', BSIZE);
}

START_TEST(a_committed_operation_is_replayed_at_boot)
{
  write_log_by_hand(2);
  machine_life(0, 0);
  ck_assert_int_eq(on_disk(0), 'p');
  ck_assert_int_eq(on_disk(3), 'q');
  ck_assert_int_eq(*(int32_t *)disk->blocks[LOG_START], 0);
}
END_TEST

START_TEST(only_as_many_blocks_as_the_header_says_are_replayed)
{
  write_log_by_hand(1);
  machine_life(0, 0);
  ck_assert_int_eq(on_disk(0), 'p');
  ck_assert_int_eq(on_disk(3), 0);
}
END_TEST

START_TEST(an_uncommitted_operation_is_not_replayed)
{
  write_log_by_hand(0);
  disk_count();
  machine_life(0, 0);
  ck_assert_uint_eq(disk->writes, 0);
  ck_assert_int_eq(on_disk(0), 0);
  ck_assert_int_eq(on_disk(3), 0);
}
END_TEST

static void
check_replayed(void *arg)
{
  (void)arg;
  struct buf *b = bread(ROOTDEV, data_block(0));
  ck_assert_int_eq(b->data[BSIZE - 1], 'p');
  brelse(b);
  begin_op(); // the log is free again
  scribble(1, 'n');
  end_op();
}

START_TEST(the_machine_goes_on_from_the_replayed_state)
{
  write_log_by_hand(2);
  machine_life(check_replayed, 0);
  ck_assert_int_eq(on_disk(0), 'p');
  ck_assert_int_eq(on_disk(1), 'n');
  ck_assert_int_eq(on_disk(3), 'q');
}
END_TEST

START_TEST(a_damaged_header_is_refused)
{
  static const struct {
    int32_t n, first;
  } bad[] = {{-1, 60}, {LOGBLOCKS + 1, 60}, {INT32_MAX, 60}, {1, 0},
             {1, 1},   {1, LOG_START},      {1, BLOCKS},     {1, -1}};
  int32_t header[] = {bad[_i].n, bad[_i].first};
  memcpy(disk->blocks[LOG_START], header, sizeof(header));
  ck_assert_panics(boot(), "the image is damaged");
}
END_TEST

static TCase *
disk_case(Suite *suite, const char *name, void (*setup)(void))
{
  TCase *tc = tcase_create(name);
  tcase_add_checked_fixture(tc, setup, 0);
  suite_add_tcase(suite, tc);
  return tc;
}

int
main(void)
{
  Suite *suite = suite_create("log");
  TCase *tc = disk_case(suite, "operations", setup_booted);
  tcase_add_test(tc, a_commit_writes_log_then_header_then_homes_then_header);
  tcase_add_test(tc, nothing_is_written_before_the_operation_ends);
  tcase_add_test(tc, an_operation_that_changes_nothing_writes_nothing);
  tcase_add_test(tc, a_block_changed_again_takes_no_more_room);
  tcase_add_test(tc, operations_under_way_together_commit_together);
  tcase_add_test(tc, the_header_is_empty_after_a_commit);
  tcase_add_test(tc, changed_blocks_stay_in_the_cache_until_committed);
  tcase_add_test(tc, committed_blocks_may_leave_the_cache);
  tcase_add_test(tc, the_log_admits_as_many_operations_as_it_has_room_for);
  tcase_add_test(tc, room_that_was_not_used_is_given_to_others);
  tcase_add_test(tc, writing_more_blocks_than_the_log_holds_panics);
  tcase_add_test(tc, writing_outside_of_an_operation_panics);
  tcase_add_test(tc, ending_what_was_not_begun_panics);

  tc = disk_case(suite, "replay", setup);
  tcase_add_test(tc, a_committed_operation_is_replayed_at_boot);
  tcase_add_test(tc, only_as_many_blocks_as_the_header_says_are_replayed);
  tcase_add_test(tc, an_uncommitted_operation_is_not_replayed);
  tcase_add_test(tc, the_machine_goes_on_from_the_replayed_state);
  tcase_add_loop_test(tc, a_damaged_header_is_refused, 0, 8);
  return run_suite(suite);
}
