// vmprint(), to the letter. The expected lines are written out by hand from the format
// of the lab: the tables lie at addresses that the test chooses.

#include "host.h"

// A zeroed table page at a fixed place in RAM.
static pte_t *
table_at(uint64_t pa)
{
  return memset((void *)pa, 0, PGSIZE);
}

START_TEST(an_empty_table_is_one_line)
{
  vmprint(table_at(0x40100000));
  ck_assert_str_eq(console_text, "page table 0x0000000040100000\n");
}
END_TEST

// The lab's own example: its leaves, in tables of the same shape.
START_TEST(the_first_process_looks_as_in_the_lab)
{
  pte_t *root = table_at(0x40100000);
  pte_t *low = table_at(0x40101000), *low_leaves = table_at(0x40102000);
  pte_t *high = table_at(0x40103000), *high_leaves = table_at(0x40104000);
  root[0] = 0x10040401;
  low[0] = 0x10040801;
  low_leaves[0] = 0x21fdac1f;
  low_leaves[1] = 0x21fda00f;
  low_leaves[2] = 0x21fd9c1f;
  root[255] = 0x10040c01;
  high[511] = 0x10041001;
  high_leaves[510] = 0x21fdd807;
  high_leaves[511] = 0x20001c0b;
  vmprint(root);
  ck_assert_str_eq(console_text,
                   "page table 0x0000000040100000\n"
                   "..0: pte 0x0000000010040401 pa 0x0000000040101000\n"
                   ".. ..0: pte 0x0000000010040801 pa 0x0000000040102000\n"
                   ".. .. ..0: pte 0x0000000021fdac1f pa 0x0000000087f6b000\n"
                   ".. .. ..1: pte 0x0000000021fda00f pa 0x0000000087f68000\n"
                   ".. .. ..2: pte 0x0000000021fd9c1f pa 0x0000000087f67000\n"
                   "..255: pte 0x0000000010040c01 pa 0x0000000040103000\n"
                   ".. ..511: pte 0x0000000010041001 pa 0x0000000040104000\n"
                   ".. .. ..510: pte 0x0000000021fdd807 pa 0x0000000087f76000\n"
                   ".. .. ..511: pte 0x0000000020001c0b pa 0x0000000080007000\n");
}
END_TEST

START_TEST(entries_that_are_not_valid_are_passed_over)
{
  pte_t *root = table_at(0x40100000);
  root[1] = 0x10040400; // all but V
  root[2] = 0x21fdac1e;
  root[3] = ~1UL;
  vmprint(root);
  ck_assert_str_eq(console_text, "page table 0x0000000040100000\n");
}
END_TEST

START_TEST(a_table_without_valid_entries_is_named_only)
{
  pte_t *root = table_at(0x40100000);
  table_at(0x40101000);
  root[7] = 0x10040401;
  vmprint(root);
  ck_assert_str_eq(console_text, "page table 0x0000000040100000\n"
                                 "..7: pte 0x0000000010040401 pa 0x0000000040101000\n");
}
END_TEST

// A leaf may stand in the root too: R, W or X ends the walk at any level.
START_TEST(a_leaf_above_the_last_level_is_not_followed)
{
  static const struct {
    pte_t pte;
    const char *line;
  } cases[] = {
      {0x10040403, "..9: pte 0x0000000010040403 pa 0x0000000040101000\n"},
      {0x10040407, "..9: pte 0x0000000010040407 pa 0x0000000040101000\n"},
      {0x10040409, "..9: pte 0x0000000010040409 pa 0x0000000040101000\n"},
      {0x1004040f, "..9: pte 0x000000001004040f pa 0x0000000040101000\n"},
  };
  pte_t *root = table_at(0x40100000), *no_table = table_at(0x40101000);
  root[9] = cases[_i].pte;
  no_table[0] = 0x21fdac1f;
  vmprint(root);
  ck_assert_str_eq(strchr(console_text, '\n') + 1, cases[_i].line);
}
END_TEST

START_TEST(flags_show_in_the_entry_and_not_in_the_address)
{
  pte_t *root = table_at(0x40100000);
  root[0] = 0x10040400 | 0x3ff; // all ten bits of flags
  vmprint(root);
  ck_assert_str_eq(console_text, "page table 0x0000000040100000\n"
                                 "..0: pte 0x00000000100407ff pa 0x0000000040101000\n");
}
END_TEST

START_TEST(the_highest_physical_page_has_16_digits)
{
  pte_t *root = table_at(0x40100000);
  root[511] = 0x003ffffffffffc03; // all 44 bits of the page number
  vmprint(root);
  ck_assert_str_eq(console_text,
                   "page table 0x0000000040100000\n"
                   "..511: pte 0x003ffffffffffc03 pa 0x00fffffffffff000\n");
}
END_TEST

START_TEST(entries_are_printed_in_ascending_order_up_to_the_last)
{
  pte_t *root = table_at(0x40100000);
  for (int i = 0; i < 512; i++)
    root[i] = 0x10040403;
  vmprint(root);
  const char *line = console_text;
  for (int i = 0; i < 512; i++) {
    char start[8];
    snprintf(start, sizeof(start), "..%d:", i);
    line = strchr(line, '\n') + 1;
    ck_assert_msg(strncmp(line, start, strlen(start)) == 0, "line %d is %.20s", i,
                  line);
  }
  ck_assert_str_eq(strchr(line, '\n'), "\n");
}
END_TEST

START_TEST(printing_changes_nothing_and_allocates_nothing)
{
  pagetable_t user = uvmcreate();
  uvmalloc(user, 0, 3 * PGSIZE, PTE_W);
  struct table_copy *before = copy_tables(user);
  uint64_t free = free_pages();
  vmprint(user);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_unchanged(before);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("vmprint");
  TCase *tc = machine_case(suite, "vmprint");
  tcase_add_test(tc, an_empty_table_is_one_line);
  tcase_add_test(tc, the_first_process_looks_as_in_the_lab);
  tcase_add_test(tc, entries_that_are_not_valid_are_passed_over);
  tcase_add_test(tc, a_table_without_valid_entries_is_named_only);
  tcase_add_loop_test(tc, a_leaf_above_the_last_level_is_not_followed, 0, 4);
  tcase_add_test(tc, flags_show_in_the_entry_and_not_in_the_address);
  tcase_add_test(tc, the_highest_physical_page_has_16_digits);
  tcase_add_test(tc, entries_are_printed_in_ascending_order_up_to_the_last);
  tcase_add_test(tc, printing_changes_nothing_and_allocates_nothing);
  return run_suite(suite);
}
