// The other rules: switches, permissions, freed pages, reserved encodings.

#include "test_machine.h"

START_TEST(bad_satp_switch_without_a_fence)
{
  satp(0, ROOT, 0);
  tlb_site change = satp(0, OTHER, 0);
  tlb_site use = load(0, VA);
  const struct tlb_violation *v = expect(TLB_STALE_ASID, TLB_ERROR, 0, change, use);
  ck_assert_uint_eq(v->old_pte, LEAF(PAGE(21), RW) & ~(PTE_A | PTE_D));
  ck_assert_uint_eq(v->new_pte, LEAF(PAGE(22), RW) & ~(PTE_A | PTE_D));
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma zero, asid");
}
END_TEST

START_TEST(bad_fence_before_the_satp_switch_only)
{
  satp(0, ROOT, 0);
  fence(0);
  tlb_site change = satp(0, OTHER, 0);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_ASID, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_satp_switch_to_where_the_old_space_has_nothing_is_a_warning)
{
  store(0, OTHER0(HOLE), LEAF(PAGE(30), RW));
  satp(0, ROOT, 0);
  tlb_site change = satp(0, OTHER, 0);
  tlb_site use = load(0, HOLE);
  expect(TLB_STALE_ASID, TLB_WARNING, 0, change, use);
  use = load(0, VA);
  expect(TLB_STALE_ASID, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_satp_switch_through_a_space_of_another_asid)
{
  satp(0, ROOT, 1);
  tlb_site change = satp(0, OTHER, 2);
  satp(0, OTHER, 1);
  tlb_site use = load(0, VA);
  expect(TLB_STALE_ASID, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_global_entry_not_in_the_other_space)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), RW | PTE_G));
  satp(0, ROOT, 1);
  tlb_site change = satp(0, OTHER, 2);
  fence_asid(0, 1);
  tlb_site use = load(0, VA);
  const struct tlb_violation *v = expect(TLB_STALE_ASID, TLB_ERROR, 0, change, use);
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma zero, zero");
}
END_TEST

START_TEST(bad_made_valid_is_a_warning)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(HOLE), LEAF(PAGE(30), RW));
  tlb_site use = load(0, HOLE);
  const struct tlb_violation *v =
      expect(TLB_UNFENCED_VALID, TLB_WARNING, 0, change, use);
  ck_assert_uint_eq(v->old_pte, 0);
}
END_TEST

START_TEST(bad_made_valid_by_a_new_table_is_a_warning)
{
  satp(0, ROOT, 0);
  store(0, PAGE(8), LEAF(PAGE(30), RW));
  tlb_site change = store(0, MIDDLE + 8, TABLE(PAGE(8)));
  tlb_site use = load(0, 0x200000);
  expect(TLB_UNFENCED_VALID, TLB_WARNING, 0, change, use);
}
END_TEST

START_TEST(bad_write_permission_taken)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R));
  load(0, VA);
  expect_none();
  tlb_site use = write_to(0, VA);
  expect(TLB_STALE_PERMISSION, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_user_permission_taken)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), RW | PTE_U));
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(21), RW));
  tlb_site use =
      access_as(0, (struct tlb_access){.kind = TLB_LOAD, .va = VA, .user = true});
  expect(TLB_STALE_PERMISSION, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_execute_permission_taken)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R | PTE_X));
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), LEAF(PAGE(21), PTE_R));
  tlb_site use = access_as(0, (struct tlb_access){.kind = TLB_FETCH, .va = VA});
  expect(TLB_STALE_PERMISSION, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_execute_only_page_read_with_mxr)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_X));
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  load(0, VA);
  expect_none();
  tlb_site use =
      access_as(0, (struct tlb_access){.kind = TLB_LOAD, .va = VA, .mxr = true});
  expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_page_reused_while_another_hart_has_it)
{
  satp(0, ROOT, 0);
  satp(1, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  fence(0);
  tlb_site freed = free_page(0, PAGE(21));
  tlb_site use = reuse_page(2, PAGE(21));
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_ERROR, 1, change, use);
  ck_assert_uint_eq(v->va, VA);
  ck_assert(v->was_reused);
  ck_assert_uint_eq(v->freed, freed);
}
END_TEST

// The page has been through other hands since, but it was the changer's to wait.
START_TEST(bad_page_freed_before_the_entry_is_cleared)
{
  satp(0, ROOT, 0);
  tlb_site freed = free_page(0, PAGE(21));
  reuse_page(1, PAGE(21)); // in reach by a mapping that is still there
  free_page(1, PAGE(21));
  tlb_site change = store(0, ENTRY(VA), 0);
  tlb_site use = reuse_page(2, PAGE(21));
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_WARNING, 0, change, use);
  ck_assert_uint_eq(v->freed, freed);
}
END_TEST

START_TEST(bad_page_that_the_changer_freed_long_ago)
{
  satp(0, ROOT, 0);
  free_page(0, PAGE(21));
  fence(0);
  reuse_page(1, PAGE(21));
  tlb_site change = store(0, ENTRY(VA), 0);
  tlb_site freed = free_page(1, PAGE(21));
  tlb_site use = reuse_page(2, PAGE(21));
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_WARNING, 0, change, use);
  ck_assert_uint_eq(v->freed, freed);
}
END_TEST

START_TEST(bad_page_reused_by_the_hart_that_did_not_fence)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  free_page(0, PAGE(21));
  tlb_site use = reuse_page(0, PAGE(21));
  expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
}
END_TEST

// The hart that changed the entry may be on its way to the fence: nothing was used yet.
START_TEST(bad_page_reused_elsewhere_before_the_changer_fences)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  free_page(0, PAGE(21));
  tlb_site use = reuse_page(1, PAGE(21));
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_WARNING, 0, change, use);
  ck_assert(!v->left);
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma va, asid");
}
END_TEST

// On its way it may read the table, which is somebody's data now.
START_TEST(bad_table_reused_elsewhere_before_the_changer_fences)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, MIDDLE, 0);
  free_page(0, TABLE0);
  tlb_site use = reuse_page(1, TABLE0);
  expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
}
END_TEST

// Several ways lead to the page: the worst is said.
START_TEST(bad_page_and_table_reused_elsewhere)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), LEAF(TABLE0, RW));
  fence(0);
  store(0, ENTRY(VA), 0);
  tlb_site change = store(0, MIDDLE, 0);
  free_page(0, TABLE0);
  tlb_site use = reuse_page(1, TABLE0);
  expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_linked_table_reused_elsewhere)
{
  satp(0, ROOT, 0);
  tlb_site change = free_page(0, TABLE0);
  tlb_site use = reuse_page(1, TABLE0);
  expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
}
END_TEST

// The mistake is where hart 0 left the table, not where hart 1 changed it.
START_TEST(bad_page_reused_that_a_space_left_without_a_fence_leads_to)
{
  satp(0, ROOT, 0);
  tlb_site change = satp(0, OTHER, 0);
  satp(1, ROOT, 0);
  store(1, ENTRY(VA), 0);
  fence(1);
  free_page(1, PAGE(21));
  tlb_site use = reuse_page(2, PAGE(21));
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
  ck_assert(v->left);
  ck_assert_uint_eq(v->change_hart, 0);
  ck_assert_uint_eq(v->entry, ENTRY(VA));
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma zero, asid");
}
END_TEST

// It has gone on to another table: it is not on its way to a fence.
START_TEST(bad_page_reused_that_the_changer_reaches_through_a_space_left)
{
  satp(0, ROOT, 0);
  tlb_site change = satp(0, OTHER, 0);
  store(0, ENTRY(VA), 0);
  free_page(0, PAGE(21));
  tlb_site use = reuse_page(1, PAGE(21));
  expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
}
END_TEST

START_TEST(bad_table_reused_while_another_hart_walks_the_old_pointer)
{
  satp(0, ROOT, 0);
  satp(1, ROOT, 0);
  tlb_site change = store(0, MIDDLE, 0);
  fence(0);
  free_page(0, TABLE0);
  tlb_site use = reuse_page(0, TABLE0);
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_ERROR, 1, change, use);
  ck_assert_int_eq(v->level, 1);
}
END_TEST

START_TEST(bad_table_freed_while_linked)
{
  satp(0, ROOT, 0);
  tlb_site change = free_page(0, TABLE0);
  tlb_site use = reuse_page(0, TABLE0);
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
  ck_assert_int_eq(v->level, -1);
}
END_TEST

START_TEST(bad_table_of_a_space_left_without_a_fence_reused)
{
  satp(0, ROOT, 0);
  tlb_site change = satp(0, OTHER, 0);
  free_page(0, TABLE0);
  tlb_site use = reuse_page(0, TABLE0);
  const struct tlb_violation *v =
      expect(TLB_FREED_REACHABLE, TLB_ERROR, 0, change, use);
  ck_assert(v->left);
  ck_assert_str_eq(tlb_fence_name(v->fence), "sfence.vma zero, asid");
}
END_TEST

START_TEST(bad_stale_page_used_after_it_was_freed)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), 0);
  tlb_site freed = free_page(0, PAGE(21));
  tlb_site use = load(0, VA);
  const struct tlb_violation *v = expect(TLB_STALE_USE, TLB_ERROR, 0, change, use);
  ck_assert(v->was_freed && !v->was_reused);
  ck_assert_uint_eq(v->freed, freed);
}
END_TEST

START_TEST(bad_root_freed_while_loaded)
{
  tlb_site use = satp(1, ROOT, 0);
  tlb_site change = free_page(0, ROOT);
  const struct tlb_violation *v = expect(TLB_SATP_FREED, TLB_ERROR, 1, change, use);
  ck_assert_uint_eq(v->change_hart, 0);
  ck_assert_uint_eq(v->page, ROOT);
}
END_TEST

START_TEST(bad_free_root_loaded)
{
  tlb_site change = free_page(0, ROOT);
  tlb_site use = satp(1, ROOT, 0);
  expect(TLB_SATP_FREED, TLB_ERROR, 1, change, use);
  bare(1);
  fence(1);
  reuse_page(0, ROOT);
  satp(1, ROOT, 0);
  expect_none();
}
END_TEST

static const uint64_t reserved[] = {
    LEAF(PAGE(21), PTE_W),           LEAF(PAGE(21), PTE_W | PTE_X),
    LEAF(PAGE(21), RW) | 1ull << 54, LEAF(PAGE(21), RW) | 1ull << 63,
    TABLE(PAGE(21)) | PTE_U,         TABLE(PAGE(21)) | PTE_A,
};

START_TEST(bad_reserved_encoding_stored)
{
  satp(0, ROOT, 0);
  tlb_site change = store(0, ENTRY(VA), reserved[_i]);
  const struct tlb_violation *v = expect(TLB_RESERVED, TLB_ERROR, 0, change, change);
  ck_assert_uint_eq(v->va, VA);
  ck_assert_uint_eq(v->new_pte, reserved[_i]);
}
END_TEST

START_TEST(bad_reserved_encoding_loaded)
{
  store(0, ENTRY(VA), reserved[_i]);
  tlb_site use = satp(0, ROOT, 0);
  const struct tlb_violation *v = expect(TLB_RESERVED, TLB_ERROR, 0, 0, use);
  ck_assert_uint_eq(v->entry, ENTRY(VA));
  satp(0, OTHER, 0);
  satp(0, ROOT, 0);
  expect_none();
}
END_TEST

static const TTest **const cases[] = {
    &bad_satp_switch_without_a_fence,
    &bad_fence_before_the_satp_switch_only,
    &bad_satp_switch_to_where_the_old_space_has_nothing_is_a_warning,
    &bad_satp_switch_through_a_space_of_another_asid,
    &bad_global_entry_not_in_the_other_space,
    &bad_made_valid_is_a_warning,
    &bad_made_valid_by_a_new_table_is_a_warning,
    &bad_write_permission_taken,
    &bad_user_permission_taken,
    &bad_execute_permission_taken,
    &bad_execute_only_page_read_with_mxr,
    &bad_page_reused_while_another_hart_has_it,
    &bad_page_freed_before_the_entry_is_cleared,
    &bad_page_that_the_changer_freed_long_ago,
    &bad_page_reused_by_the_hart_that_did_not_fence,
    &bad_page_reused_elsewhere_before_the_changer_fences,
    &bad_table_reused_elsewhere_before_the_changer_fences,
    &bad_page_and_table_reused_elsewhere,
    &bad_linked_table_reused_elsewhere,
    &bad_page_reused_that_a_space_left_without_a_fence_leads_to,
    &bad_page_reused_that_the_changer_reaches_through_a_space_left,
    &bad_table_reused_while_another_hart_walks_the_old_pointer,
    &bad_table_freed_while_linked,
    &bad_table_of_a_space_left_without_a_fence_reused,
    &bad_stale_page_used_after_it_was_freed,
    &bad_root_freed_while_loaded,
    &bad_free_root_loaded,
};

int
main(void)
{
  Suite *suite = machine_suite("bad space", cases, sizeof(cases) / sizeof(cases[0]));
  TCase *tc = machine_case("bad, for each encoding");
  tcase_add_loop_test(tc, bad_reserved_encoding_stored, 0,
                      sizeof(reserved) / sizeof(reserved[0]));
  tcase_add_loop_test(tc, bad_reserved_encoding_loaded, 0,
                      sizeof(reserved) / sizeof(reserved[0]));
  suite_add_tcase(suite, tc);
  return machine_run(suite);
}
