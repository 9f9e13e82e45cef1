# The program that probe_image.c copies into files for exec: it must not refer to anything
# outside of itself. In assembly, for compilers keep constants elsewhere.
#
# It disarms the shim, takes a sum over argv (probe_image.c has the same), sees whether
# the memory that it asked for is cleared, says argv[0] and waits for a line of input if
# that begins with @, and ends with the sum for its status. If it cannot say it, nobody
# would answer: it does not wait, and its status tells.

#include "kernel/syscall.h"
#include "user/probe_image.h"

#define argc  s0
#define argv  s1
#define sum   s2

.section image, "ax"
.globl image_start
image_start:
  mv argc, a0
  mv argv, a1
  addi sp, sp, -16
  ld a0, IMAGE_MAGIC(zero)
  ld a1, IMAGE_DISARM(zero)
  li a7, SYS_uptime
  ecall

  # sum = argc; for each byte of argv[1] and on: sum = 31 sum + byte
  mv sum, argc
  li t0, 1
  li t3, 31
argument:
  bge t0, argc, summed
  slli t1, t0, 3
  add t1, t1, argv
  ld t1, 0(t1)
byte:
  lbu t2, 0(t1)
  beqz t2, next_argument
  mulw sum, sum, t3
  addw sum, sum, t2
  addi t1, t1, 1
  j byte
next_argument:
  addi t0, t0, 1
  j argument
summed:
  slli sum, sum, 40
  srli sum, sum, 40
  li t0, IMAGE_SUMMED
  or sum, sum, t0

  # One word of each page above the first.
  ld t1, IMAGE_SIZE(zero)
  li t0, 4096
page:
  bgeu t0, t1, cleared
  ld t2, 0(t0)
  sd t0, 0(t0)
  beqz t2, next_page
  li sum, IMAGE_SPOILT
next_page:
  li t2, 4096
  add t0, t0, t2
  j page
cleared:

  ld a1, 0(argv)
  lbu t0, 0(a1)
  li t1, '@'
  bne t0, t1, end
  mv a2, a1
1:
  lbu t0, 0(a2)
  addi a2, a2, 1
  bnez t0, 1b
  addi a2, a2, -1
  sub a2, a2, a1
  li a0, 1
  li a7, SYS_write
  ecall
  beq a0, a2, input
  li sum, IMAGE_MUTE
  j end
input:
  li a0, 0
  mv a1, sp
  li a2, 1
  li a7, SYS_read
  ecall
  li t0, 1
  bne a0, t0, end
  lbu t0, 0(sp)
  li t1, '\n'
  bne t0, t1, input

end:
  mv a0, sum
  li a7, SYS_exit
  ecall
  j end

.globl image_stop
image_stop:
