// What else it allows: several spaces, harts, ASIDs, freed pages; and the queries.

#include "test_machine.h"

START_TEST(good_satp_switch_and_fence)
{
  satp(0, ROOT, 0);
  satp(0, OTHER, 0);
  fence(0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_satp_switch_where_both_agree)
{
  satp(0, ROOT, 0);
  satp(0, OTHER, 0);
  load(0, SAME);
  expect_none();
}
END_TEST

START_TEST(good_satp_switch_to_another_asid)
{
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  load(0, VA);
  satp(0, ROOT, 1);
  load(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_same_satp_written_again)
{
  satp(0, ROOT, 0);
  satp(0, ROOT, 0);
  load(0, VA);
  expect_none();
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_recycled_asid_fenced_before_it_is_loaded)
{
  store(0, PAGE(7), TABLE(PAGE(5))); // another root, which maps VA as OTHER does
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  fence_asid(0, 1);
  satp(0, PAGE(7), 1);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_bare_needs_no_fence)
{
  satp(0, ROOT, 0);
  bare(0);
  store(0, ENTRY(VA), 0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_other_hart_has_not_loaded_it)
{
  satp(0, ROOT, 0);
  satp(1, OTHER, 0);
  store(0, ENTRY(VA), 0);
  fence(0);
  load(0, VA);
  load(1, VA);
  expect_none();
}
END_TEST

START_TEST(good_each_hart_fences)
{
  satp(0, ROOT, 0);
  satp(1, ROOT, 0);
  store(0, ENTRY(VA), 0);
  fence(1);
  fence(0);
  load(1, VA);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_superpage_like_the_pages_before)
{
  for (unsigned i = 0; i < 512; i++)
    store(0, TABLE0 + 8 * i, LEAF(PAGE(1024 + i), RW));
  satp(0, ROOT, 0);
  store(0, MIDDLE, LEAF(PAGE(1024), RW));
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_superpage_fenced_by_any_address_in_it)
{
  store(0, MIDDLE, LEAF(PAGE(512), RW));
  satp(0, ROOT, 0);
  store(0, MIDDLE, LEAF(PAGE(1024), RW));
  fence_va(0, 0x1ff000);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_table_replaced_by_a_copy)
{
  store(0, PAGE(8) + VA / PAGE_SIZE * 8, LEAF(PAGE(21), RW));
  satp(0, ROOT, 0);
  store(0, MIDDLE, TABLE(PAGE(8)));
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_table_replaced_and_fenced)
{
  satp(0, ROOT, 0);
  store(0, MIDDLE, TABLE(PAGE(6)));
  fence_asid(0, 0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_global_fenced_with_zero)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), RW | PTE_G));
  satp(0, ROOT, 1);
  store(0, ENTRY(VA), LEAF(PAGE(30), RW | PTE_G));
  fence_va(0, VA);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_sum_and_mxr_take_effect_at_once)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), RW | PTE_U));
  satp(0, ROOT, 0);
  store(0, ENTRY(HOLE), 0x400);
  access_as(0, (struct tlb_access){.kind = TLB_LOAD, .va = VA, .sum = true});
  access_as(0, (struct tlb_access){.kind = TLB_LOAD, .va = VA});
  access_as(0, (struct tlb_access){.kind = TLB_LOAD, .va = VA, .user = true});
  expect_none();
}
END_TEST

START_TEST(good_page_freed_and_reused_after_the_fence)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), 0);
  fence(0);
  free_page(0, PAGE(21));
  reuse_page(1, PAGE(21));
  reuse_page(0, PAGE(21));
  expect_none();
}
END_TEST

// Freed is not yet given out: the fence may come in between.
START_TEST(good_page_freed_before_the_fence_and_reused_after_it)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), 0);
  free_page(0, PAGE(21));
  fence(0);
  reuse_page(1, PAGE(21));
  expect_none();
}
END_TEST

// The kernel maps all of memory as it is: a page is always reachable there.
START_TEST(good_freed_page_in_an_unchanged_mapping)
{
  satp(0, ROOT, 0);
  free_page(0, PAGE(21));
  reuse_page(0, PAGE(21));
  expect_none();
}
END_TEST

START_TEST(good_table_freed_and_its_page_used_for_data)
{
  satp(0, ROOT, 0);
  satp(0, OTHER, 0);
  fence(0);
  free_page(0, TABLE0);
  free_page(0, MIDDLE);
  free_page(0, ROOT);
  reuse_page(0, ROOT);
  ck_assert(!tlb_watched(machine_tlb(), ROOT));
  ck_assert(!tlb_watched(machine_tlb(), TABLE0));
  for (unsigned i = 0; i < 512; i++)
    store(0, ROOT + 8 * i, 0x0505050505050505);
  load(0, VA);
  expect_none();
}
END_TEST

// The tables of an ASID that is no longer loaded: stale, but of no use to the hart.
START_TEST(good_tables_of_a_dead_asid_reused)
{
  satp(0, ROOT, 1);
  satp(0, OTHER, 2);
  store(1, ENTRY(VA), 0);
  free_page(1, PAGE(21));
  reuse_page(1, PAGE(21));
  free_page(1, TABLE0);
  reuse_page(1, TABLE0);
  expect_none();
}
END_TEST

// A root that was left is read no more; only a use of what it said would be wrong.
START_TEST(good_root_left_then_reused)
{
  satp(0, ROOT, 0);
  satp(0, OTHER, 0);
  free_page(0, ROOT);
  reuse_page(0, ROOT);
  expect_none();
}
END_TEST

START_TEST(good_reserved_encoding_in_no_loaded_table)
{
  store(0, ENTRY(VA), LEAF(PAGE(21), PTE_W));
  satp(0, OTHER, 0);
  store(0, ENTRY(SAME), LEAF(PAGE(21), PTE_W | PTE_X));
  expect_none();
}
END_TEST

START_TEST(good_addresses_that_are_not_canonical)
{
  satp(0, ROOT, 0);
  store(0, ENTRY(VA), 0);
  load(0, VA + (1ull << 39));
  expect_none();
}
END_TEST

START_TEST(good_quiet_only_while_nothing_is_unfenced)
{
  ck_assert(tlb_quiet(machine_tlb(), 0));
  satp(0, ROOT, 0);
  ck_assert(tlb_quiet(machine_tlb(), 0));
  store(1, ENTRY(VA), 0);
  ck_assert(!tlb_quiet(machine_tlb(), 0));
  ck_assert(tlb_quiet(machine_tlb(), 1));
  ck_assert_uint_eq(tlb_quiet_bytes(machine_tlb())[0], 0);
  fence(0);
  ck_assert(tlb_quiet(machine_tlb(), 0));
}
END_TEST

START_TEST(good_watched_are_the_tables_that_are_loaded)
{
  ck_assert(!tlb_watched(machine_tlb(), ROOT));
  satp(0, ROOT, 0);
  for (unsigned i = 1; i <= 3; i++) {
    ck_assert(tlb_watched(machine_tlb(), PAGE(i) + 8));
    ck_assert_uint_eq(tlb_watched_bytes(machine_tlb())[i], 1);
  }
  ck_assert(!tlb_watched(machine_tlb(), OTHER));
  ck_assert(!tlb_watched(machine_tlb(), PAGE(21)));
  ck_assert(!tlb_watched(machine_tlb(), RAM_BASE - 8));
  ck_assert(!tlb_watched(machine_tlb(), PAGE(RAM_PAGES)));
}
END_TEST

START_TEST(good_table_in_two_spaces)
{
  store(0, PAGE(5), TABLE(TABLE0)); // OTHER now shares ROOT's lowest table
  satp(0, ROOT, 0);
  satp(0, OTHER, 0);
  load(0, VA);
  expect_none();
}
END_TEST

START_TEST(good_svvptc_made_valid)
{
  machine_free();
  machine_new(true);
  satp(0, ROOT, 0);
  store(0, ENTRY(HOLE), LEAF(PAGE(30), RW));
  load(0, HOLE);
  expect_none();
}
END_TEST

static const TTest **const cases[] = {
    &good_satp_switch_and_fence,
    &good_satp_switch_where_both_agree,
    &good_satp_switch_to_another_asid,
    &good_same_satp_written_again,
    &good_recycled_asid_fenced_before_it_is_loaded,
    &good_bare_needs_no_fence,
    &good_other_hart_has_not_loaded_it,
    &good_each_hart_fences,
    &good_superpage_like_the_pages_before,
    &good_superpage_fenced_by_any_address_in_it,
    &good_table_replaced_by_a_copy,
    &good_table_replaced_and_fenced,
    &good_global_fenced_with_zero,
    &good_sum_and_mxr_take_effect_at_once,
    &good_page_freed_and_reused_after_the_fence,
    &good_page_freed_before_the_fence_and_reused_after_it,
    &good_freed_page_in_an_unchanged_mapping,
    &good_table_freed_and_its_page_used_for_data,
    &good_tables_of_a_dead_asid_reused,
    &good_root_left_then_reused,
    &good_reserved_encoding_in_no_loaded_table,
    &good_addresses_that_are_not_canonical,
    &good_quiet_only_while_nothing_is_unfenced,
    &good_watched_are_the_tables_that_are_loaded,
    &good_table_in_two_spaces,
    &good_svvptc_made_valid,
};

int
main(void)
{
  return machine_run(
      machine_suite("good space", cases, sizeof(cases) / sizeof(cases[0])));
}
