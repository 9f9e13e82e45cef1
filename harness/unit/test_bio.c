// The buffer cache.

#include "disk.h"

#define SIZE (100 + 2 * NBUF) // blocks on the disk

static void
setup(void)
{
  disk_format(SIZE, 32);
  for (uint32_t b = disk_data_start() + 1; b < SIZE; b++)
    memset(disk->blocks[b], b, BSIZE);
  machine_reset();
  binit();
  disk_count();
}

static void
look_at(uint32_t block)
{
  struct buf *b = bread(ROOTDEV, block);
  ck_assert_uint_eq(b->blockno, block);
  ck_assert_uint_eq(b->data[BSIZE - 1], (uint8_t)block);
  brelse(b);
}

START_TEST(a_block_is_read_from_the_disk_once)
{
  for (int i = 0; i < 5; i++)
    look_at(100);
  ck_assert_uint_eq(disk->reads, 1);
  ck_assert_uint_eq(disk->writes, 0);
}
END_TEST

START_TEST(a_block_is_there_once)
{
  struct buf *one = bread(ROOTDEV, 100);
  brelse(one);
  struct buf *two = bread(ROOTDEV, 100);
  ck_assert_ptr_eq(one, two);
  brelse(two);
}
END_TEST

START_TEST(as_many_blocks_as_there_are_buffers_stay)
{
  for (int round = 0; round < 3; round++)
    for (uint32_t i = 0; i < NBUF; i++)
      look_at(100 + i);
  ck_assert_uint_eq(disk->reads, NBUF);
}
END_TEST

START_TEST(the_longest_unused_block_goes_first)
{
  for (uint32_t i = 0; i < NBUF; i++)
    look_at(100 + i);
  look_at(100);
  look_at(100 + NBUF); // in place of 101
  disk_count();
  look_at(100);
  ck_assert_uint_eq(disk->reads, 0);
  look_at(101);
  ck_assert_uint_eq(disk->reads, 1);
}
END_TEST

START_TEST(bwrite_writes_to_the_blocks_place)
{
  struct buf *b = bread(ROOTDEV, 100);
  memset(b->data, 'w', BSIZE);
  ck_assert_uint_eq(disk->writes, 0);
  bwrite(b);
  brelse(b);
  ck_assert_uint_eq(disk->writes, 1);
  ck_assert_uint_eq(disk->blocks[100][BSIZE - 1], 'w');
  ck_assert_uint_eq(disk->blocks[99][BSIZE - 1], 99);
  ck_assert_uint_eq(disk->blocks[101][0], 101);
}
END_TEST

START_TEST(a_pinned_block_stays)
{
  struct buf *b = bread(ROOTDEV, 100);
  bpin(b);
  brelse(b);
  for (uint32_t i = 1; i < 2 * NBUF; i++)
    look_at(100 + i);
  disk_count();
  look_at(100);
  ck_assert_uint_eq(disk->reads, 0);
  bunpin(b);
  for (uint32_t i = 1; i < 2 * NBUF; i++)
    look_at(100 + i);
  disk_count();
  look_at(100);
  ck_assert_uint_eq(disk->reads, 1);
}
END_TEST

START_TEST(who_wants_a_buffer_when_all_are_held_sleeps)
{
  for (uint32_t i = 0; i < NBUF; i++)
    bread(ROOTDEV, 100 + i);
  ck_assert_panics(bread(ROOTDEV, 100 + NBUF), "sleeps");
}
END_TEST

START_TEST(a_block_that_is_held_makes_others_sleep)
{
  bread(ROOTDEV, 100);
  ck_assert_panics(bread(ROOTDEV, 100), "sleeps");
}
END_TEST

START_TEST(a_buffer_must_be_locked_to_be_written_or_given_back)
{
  struct buf *b = bread(ROOTDEV, 100);
  brelse(b);
  ck_assert_panics(bwrite(b), "bwrite: block 100 is not locked");
  ck_assert_panics(brelse(b), "brelse: block 100 is not locked");
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("bio");
  TCase *tc = tcase_create("cache");
  tcase_add_checked_fixture(tc, setup, 0);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, a_block_is_read_from_the_disk_once);
  tcase_add_test(tc, a_block_is_there_once);
  tcase_add_test(tc, as_many_blocks_as_there_are_buffers_stay);
  tcase_add_test(tc, the_longest_unused_block_goes_first);
  tcase_add_test(tc, bwrite_writes_to_the_blocks_place);
  tcase_add_test(tc, a_pinned_block_stays);
  tcase_add_test(tc, who_wants_a_buffer_when_all_are_held_sleeps);
  tcase_add_test(tc, a_block_that_is_held_makes_others_sleep);
  tcase_add_test(tc, a_buffer_must_be_locked_to_be_written_or_given_back);
  return run_suite(suite);
}
