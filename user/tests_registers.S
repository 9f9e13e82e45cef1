// For process tests: give every register a value of its own, let the kernel in, and store
// what the registers hold then.
//
//   void registers_over_call(uint64_t out[NKEPT], long number, long argument);
//   void registers_over_loop(uint64_t out[NKEPT], long turns);

// Applies an instruction to each register, with its place in out[].
#define EACH(do)                                                                         \
  do(s0, 0); do(s1, 1); do(s2, 2); do(s3, 3); do(s4, 4); do(s5, 5); do(s6, 6);           \
  do(s7, 7); do(s8, 8); do(s9, 9); do(s10, 10); do(s11, 11); do(t0, 12); do(t1, 13);     \
  do(t2, 14); do(t3, 15); do(t4, 16); do(t5, 17); do(a1, 18); do(a2, 19); do(a3, 20);    \
  do(a4, 21); do(a5, 22); do(a6, 23); do(gp, 24); do(tp, 25)

#define SAVED(do)                                                                        \
  do(s0, 0); do(s1, 1); do(s2, 2); do(s3, 3); do(s4, 4); do(s5, 5); do(s6, 6);           \
  do(s7, 7); do(s8, 8); do(s9, 9); do(s10, 10); do(s11, 11); do(gp, 12); do(tp, 13)

#define PUSH(reg, i)  sd reg, (8 * i)(sp)
#define POP(reg, i)   ld reg, (8 * i)(sp)
#define SET(reg, i)   li reg, 1000 + i
#define STORE(reg, i) sd reg, (8 * i)(t6)

.text
.globl registers_over_call
.type registers_over_call, @function
registers_over_call:
  addi sp, sp, -128
  SAVED(PUSH)
  sd a0, 120(sp)
  mv a7, a1
  mv a0, a2
  EACH(SET)
  ecall
  ld t6, 120(sp)
  EACH(STORE)
  SAVED(POP)
  addi sp, sp, 128
  ret

.globl registers_over_loop
.type registers_over_loop, @function
registers_over_loop:
  addi sp, sp, -128
  SAVED(PUSH)
  sd a0, 120(sp)
  mv t6, a1
  EACH(SET)
1:
  addi t6, t6, -1
  bnez t6, 1b
  ld t6, 120(sp)
  EACH(STORE)
  SAVED(POP)
  addi sp, sp, 128
  ret

.section .note.GNU-stack, "", @progbits
