// The kernel's string functions beside libc's, on random inputs.

#include "host.h"

#define SIZE   256
#define ROUNDS 20000

static uint8_t ours[SIZE], theirs[SIZE], source[SIZE];

static void
seed(void)
{
  srand48(64);
}

static size_t
below(size_t n)
{
  return lrand48() % n;
}

// The same random bytes in ours and theirs, others in source; few different ones, so
// that zeros and equal runs are common.
static void
fill(void)
{
  for (int i = 0; i < SIZE; i++) {
    ours[i] = theirs[i] = mrand48() & 0x83;
    source[i] = mrand48() & 0x83;
  }
}

static void
compare(const char *what, size_t a, size_t b, size_t n)
{
  if (memcmp(ours, theirs, SIZE) != 0)
    ck_abort_msg("%s differs from libc's: offsets %zu and %zu, %zu bytes", what, a, b,
                 n);
}

static int
sign(int n)
{
  return (n > 0) - (n < 0);
}

START_TEST(memset_sets_what_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    size_t at = below(SIZE), n = below(SIZE - at + 1);
    int c = mrand48();
    if (k_memset(ours + at, c, n) != ours + at)
      ck_abort_msg("wrong result");
    memset(theirs + at, c, n);
    compare("memset", at, 0, n);
  }
}
END_TEST

START_TEST(memcpy_copies_what_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    size_t n = below(SIZE + 1), to = below(SIZE - n + 1), from = below(SIZE - n + 1);
    if (k_memcpy(ours + to, source + from, n) != ours + to)
      ck_abort_msg("wrong result");
    memcpy(theirs + to, source + from, n);
    compare("memcpy", to, from, n);
  }
}
END_TEST

START_TEST(memmove_moves_overlapping_bytes_as_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    size_t n = below(SIZE + 1), to = below(SIZE - n + 1), from = below(SIZE - n + 1);
    if (k_memmove(ours + to, ours + from, n) != ours + to)
      ck_abort_msg("wrong result");
    memmove(theirs + to, theirs + from, n);
    compare("memmove", to, from, n);
  }
}
END_TEST

// Every distance and alignment up to two words, in both directions.
START_TEST(memmove_moves_by_small_distances)
{
  for (size_t from = 0; from <= 16; from++)
    for (size_t to = 0; to <= 16; to++)
      for (size_t n = 0; n <= 40; n++) {
        fill();
        k_memmove(ours + to, ours + from, n);
        memmove(theirs + to, theirs + from, n);
        compare("memmove", to, from, n);
      }
}
END_TEST

START_TEST(memcmp_orders_as_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    size_t n = below(SIZE + 1), a = below(SIZE - n + 1), b = below(SIZE - n + 1);
    if (below(2))
      memcpy(source + b, ours + a, below(n + 1));
    int got = k_memcmp(ours + a, source + b, n), want = memcmp(ours + a, source + b, n);
    if (sign(got) != sign(want))
      ck_abort_msg("memcmp of %zu bytes gives %d, libc's %d", n, got, want);
  }
}
END_TEST

// Turn source into a string of random length and return it.
static char *
random_string(void)
{
  source[below(SIZE)] = 0;
  source[SIZE - 1] = 0;
  return (char *)source + below(SIZE);
}

START_TEST(strlen_counts_as_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    for (int i = 0; i < SIZE; i++)
      source[i] |= 1;
    const char *s = random_string();
    if (k_strlen(s) != strlen(s))
      ck_abort_msg("strlen gives %zu, libc's %zu", k_strlen(s), strlen(s));
  }
}
END_TEST

START_TEST(strncmp_orders_as_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    char *a = random_string(), *b = (char *)ours;
    ours[SIZE - 1] = 0;
    size_t n = below(SIZE + 20);
    if (below(2))
      strncpy(b, a, below(SIZE - 1));
    int got = k_strncmp(a, b, n), want = strncmp(a, b, n);
    if (sign(got) != sign(want))
      ck_abort_msg("strncmp of %zu bytes gives %d, libc's %d", n, got, want);
  }
}
END_TEST

START_TEST(strncmp_takes_bytes_as_unsigned)
{
  ck_assert_int_gt(k_strncmp("\x80", "\x7f", 1), 0);
  ck_assert_int_lt(k_strncmp("a", "\xff", 1), 0);
}
END_TEST

START_TEST(strncpy_copies_and_fills_as_libcs_does)
{
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    const char *s = random_string();
    size_t to = below(SIZE), n = below(SIZE - to + 1);
    char *dst = (char *)ours + to;
    if (k_strncpy(dst, s, n) != dst)
      ck_abort_msg("wrong result");
    strncpy((char *)theirs + to, s, n);
    compare("strncpy", to, 0, n);
  }
}
END_TEST

static const struct {
  const char *source;
  size_t n;
  const char *expected;
} safe_copies[] = {
    {"", 1, ""},
    {"", 8, ""},
    {"abc", 1, ""},
    {"abc", 3, "ab"},
    {"abc", 4, "abc"},
    {"abc", 8, "abc"},
    {"abcdefgh", 8, "abcdefg"},
};

START_TEST(safestrcpy_copies_what_fits_and_ends_it)
{
  char dst[10];
  memset(dst, '#', sizeof(dst));
  size_t n = safe_copies[_i].n;
  ck_assert_ptr_eq(safestrcpy(dst, safe_copies[_i].source, n), dst);
  ck_assert_str_eq(dst, safe_copies[_i].expected);
  ck_assert_int_eq(dst[n], '#');
  ck_assert_int_eq(dst[9], '#');
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("string");
  TCase *tc = machine_case(suite, "memory");
  tcase_add_checked_fixture(tc, seed, 0);
  tcase_add_test(tc, memset_sets_what_libcs_does);
  tcase_add_test(tc, memcpy_copies_what_libcs_does);
  tcase_add_test(tc, memmove_moves_overlapping_bytes_as_libcs_does);
  tcase_add_test(tc, memmove_moves_by_small_distances);
  tcase_add_test(tc, memcmp_orders_as_libcs_does);

  tc = machine_case(suite, "strings");
  tcase_add_checked_fixture(tc, seed, 0);
  tcase_add_test(tc, strlen_counts_as_libcs_does);
  tcase_add_test(tc, strncmp_orders_as_libcs_does);
  tcase_add_test(tc, strncmp_takes_bytes_as_unsigned);
  tcase_add_test(tc, strncpy_copies_and_fills_as_libcs_does);
  tcase_add_loop_test(tc, safestrcpy_copies_what_fits_and_ends_it, 0,
                      NELEM(safe_copies));
  return run_suite(suite);
}
