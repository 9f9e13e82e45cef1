// Changes of entries that the specification allows: no report, or a warning only.

#include "test_machine.h"

START_TEST(good_no_change)
{
  satp(0, ROOT, 0);
  load(0, VA);
  write_to(0, SAME);
  expect_none();
}
END_TEST

START_TEST(good_change_then_fence)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), 0);
  fence(0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_change_then_fence_of_the_page)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  fence_va(0, VA + 0x123);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_change_then_fence_of_the_asid)
{
  satp(0, ROOT, 7);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  fence_asid(0, 7);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_change_then_fence_of_page_and_asid)
{
  satp(0, ROOT, 7);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  fence_va_asid(0, VA, 7);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_change_elsewhere)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), 0);
  load(0, SAME);
  expect_none();
}
END_TEST

START_TEST(good_change_of_accessed_and_dirty)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(21), RW) & ~(PTE_A | PTE_D));
  store(0, ENTRY(VA), LEAF(PAGE(21), RW) | PTE_RSW);
  write_to(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_same_value_again)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(21), RW));
  store_bytes(0, ENTRY(VA) + 1, 1, LEAF(PAGE(21), RW) >> 8 & 0xff);
  load(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_permission_widened)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R));
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(21), RW));
  write_to(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_permission_reduced_but_not_used)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R));
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_table_never_loaded)
{
  satp(0, OTHER, 0);
  store(0, ENTRY(VA), 0);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  satp(0, ROOT, 0);
  fence(0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_table_fenced_away_before_the_change)
{
  satp(0, ROOT, 0);
  satp(0, OTHER, 0);
  fence(0);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  satp(0, ROOT, 0);
  fence(0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_changed_while_another_asid_is_loaded_then_fenced)
{
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  fence_va_asid(0, VA, 1);
  satp(0, ROOT, 1);
  load(0, VA);
  expect_none();
}
END_TEST

// The value between came and went while the hart could not read it.
START_TEST(good_changed_twice_while_away)
{
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  store(0, ENTRY(VA), LEAF(PAGE(21), RW));
  satp(0, ROOT, 1);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_fenced_while_away_then_changed)
{
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  fence_va_asid(0, VA, 1);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  satp(0, ROOT, 1);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_entry_never_valid)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(HOLE), 0x1234ull << 10); // V is still 0
  load(0, HOLE);
  expect_none();
}
END_TEST

START_TEST(good_made_valid_and_fenced)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(HOLE), LEAF(PAGE(30), RW));
  fence(0);
  load(0, HOLE);
  expect_none();
}
END_TEST

START_TEST(good_made_valid_then_permitted_fault)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(HOLE), LEAF(PAGE(30), PTE_R));
  write_to(0, HOLE); // a fault in any case
  expect_none();
}
END_TEST

// Cleared and set again: the hart may at most fault.
START_TEST(good_changed_back_is_a_warning)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(21), RW));
  tlb_site use = load(0, VA);
  expect(TLB_UNFENCED_VALID, TLB_WARNING, 0, change, use);
}
END_TEST

static const TTest **const cases[] = {
    &good_no_change,
    &good_change_then_fence,
    &good_change_then_fence_of_the_page,
    &good_change_then_fence_of_the_asid,
    &good_change_then_fence_of_page_and_asid,
    &good_change_elsewhere,
    &good_change_of_accessed_and_dirty,
    &good_same_value_again,
    &good_permission_widened,
    &good_permission_reduced_but_not_used,
    &good_table_never_loaded,
    &good_table_fenced_away_before_the_change,
    &good_changed_while_another_asid_is_loaded_then_fenced,
    &good_changed_twice_while_away,
    &good_fenced_while_away_then_changed,
    &good_entry_never_valid,
    &good_made_valid_and_fenced,
    &good_made_valid_then_permitted_fault,
    &good_changed_back_is_a_warning,
};

int
main(void)
{
  return machine_run(
      machine_suite("good change", cases, sizeof(cases) / sizeof(cases[0])));
}
