// What the probe is made of below its commands: system calls by their numbers, the
// answer line, the shim. No library: any tree's kernel must be able to run it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faults/ctl.h"
#include "kernel/fcntl.h"
#include "kernel/stat.h"
#include "kernel/syscall.h"

#define PAGE 4096

extern char *program; // argv[0], by which the probe executes itself
extern char *nonce;

// For what is too large for the one page of the stack. Whoever uses it fills it first.
#define SCRATCH (PAGE + 8)
extern char scratch[SCRATCH];

static inline long
call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
  register uint64_t a0 asm("a0") = a;
  register uint64_t a1 asm("a1") = b;
  register uint64_t a2 asm("a2") = c;
  register uint64_t a3 asm("a3") = d;
  register long a7 asm("a7") = number;
  asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a7) : "memory");
  return (long)a0;
}

// xv6's results are ints; some kernels leave the upper half of the register undefined.
static inline int
call2(long number, uint64_t a, uint64_t b)
{
  return (int)call(number, a, b, 0, 0);
}

void die(int status) __attribute__((noreturn));
int fork(void);
int exec(const char *path, char **argv);
int wait(int *status);
int pipe(int fds[2]);
int open(const char *path, int flags);
int close(int fd);
int dup(int fd);
int unlink(const char *path);
int sleep(int ticks);
int fstat(int fd, struct stat *st);

// Returns the end of memory before, or -1.
uint64_t sbrk(int n);
int read(int fd, void *to, size_t n);
int write(int fd, const void *from, size_t n);

// Read a byte from fd; false at the end.
bool read_byte(int fd, char *c);

// Ask the shim.
uint64_t shim(enum faultline_command command);
uint64_t shim_ask(enum faultline_command command, uint64_t a, uint64_t b);

// The version of the shim in this kernel, 0 if it has none.
uint64_t shim_version(void);

bool same(const char *a, const char *b);
size_t length(const char *s);

// The answer line: put together by these, then written at once.
void say(const char *s);
void say_number(uint64_t value); // decimal
void say_end(void);

// The line so far with its end, as a string, instead of writing it. Valid until more is
// said.
char *said(void);

// Begin an answer: @NONCE and a blank.
void say_nonce(void);

// Wait for a line of input.
void await_line(void);

// Wait for a child that must end with status want. Returns 0, or the name of the call
// that did not do what it should.
const char *child_ends(int pid, int want);

// A small file that is no program; made and removed with the same result as above.
#define TEXT_FILE "probe.tmp"
const char *make_text_file(void);
const char *remove_text_file(void);
