// Translation turned on as it may be; and what tlb_settled says.

#include "test_machine.h"

START_TEST(good_turned_on_after_a_fence)
{
  page_stored(ROOT);
  page_stored(TABLE0);
  fence(0);
  satp(0, ROOT, 0);
  ck_assert(tlb_quiet(machine_tlb(), 0));
  load(0, VA);
  expect_none();
}
END_TEST

// The fence in front has put the stores in order, and nothing is cached: the one after
// the write of satp is a habit.
START_TEST(good_turned_on_without_the_fence_after_it)
{
  page_stored(ROOT);
  fence(0);
  satp(0, ROOT, 0);
  load(0, VA);
  write_to(0, SAME);
  expect_none();
}
END_TEST

// The tip has the write of satp first, so what fetches the fence cannot be wrong.
START_TEST(good_turned_on_and_fenced_at_once)
{
  page_stored(ROOT);
  satp(0, ROOT, 0);
  access_as(0, (struct tlb_access){.kind = TLB_FETCH, .va = VA, .fence = true});
  fence(0);
  load(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_turned_on_after_stores_elsewhere)
{
  page_stored(ROOT);
  fence(0);
  page_stored(PAGE(40));
  satp(0, ROOT, 0);
  load(0, VA);
  expect_none();
  ck_assert(tlb_settled(machine_tlb(), 0, VA));
}
END_TEST

START_TEST(good_turned_on_again_with_nothing_stored)
{
  page_stored(ROOT);
  fence(0);
  satp(0, ROOT, 0);
  bare(0);
  satp(0, ROOT, 0);
  load(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_turned_off_again_unused)
{
  page_stored(ROOT);
  satp(0, ROOT, 0);
  bare(0);
  load(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

// From one table to another is not judged.
START_TEST(good_switch_to_a_table_just_made)
{
  satp(0, ROOT, 0);
  fence(0);
  page_stored(OTHER);
  satp(0, OTHER, 1);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_settled_is_all_but_what_changed)
{
  struct tlb *t = machine_tlb();
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  ck_assert(!tlb_quiet(t, 0));
  ck_assert(tlb_settled(t, 0, SAME));
  ck_assert(tlb_settled(t, 1, VA));
  ck_assert(!tlb_settled(t, 0, VA + 8));
  tlb_site use = load(0, VA + 8);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert(tlb_settled(t, 0, VA)); // there is nothing worse to say
  expect_none();
}
END_TEST

START_TEST(good_settled_is_not_what_lost_a_permission)
{
  struct tlb *t = machine_tlb();
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R));
  load(0, VA);
  expect_none();
  ck_assert(!tlb_settled(t, 0, VA));
  fence(0);
  ck_assert(tlb_settled(t, 0, VA));
}
END_TEST

START_TEST(good_settled_after_a_warning_until_it_may_be_an_error)
{
  struct tlb *t = machine_tlb();
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(HOLE), LEAF(PAGE(30), RW));
  tlb_site use = load(0, HOLE);
  expect(TLB_UNFENCED_VALID, TLB_WARNING, 0, change, use);
  ck_assert(tlb_settled(t, 0, HOLE));
  store(0, ENTRY(HOLE), 0);
  ck_assert(!tlb_settled(t, 0, HOLE));
}
END_TEST

static const TTest **const cases[] = {
    &good_turned_on_after_a_fence,
    &good_turned_on_without_the_fence_after_it,
    &good_turned_on_and_fenced_at_once,
    &good_turned_on_after_stores_elsewhere,
    &good_turned_on_again_with_nothing_stored,
    &good_turned_off_again_unused,
    &good_switch_to_a_table_just_made,
    &good_settled_is_all_but_what_changed,
    &good_settled_is_not_what_lost_a_permission,
    &good_settled_after_a_warning_until_it_may_be_an_error,
};

int
main(void)
{
  return machine_run(
      machine_suite("good turn-on", cases, sizeof(cases) / sizeof(cases[0])));
}
