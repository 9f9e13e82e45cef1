// RV64 registers and Sv39 page tables (RISC-V Privileged Architecture 1.12).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PGSIZE  4096
#define PGSHIFT 12

#define PGROUNDUP(a)   (((uint64_t)(a) + PGSIZE - 1) & ~(uint64_t)(PGSIZE - 1))
#define PGROUNDDOWN(a) ((uint64_t)(a) & ~(uint64_t)(PGSIZE - 1))

// Page-table entries (section 4.4.1).
#define PTE_V (1L << 0)
#define PTE_R (1L << 1)
#define PTE_W (1L << 2)
#define PTE_X (1L << 3)
#define PTE_U (1L << 4)

#define PTE_FLAGS(pte) ((pte)&0x3ff)
#define PTE_LEAF(pte)  ((pte) & (PTE_R | PTE_W | PTE_X))
#define PA2PTE(pa)     (((uint64_t)(pa) >> PGSHIFT) << 10)
#define PTE2PA(pte)    (((pte) >> 10) << PGSHIFT)

#define PTENTRIES     512
#define PX(level, va) (((uint64_t)(va) >> (PGSHIFT + 9 * (level))) & 0x1ff)

// One past the highest address of Sv39's lower half, which is all that is used here:
// addresses with bit 38 set would have to be sign-extended.
#define MAXVA (1L << (9 + 9 + 9 + 12 - 1))

#define SATP_SV39        (8UL << 60)
#define MAKE_SATP(table) (SATP_SV39 | ((uint64_t)(table) >> PGSHIFT))

typedef uint64_t pte_t;
typedef pte_t *pagetable_t; // PTENTRIES entries, one page

#define MSTATUS_MPP_MASK (3L << 11)
#define MSTATUS_MPP_S    (1L << 11)
#define MSTATUS_MIE      (1L << 3)
#define MIE_MTIE         (1L << 7)

#define SSTATUS_SPP  (1L << 8) // came from supervisor mode
#define SSTATUS_SPIE (1L << 5)
#define SSTATUS_SIE  (1L << 1)

#define SIE_SEIE (1L << 9)
#define SIE_STIE (1L << 5)
#define SIE_SSIE (1L << 1)

// scause (section 4.1.8).
#define SCAUSE_INTERRUPT       (1UL << 63)
#define SCAUSE_SOFTWARE        (SCAUSE_INTERRUPT | 1)
#define SCAUSE_EXTERNAL        (SCAUSE_INTERRUPT | 9)
#define SCAUSE_USER_ECALL      8
#define SCAUSE_FETCH_PAGEFAULT 12
#define SCAUSE_LOAD_PAGEFAULT  13
#define SCAUSE_STORE_PAGEFAULT 15

#ifdef __riscv

#define CSR_READ(name)                                                                 \
  ({                                                                                   \
    uint64_t csr_value_;                                                               \
    asm volatile("csrr %0, " #name : "=r"(csr_value_));                                \
    csr_value_;                                                                        \
  })
#define CSR_WRITE(name, value)                                                         \
  asm volatile("csrw " #name ", %0" : : "r"((uint64_t)(value)) : "memory")

// The hart's id, kept in tp since start(). Meaningful only while interrupts are off.
static inline int
cpuid(void)
{
  uint64_t id;
  asm volatile("mv %0, tp" : "=r"(id));
  return (int)id;
}

static inline void
intr_on(void)
{
  asm volatile("csrs sstatus, %0" : : "r"(SSTATUS_SIE) : "memory");
}

// Returns whether they were on.
static inline bool
intr_off(void)
{
  uint64_t sstatus;
  asm volatile("csrrc %0, sstatus, %1" : "=r"(sstatus) : "r"(SSTATUS_SIE) : "memory");
  return sstatus & SSTATUS_SIE;
}

static inline bool
intr_get(void)
{
  return CSR_READ(sstatus) & SSTATUS_SIE;
}

// Wait until some interrupt is pending, whether or not interrupts are on.
static inline void
wfi(void)
{
  asm volatile("wfi" : : : "memory");
}

// Order this hart's earlier stores to page tables before its later translations, and
// forget every translation it has cached (section 4.2.1).
static inline void
sfence_vma(void)
{
  asm volatile("sfence.vma zero, zero" : : : "memory");
}

// Let this hart fetch instructions that were stored as data, by any hart (Zifencei).
static inline void
fence_i(void)
{
  asm volatile("fence.i" : : : "memory");
}

#else // unit tests on the host: one hart, no traps, no translation

static inline int
cpuid(void)
{
  return 0;
}
static inline void
intr_on(void)
{
}
static inline bool
intr_off(void)
{
  return false;
}
static inline bool
intr_get(void)
{
  return false;
}
static inline void
wfi(void)
{
}
static inline void
sfence_vma(void)
{
}
static inline void
fence_i(void)
{
}
#define CSR_READ(name)         0UL
#define CSR_WRITE(name, value) ((void)(value))

#endif
