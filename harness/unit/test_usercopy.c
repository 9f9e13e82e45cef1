// Copying to and from user memory: which addresses are tried at all. What faults is
// usermem.c's answer from the mirror, as the hardware would give it.

#include "host.h"

#define SZ (3 * PGSIZE) // text, guard page, stack

static void
setup(void)
{
  kvminit();
  running->pagetable = uvmcreate();
  running->kpagetable = kvmcreate();
  uvmalloc(running->pagetable, 0, PGSIZE, PTE_X);
  uvmalloc(running->pagetable, PGSIZE, SZ, PTE_W);
  uvmclear(running->pagetable, PGSIZE);
  mirror_map(running->kpagetable, running->pagetable, 0, SZ);
  strcpy((char *)walkaddr(running->pagetable, 0), "text");
  memset((char *)walkaddr(running->pagetable, 2 * PGSIZE), 's', PGSIZE);
}

static const struct {
  uint64_t va, n;
  bool readable, writable;
} ranges[] = {
    {0, 4, true, false},
    {0, PGSIZE, true, false},
    {2 * PGSIZE, PGSIZE, true, true},
    {3 * PGSIZE - 1, 1, true, true},
    {PGSIZE - 1, 2, false, false},           // into the guard page
    {PGSIZE, 1, false, false},               // the guard page
    {2 * PGSIZE - 1, 2, false, false},       // out of it
    {3 * PGSIZE - 1, 2, false, false},       // past the end
    {3 * PGSIZE, 1, false, false},           // past the end
    {2 * PGSIZE, ~0UL, false, false},        // wraps around
    {2 * PGSIZE, -2 * PGSIZE, false, false}, // ends at 2^64
    {~0UL, 1, false, false},
    {~0UL, 2, false, false}, // wraps around
    {USERTOP - 1, 1, false, false},
    {USERTOP, 1, false, false}, // the PLIC: mapped, not the user's
    {USERTOP - 1, 2, false, false},
    {UART0, 1, false, false},
    {KERNBASE, 8, false, false},
    {PHYSTOP - 8, 8, false, false},
    {TRAMPOLINE, 8, false, false},
    {1UL << 63, 1, false, false},
    {~0UL, 0, true, true}, // nothing to copy
    {KERNBASE, 0, true, true},
};

static char buffer[PGSIZE];

START_TEST(copyin_reads_what_the_user_may_read)
{
  ck_assert_int_eq(copyin(buffer, ranges[_i].va, ranges[_i].n),
                   ranges[_i].readable ? 0 : -1);
}
END_TEST

START_TEST(copyout_writes_what_the_user_may_write)
{
  ck_assert_int_eq(copyout(ranges[_i].va, buffer, ranges[_i].n),
                   ranges[_i].writable ? 0 : -1);
}
END_TEST

START_TEST(bytes_arrive)
{
  ck_assert_int_eq(copyout(2 * PGSIZE + 5, "hello", 5), 0);
  ck_assert_int_eq(copyin(buffer, 2 * PGSIZE + 4, 7), 0);
  ck_assert_mem_eq(buffer, "shellos", 7);
}
END_TEST

static const struct {
  uint64_t va, max;
  int expected;
} strings[] = {
    {0, 100, 4}, // "text"
    {0, 5, 4},   // just fits
    {0, 4, -1},  // no room for the zero
    {0, 0, -1},
    {4, 100, 0},               // ""
    {2 * PGSIZE, 100, -1},     // no zero
    {3 * PGSIZE - 4, 100, -1}, // runs past the end
    {PGSIZE, 100, -1},
    {USERTOP - 1, 100, -1},
    {USERTOP, 100, -1},
    {KERNBASE, 100, -1},
    {~0UL, 100, -1},
    {0, ~0UL, 4},
};

START_TEST(copyinstr_gives_the_length_or_fails)
{
  ck_assert_int_eq(copyinstr(buffer, strings[_i].va, strings[_i].max),
                   strings[_i].expected);
  if (strings[_i].expected >= 0)
    ck_assert_str_eq(buffer, (char *)walkaddr(running->pagetable, 0) + strings[_i].va);
}
END_TEST

START_TEST(kernel_addresses_are_copied_only_when_asked_for)
{
  char here[8] = "kernel", there[8] = "";
  ck_assert_int_eq(copy_from(false, there, (uint64_t)here, 7), 0);
  ck_assert_str_eq(there, "kernel");
  ck_assert_int_eq(copy_to(false, (uint64_t)here, "moved", 6), 0);
  ck_assert_str_eq(here, "moved");
  ck_assert_int_eq(copy_from(true, there, (uint64_t)here, 7), -1);
  ck_assert_int_eq(copy_to(true, (uint64_t)here, "never", 6), -1);
  ck_assert_str_eq(here, "moved");
  ck_assert_int_eq(copy_from(true, there, 0, 5), 0);
  ck_assert_str_eq(there, "text");
}
END_TEST

// The entries are made up in usermem.c.
START_TEST(a_fault_is_expected_only_at_instructions_with_a_fixup)
{
  ck_assert_uint_eq(usercopy_fixup(0x80001000), 0x80002000);
  ck_assert_uint_eq(usercopy_fixup(0x80001008), 0x80002010);
  ck_assert_uint_eq(usercopy_fixup(0x80001004), 0);
  ck_assert_uint_eq(usercopy_fixup(0x80002000), 0);
  ck_assert_uint_eq(usercopy_fixup(0), 0);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("usercopy");
  TCase *tc = machine_case(suite, "copies");
  tcase_add_checked_fixture(tc, setup, 0);
  tcase_add_loop_test(tc, copyin_reads_what_the_user_may_read, 0, NELEM(ranges));
  tcase_add_loop_test(tc, copyout_writes_what_the_user_may_write, 0, NELEM(ranges));
  tcase_add_test(tc, bytes_arrive);
  tcase_add_loop_test(tc, copyinstr_gives_the_length_or_fails, 0, NELEM(strings));
  tcase_add_test(tc, kernel_addresses_are_copied_only_when_asked_for);
  tcase_add_test(tc, a_fault_is_expected_only_at_instructions_with_a_fixup);
  return run_suite(suite);
}
