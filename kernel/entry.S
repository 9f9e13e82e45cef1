// Where QEMU's -kernel jumps: every hart, in machine mode, at the start of RAM.
        .section .text
        .globl _entry
_entry:
        // Hart n runs on page n of stack0, from its top down.
        csrr    t0, mhartid
        li      t1, 8                   // NCPU; start.c checks
        bgeu    t0, t1, park
        addi    t0, t0, 1
        slli    t0, t0, 12
        la      sp, stack0
        add     sp, sp, t0
        mv      s0, zero                // backtraces end here
        call    start
park:
        wfi
        j       park
