// What the test files of usertests share.
#pragma once

#include "user/user.h"

// Where a test can run. REFERENCE: on kernels that count pages. CROWDED: where there
// can be more than the ten processes that the file system lab's kernels have.
enum { ANYWHERE = 0, SLOW = 1, REFERENCE = 2, CROWDED = 4 };

struct test {
  const char *name;
  void (*run)(void); // in a process and an empty directory of its own
  int flags;
};

// Each ends with a test without a name.
extern const struct test copy_tests[];
extern const struct test memory_tests[];
extern const struct test exhaustion_tests[];
extern const struct test fault_tests[];
extern const struct test process_tests[];
extern const struct test signal_tests[];
extern const struct test exec_tests[];
extern const struct test pipe_tests[];
extern const struct test file_tests[];
extern const struct test name_tests[];
extern const struct test directory_tests[];
extern const struct test race_tests[];

// tests_check.c
extern const char *test_name;
extern char *self;      // path of this program
extern bool any_kernel; // ask for what every xv6 promises only, and count no pages
bool reference_kernel(void);
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void expect(const char *what, long got, long want);
void expect_true(const char *what, bool holds);
void expect_refused(const char *what, long got);
bool kernel_reads(const void *p, int n);
int fork_or_fail(void);
int wait_for(int pid);
int run_in_child(void (*run)(uint64_t), uint64_t arg);
void load(uint64_t address); // a byte

// The page below this process's stack, of however many pages that is: the first that a
// load dies of. The test has failed if there is none above the program.
uint64_t guard_page(void);
void make_file(const char *name, const char *contents);
int open_or_fail(const char *name, int flags);
void fill(char *buf, int n, int seed);
void check_fill(const char *what, const char *buf, int n, int seed);
char *heap_end(void);
char *grow(int n);

// Addresses that are never user memory of a small process. The first is the end of this
// one's memory.
#define NBADADDRESSES 16
void bad_addresses(uint64_t out[NBADADDRESSES]);

// tests_hog.c: memory that runs out. A hog is a child that holds all memory but so many
// spare pages until it is stopped.
struct hog {
  int pid;
  int gate; // closing it stops the hog
};
struct hog start_hog(long spare);
void stop_hog(struct hog hog);
long take_all_memory(void); // in steps, ever smaller; returns how many pages
long free_pages(void);

// tests_exec.c: what usertests does when a test executes it with a first argument that
// begins with @.
int exec_child(int argc, char **argv);
