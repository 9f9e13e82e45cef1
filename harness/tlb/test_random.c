// The model and the reference implementation step side by side through random programs;
// after each event, and for each access, both must say the same. A failure names the
// seed and the shortest prefix of its program that shows the difference, and prints
// the events that lead up to it.

#include "model.h"
#include "reference.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BASE  0x80000000ull
#define TABLES    8 // pages that entries are stored to
#define RAM_PAGES 12
#define HARTS     3
#define LENGTH    500 // events of a program
#ifndef PROGRAMS
#define PROGRAMS 250 // of each of 8 flavours: a million events
#endif

// How a kind of programs differs from the others.
struct flavour {
  const char *name;
  unsigned asids;
  unsigned globals; // of 100 entries
  unsigned fences;  // of 100 events
};

static const struct flavour flavours[] = {
    {"one ASID", 1, 0, 12},          {"one ASID, few fences", 1, 0, 3},
    {"three ASIDs", 3, 0, 12},       {"three ASIDs, few fences", 3, 0, 4},
    {"global entries", 1, 20, 12},   {"global entries, three ASIDs", 3, 20, 12},
    {"few global entries", 3, 3, 8}, {"many fences", 3, 10, 40},
};

enum kind { STORE, SATP, FENCE, ACCESS, FREE, REUSE };

struct event {
  enum kind kind;
  unsigned hart, size, number;
  uint64_t pa, value;
  bool has_va, has_asid;
  struct tlb_access access;
};

struct run {
  const struct flavour *flavour;
  uint64_t random;
  uint64_t ram[RAM_PAGES * TABLE_ENTRIES];
  struct tlb *tlb;
  struct reference ref;
  struct event log[LENGTH];
  // Of the last event: reports of uses, of reuse; and which harts have had an error.
  enum tlb_severity reported;
  bool reuse_reported[HARTS], had_error[HARTS];
  unsigned choices; // answers compared that were of several results
};

// xorshift64*
static unsigned
draw(struct run *run, unsigned n)
{
  run->random ^= run->random >> 12;
  run->random ^= run->random << 25;
  run->random ^= run->random >> 27;
  return (run->random * 0x2545f4914f6cdd1dull >> 33) % n;
}

static uint64_t
draw_pte(struct run *run)
{
  uint64_t table = RAM_BASE + PAGE_SIZE * draw(run, TABLES);
  uint64_t page = RAM_BASE + PAGE_SIZE * draw(run, RAM_PAGES);
  uint64_t flags = draw(run, 100) < run->flavour->globals ? PTE_V | PTE_G : PTE_V;
  uint64_t leaf = flags | PTE_R | draw(run, 256);
  unsigned what = draw(run, 100);
  if (!run->flavour->globals)
    leaf &= ~PTE_G;
  if (what < 20)
    return draw(run, 2) ? 0 : 0x400;
  if (what < 60)
    return table >> 2 | flags;
  if (what < 85)
    return page >> 2 | leaf;
  if (what < 93) // a superpage, perhaps not aligned for its level
    return (uint64_t)(draw(run, 3) << 21) >> 2 | (uint64_t)draw(run, 2) << 28 | leaf;
  if (what < 96)
    return 0x1000 >> 2 | flags; // a pointer out of RAM
  return page >> 2 | (draw(run, 2) ? PTE_V | PTE_W : leaf | 1ull << 60);
}

static void
draw_store(struct run *run, struct event *e)
{
  static const unsigned sizes[] = {8, 8, 8, 8, 8, 4, 2, 1};
  unsigned index = draw(run, REF_INDICES);
  e->size = sizes[draw(run, 8)];
  e->pa = RAM_BASE + PAGE_SIZE * draw(run, TABLES) + 8 * index;
  uint64_t pte = draw_pte(run);
  unsigned offset = draw(run, 8) / e->size * e->size;
  if (e->size < 4)
    offset = 0; // where the flags are
  e->pa += offset;
  e->value = pte >> 8 * offset;
  if (e->size < 8)
    e->value &= (1ull << 8 * e->size) - 1;
}

static struct event
draw_event(struct run *run)
{
  struct event e = {.hart = draw(run, HARTS)};
  unsigned what = draw(run, 100), fences = run->flavour->fences;
  e.number = draw(run, REF_SLOTS);
  if (what < fences) {
    e.kind = FENCE;
    unsigned form = draw(run, 100);
    e.has_va = form < 40;
    e.has_asid = form % 2;
    e.value = draw(run, run->flavour->asids);
  } else if (what < fences + 8) {
    e.kind = SATP;
    uint64_t root = RAM_BASE / PAGE_SIZE + draw(run, 3);
    if (draw(run, 12) > 0)
      e.value = 8ull << 60 | (uint64_t)draw(run, run->flavour->asids) << 44 | root;
  } else if (what < fences + 12) {
    e.kind = draw(run, 2) ? FREE : REUSE;
    e.pa = RAM_BASE + PAGE_SIZE * draw(run, RAM_PAGES);
  } else if (what < fences + 36) {
    e.kind = STORE;
    draw_store(run, &e);
  } else {
    e.kind = ACCESS;
    e.access = (struct tlb_access){.kind = draw(run, 3),
                                   .va = ref_va(e.number) + 8 * draw(run, 512),
                                   .user = draw(run, 2),
                                   .sum = draw(run, 2),
                                   .mxr = draw(run, 4) == 0};
  }
  return e;
}

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
  if (v->kind != TLB_NO_ACCESS) {
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

// An access: both know the same results, and what the model reports is what can be
// said; it is silent on what it has reported before only.
static bool
access_agrees(struct run *run, const struct event *e)
{
  if (!run->ref.hart[e->hart].active)
    return run->reported == TLB_NONE;
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
  uint64_t number = (e->pa - RAM_BASE) / PAGE_SIZE;
  run->reported = TLB_NONE;
  memset(run->reuse_reported, 0, sizeof(run->reuse_reported));
  switch (e->kind) {
  case STORE:
    memcpy((uint8_t *)run->ram + (e->pa - RAM_BASE), &e->value, e->size);
    tlb_store(run->tlb, e->hart, e->pa, e->size, e->value, site);
    ref_fill(&run->ref);
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
    tlb_access(run->tlb, e->hart, &e->access);
    return access_agrees(run, e);
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
  unsigned events = 0, choices = 0;
  for (unsigned i = 0; i < PROGRAMS; i++) {
    uint64_t seed = 1000 * _i + i;
    struct run *run = run_new(flavour, seed);
    unsigned n = run_program(run, false);
    choices += run->choices;
    run_free(run);
    events += n;
    if (n < LENGTH) {
      explain(flavour, seed);
      ck_abort_msg("%s: seed %lu differs", flavour->name, (unsigned long)seed);
    }
  }
  ck_assert_uint_eq(events, PROGRAMS * LENGTH);
  ck_assert_uint_gt(choices, events / 20); // else the programs are too tame
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
