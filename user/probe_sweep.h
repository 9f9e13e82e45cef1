// Between the sweep (probe_sweep.c), what it does (probe_work_*.c) and how a call is
// judged (probe_judge.c).
//
// A run of a workload is made by a process of its own, the actor: it prepares, arms
// itself, makes the call, disarms, judges, undoes and ends. So whatever a call has
// broken in its process is gone before the next run, and no kill reaches the sweep
// itself. Where a run leaves its process as it was, one actor makes many runs, up to
// one that went wrong: making processes is most of what a run costs.
#pragma once

#include "probe_sys.h"

// What became of a run. What is good comes first.
enum kind {
  DONE,          // the call reported success, or what it had to, and it is so
  FAILED,        // the call reported failure, and all is as it was
  FALSE_SUCCESS, // it reported success, and it is not so
  FALSE_FAILURE, // it reported failure, and it is done
  CHANGED,       // it reported failure, or had nothing to change, and something changed
};

// what is a string of the probe's own, or 0.
struct verdict {
  enum kind kind;
  const char *what;
};

// Of a run that could not even be prepared.
#define UNPREPARED ((struct verdict){CHANGED, "preparation"})

// One way into the kernel.
struct workload {
  const char *name;

  // One run, in the actor. See armed_call().
  struct verdict (*run)(void);

  // Once around all runs, in the sweep's process: make what the runs need, and remove
  // it again, whatever there is of it. prepare returns 0, or what could not be done.
  // Either may be 0.
  const char *(*prepare)(void);
  void (*finish)(void);

  // After each run, in the sweep's process: remove what a run that went wrong may have
  // left. May be 0.
  void (*reset)(void);

  // The status with which the actor ends if it has become another program, else 0.
  int (*status)(void);

  // Nothing in it writes to user memory from the kernel, which would be a place where
  // memory may be allocated late: to be killed in such a call is no way to fail.
  bool strict;

  // A run leaves its process as it was, but for pages that it has marked: one actor
  // can make many.
  bool stays;
};

// The lists of probe_work_*.c, each with an entry without a name at the end.
extern const struct workload memory_workloads[], exec_workloads[], file_workloads[],
    process_workloads[], copy_workloads[];

// Whether this is an actor that stays and makes many runs, and how the present one is
// armed.
extern bool staying;
extern enum faultline_mode run_mode;

// Whether the harness may want to look at the present run: not if nothing is made to
// fail in it.
static inline bool
may_be_looked_at(void)
{
  return run_mode != FL_OFF && run_mode != FL_COUNT;
}

// In the actor: from arm() on its kallocs count; disarm() returns how many were made to
// fail. If the harness wants to look at this run, it does so in disarm(): the call has
// just been made.
void arm(void);
uint64_t disarm(void);

// The verdict on a call, before anything is undone: if it is a bad one, the harness
// gets to look at it. Returns it.
struct verdict judged(enum kind kind, const char *what);

// End a child that a workload has made with what it thinks of itself: 0 for well, or
// what is wrong. And the parent's side of it, with the child's status or before: 0, or
// what is wrong with the child.
void child_says(const char *what) __attribute__((noreturn));
const char *child_word(int status);
const char *child_heard(int pid);

// The line by which the actor's stop is told, for a program that takes the actor's
// place and has to stop for it; or 0 if it need not.
char *stop_line(void);

// What a call that fails must leave alone.
struct state {
  uint64_t size;        // end of memory
  uint64_t descriptors; // the lowest that are free
  uint64_t image;       // checksum of the program
};

// Once, in the sweep's process, before any workload runs: open what judging needs.
// Returns 0, or what could not be done.
const char *open_eyes(void);
void close_eyes(void);

// Look at the process's own state, and see what of it is another now: 0, or its name.
// changed() looks at the marks in memory, and whether the kernel reaches memory just
// where it should, up to its end, which must be a page's, and no further. An actor of
// many runs is looked at before the first of them only, and not so closely after those
// in which nothing is made to fail.
struct state look(void);
const char *changed(const struct state *before);

// Write to each page that a run writes to: a kernel that copies on write gives this
// process its own ones now, and not while somebody counts.
void own_pages(void);

// Grow by so many pages and mark each, as what changed() has to find again. A process
// that has done so only marks them anew. False if that cannot be done.
bool grow_marked(int pages);

// Only the first so many pages' marks count from now on.
void keep_marks(int pages);

// Overwrite some of each page's marks.
void spoil_marks(void);
