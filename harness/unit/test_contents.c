// What is in files: reading, writing, freeing, running out of room.

#include "disk.h"

#define BLOCKS 400
#define INODES 48

static void
setup(void)
{
  disk_format(BLOCKS, INODES);
  boot();
}

static uint8_t
pattern(uint32_t off)
{
  return off * 7 + off / 251 + 1;
}

static uint8_t shadow[MAXFILE * BSIZE], contents[MAXFILE * BSIZE];

// An empty file, /file, locked. Ends with close_file(), which leaves it on the disk.
static struct inode *
open_file(void)
{
  begin_op();
  struct inode *ip = make("/file", T_FILE);
  end_op();
  ck_assert_ptr_nonnull(ip);
  return ip;
}

static void
close_file(struct inode *ip)
{
  begin_op();
  iunlockput(ip);
  end_op();
}

// Write pattern bytes [off, off+n), in operations of at most so many blocks that the
// log has room. Returns the bytes written in whole.
static uint32_t
fill(struct inode *ip, uint32_t off, uint32_t n)
{
  for (uint32_t i = off; i < off + n; i++)
    shadow[i] = pattern(i);
  uint32_t done = 0;
  while (done < n) {
    uint32_t part = n - done < 4 * BSIZE ? n - done : 4 * BSIZE;
    begin_op();
    int written = writei(ip, false, (uint64_t)shadow + off + done, off + done, part);
    end_op();
    ck_assert_int_ge(written, 0);
    done += written;
    if ((uint32_t)written != part)
      break;
  }
  return done;
}

static void
ck_assert_contents(struct inode *ip, uint32_t size)
{
  ck_assert_uint_eq(ip->size, size);
  memset(contents, 0, sizeof(contents));
  ck_assert_int_eq(readi(ip, false, (uint64_t)contents, 0, size), size);
  ck_assert_mem_eq(contents, shadow, size);
}

static const uint32_t file_sizes[] = {
    0,
    1,
    BSIZE - 1,
    BSIZE,
    BSIZE + 1,
    NDIRECT *BSIZE - 1,
    NDIRECT *BSIZE,
    NDIRECT *BSIZE + 1,
    (NDIRECT + 1) * BSIZE,
    (NDIRECT + 1) * BSIZE + 1,
    MAXFILE *BSIZE - 1,
    MAXFILE *BSIZE,
};

START_TEST(what_was_written_is_read_back)
{
  struct inode *ip = open_file();
  ck_assert_uint_eq(fill(ip, 0, file_sizes[_i]), file_sizes[_i]);
  ck_assert_contents(ip, file_sizes[_i]);
  close_file(ip);
}
END_TEST

static void
check_contents_after_boot(void *arg)
{
  const uint32_t *size = arg;
  memset(contents, 0, sizeof(contents));
  ck_assert_int_eq(read_file("/file", contents, MAXFILE * BSIZE), *size);
  ck_assert_mem_eq(contents, shadow, *size);
}

START_TEST(what_was_written_is_there_after_a_reboot)
{
  uint32_t size = file_sizes[_i];
  struct inode *ip = open_file();
  fill(ip, 0, size);
  close_file(ip);
  machine_life(check_contents_after_boot, &size);
}
END_TEST

START_TEST(a_file_holds_exactly_the_blocks_it_needs)
{
  uint32_t before = disk_free_blocks(), blocks = (file_sizes[_i] + BSIZE - 1) / BSIZE;
  struct inode *ip = open_file();
  fill(ip, 0, file_sizes[_i]);
  ck_assert_uint_eq(before - disk_free_blocks(), blocks + (blocks > NDIRECT));
  close_file(ip);
}
END_TEST

START_TEST(a_removed_file_gives_all_its_blocks_back)
{
  uint32_t before = disk_free_blocks();
  struct inode *ip = open_file();
  uint32_t inum = ip->inum;
  fill(ip, 0, file_sizes[_i]);
  close_file(ip);
  ck_assert_int_eq(remove_file("/file"), 0);
  ck_assert_uint_eq(disk_free_blocks(), before);
  ck_assert_int_eq(disk_inode(inum)->type, 0);
}
END_TEST

// Overwriting part of a file of 15 blocks, or adding to its end.
static const struct {
  uint32_t off, n;
} writes[] = {
    {0, 1},
    {0, BSIZE},
    {BSIZE - 1, 1},
    {BSIZE - 1, 2},
    {BSIZE / 2, BSIZE},
    {100, 3 * BSIZE},
    {NDIRECT * BSIZE - 1, 2},
    {NDIRECT * BSIZE - 3 * BSIZE, 6 * BSIZE},
    {15 * BSIZE - 1, 1},
    {15 * BSIZE - 1, 2},
    {15 * BSIZE, 1},
    {15 * BSIZE, 2 * BSIZE + 7},
    {5, 0},
    {15 * BSIZE, 0},
};

START_TEST(a_write_changes_exactly_its_bytes)
{
  uint32_t off = writes[_i].off, n = writes[_i].n, size = 15 * BSIZE;
  struct inode *ip = open_file();
  fill(ip, 0, size);
  memset(shadow + off, 0xee, n);
  begin_op();
  ck_assert_int_eq(writei(ip, false, (uint64_t)shadow + off, off, n), n);
  end_op();
  ck_assert_contents(ip, off + n > size ? off + n : size);
  close_file(ip);
}
END_TEST

static const struct {
  uint32_t off, n;
  int expected;
} reads[] = {
    {0, 15 * BSIZE + 100, 15 * BSIZE + 100},
    {0, UINT32_MAX, 15 * BSIZE + 100},
    {BSIZE, UINT32_MAX, 14 * BSIZE + 100},
    {BSIZE - 1, 2, 2},
    {NDIRECT * BSIZE - 1, 2, 2},
    {7, 3 * BSIZE, 3 * BSIZE},
    {15 * BSIZE, BSIZE, 100},
    {15 * BSIZE + 99, 10, 1},
    {15 * BSIZE + 100, 1, 0},
    {15 * BSIZE + 101, 1, 0},
    {UINT32_MAX, UINT32_MAX, 0},
    {0, 0, 0},
};

START_TEST(a_read_gives_the_bytes_there_are)
{
  struct inode *ip = open_file();
  fill(ip, 0, 15 * BSIZE + 100);
  memset(contents, 0xaa, sizeof(contents));
  int n = readi(ip, false, (uint64_t)contents, reads[_i].off, reads[_i].n);
  ck_assert_int_eq(n, reads[_i].expected);
  ck_assert(n == 0 || memcmp(contents, shadow + reads[_i].off, n) == 0);
  ck_assert_uint_eq(contents[n], 0xaa);
  close_file(ip);
}
END_TEST

static const struct {
  uint32_t off, n;
} refused[] = {
    {1, 1}, {BSIZE, 1}, {UINT32_MAX, 1}, {0, MAXFILE *BSIZE + 1}, {0, UINT32_MAX},
};

START_TEST(a_write_beyond_the_end_or_the_limit_is_refused)
{
  struct inode *ip = open_file();
  uint32_t before = disk_free_blocks();
  begin_op();
  ck_assert_int_eq(writei(ip, false, (uint64_t)shadow, refused[_i].off, refused[_i].n),
                   -1);
  end_op();
  ck_assert_uint_eq(ip->size, 0);
  ck_assert_uint_eq(disk_free_blocks(), before);
  close_file(ip);
}
END_TEST

START_TEST(the_largest_file_takes_no_byte_more)
{
  struct inode *ip = open_file();
  fill(ip, 0, MAXFILE * BSIZE);
  begin_op();
  ck_assert_int_eq(writei(ip, false, (uint64_t)shadow, MAXFILE * BSIZE, 1), -1);
  ck_assert_int_eq(writei(ip, false, (uint64_t)shadow, MAXFILE * BSIZE - 1, 2), -1);
  end_op();
  ck_assert_contents(ip, MAXFILE * BSIZE);
  close_file(ip);
}
END_TEST

// Loop: how many blocks are free when the file is begun.
START_TEST(a_full_disk_takes_what_fits_and_loses_nothing)
{
  disk_format(250, INODES); // one file can fill it
  boot();
  begin_op();
  struct inode *hog = make("/hog", T_FILE), *ip = make("/file", T_FILE);
  end_op();
  uint32_t spare = _i, rest = disk_free_blocks() - spare;
  uint32_t hogged = rest > NDIRECT + 1 ? rest - 1 : rest; // its indirect block
  ck_assert_uint_eq(fill(hog, 0, hogged * BSIZE), hogged * BSIZE);
  ck_assert_uint_eq(disk_free_blocks(), spare);

  uint32_t fits = spare <= NDIRECT ? spare : spare == NDIRECT + 1 ? NDIRECT : spare - 1;
  ck_assert_uint_eq(fill(ip, 0, (fits + 2) * BSIZE), fits * BSIZE);
  ck_assert_contents(ip, fits * BSIZE);
  ck_assert_uint_eq(disk_free_blocks(), spare == NDIRECT + 1 ? 1 : 0);
  disk_check();

  begin_op();
  ck_assert_int_eq(writei(ip, false, (uint64_t)shadow, ip->size, 1), 0);
  end_op();
  close_file(ip);
  close_file(hog);
  ck_assert_int_eq(remove_file("/hog"), 0);
  ck_assert_uint_eq(disk_free_blocks(), rest + (spare == NDIRECT + 1));
}
END_TEST

START_TEST(new_blocks_are_zeroed_and_in_use)
{
  begin_op();
  for (uint32_t b = disk_data_start() + 1; b < disk_data_start() + 4; b++)
    memset(disk->blocks[b], 0xff, BSIZE);
  uint32_t block = balloc(ROOTDEV);
  end_op();
  static const uint8_t zeros[BSIZE];
  ck_assert_uint_gt(block, disk_data_start());
  ck_assert(disk_bit(block));
  ck_assert_mem_eq(disk->blocks[block], zeros, BSIZE);
  begin_op();
  bfree(ROOTDEV, block);
  end_op();
  ck_assert(!disk_bit(block));
}
END_TEST

START_TEST(every_block_is_handed_out_once_and_then_0)
{
  static bool seen[BLOCKS];
  uint32_t free = disk_free_blocks();
  for (uint32_t i = 0; i < free; i++) {
    begin_op();
    uint32_t b = balloc(ROOTDEV);
    end_op();
    ck_assert_uint_ge(b, disk_data_start());
    ck_assert_uint_lt(b, BLOCKS);
    ck_assert(!seen[b]);
    seen[b] = true;
  }
  begin_op();
  ck_assert_uint_eq(balloc(ROOTDEV), 0);
  for (uint32_t b = 0; b < BLOCKS; b++)
    if (seen[b])
      bfree(ROOTDEV, b);
  end_op();
  ck_assert_uint_eq(disk_free_blocks(), free);
}
END_TEST

START_TEST(freeing_what_is_no_block_in_use_says_so_and_changes_nothing)
{
  static const struct {
    uint32_t block;
    const char *says;
  } bad[] = {{0, "no data block"},           {1, "no data block"},
             {INODE_START, "no data block"}, {BLOCKS, "no data block"},
             {UINT32_MAX, "no data block"},  {BLOCKS - 1, "free already"}};
  uint32_t before = disk_free_blocks();
  begin_op();
  bfree(ROOTDEV, bad[_i].block);
  end_op();
  ck_assert_ptr_nonnull(strstr(console_text, bad[_i].says));
  ck_assert_uint_eq(disk_free_blocks(), before);
}
END_TEST

// The running process with one page of user memory, at 0.
static void
give_memory(void)
{
  kvminit();
  running->pagetable = uvmcreate();
  running->kpagetable = kvmcreate();
  uvmalloc(running->pagetable, 0, PGSIZE, PTE_W);
  mirror_map(running->kpagetable, running->pagetable, 0, PGSIZE);
}

START_TEST(a_write_from_a_bad_user_address_stops_there)
{
  give_memory();
  struct inode *ip = open_file();
  begin_op();
  ck_assert_int_eq(writei(ip, true, PGSIZE - BSIZE, 0, 2 * BSIZE), BSIZE);
  ck_assert_int_eq(writei(ip, true, PGSIZE, BSIZE, 1), 0);
  ck_assert_int_eq(writei(ip, true, KERNBASE, BSIZE, 1), 0);
  end_op();
  ck_assert_uint_eq(ip->size, BSIZE);
  close_file(ip);
}
END_TEST

START_TEST(a_read_to_a_bad_user_address_fails)
{
  give_memory();
  struct inode *ip = open_file();
  fill(ip, 0, 3 * BSIZE);
  ck_assert_int_eq(readi(ip, true, 0, 0, 3 * BSIZE), 3 * BSIZE);
  ck_assert_mem_eq((void *)walkaddr(running->pagetable, 0), shadow, 3 * BSIZE);
  ck_assert_int_eq(readi(ip, true, PGSIZE - BSIZE, 0, BSIZE + 1), -1);
  ck_assert_int_eq(readi(ip, true, PGSIZE, 0, 1), -1);
  ck_assert_int_eq(readi(ip, true, KERNBASE, 0, 1), -1);
  close_file(ip);
}
END_TEST

static TCase *
disk_case(Suite *suite, const char *name, void (*teardown)(void))
{
  TCase *tc = tcase_create(name);
  tcase_add_checked_fixture(tc, setup, teardown);
  suite_add_tcase(suite, tc);
  return tc;
}

int
main(void)
{
  Suite *suite = suite_create("contents");
  TCase *tc = disk_case(suite, "contents", disk_check);
  tcase_add_loop_test(tc, what_was_written_is_read_back, 0, NELEM(file_sizes));
  tcase_add_loop_test(tc, what_was_written_is_there_after_a_reboot, 0,
                      NELEM(file_sizes));
  tcase_add_loop_test(tc, a_file_holds_exactly_the_blocks_it_needs, 0,
                      NELEM(file_sizes));
  tcase_add_loop_test(tc, a_removed_file_gives_all_its_blocks_back, 0,
                      NELEM(file_sizes));
  tcase_add_loop_test(tc, a_write_changes_exactly_its_bytes, 0, NELEM(writes));
  tcase_add_loop_test(tc, a_read_gives_the_bytes_there_are, 0, NELEM(reads));
  tcase_add_loop_test(tc, a_write_beyond_the_end_or_the_limit_is_refused, 0,
                      NELEM(refused));
  tcase_add_test(tc, the_largest_file_takes_no_byte_more);
  tcase_add_test(tc, a_write_from_a_bad_user_address_stops_there);
  tcase_add_test(tc, a_read_to_a_bad_user_address_fails);

  tc = disk_case(suite, "room", disk_check);
  tcase_add_loop_test(tc, a_full_disk_takes_what_fits_and_loses_nothing, 0, 16);
  tcase_add_test(tc, new_blocks_are_zeroed_and_in_use);
  tcase_add_test(tc, every_block_is_handed_out_once_and_then_0);
  tcase_add_loop_test(tc, freeing_what_is_no_block_in_use_says_so_and_changes_nothing,
                      0, 6);
  return run_suite(suite);
}
