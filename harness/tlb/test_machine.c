#include "test_machine.h"

#include <string.h>

static struct tlb *tlb;
static uint64_t ram[RAM_PAGES * TABLE_ENTRIES];
static struct tlb_violation reports[64];
static unsigned nreports;
static tlb_site last_site;

static uint64_t
machine_read(void *arg, uint64_t pa)
{
  (void)arg;
  ck_assert_uint_ge(pa, RAM_BASE);
  ck_assert_uint_lt(pa, PAGE(RAM_PAGES));
  return ram[(pa - RAM_BASE) / 8];
}

static void
machine_report(void *arg, const struct tlb_violation *v)
{
  (void)arg;
  ck_assert_uint_lt(nreports, 64);
  reports[nreports++] = *v;
}

struct tlb *
machine_new(bool svvptc)
{
  struct tlb_config config = {.harts = HARTS,
                              .ram_base = RAM_BASE,
                              .ram_size = RAM_PAGES * PAGE_SIZE,
                              .svvptc = svvptc,
                              .read = machine_read,
                              .report = machine_report};
  memset(ram, 0, sizeof(ram));
  nreports = 0;
  tlb = tlb_new(&config);
  ck_assert_ptr_nonnull(tlb);
  for (unsigned i = 0; i < 2; i++) {
    store(0, PAGE(1 + 3 * i), TABLE(PAGE(2 + 3 * i)));
    store(0, PAGE(2 + 3 * i), TABLE(PAGE(3 + 3 * i)));
    store(0, PAGE(3 + 3 * i) + SAME / PAGE_SIZE * 8, LEAF(PAGE(20), RW));
    store(0, PAGE(3 + 3 * i) + VA / PAGE_SIZE * 8, LEAF(PAGE(21 + i), RW));
  }
  return tlb;
}

void
machine_free(void)
{
  tlb_free(tlb);
}

struct tlb *
machine_tlb(void)
{
  return tlb;
}

tlb_site
satp(unsigned hart, uint64_t root, uint64_t asid)
{
  ck_assert(tlb_satp(tlb, hart, 8ull << 60 | asid << 44 | root >> 12, ++last_site));
  return last_site;
}

tlb_site
bare(unsigned hart)
{
  ck_assert(tlb_satp(tlb, hart, 0, ++last_site));
  return last_site;
}

tlb_site
store_bytes(unsigned hart, uint64_t pa, unsigned size, uint64_t value)
{
  memcpy((uint8_t *)ram + (pa - RAM_BASE), &value, size);
  tlb_store(tlb, hart, pa, size, value, ++last_site);
  return last_site;
}

tlb_site
store(unsigned hart, uint64_t pa, uint64_t value)
{
  return store_bytes(hart, pa, 8, value);
}

void
page_stored(uint64_t pa)
{
  tlb_page_stored(tlb, pa);
}

void
fence(unsigned hart)
{
  tlb_fence(tlb, hart, false, 0, false, 0);
}

void
fence_va(unsigned hart, uint64_t va)
{
  tlb_fence(tlb, hart, true, va, false, 0);
}

void
fence_asid(unsigned hart, uint64_t asid)
{
  tlb_fence(tlb, hart, false, 0, true, asid);
}

void
fence_va_asid(unsigned hart, uint64_t va, uint64_t asid)
{
  tlb_fence(tlb, hart, true, va, true, asid);
}

tlb_site
access_as(unsigned hart, struct tlb_access access)
{
  unsigned before = nreports;
  bool quiet = tlb_quiet(tlb, hart) || tlb_settled(tlb, hart, access.va);
  access.site = ++last_site;
  tlb_access(tlb, hart, &access);
  ck_assert(!quiet || nreports == before);
  return last_site;
}

tlb_site
load(unsigned hart, uint64_t va)
{
  return access_as(hart, (struct tlb_access){.kind = TLB_LOAD, .va = va});
}

tlb_site
write_to(unsigned hart, uint64_t va)
{
  return access_as(hart, (struct tlb_access){.kind = TLB_STORE, .va = va});
}

tlb_site
free_page(unsigned hart, uint64_t pa)
{
  tlb_free_page(tlb, hart, pa, ++last_site);
  return last_site;
}

tlb_site
reuse_page(unsigned hart, uint64_t pa)
{
  tlb_reuse_page(tlb, hart, pa, ++last_site);
  return last_site;
}

void
expect_none(void)
{
  if (nreports > 0)
    ck_abort_msg("unexpected: %s (%s), hart %u, va %#lx, old %#lx, new %#lx",
                 tlb_rule_name(reports[0].rule), tlb_severity_name(reports[0].severity),
                 reports[0].hart, (unsigned long)reports[0].va,
                 (unsigned long)reports[0].old_pte, (unsigned long)reports[0].new_pte);
}

const struct tlb_violation *
expect(enum tlb_rule rule, enum tlb_severity severity, unsigned hart, tlb_site change,
       tlb_site use)
{
  const struct tlb_violation *v = &reports[0];
  ck_assert_uint_eq(nreports, 1);
  ck_assert_str_eq(tlb_rule_name(v->rule), tlb_rule_name(rule));
  ck_assert_str_eq(tlb_severity_name(v->severity), tlb_severity_name(severity));
  ck_assert_uint_eq(v->hart, hart);
  ck_assert_uint_eq(v->change, change);
  ck_assert_uint_eq(v->use, use);
  nreports = 0;
  return v;
}

static void
setup(void)
{
  machine_new(false);
}

TCase *
machine_case(const char *name)
{
  TCase *tc = tcase_create(name);
  tcase_set_timeout(tc, 60); // for a busy machine
  tcase_add_checked_fixture(tc, setup, machine_free);
  return tc;
}

Suite *
machine_suite(const char *name, const TTest **const *tests, size_t count)
{
  Suite *suite = suite_create(name);
  TCase *tc = machine_case(name);
  for (size_t i = 0; i < count; i++)
    tcase_add_test(tc, *tests[i]);
  suite_add_tcase(suite, tc);
  return suite;
}

int
machine_run(Suite *suite)
{
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
