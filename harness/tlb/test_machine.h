// A small machine for the model's tests: RAM, harts, and the reports that came. Each
// event has a site of its own, which the event's function returns.

#pragma once

#include "pte.h"
#include "tlb.h"

#include <check.h>
#include <stdlib.h>

#define RAM_BASE  0x80000000ull
#define RAM_PAGES 2048
#define HARTS     3

// The physical address of the n-th page of RAM, and entries that lead there.
#define PAGE(n)       (RAM_BASE + PAGE_SIZE * (n))
#define TABLE(pa)     ((pa) >> 12 << 10 | PTE_V)
#define LEAF(pa, rwx) (TABLE(pa) | (rwx) | PTE_A | PTE_D)
#define RW            (PTE_R | PTE_W)

// The machine begins with two address spaces, ROOT and OTHER, neither loaded. Both map
// SAME to PAGE(20), VA to PAGE(21) and PAGE(22), and HOLE to nothing.
#define ROOT       PAGE(1)
#define MIDDLE     PAGE(2)
#define TABLE0     PAGE(3)
#define OTHER      PAGE(4)
#define SAME       0x2000ull
#define VA         0x3000ull
#define HOLE       0x4000ull
#define ENTRY(va)  (TABLE0 + (va) / PAGE_SIZE * 8)
#define OTHER0(va) (PAGE(6) + (va) / PAGE_SIZE * 8)

struct tlb *machine_new(bool svvptc);
void machine_free(void);
struct tlb *machine_tlb(void);

tlb_site satp(unsigned hart, uint64_t root, uint64_t asid);
tlb_site bare(unsigned hart);
tlb_site store(unsigned hart, uint64_t pa, uint64_t value);
tlb_site store_bytes(unsigned hart, uint64_t pa, unsigned size, uint64_t value);
void page_stored(uint64_t pa); // a store that the model does not see
void fence(unsigned hart);     // sfence.vma zero, zero
void fence_va(unsigned hart, uint64_t va);
void fence_asid(unsigned hart, uint64_t asid);
void fence_va_asid(unsigned hart, uint64_t va, uint64_t asid);
tlb_site load(unsigned hart, uint64_t va);
tlb_site write_to(unsigned hart, uint64_t va);
tlb_site access_as(unsigned hart, struct tlb_access access);
tlb_site free_page(unsigned hart, uint64_t pa);
tlb_site reuse_page(unsigned hart, uint64_t pa);

// No report has come since the last expectation.
void expect_none(void);
// Just one has, with these ends; it is returned, and lives until the next event.
const struct tlb_violation *expect(enum tlb_rule rule, enum tlb_severity severity,
                                   unsigned hart, tlb_site change, tlb_site use);

// A test case without tests, each of which gets a machine of its own; and a suite of
// one with these tests.
TCase *machine_case(const char *name);
Suite *machine_suite(const char *name, const TTest **const *tests, size_t count);

// Run the suite in this process or Check's, as CK_FORK says; the exit status.
int machine_run(Suite *suite);
