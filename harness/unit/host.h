// A host for the kernel's own sources: one hart without translation or traps, RAM at a
// fixed address, one process, and a console that is kept instead of shown.
#pragma once

#include <check.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rename.h"

#include "../../kernel/defs.h"
#include "../../kernel/memlayout.h"
#include "../../kernel/proc.h"

#undef exit
#undef fork
#undef kill
#undef memcmp
#undef memcpy
#undef memmove
#undef memset
#undef printf
#undef sleep
#undef strlen
#undef strncmp
#undef strncpy
#undef syscall
#undef wait

// Where the linker is told to put the kernel (unit.mk): text, the trampoline as the
// last page of it, and data up to `end`. So little RAM is left to the allocator that
// tests can afford to try every number of free pages.
extern char etext[], end[], trampoline[];

#define MANAGED_FIRST PGROUNDUP(end)
#define MANAGED_PAGES ((PHYSTOP - MANAGED_FIRST) / PGSIZE)

// The running process. It has a kernel table only if a test makes one.
extern struct proc *running;

// Before each test: all of RAM free, nothing printed, locks and page tables fresh.
void machine_reset(void);

// What the kernel has printed since machine_reset(), with a final zero.
extern char console_text[65536];

// Run all tests of a suite and print Check's summary. Returns main()'s exit status.
int run_suite(Suite *suite);

// A test case of the suite, each of whose tests begins with machine_reset().
TCase *machine_case(Suite *suite, const char *name);

extern jmp_buf panic_jump;
extern bool panic_wanted;
extern char panic_message[256];

// The statement must call panic() with a message that contains text. Locks that it held
// stay locked.
#define ck_assert_panics(statement, text)                                              \
  do {                                                                                 \
    panic_wanted = true;                                                               \
    if (!setjmp(panic_jump)) {                                                         \
      statement;                                                                       \
      ck_abort_msg("no panic in: " #statement);                                        \
    }                                                                                  \
    ck_assert_msg(strstr(panic_message, text), "panic said: %s", panic_message);       \
  } while (0)

// The most locks that were held at any kalloc() or kfree() since machine_reset().
// Others wait for a lock with interrupts off, so long work is not done under one.
extern int most_locks;

// What argint(), argaddr() and argstr() fetch.
extern uint64_t system_call_arguments[6];

// pages.c: who holds pages.
uint64_t free_pages(void);
void leave_free(uint64_t n); // take free pages away until n are left
void give_back(void);        // return what leave_free() took

// Pages of the table itself, all levels, root included.
uint64_t table_pages(pagetable_t table);

// Leaves that are mapped in [from, to).
uint64_t leaves(pagetable_t table, uint64_t from, uint64_t to);

// Call each(va, pte, arg) for all leaves, in ascending order.
void each_leaf(pagetable_t table, void (*each)(uint64_t va, pte_t pte, void *arg),
               void *arg);

// Fail unless every page of the table is one of the allocator's, is named by an entry
// without permissions, and is reached exactly once.
void ck_assert_tree(pagetable_t table);

// The same for a table and a mirror that is not part of it, taken together.
void ck_assert_trees(pagetable_t table, pagetable_t mirror);

// Remember every page of a table; later fail unless all have the same bits still.
struct table_copy *copy_tables(pagetable_t table);
void ck_assert_unchanged(struct table_copy *copy);
