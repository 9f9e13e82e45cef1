// Between user and kernel, and between their page tables. This page lies at TRAMPOLINE in
// both, so that execution goes on when satp changes under it.

#include "../faults/hook.h"

#define TRAPFRAME 0x3fffffe000 // memlayout.h; trap.c checks

        .section trampsec, "ax"

// Traps from user space: stvec points here. Registers are the user's, the table too.
        .globl uservec
        .balign 4
uservec:
        // Register n goes to 32 + 8 n in the trapframe (proc.h), a0 by way of sscratch.
        csrw    sscratch, a0
        li      a0, TRAPFRAME
        .irp    n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
                   22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        sd      x\n, 32 + 8 * \n (a0)
        .endr
        csrr    t0, sscratch
        sd      t0, 32 + 8 * 10(a0)

        ld      t0, 0(a0)               // kernel_satp
        ld      sp, 8(a0)               // kernel_sp
        ld      t1, 16(a0)              // kernel_trap
        ld      tp, 32(a0)              // kernel_hartid
        mv      s0, zero                // backtraces end here

        csrw    satp, t0
#if !FAULT(sfence_skipped_in_uservec)
        sfence.vma                      // stores to tables come before, and nothing
#endif                                  // cached from the old one is used from now on
        jr      t1

// void userret(uint64_t satp): go to user space, into the table that satp names. Called
// by usertrapret() with sepc and sstatus set.
        .globl userret
userret:
        csrw    satp, a0
#if !FAULT(sfence_skipped_in_userret)
        sfence.vma
#endif

        li      a0, TRAPFRAME
        .irp    n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
                   22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        ld      x\n, 32 + 8 * \n (a0)
        .endr
        ld      a0, 32 + 8 * 10(a0)
        sret
