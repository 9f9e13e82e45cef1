// The model and the reference implementation step side by side through random programs;
// after each event, and for each access, both must say the same. A failure names the
// seed and the shortest prefix of its program that shows the difference, and prints
// the events that lead up to it.

#include "programs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PROGRAMS
#define PROGRAMS 250 // of each of 8 flavours: a million events
#endif

static const struct flavour flavours[] = {
    {"one ASID", 1, 0, 12},          {"one ASID, few fences", 1, 0, 3},
    {"three ASIDs", 3, 0, 12},       {"three ASIDs, few fences", 3, 0, 4},
    {"global entries", 1, 20, 12},   {"global entries, three ASIDs", 3, 20, 12},
    {"few global entries", 3, 3, 8}, {"many fences", 3, 10, 40},
};

static uint64_t
run_read(void *arg, uint64_t pa)
{
  const struct run *run = arg;
  ck_assert(pa >= RAM_BASE && pa - RAM_BASE < RAM_PAGES * PAGE_SIZE);
  return run->ram[(pa - RAM_BASE) / 8];
}

static void
run_report(void *arg, const struct tlb_violation *v)
{
  struct run *run = arg;
  if (v->rule == TLB_UNFENCED_TABLE) {
    run->table_reported = true;
    run->tables++;
  } else if (v->kind != TLB_NO_ACCESS) {
    run->reported = v->severity;
    run->had_error[v->hart] |= v->severity == TLB_ERROR;
  } else if (v->rule == TLB_FREED_REACHABLE) {
    run->reuse_reported[v->hart] = true;
  }
}

// The model's answer, in the reference's form.
static void
model_results(struct run *run, unsigned hart, uint64_t va, struct ref_results *results)
{
  struct tlb *t = run->tlb;
  bool seen_fault = false;
  results->n = 0;
  candidates_of(t, hart, va);
  for (unsigned i = 0; i < t->candidates.n; i++) {
    const struct candidate *c = &t->candidates.at[i];
    uint64_t page;
    if (!candidate_usable(&t->harts[hart], c) ||
        (c->level > 0 && pte_kind(c->pte) == PTE_POINTER))
      continue;
    struct ref_result result = {-1, 0};
    if (leaf_page(c, va, &page))
      result = (struct ref_result){c->level, c->pte & ~PTE_G};
    else if (seen_fault)
      continue;
    else
      seen_fault = true;
    bool seen = false;
    for (unsigned k = 0; k < results->n; k++)
      seen |= results->at[k].level == result.level && results->at[k].pte == result.pte;
    if (!seen)
      results->at[results->n++] = result;
  }
}

static bool
results_agree(struct run *run, unsigned hart, uint64_t va)
{
  struct ref_results model, reference;
  if (!run->ref.hart[hart].active)
    return tlb_quiet(run->tlb, hart);
  model_results(run, hart, va, &model);
  ref_results(&run->ref, hart, va, &reference);
  bool agree = model.n == reference.n;
  run->choices += reference.n > 1;
  for (unsigned i = 0; agree && i < model.n; i++) {
    bool found = false;
    for (unsigned k = 0; k < reference.n; k++)
      found |= model.at[i].level == reference.at[k].level &&
               model.at[i].pte == reference.at[k].pte;
    agree = found;
  }
  return agree && (reference.n == 1 || !tlb_quiet(run->tlb, hart));
}

// Translation turned on with no fence is reported if what is read was stored to since
// the last, once, and if there is nothing else to be said of the access.
static bool
table_agrees(struct run *run, const struct event *e)
{
  bool may = ref_unordered(&run->ref, e->hart, e->access.va, false) && !e->access.fence;
  bool must = ref_unordered(&run->ref, e->hart, e->access.va, true) && may;
  if (run->table_reported) {
    run->ref.hart[e->hart].turned_on = 0;
    return may && run->reported == TLB_NONE;
  }
  return !must || run->reported != TLB_NONE;
}

// An access: both know the same results, and what the model reports is what can be
// said; it is silent on what it has reported before only, or has said can bring
// nothing.
static bool
access_agrees(struct run *run, const struct event *e, bool settled)
{
  if (settled && (run->reported != TLB_NONE || run->table_reported))
    return false;
  if (!run->ref.hart[e->hart].active)
    return run->reported == TLB_NONE && !run->table_reported;
  if (!table_agrees(run, e))
    return false;
  enum tlb_severity verdict = ref_verdict(&run->ref, e->hart, &e->access);
  if (run->reported > verdict)
    return false;
  if (verdict == TLB_ERROR && !run->had_error[e->hart])
    return false;
  return results_agree(run, e->hart, e->access.va);
}

// A report is about what the hart can come to, and none about a table is missing.
static bool
reuse_agrees(const struct run *run, const struct event *e, bool was_free)
{
  for (unsigned i = 0; i < HARTS; i++) {
    bool active = run->ref.hart[i].active;
    bool table = active && ref_leads_to(&run->ref, i, e->pa, false);
    bool leaf = active && ref_leads_to(&run->ref, i, e->pa, true);
    if (run->reuse_reported[i] ? !table && !leaf : table && was_free)
      return false;
  }
  return true;
}

static bool
step(struct run *run, const struct event *e, tlb_site site)
{
  bool was_free;
  uint64_t number = (e->pa - RAM_BASE) / PAGE_SIZE, old;
  bool settled;
  run->table_reported = false;
  run->reported = TLB_NONE;
  memset(run->reuse_reported, 0, sizeof(run->reuse_reported));
  switch (e->kind) {
  case STORE:
    old = run->ram[(e->pa - RAM_BASE) / 8];
    memcpy((uint8_t *)run->ram + (e->pa - RAM_BASE), &e->value, e->size);
    if (!tlb_watched(run->tlb, e->pa))
      tlb_page_stored(run->tlb, e->pa);
    tlb_store(run->tlb, e->hart, e->pa, e->size, e->value, site);
    ref_store(&run->ref, e->pa, old);
    return results_agree(run, e->hart, ref_va(e->number));
  case SATP:
    tlb_satp(run->tlb, e->hart, e->value, site);
    ref_satp(&run->ref, e->hart, e->value);
    return results_agree(run, e->hart, ref_va(e->number));
  case FENCE:
    tlb_fence(run->tlb, e->hart, e->has_va, ref_va(e->number), e->has_asid, e->value);
    ref_fence(&run->ref, e->hart, e->has_va, ref_va(e->number), e->has_asid, e->value);
    return results_agree(run, e->hart, ref_va(e->number));
  case ACCESS:
    settled = tlb_settled(run->tlb, e->hart, e->access.va);
    run->settled += settled && !tlb_quiet(run->tlb, e->hart);
    tlb_access(run->tlb, e->hart, &e->access);
    return access_agrees(run, e, settled);
  case FREE:
    tlb_free_page(run->tlb, e->hart, e->pa, site);
    return true;
  default:
    was_free = run->tlb->freed[number].time && !run->tlb->freed[number].reused;
    tlb_reuse_page(run->tlb, e->hart, e->pa, site);
    return reuse_agrees(run, e, was_free);
  }
}

static struct run *
run_new(const struct flavour *flavour, uint64_t seed)
{
  struct run *run = calloc(1, sizeof(*run));
  ck_assert_ptr_nonnull(run);
  run->flavour = flavour;
  run->random = seed * 0x9e3779b97f4a7c15ull + 1;
  struct tlb_config config = {.harts = HARTS,
                              .ram_base = RAM_BASE,
                              .ram_size = RAM_PAGES * PAGE_SIZE,
                              .read = run_read,
                              .report = run_report,
                              .arg = run};
  run->tlb = tlb_new(&config);
  run->ref = (struct reference){.harts = HARTS,
                                .ram_base = RAM_BASE,
                                .ram_size = RAM_PAGES * PAGE_SIZE,
                                .ram = run->ram};
  return run;
}

static void
run_free(struct run *run)
{
  tlb_free(run->tlb);
  free(run);
}

// Run the program of this seed up to the first difference, which is looked for at every
// address of every hart after each event if `everywhere`. The number of events without
// one.
static unsigned
run_program(struct run *run, bool everywhere)
{
  for (unsigned i = 0; i < LENGTH; i++) {
    run->log[i] = draw_event(run);
    if (!step(run, &run->log[i], i + 1))
      return i;
    for (unsigned n = 0; everywhere && n < HARTS * REF_SLOTS; n++) {
      if (!results_agree(run, n % HARTS, ref_va(n / HARTS)))
        return i;
    }
  }
  return LENGTH;
}

static void
print_event(unsigned i, const struct event *e)
{
  static const char *const kinds[] = {"store",  "satp", "fence",
                                      "access", "free", "reuse"};
  printf("%5u hart %u %-6s", i, e->hart, kinds[e->kind]);
  if (e->kind == FENCE)
    printf(" va %s%#lx asid %s%lu", e->has_va ? "" : "no ",
           (unsigned long)ref_va(e->number), e->has_asid ? "" : "no ",
           (unsigned long)e->value);
  else if (e->kind == ACCESS)
    printf(" kind %d va %#lx", e->access.kind, (unsigned long)e->access.va);
  else
    printf(" pa %#lx size %u value %#lx", (unsigned long)e->pa, e->size,
           (unsigned long)e->value);
  printf("\n");
}

static void
explain(const struct flavour *flavour, uint64_t seed)
{
  struct run *run = run_new(flavour, seed);
  unsigned n = run_program(run, true);
  printf("%s, seed %lu: the model and the reference differ after event %u:\n",
         flavour->name, (unsigned long)seed, n);
  for (unsigned i = n < 60 ? 0 : n - 60; i <= n && i < LENGTH; i++)
    print_event(i, &run->log[i]);
  fflush(stdout);
  run_free(run);
}

START_TEST(model_and_reference_agree)
{
  const struct flavour *flavour = &flavours[_i];
  unsigned events = 0, choices = 0, settled = 0, tables = 0;
  for (unsigned i = 0; i < PROGRAMS; i++) {
    uint64_t seed = 1000 * _i + i;
    struct run *run = run_new(flavour, seed);
    unsigned n = run_program(run, false);
    choices += run->choices;
    settled += run->settled;
    tables += run->tables;
    run_free(run);
    events += n;
    if (n < LENGTH) {
      explain(flavour, seed);
      ck_abort_msg("%s: seed %lu differs", flavour->name, (unsigned long)seed);
    }
  }
  ck_assert_uint_eq(events, PROGRAMS * LENGTH);
  ck_assert_uint_gt(choices, events / 20); // else the programs are too tame
  ck_assert_uint_gt(settled, events / 40);
  ck_assert_uint_gt(tables, PROGRAMS / 10);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("random");
  TCase *tc = tcase_create("random");
  tcase_set_timeout(tc, 600); // for a busy machine
  tcase_add_loop_test(tc, model_and_reference_agree, 0,
                      sizeof(flavours) / sizeof(flavours[0]));
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
