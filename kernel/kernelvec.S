// Traps from the kernel itself: interrupts, and faults that copy.S expects.

#define FRAME      288        // sizeof(struct ktrapframe), ktrap.h
#define KSTACK     0x3ffff000 // memlayout.h; trap.c checks both

        .section .text
        .globl kernelvec
        .balign 4
kernelvec:
        // Is there room on the stack? A kernel stack ends at KSTACK, above an unmapped
        // page. The harts' boot stacks lie far above it.
        csrw    sscratch, t0
        li      t0, KSTACK + FRAME
        sub     t0, sp, t0
        bltz    t0, overflow
        csrr    t0, sscratch
        addi    sp, sp, -FRAME
        sd      ra, 8(sp)
        addi    ra, sp, FRAME
        sd      ra, 16(sp)
save:
        .irp    n, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, \
                   23, 24, 25, 26, 27, 28, 29, 30, 31
        sd      x\n, \n * 8(sp)
        .endr
        csrr    t0, sepc
        sd      t0, 256(sp)
        csrr    t0, sstatus
        sd      t0, 264(sp)
        csrr    t0, scause
        sd      t0, 272(sp)
        csrr    t0, stval
        sd      t0, 280(sp)

        mv      a0, sp
        call    kerneltrap

        // tp is not restored: the process may have moved to another hart.
        ld      t0, 256(sp)
        csrw    sepc, t0
        ld      t0, 264(sp)
        csrw    sstatus, t0
        .irp    n, 1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, \
                   23, 24, 25, 26, 27, 28, 29, 30, 31
        ld      x\n, \n * 8(sp)
        .endr
        addi    sp, sp, FRAME
        sret

overflow:
        // Tell on a stack kept for this. There is no way back, and one is enough.
        la      t0, overflow_stack + 4096 - FRAME
        sd      ra, 8(t0)
        sd      sp, 16(t0)
        mv      sp, t0
        csrr    t0, sscratch
        j       save

        .section .bss
        .balign 16
overflow_stack:
        .zero   4096
