// The page allocator and its counters.

#include "host.h"

#include "../../faults/ctl.h"
#include "../../faults/hook.h"

static struct pagestat
counters(void)
{
  struct pagestat stat;
  pagestat(&stat);
  return stat;
}

// The counters are those of total pages, all of them in some class.
static void
ck_assert_counters_add_up(void)
{
  struct pagestat stat = counters();
  uint64_t sum = 0;
  for (int class = 0; class < NPAGECLASS; class ++)
    sum += stat.held[class];
  ck_assert_uint_eq(stat.total, MANAGED_PAGES);
  ck_assert_uint_eq(sum, stat.total);
}

START_TEST(all_pages_are_free_at_boot)
{
  struct pagestat stat = counters();
  ck_assert_uint_eq(stat.total, MANAGED_PAGES);
  ck_assert_uint_eq(stat.held[PAGE_FREE], MANAGED_PAGES);
  ck_assert_counters_add_up();
}
END_TEST

START_TEST(every_page_is_handed_out_once)
{
  static uint8_t seen[2 * 1024 * 1024];
  ck_assert_uint_le(MANAGED_PAGES, sizeof(seen));
  uint64_t count = 0;
  for (void *pa; (pa = kalloc()); count++) {
    uint64_t page = ((uint64_t)pa - MANAGED_FIRST) / PGSIZE;
    ck_assert_uint_eq((uint64_t)pa % PGSIZE, 0);
    ck_assert_uint_lt(page, MANAGED_PAGES);
    ck_assert_msg(!seen[page], "page %p was handed out twice", pa);
    seen[page] = 1;
  }
  ck_assert_uint_eq(count, MANAGED_PAGES);
}
END_TEST

// `end` is not page-aligned in this program (unit.mk): its page is the kernel's.
START_TEST(the_page_that_holds_the_kernels_end_is_not_handed_out)
{
  ck_assert_uint_ne((uint64_t)end % PGSIZE, 0);
  for (void *pa; (pa = kalloc());)
    ck_assert_uint_ge((uint64_t)pa, (uint64_t)end);
}
END_TEST

START_TEST(exhaustion_gives_0_again_and_again)
{
  leave_free(0);
  for (int i = 0; i < 3; i++)
    ck_assert_ptr_null(kalloc());
}
END_TEST

START_TEST(a_failed_kalloc_counts_nothing)
{
  leave_free(0);
  struct pagestat before = counters();
  ck_assert_ptr_null(kalloc_for(PAGE_USER));
  struct pagestat after = counters();
  ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

START_TEST(a_page_freed_after_exhaustion_can_be_had_again)
{
  void *page = kalloc();
  leave_free(0);
  kfree(page);
  ck_assert_ptr_eq(kalloc(), page);
  ck_assert_ptr_null(kalloc());
}
END_TEST

START_TEST(a_kernel_without_faults_never_fails_while_pages_are_left)
{
  for (int i = 0; i < 20000; i++) {
    void *page = kalloc();
    ck_assert_ptr_nonnull(page);
    kfree(page);
  }
}
END_TEST

START_TEST(pages_keep_their_contents_while_others_come_and_go)
{
  uint64_t *kept[16], sum = 0;
  for (int i = 0; i < 16; i++) {
    void *passing = kalloc();
    kept[i] = kalloc();
    for (int word = 0; word < PGSIZE / 8; word++)
      kept[i][word] = i;
    kfree(passing);
  }
  leave_free(0);
  give_back();
  for (int i = 0; i < 16; i++)
    for (int word = 0; word < PGSIZE / 8; word++)
      sum += kept[i][word] == (uint64_t)i;
  ck_assert_uint_eq(sum, 16 * PGSIZE / 8);
}
END_TEST

START_TEST(kalloc_counts_a_page_as_other)
{
  kalloc();
  struct pagestat stat = counters();
  ck_assert_uint_eq(stat.held[PAGE_OTHER], 1);
  ck_assert_uint_eq(stat.held[PAGE_FREE], MANAGED_PAGES - 1);
}
END_TEST

// Loop: every class but PAGE_FREE.
START_TEST(kalloc_for_counts_a_page_in_its_class)
{
  ck_assert_ptr_nonnull(kalloc_for(_i));
  ck_assert_uint_eq(counters().held[_i], 1);
  ck_assert_uint_eq(counters().held[PAGE_FREE], MANAGED_PAGES - 1);
  ck_assert_counters_add_up();
}
END_TEST

START_TEST(kfree_counts_a_page_out_of_its_class)
{
  void *kept = kalloc_for(_i), *page = kalloc_for(_i);
  kfree(page);
  ck_assert_uint_eq(counters().held[_i], 1);
  kfree(kept);
  ck_assert_uint_eq(counters().held[_i], 0);
  ck_assert_uint_eq(counters().held[PAGE_FREE], MANAGED_PAGES);
}
END_TEST

START_TEST(retag_moves_a_page_between_classes)
{
  void *page = kalloc_for(PAGE_PIPE);
  page_retag(page, _i);
  ck_assert_uint_eq(counters().held[_i], 1);
  ck_assert_uint_eq(counters().held[PAGE_PIPE], _i == PAGE_PIPE);
  ck_assert_counters_add_up();
}
END_TEST

START_TEST(counters_agree_at_every_step_down_and_up)
{
  uint64_t expected[NPAGECLASS] = {[PAGE_FREE] = MANAGED_PAGES};
  void **pages = calloc(MANAGED_PAGES, sizeof(*pages));
  for (uint64_t i = 0; i < MANAGED_PAGES; i++) {
    int class = 1 + i * 7 % (NPAGECLASS - 1);
    pages[i] = kalloc_for(class);
    expected[class]++;
    expected[PAGE_FREE]--;
    ck_assert_mem_eq(counters().held, expected, sizeof(expected));
  }
  for (uint64_t n = MANAGED_PAGES; n > 0; n--) {
    uint64_t i =
        n * 6 % MANAGED_PAGES; // 6 and the number of pages have no common factor
    kfree(pages[i]);
    expected[1 + i * 7 % (NPAGECLASS - 1)]--;
    expected[PAGE_FREE]++;
    ck_assert_mem_eq(counters().held, expected, sizeof(expected));
  }
  free(pages);
}
END_TEST

START_TEST(the_control_block_shows_the_counters)
{
  kalloc_for(PAGE_KSTACK);
  struct pagestat stat = counters();
  ck_assert_uint_eq(faultline_ctl.magic, FAULTLINE_MAGIC);
  ck_assert_mem_eq(&faultline_ctl.magic, "FAULTLIN", 8);
  ck_assert_uint_eq(faultline_ctl.version, FAULTLINE_VERSION);
  ck_assert_mem_eq(&faultline_ctl.pages, &stat, sizeof(stat));
}
END_TEST

START_TEST(a_freed_page_is_poisoned_with_invalid_entries)
{
  uint8_t *page = kalloc();
  memset(page, 0x11, PGSIZE);
  kfree(page);
  for (int i = sizeof(void *); i < PGSIZE; i++) // the first word links the free list
    ck_assert_uint_eq(page[i], 0xde);
  ck_assert_uint_eq(((pte_t *)page)[1] & PTE_V, 0);
}
END_TEST

static const uint64_t no_pages[] = {
    0,     KERNBASE,        KERNBASE - PGSIZE,    PHYSTOP,     PHYSTOP + PGSIZE,
    UART0, ~0UL << PGSHIFT, PHYSTOP - PGSIZE + 1, PHYSTOP - 8, PHYSTOP - PGSIZE / 2,
};

START_TEST(kfree_of_what_is_no_page_panics)
{
  void *pa = (void *)no_pages[_i];
  ck_assert_panics(kfree(pa), "is not a page of the allocator");
}
END_TEST

START_TEST(kfree_of_the_kernels_last_page_panics)
{
  ck_assert_panics(kfree((void *)(MANAGED_FIRST - PGSIZE)), "is not a page");
}
END_TEST

START_TEST(freeing_a_page_twice_panics)
{
  void *page = kalloc();
  kfree(page);
  ck_assert_panics(kfree(page), "already free");
}
END_TEST

START_TEST(freeing_a_page_twice_panics_even_much_later)
{
  void *page = kalloc(), *other[64];
  for (int i = 0; i < 64; i++)
    other[i] = kalloc();
  kfree(page);
  for (int i = 0; i < 64; i++)
    kfree(other[i]);
  ck_assert_panics(kfree(page), "already free");
}
END_TEST

START_TEST(freeing_a_page_that_was_never_allocated_panics)
{
  ck_assert_panics(kfree((void *)(PHYSTOP - PGSIZE)), "already free");
}
END_TEST

#define FAULT_planted  1
#define FAULT_disabled 0

START_TEST(a_hook_is_1_only_where_its_fault_is_planted)
{
  ck_assert_int_eq(FAULT(planted), 1);
  ck_assert_int_eq(FAULT(disabled), 0);
  ck_assert_int_eq(FAULT(never_heard_of), 0);
  _Static_assert(FAULT(never_heard_of) == 0, "a hook is a constant");
  ck_assert_int_eq(FAULT_N, 0);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("kalloc");
  TCase *tc = machine_case(suite, "allocating");
  tcase_add_test(tc, all_pages_are_free_at_boot);
  tcase_add_test(tc, every_page_is_handed_out_once);
  tcase_add_test(tc, the_page_that_holds_the_kernels_end_is_not_handed_out);
  tcase_add_test(tc, exhaustion_gives_0_again_and_again);
  tcase_add_test(tc, a_failed_kalloc_counts_nothing);
  tcase_add_test(tc, a_page_freed_after_exhaustion_can_be_had_again);
  tcase_add_test(tc, a_kernel_without_faults_never_fails_while_pages_are_left);
  tcase_add_test(tc, pages_keep_their_contents_while_others_come_and_go);
  tcase_add_test(tc, a_hook_is_1_only_where_its_fault_is_planted);

  tc = machine_case(suite, "counting");
  tcase_add_test(tc, kalloc_counts_a_page_as_other);
  tcase_add_loop_test(tc, kalloc_for_counts_a_page_in_its_class, 1, NPAGECLASS);
  tcase_add_loop_test(tc, kfree_counts_a_page_out_of_its_class, 1, NPAGECLASS);
  tcase_add_loop_test(tc, retag_moves_a_page_between_classes, 1, NPAGECLASS);
  tcase_add_test(tc, counters_agree_at_every_step_down_and_up);
  tcase_add_test(tc, the_control_block_shows_the_counters);

  tc = machine_case(suite, "freeing");
  tcase_add_test(tc, a_freed_page_is_poisoned_with_invalid_entries);
  tcase_add_loop_test(tc, kfree_of_what_is_no_page_panics, 0, NELEM(no_pages));
  tcase_add_test(tc, kfree_of_the_kernels_last_page_panics);
  tcase_add_test(tc, freeing_a_page_twice_panics);
  tcase_add_test(tc, freeing_a_page_twice_panics_even_much_later);
  tcase_add_test(tc, freeing_a_page_that_was_never_allocated_panics);
  return run_suite(suite);
}
