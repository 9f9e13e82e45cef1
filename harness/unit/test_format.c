// The kernel's printf.

#include "host.h"

#include <limits.h>

static char said[512];
static size_t said_size;

static void
keep(int c, void *arg)
{
  if (arg != said)
    ck_abort_msg("put was called with another argument than the caller passed");
  said[said_size++] = c;
  said[said_size] = 0;
}

// What format() makes of a message. Without the format attribute: wrong messages are
// what some tests are about.
static const char *
say(const char *message, ...)
{
  va_list ap;
  va_start(ap, message);
  said_size = 0;
  said[0] = 0;
  format(keep, said, message, ap);
  va_end(ap);
  return said;
}

static const struct {
  const char *message;
  int value;
  const char *expected;
} ints[] = {
    {"%d", 0, "0"},
    {"%d", 7, "7"},
    {"%d", -1, "-1"},
    {"%i", 42, "42"},
    {"%d", INT_MAX, "2147483647"},
    {"%d", INT_MIN, "-2147483648"},
    {"%u", -1, "4294967295"},
    {"%u", 0, "0"},
    {"%x", 0, "0"},
    {"%x", 255, "ff"},
    {"%x", -1, "ffffffff"},
    {"%x", INT_MIN, "80000000"},
    {"[%5d]", 42, "[   42]"},
    {"[%5d]", -42, "[  -42]"},
    {"[%-5d]", 42, "[42   ]"},
    {"[%-5d]", -42, "[-42  ]"},
    {"[%05d]", 42, "[00042]"},
    {"[%05d]", -42, "[-0042]"},
    {"[%-05d]", 42, "[42   ]"},
    {"[%2d]", 12345, "[12345]"},
    {"[%02d]", -12345, "[-12345]"},
    {"[%012d]", INT_MIN, "[-02147483648]"},
    {"[%08x]", 0xbeef, "[0000beef]"},
    {"[%8x]", 0xbeef, "[    beef]"},
    {"[%1d]", 0, "[0]"},
    {"[%05d]", 0, "[00000]"},
    {"[%c]", 'x', "[x]"},
    {"[%3c]", 'x', "[  x]"},
    {"[%-3c]", 'x', "[x  ]"},
};

START_TEST(ints_are_printed)
{
  ck_assert_str_eq(say(ints[_i].message, ints[_i].value), ints[_i].expected);
}
END_TEST

static const struct {
  const char *message;
  int64_t value;
  const char *expected;
} longs[] = {
    {"%ld", 0, "0"},
    {"%ld", INT64_MAX, "9223372036854775807"},
    {"%ld", INT64_MIN, "-9223372036854775808"},
    {"%lld", INT64_MIN, "-9223372036854775808"},
    {"%lu", -1, "18446744073709551615"},
    {"%llu", -1, "18446744073709551615"},
    {"%zu", 4096, "4096"},
    {"%lx", -1, "ffffffffffffffff"},
    {"%lx", 0x87f6e000, "87f6e000"},
    {"0x%016lx", 0x87f6e000, "0x0000000087f6e000"},
    {"0x%016lx", 0, "0x0000000000000000"},
    {"0x%016lx", -1, "0xffffffffffffffff"},
    {"[%20ld]", INT64_MIN, "[-9223372036854775808]"},
    {"[%24ld]", INT64_MIN, "[    -9223372036854775808]"},
    {"[%024ld]", INT64_MIN, "[-00009223372036854775808]"},
    {"%ld", 1L << 32, "4294967296"},
};

START_TEST(longs_are_printed)
{
  ck_assert_str_eq(say(longs[_i].message, longs[_i].value), longs[_i].expected);
}
END_TEST

static const struct {
  const char *message, *value, *expected;
} strings[] = {
    {"%s", "init", "init"},
    {"[%s]", "", "[]"},
    {"%s", 0, "(null)"},
    {"[%8s]", 0, "[  (null)]"},
    {"[%6s]", "sh", "[    sh]"},
    {"[%-6s]", "sh", "[sh    ]"},
    {"[%2s]", "longer", "[longer]"},
    {"a%sb", "%d", "a%db"},
};

START_TEST(strings_are_printed)
{
  ck_assert_str_eq(say(strings[_i].message, strings[_i].value), strings[_i].expected);
}
END_TEST

START_TEST(pointers_have_16_digits)
{
  ck_assert_str_eq(say("%p", (void *)0x87f6e000), "0x0000000087f6e000");
  ck_assert_str_eq(say("%p", (void *)0), "0x0000000000000000");
  ck_assert_str_eq(say("%p", (void *)~0UL), "0xffffffffffffffff");
}
END_TEST

START_TEST(plain_text_and_percent_signs_are_printed)
{
  ck_assert_str_eq(say(""), "");
  ck_assert_str_eq(say("plain\n"), "plain\n");
  ck_assert_str_eq(say("100%%"), "100%");
  ck_assert_str_eq(say("%%d"), "%d");
  ck_assert_str_eq(say("%%%d%%", 5), "%5%");
}
END_TEST

START_TEST(arguments_of_all_kinds_follow_each_other)
{
  ck_assert_str_eq(
      say("pid %d (%s) at 0x%lx, %u%%: %c%c", -3, "sh", 1UL << 40, 99U, 'o', 'k'),
      "pid -3 (sh) at 0x10000000000, 99%: ok");
}
END_TEST

START_TEST(more_arguments_than_registers_are_printed)
{
  ck_assert_str_eq(
      say("%d %ld %d %ld %d %ld %d %ld %d %ld", 1, 2L, 3, 4L, 5, 6L, 7, 8L, 9, 10L),
      "1 2 3 4 5 6 7 8 9 10");
}
END_TEST

// A mistake in a message is shown, not hidden, and takes no argument.
START_TEST(an_unknown_conversion_is_printed_as_it_stands)
{
  ck_assert_str_eq(say("%k %d", 3), "%k 3");
  ck_assert_str_eq(say("[%5q]"), "[%5q]");
  ck_assert_str_eq(say("[%-08ly]"), "[%-08ly]");
  ck_assert_str_eq(say("50%"), "50%");
  ck_assert_str_eq(say("%5"), "%5");
  ck_assert_str_eq(say("%l"), "%l");
}
END_TEST

// The same message, said by libc.
static void
ck_assert_as_libc(const char *message, uint64_t value)
{
  char expected[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
  snprintf(expected, sizeof(expected), message, value);
#pragma GCC diagnostic pop
  say(message, value);
  if (strcmp(said, expected) != 0)
    ck_abort_msg("\"%s\" of 0x%lx gives \"%s\", libc's gives \"%s\"", message, value,
                 said, expected);
}

START_TEST(random_numbers_are_printed_as_libc_does)
{
  static const char flags[][3] = {"", "-", "0", "-0"};
  static const char letters[][4] = {"d",  "u",   "x",   "ld", "lu",
                                    "lx", "lld", "llx", "zu"};
  srand48(20200909);
  for (int i = 0; i < 20000; i++) {
    char message[32];
    uint64_t value = (uint64_t)mrand48() << 32 ^ (uint64_t)mrand48();
    value >>= lrand48() % 64;
    int n = snprintf(message, sizeof(message), "<%%%s", flags[lrand48() % 4]);
    if (lrand48() % 2)
      n += snprintf(message + n, sizeof(message) - n, "%ld", 1 + lrand48() % 30);
    snprintf(message + n, sizeof(message) - n, "%s>", letters[lrand48() % 9]);
    ck_assert_as_libc(message, lrand48() % 2 ? value : -value);
  }
}
END_TEST

START_TEST(printf_prints_on_the_console)
{
  k_printf("hart %d starting\n", 2);
  k_printf("%s\n", "again");
  ck_assert_str_eq(console_text, "hart 2 starting\nagain\n");
}
END_TEST

START_TEST(printf_lets_go_of_its_lock)
{
  k_printf("once");
  ck_assert_int_eq(cpus[0].noff, 0);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("format");
  TCase *tc = machine_case(suite, "conversions");
  tcase_add_loop_test(tc, ints_are_printed, 0, NELEM(ints));
  tcase_add_loop_test(tc, longs_are_printed, 0, NELEM(longs));
  tcase_add_loop_test(tc, strings_are_printed, 0, NELEM(strings));
  tcase_add_test(tc, pointers_have_16_digits);
  tcase_add_test(tc, plain_text_and_percent_signs_are_printed);
  tcase_add_test(tc, arguments_of_all_kinds_follow_each_other);
  tcase_add_test(tc, more_arguments_than_registers_are_printed);
  tcase_add_test(tc, an_unknown_conversion_is_printed_as_it_stands);
  tcase_add_test(tc, random_numbers_are_printed_as_libc_does);

  tc = machine_case(suite, "printf");
  tcase_add_test(tc, printf_prints_on_the_console);
  tcase_add_test(tc, printf_lets_go_of_its_lock);
  return run_suite(suite);
}
