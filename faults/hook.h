// FAULT(name) marks the place of a planted mistake. It is the constant 1 in the variant
// built with -DFAULT_name=1 and the constant 0 everywhere else, so that a normal build
// compiles to what it would be without the hook.
//
// Three forms are allowed, so that hooks can also be resolved away from the source:
//     if (FAULT(name) ...)            // the mistake is an extra statement,
//       statement;                    //   or a block in braces
//     if (!FAULT(name))               // the next statement is left out
//       statement;
//     FAULT(name) ? wrong : right     // one expression is another
// In assembly: #if FAULT(name) ... #endif and #if !FAULT(name) ... #endif.
#pragma once

#define FAULT(name) FAULT_TEST(FAULT_##name)

// FAULT_TEST(macro) expands to 1 if macro is defined as 1, to 0 if it is not defined:
// the name FAULT_IS_1 turns into an extra first argument, any other name into none.
#define FAULT_TEST(value)       FAULT_PASTE(value)
#define FAULT_PASTE(value)      FAULT_CHOOSE(FAULT_IS_##value)
#define FAULT_IS_1              0,
#define FAULT_CHOOSE(maybe)     FAULT_SECOND(maybe 1, 0, 0)
#define FAULT_SECOND(a, b, ...) b

// The number that some faults take, from the catalogue's [define].
#ifndef FAULT_N
#define FAULT_N 0
#endif

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

// Whether an injection is due (inject.c): on the n-th call, n from 1, and never again;
// on every n-th call; on some, about one in n, always the same ones.
bool fault_nth(uint64_t n);
bool fault_every(uint64_t n);
bool fault_random(uint64_t n);

// Map the kernel stacks of all processes into a kernel table, each over an unmapped
// page below KSTACK (inject.c).
void fault_map_stacks(uint64_t *table);
#endif
