// Memory accesses that may fault because a user pointer is bad. Each instruction that
// touches user memory has an entry in the fixups section: its own address, and where to
// go on if it faults (usercopy_fixup in usercopy.c, kerneltrap in trap.c).

.macro user instruction:vararg
9:      \instruction
        .pushsection fixups, "a"
        .balign 8
        .dword  9b, fault
        .popsection
.endm

        .section .text

// long user_copy(void *dst, const void *src, uint64_t n): 0, or -1 after a fault. One
// of the two is a user address; bytes before the fault have been copied.
        .globl user_copy
user_copy:
        or      t0, a0, a1
        andi    t0, t0, 7
        bnez    t0, bytes
words:
        li      t1, 8
1:      bltu    a2, t1, bytes
        user    ld t0, 0(a1)
        user    sd t0, 0(a0)
        addi    a0, a0, 8
        addi    a1, a1, 8
        addi    a2, a2, -8
        j       1b
bytes:
        beqz    a2, 2f
        user    lbu t0, 0(a1)
        user    sb t0, 0(a0)
        addi    a0, a0, 1
        addi    a1, a1, 1
        addi    a2, a2, -1
        j       bytes
2:      li      a0, 0
        ret

// long user_strcpy(char *dst, const char *src, uint64_t max): the length of the user's
// string at src, copied with its final zero, or -1 if it faults or has no zero in max
// bytes.
        .globl user_strcpy
user_strcpy:
        mv      t1, a1
1:      beqz    a2, fault
        user    lbu t0, 0(a1)
        sb      t0, 0(a0)
        beqz    t0, 2f
        addi    a0, a0, 1
        addi    a1, a1, 1
        addi    a2, a2, -1
        j       1b
2:      sub     a0, a1, t1
        ret

fault:
        li      a0, -1
        ret
