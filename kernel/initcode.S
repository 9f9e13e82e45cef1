// The first process's program, copied to user address 0: exec("/init", {"/init", 0}).
// It must not care where it lies.

#include "syscall.h"

        .section .rodata
        .globl  initcode, initcode_size
        .option norelax
        .balign 8
initcode:
        la      a0, path                // relative to the pc
        la      a1, argv
        li      a7, SYS_exec
        ecall
        li      a7, SYS_exit            // exec failed
        li      a0, 1
        ecall
        j       .
path:   .asciz  "/init"
        .balign 8
argv:   .dword  path - initcode
        .dword  0
initcode_end:
initcode_size:
        .dword  initcode_end - initcode
