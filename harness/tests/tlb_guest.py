"""Tiny guests for the TLB checker: a table, a change, a use, and what lies between.

Each is a kernel of a few instructions in S-mode with its own page table: the gigapage of
RAM and that of the devices are identity mapped (G), and the megabyte at DATA is walked
through two more tables. A guest says `$ ` when it is done.
"""

from __future__ import annotations

DATA = 0x40_0000_0000 - (1 << 30)  # a gigabyte of its own below the top of the lower half

PROLOGUE = """
.equ V, 1
.equ R, 2
.equ W, 4
.equ U, 16
.equ G, 32
.equ AD, 0xc0
.equ RW, V|R|W|AD

.macro pte to:req, page:req, flags:req   # an entry for a symbol's page
  la \\to, \\page
  srli \\to, \\to, 2
  ori \\to, \\to, \\flags
.endm
.macro set table:req, index:req, page:req, flags:req
  pte t0, \\page, \\flags
  la t1, \\table
  li t2, \\index * 8
  add t1, t1, t2
  sd t0, 0(t1)
.endm
.macro load_satp root:req, asid=0
  la t0, \\root
  srli t0, t0, 12
  li t1, (8 << 60) | (\\asid << 44)
  or t0, t0, t1
  csrw satp, t0
.endm
.macro identity root:req, flags=G
  la t1, \\root
  li t0, (0x80000000 >> 2) | V|R|W|8|AD|\\flags
  sd t0, 16(t1)
  li t0, V|R|W|AD|\\flags
  sd t0, 0(t1)
.endm

.globl _start
_start:
  csrr t0, mhartid
1: bnez t0, 1b
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0xf
  csrw pmpcfg0, t0
  la t0, fault
  csrw stvec, t0
  li t0, 0xffff
  csrw medeleg, t0
  la t0, main
  csrw mepc, t0
  li t0, 0x800
  csrs mstatus, t0
  mret
.balign 4
fault:                       # the faulting access is skipped: all are 4 bytes long
  csrr t5, sepc
  addi t5, t5, 4
  csrw sepc, t5
  sret
main:
  la sp, stack_top
  li s0, 0
  li s1, DATA
  identity root
  set root, 255, middle, V
  set middle, 0, last, V
  set last, 0, page_a, RW
  identity other
  set other, 255, other_middle, V
  set other_middle, 0, other_last, V
  set other_last, 0, page_b, RW
  sfence.vma
  load_satp root
  sfence.vma
.option push
.option norvc
  j body
.globl change
change:
  sd a1, 0(a0)
  ret
.globl touch
touch:
  lw a5, 0(s1)
  ret
.globl write
write:
  sw zero, 0(s1)
  ret
.globl kalloc
.type kalloc, @function
kalloc:
  ret
.size kalloc, . - kalloc
.globl kfree
.type kfree, @function
kfree:
  ret
.size kfree, . - kfree
.globl body
body:
"""
EPILOGUE = """
  li t0, 0x10000000
  li t1, '$'
  sb t1, 0(t0)
  li t1, ' '
  sb t1, 0(t0)
1: j 1b
.option pop
.balign 4096
root: .zero 4096
middle: .zero 4096
last: .zero 4096
other: .zero 4096
other_middle: .zero 4096
other_last: .zero 4096
page_a: .zero 4096
page_b: .zero 4096
stack: .zero 4096
stack_top:
"""


def guest(body: str) -> str:
    """Return the source of a guest with these instructions between set-up and end."""
    return f".equ DATA, {DATA:#x}\n{PROLOGUE}{body}{EPILOGUE}"
