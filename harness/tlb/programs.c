#include "programs.h"

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

struct event
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
    unsigned word = draw(run, 512);
    e.kind = ACCESS;
    e.access = (struct tlb_access){.kind = draw(run, 3),
                                   .va = ref_va(e.number) + 8 * word,
                                   .user = draw(run, 2),
                                   .sum = draw(run, 2),
                                   .mxr = draw(run, 4) == 0,
                                   .fence = word % 16 == 0};
  }
  return e;
}
