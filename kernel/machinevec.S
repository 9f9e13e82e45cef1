// Machine-mode traps: the timer, and the kernel's call to power off.
        .section .text
        .globl machinevec
        .balign 4
machinevec:
        // mscratch points to this hart's struct timer (start.c).
        csrrw   a0, mscratch, a0
        sd      a1, 0(a0)
        sd      a2, 8(a0)
        sd      a3, 16(a0)

        csrr    a1, mcause
        bgez    a1, call                // not an interrupt

        ld      a1, 24(a0)              // mtimecmp += interval
        ld      a2, 32(a0)
        ld      a3, 0(a1)
        add     a3, a3, a2
        sd      a3, 0(a1)
        csrsi   mip, 2                  // raise a supervisor software interrupt

        ld      a3, 16(a0)
        ld      a2, 8(a0)
        ld      a1, 0(a0)
        csrrw   a0, mscratch, a0
        mret

call:
        // The caller's a0, now in mscratch, goes to QEMU's test device.
        csrr    a1, mscratch
        li      a2, 0x00100000          // TESTDEV
        sw      a1, 0(a2)
1:      wfi
        j       1b
