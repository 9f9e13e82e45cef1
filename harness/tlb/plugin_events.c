#include "plugin_events.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin_decode.h"
#include "plugin_guest.h"
#include "plugin_report.h"
#include "tlb.h"

enum { SSTATUS_SUM = 1 << 18, SSTATUS_MXR = 1 << 19 };
enum { CACHED = 64 }; // pages that a hart remembers, of each kind

// Virtual pages about which something was found out, each with the `generation` in
// which it was so.
struct pages {
  struct {
    uint64_t page, generation;
  } at[CACHED];
};

// One hart. Written by its own thread only, but satp_written is read by others.
struct hart {
  bool satp_written; // by an instruction at the end of the block before
  tlb_site satp_site;
  uint64_t pc;            // of the access that the model is looking at
  struct pages unwatched; // stores have hit them, and they are no page tables
  struct pages settled;   // no access to them can be a violation
};

static struct options options;
static unsigned harts;
static struct hart *hart_at;
// For each hart a word that is not 0 while its blocks, loads and stores have to be
// looked at. Tested in line.
static struct qemu_plugin_scoreboard *attention;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of the model and the report
static struct tlb *model;
static const uint8_t *quiet, *watched;
// Grows when a page may have come to be watched, a virtual page may have come to lie
// elsewhere, or what a hart may have cached may have come to differ from memory.
static uint64_t generation = 1;

static bool
remembered(const struct pages *pages, uint64_t page, uint64_t now)
{
  unsigned slot = page % CACHED;
  return pages->at[slot].page == page && pages->at[slot].generation == now;
}

static void
remember(struct pages *pages, uint64_t page, uint64_t now)
{
  unsigned slot = page % CACHED;
  pages->at[slot].page = page;
  pages->at[slot].generation = now;
}

static void
give_up(const char *what, const char *why)
{
  fprintf(stderr, "faultline-tlb: %s: %s\n", what, why);
  exit(1);
}

void *
pack(struct packed packed)
{
  void *data;
  static_assert(sizeof(packed) == sizeof(data), "an instruction fits in an argument");
  memcpy(&data, &packed, sizeof(data));
  return data;
}

static struct packed
unpack(void *data)
{
  struct packed packed;
  memcpy(&packed, &data, sizeof(packed));
  return packed;
}

static uint64_t
pc_of(struct packed packed)
{
  return (uint64_t)((int64_t)((uint64_t)packed.half_pc << 25) >> 24);
}

static bool
is_quiet(unsigned number)
{
  return __atomic_load_n(&quiet[number], __ATOMIC_RELAXED);
}

// After an event, with the lock held.
static void
look_where_needed(void)
{
  for (unsigned i = 0; i < harts; i++) {
    uint64_t *word = qemu_plugin_scoreboard_find(attention, i);
    uint64_t wanted =
        !is_quiet(i) || __atomic_load_n(&hart_at[i].satp_written, __ATOMIC_RELAXED);
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != wanted)
      __atomic_store_n(word, wanted, __ATOMIC_RELAXED);
  }
}

static void
forget_pages(void)
{
  __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
}

static void
on_violation(void *arg, const struct tlb_violation *v)
{
  (void)arg;
  if (v->kind == TLB_NO_ACCESS) {
    report_violation(v, NULL);
  } else {
    struct place use = guest_place(hart_at[v->use_hart].pc);
    report_violation(v, &use);
  }
}

static uint64_t
read_word(void *arg, uint64_t pa)
{
  (void)arg;
  return guest_word(pa);
}

// Before an instruction that writes satp.
void
on_satp(unsigned number, void *data)
{
  struct hart *hart = &hart_at[number];
  struct place place = guest_place(pc_of(unpack(data)));

  pthread_mutex_lock(&lock);
  hart->satp_site = report_site(&place);
  hart->satp_written = true;
  look_where_needed();
  pthread_mutex_unlock(&lock);
}

// Before an sfence.vma.
void
on_fence(unsigned number, void *data)
{
  struct packed packed = unpack(data);
  uint64_t va = guest_x(packed.rs1), asid = guest_x(packed.rest);

  pthread_mutex_lock(&lock);
  tlb_fence(model, number, packed.rs1 != 0, va, packed.rest != 0, asid);
  forget_pages();
  look_where_needed();
  pthread_mutex_unlock(&lock);
}

// An access to one page, while the hart needs attention.
static void
access_page(unsigned number, enum tlb_kind kind, uint64_t va, struct packed packed,
            uint64_t pc)
{
  struct hart *hart = &hart_at[number];
  bool user = packed.mode == MODE_USER;
  uint64_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (remembered(&hart->settled, va / PAGE, now))
    return;

  pthread_mutex_lock(&lock);
  if (tlb_settled(model, number, va)) {
    remember(&hart->settled, va / PAGE, now);
  } else {
    uint64_t sstatus = user ? 0 : guest_sstatus();
    struct tlb_access access = {.kind = kind,
                                .va = va,
                                .user = user,
                                .sum = (sstatus & SSTATUS_SUM) != 0,
                                .mxr = (sstatus & SSTATUS_MXR) != 0,
                                .fence = packed.fence};
    hart->pc = pc;
    tlb_access(model, number, &access);
    look_where_needed();
  }
  pthread_mutex_unlock(&lock);
}

static void
access_range(unsigned number, enum tlb_kind kind, uint64_t va, uint64_t size,
             struct packed packed, uint64_t pc)
{
  access_page(number, kind, va, packed, pc);
  if ((va ^ (va + size - 1)) / PAGE != 0)
    access_page(number, kind, (va + size - 1) & -(uint64_t)PAGE, packed, pc);
}

// The write of satp at the end of the block before has been done.
static void
take_satp(unsigned number)
{
  struct hart *hart = &hart_at[number];
  uint64_t satp = guest_satp();

  pthread_mutex_lock(&lock);
  hart->satp_written = false;
  tlb_satp(model, number, satp, hart->satp_site);
  forget_pages();
  look_where_needed();
  if (satp != 0)
    report_paging();
  pthread_mutex_unlock(&lock);
}

// At the start of a block, while the hart needs attention.
void
on_block(unsigned number, void *data)
{
  struct packed packed = unpack(data);

  if (hart_at[number].satp_written)
    take_satp(number);
  if (packed.mode == MODE_MACHINE || is_quiet(number))
    return;
  uint64_t pc = guest_pc();
  access_range(number, TLB_FETCH, pc, packed.rest, packed, pc);
}

// Before a load or store, while the hart needs attention.
void
on_access(unsigned number, void *data)
{
  struct packed packed = unpack(data);
  uint64_t va = guest_x(packed.rs1) + packed.rest - 2048;

  if (!is_quiet(number))
    access_range(number, packed.store ? TLB_STORE : TLB_LOAD, va, 1ull << packed.size,
                 packed, pc_of(packed));
}

// After a store to a page that the model watches.
static void
watched_store(unsigned number, uint64_t pa, uint64_t size, uint64_t pc)
{
  struct place place = guest_place(pc);

  pthread_mutex_lock(&lock);
  tlb_site site = report_site(&place);
  for (uint64_t at = pa & -8ull; at < pa + size; at += 8)
    if (guest_in_ram(at, 8))
      tlb_store(model, number, at, 8, guest_word(at), site);
  forget_pages();
  look_where_needed();
  pthread_mutex_unlock(&lock);
}

static bool
is_watched(uint64_t pa)
{
  return guest_in_ram(pa, 1) &&
         __atomic_load_n(&watched[(pa - RAM_BASE) / PAGE], __ATOMIC_RELAXED);
}

// After a store.
void
on_store(unsigned number, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
  struct packed packed = unpack(data);
  struct hart *hart = &hart_at[number];
  uint64_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);

  if (remembered(&hart->unwatched, va / PAGE, now))
    return;
  struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, va);
  if (where == NULL)
    return;
  uint64_t pa = qemu_plugin_hwaddr_phys_addr(where);
  if (!qemu_plugin_hwaddr_is_io(where) && is_watched(pa)) {
    watched_store(number, pa, 1ull << qemu_plugin_mem_size_shift(info), pc_of(packed));
  } else {
    tlb_page_stored(model, pa);
    remember(&hart->unwatched, va / PAGE, now);
  }
}

// After a store of M-mode, which uses physical addresses.
void
on_machine_store(unsigned number, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
  if (is_watched(va))
    watched_store(number, va, 1ull << qemu_plugin_mem_size_shift(info),
                  pc_of(unpack(data)));
  else
    tlb_page_stored(model, va);
}

// Before the allocator's functions: kfree's first instruction, kalloc's return.
static void
page_event(unsigned number, void *data,
           void (*event)(struct tlb *, unsigned, uint64_t, tlb_site))
{
  uint64_t pa = guest_x(REG_A0);
  if (!guest_in_ram(pa, PAGE) || pa % PAGE != 0)
    return;
  struct place place = guest_place_outside(pc_of(unpack(data)));

  pthread_mutex_lock(&lock);
  event(model, number, pa, report_site(&place));
  look_where_needed();
  pthread_mutex_unlock(&lock);
}

void
on_kfree(unsigned number, void *data)
{
  page_event(number, data, tlb_free_page);
}

void
on_kalloc_return(unsigned number, void *data)
{
  page_event(number, data, tlb_reuse_page);
}

static void
begin(void)
{
  struct tlb_config config = {.harts = harts,
                              .ram_base = RAM_BASE,
                              .svvptc = options.svvptc,
                              .read = read_word,
                              .report = on_violation};
  const char *missing = guest_find_registers();
  if (missing != NULL)
    give_up("this QEMU does not show a hart's registers", missing);
  if (!guest_map(options.ram))
    give_up(options.ram, strerror(errno));
  if (!report_open(options.out, options.limit, harts))
    give_up(options.out, strerror(errno));
  config.ram_size = guest_ram_size();
  model = tlb_new(&config);
  if (model == NULL)
    give_up("the model", "out of memory");
  quiet = tlb_quiet_bytes(model);
  watched = tlb_watched_bytes(model);
}

void
events_prepare(const struct options *asked, unsigned how_many)
{
  options = *asked;
  harts = how_many;
  hart_at = calloc(harts, sizeof(*hart_at));
  attention = qemu_plugin_scoreboard_new(sizeof(uint64_t));
  if (hart_at == NULL)
    give_up("the harts", "out of memory");
}

void
events_begin(void)
{
  pthread_mutex_lock(&lock);
  if (model == NULL)
    begin();
  pthread_mutex_unlock(&lock);
}

qemu_plugin_u64
events_attention(void)
{
  return (qemu_plugin_u64){attention, 0};
}
