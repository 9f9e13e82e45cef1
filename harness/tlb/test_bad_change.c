// Changes of entries without the fence they need: one report each, with both ends.

#include "test_machine.h"

START_TEST(bad_cleared)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  tlb_site use = load(0, VA + 8);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert_uint_eq(v->va, VA + 8);
  ck_assert_int_eq(v->level, 0);
  ck_assert_uint_eq(v->entry, ENTRY(VA));
  ck_assert_uint_eq(v->old_pte, LEAF(PAGE(21), RW) & ~(PTE_A | PTE_D));
  ck_assert_uint_eq(v->new_pte, 0);
  ck_assert_uint_eq(v->page, PAGE(21));
  ck_assert_int_eq(v->kind, TLB_LOAD);
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma va, asid");
}
END_TEST

START_TEST(bad_moved)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  tlb_site use = write_to(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_only_the_first_use_is_reported)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  load(0, VA);
  write_to(0, VA);
  expect_none();
}
END_TEST

START_TEST(bad_moved_by_a_store_of_one_byte)
{
  satp(0, ROOT, 0);
  tlb_site change = store_bytes(0, ENTRY(VA) + 1, 1, LEAF(PAGE(30), RW) >> 8 & 0xff);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_moved_and_back_again)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(21), RW));
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_fence_before_the_change)
{
  satp(0, ROOT, 0);
  fence(0);
  tlb_site change = store(0, ENTRY(VA), 0);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_fence_of_another_page)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence_va(0, SAME);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_fence_of_another_asid)
{
  satp(0, ROOT, 1);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence_asid(0, 2);
  fence_va_asid(0, VA, 2);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_fence_of_an_address_not_canonical)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence_va(0, VA | 1ull << 45);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_fence_on_the_changing_hart_only)
{
  satp(0, ROOT, 0);
  satp(1, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence(0);
  load(0, VA);
  expect_none();
  tlb_site use = load(1, VA);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 1, change, use);
  ck_assert_uint_eq(v->change_hart, 0);
}
END_TEST

START_TEST(bad_changed_through_another_space_that_shares_the_table)
{
  store(0, PAGE(5), TABLE(TABLE0));
  satp(0, ROOT, 0);
  satp(1, OTHER, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence(0);
  tlb_site use = load(1, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 1, change, use);
}
END_TEST

START_TEST(bad_middle_table_cleared)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, MIDDLE, 0);
  tlb_site use = load(0, VA);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert_int_eq(v->level, 1);
  ck_assert_uint_eq(v->page, PAGE(21));
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma zero, asid");
}
END_TEST

START_TEST(bad_root_entry_moved)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ROOT, TABLE(PAGE(5)));
  tlb_site use = load(0, VA);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert_int_eq(v->level, 2);
}
END_TEST

START_TEST(bad_pointer_fenced_by_address)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, MIDDLE, TABLE(PAGE(6)));
  fence_va(0, VA);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

// The old table is still walked: what comes to stand in it counts.
START_TEST(bad_table_unlinked_then_overwritten)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, MIDDLE, TABLE(PAGE(8)));
  store(0, PAGE(8) + VA / PAGE_SIZE * 8, LEAF(PAGE(21), RW));
  fence_va(0, VA);
  load(0, VA);
  expect_none();
  store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  fence_va(0, VA);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_superpage_moved)
{
  store(0, MIDDLE, LEAF(PAGE(512), RW));
  satp(0, ROOT, 0);
  tlb_site change = store(0, MIDDLE, LEAF(PAGE(1024), RW));
  tlb_site use = load(0, 0x1ff008);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert_uint_eq(v->page, PAGE(512 + 511));
}
END_TEST

START_TEST(bad_table_made_a_superpage)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, MIDDLE, LEAF(PAGE(1024), RW));
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_changed_while_another_asid_is_loaded)
{
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  satp(0, ROOT, 1);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_bare_empties_nothing)
{
  satp(0, ROOT, 0);
  bare(0);
  tlb_site change = store(0, ENTRY(VA), 0);
  satp(0, ROOT, 0);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_global_fenced_by_asid)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), RW | PTE_G));
  satp(0, ROOT, 1);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(30), RW | PTE_G));
  fence_asid(0, 1);
  fence_va_asid(0, VA, 1);
  tlb_site use = load(0, VA);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma va, zero");
}
END_TEST

START_TEST(bad_global_pointer_makes_its_leaves_global)
{
  store(0, MIDDLE, TABLE(TABLE0) | PTE_G);
  satp(0, ROOT, 1);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence_asid(0, 1);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_moved_to_where_the_old_entry_faults_is_a_warning)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R));
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(30), RW));
  tlb_site use = write_to(0, VA);
  expect(TLB_STALE_USE, TLB_WARNING, 0, change, use);
}
END_TEST

static const TTest **const cases[] = {
    &bad_cleared,
    &bad_moved,
    &bad_only_the_first_use_is_reported,
    &bad_moved_by_a_store_of_one_byte,
    &bad_moved_and_back_again,
    &bad_fence_before_the_change,
    &bad_fence_of_another_page,
    &bad_fence_of_another_asid,
    &bad_fence_of_an_address_not_canonical,
    &bad_fence_on_the_changing_hart_only,
    &bad_changed_through_another_space_that_shares_the_table,
    &bad_middle_table_cleared,
    &bad_root_entry_moved,
    &bad_pointer_fenced_by_address,
    &bad_table_unlinked_then_overwritten,
    &bad_superpage_moved,
    &bad_table_made_a_superpage,
    &bad_changed_while_another_asid_is_loaded,
    &bad_bare_empties_nothing,
    &bad_global_fenced_by_asid,
    &bad_global_pointer_makes_its_leaves_global,
    &bad_moved_to_where_the_old_entry_faults_is_a_warning,
};

int
main(void)
{
  return machine_run(
      machine_suite("bad change", cases, sizeof(cases) / sizeof(cases[0])));
}
