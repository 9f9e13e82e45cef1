// Pipes that cannot be made: nothing is kept of what there was enough of.

#include "host.h"

#include "../../kernel/file.h"
#include "../../kernel/param.h"

static struct file *files[NFILE];

static void
setup(void)
{
  machine_reset();
  fileinit();
}

// Open all files but so many.
static void
leave_files(int n)
{
  for (int i = 0; i < NFILE - n; i++)
    ck_assert_ptr_nonnull(files[i] = filealloc());
}

static int
free_files(void)
{
  int n = 0;
  while (n < NFILE && (files[n] = filealloc()))
    n++;
  for (int i = 0; i < n; i++)
    fileclose(files[i]);
  return n;
}

START_TEST(a_pipe_without_a_page_takes_no_file)
{
  struct file *r = 0, *w = 0;
  leave_free(0);
  ck_assert_int_eq(pipealloc(&r, &w), -1);
  ck_assert_ptr_null(r);
  ck_assert_ptr_null(w);
  ck_assert_int_eq(free_files(), NFILE);
  ck_assert_uint_eq(free_pages(), 0);
}
END_TEST

// Loop: how many files can still be opened.
START_TEST(a_pipe_without_two_files_takes_neither_page_nor_file)
{
  struct file *r = 0, *w = 0;
  leave_files(_i);
  uint64_t free = free_pages();
  ck_assert_int_eq(pipealloc(&r, &w), -1);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_int_eq(free_files(), _i);
}
END_TEST

START_TEST(the_last_page_and_files_make_a_pipe_and_come_back)
{
  struct file *r, *w;
  leave_files(2);
  leave_free(1);
  ck_assert_int_eq(pipealloc(&r, &w), 0);
  ck_assert_uint_eq(free_pages(), 0);
  fileclose(r);
  ck_assert_uint_eq(free_pages(), 0);
  fileclose(w);
  ck_assert_uint_eq(free_pages(), 1);
  ck_assert_int_eq(free_files(), 2);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("pipe");
  TCase *tc = tcase_create("no room");
  tcase_add_checked_fixture(tc, setup, 0);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, a_pipe_without_a_page_takes_no_file);
  tcase_add_loop_test(tc, a_pipe_without_two_files_takes_neither_page_nor_file, 0, 2);
  tcase_add_test(tc, the_last_page_and_files_make_a_pipe_and_come_back);
  return run_suite(suite);
}
