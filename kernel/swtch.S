// void swtch(struct context *save, struct context *load)
//
// Put the registers that a callee must preserve into *save and take them, the stack and
// the return address among them, from *load: returns into whoever saved *load. Both
// contexts are in memory that every kernel table maps, and so is this code; the stacks
// need not be: the caller has loaded the table that the new stack lives in.
        .section .text
        .globl swtch
swtch:
        sd      ra, 0(a0)
        sd      sp, 8(a0)
        ld      ra, 0(a1)
        ld      sp, 8(a1)
        .set    offset, 16
        .irp    r, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11
        sd      \r, offset(a0)
        ld      \r, offset(a1)
        .set    offset, offset + 8
        .endr
        ret
