// Translation turned on over tables that are not known to be in memory yet.

#include "test_machine.h"

static void
expect_table(unsigned hart, tlb_site change, tlb_site use, int level, uint64_t entry)
{
  const struct tlb_violation *v =
      expect(TLB_UNFENCED_TABLE, TLB_WARNING, hart, change, use);
  ck_assert_int_eq(v->level, level);
  ck_assert_uint_eq(v->entry, entry);
  ck_assert_uint_eq(v->page, entry & ~(PAGE_SIZE - 1));
  ck_assert_int_eq(v->fence, TLB_FENCE_ASID);
}

START_TEST(bad_turned_on_without_a_fence)
{
  page_stored(ROOT);
  tlb_site on = satp(0, ROOT, 0);
  ck_assert(!tlb_quiet(machine_tlb(), 0));
  ck_assert(!tlb_settled(machine_tlb(), 0, VA));
  tlb_site use = load(0, VA);
  expect_table(0, on, use, 2, ROOT);
  load(0, SAME); // once
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(bad_turned_on_after_a_store_to_the_last_level)
{
  fence(0);
  page_stored(TABLE0);
  tlb_site on = satp(0, ROOT, 0);
  tlb_site use = write_to(0, VA);
  expect_table(0, on, use, 0, ENTRY(VA));
}
END_TEST

START_TEST(bad_turned_on_where_only_the_maker_fenced)
{
  page_stored(MIDDLE);
  fence(0);
  satp(0, ROOT, 0);
  load(0, VA);
  expect_none();
  tlb_site on = satp(1, ROOT, 0);
  tlb_site use = load(1, VA);
  expect_table(1, on, use, 1, MIDDLE);
}
END_TEST

START_TEST(bad_turned_on_after_a_fence_by_address)
{
  page_stored(ROOT);
  fence_va(0, VA);
  tlb_site on = satp(0, ROOT, 0);
  tlb_site use = load(0, VA);
  expect_table(0, on, use, 2, ROOT);
}
END_TEST

START_TEST(bad_turned_on_and_used_on_the_way_to_the_fence)
{
  page_stored(ROOT);
  tlb_site on = satp(0, ROOT, 0);
  tlb_site use = access_as(0, (struct tlb_access){.kind = TLB_FETCH, .va = SAME});
  expect_table(0, on, use, 2, ROOT);
  fence(0);
}
END_TEST

// Another hart has the table, so the store is seen; this one is in Bare mode.
START_TEST(bad_turned_on_after_another_hart_changed_its_table)
{
  satp(1, ROOT, 0);
  store(1, ENTRY(HOLE), LEAF(PAGE(30), RW));
  fence(1);
  tlb_site on = satp(0, ROOT, 0);
  load(0, VA);
  expect_none();
  tlb_site use = load(0, HOLE);
  expect_table(0, on, use, 0, ENTRY(HOLE));
}
END_TEST

static const TTest **const cases[] = {
    &bad_turned_on_without_a_fence,
    &bad_turned_on_after_a_store_to_the_last_level,
    &bad_turned_on_where_only_the_maker_fenced,
    &bad_turned_on_after_a_fence_by_address,
    &bad_turned_on_and_used_on_the_way_to_the_fence,
    &bad_turned_on_after_another_hart_changed_its_table,
};

int
main(void)
{
  return machine_run(
      machine_suite("bad turn-on", cases, sizeof(cases) / sizeof(cases[0])));
}
