// Between the parts of the sweep: its command (probe_sweep.c), actors that stay
// (probe_stay.c), runs (probe_run.c), and what an actor says (probe_actor.c).
#pragma once

#include "probe_sweep.h"

// The run at hand, besides run_mode; set before the actor is forked.
extern struct at_hand {
  uint64_t n;
  bool watched;   // stop after the call
  bool stopped;   // did so
  uint64_t fired; // kallocs that were made to fail in it, as disarm() was told
} at_hand;

// Set the run at hand.
void begin(enum faultline_mode how, uint64_t n, bool watch);

// Stop for the harness: after the call, or at the end of the run.
void stop(const char *when);

static inline bool
bad(struct verdict v)
{
  return v.kind > FAILED;
}

// What the sweep gets to know of a run.
struct outcome {
  struct verdict verdict;
  uint64_t fired;
  bool stopped;
};

// The status with which an actor ends that has a verdict, and what the end of an actor
// says of the run at hand.
int status_of(struct verdict v);
void take_status(const struct workload *w, struct outcome *o, int status);

// Wait for the actor that fork() gave, and return what its end says. A fork or a wait
// that has failed is a bad result.
struct outcome outcome_of(const struct workload *w, int pid);

// No run is watched.
extern bool unseen;

// An unarmed run.
struct verdict unarmed(const struct workload *w, enum faultline_mode how);

// Warm up and count, in this process or in actors.
struct verdict count(const struct workload *w);

// What is left to do after a run that the actor has ended with a verdict: tell what
// fired, let the harness look at what is bad, and tidy up.
void conclude(const struct workload *w, struct outcome *o);

void say_verdict(struct verdict v);

// After a run before which so many pages were live, or 0 if the shim knows: the unarmed
// one, and the line. Returns whether all was well.
bool report(const struct workload *w, uint64_t n, const struct outcome *o,
            uint64_t before, bool must_say);

// How far the sweep has come.
struct progress {
  uint64_t tried; // the last n
  bool good;      // its run was
  bool ended;     // and there is nothing to try after it
};

// One n: the armed run, and what follows. The shim has its mark already.
struct progress try(const struct workload *w, enum faultline_mode how, uint64_t n,
                    bool watch, bool last);

// All n from first on, or as far as an actor that stays can go.
struct progress try_all(const struct workload *w, enum faultline_mode how,
                        uint64_t first, uint64_t last);

// The call path of the n-th kalloc, as a number; 0 if there are not so many.
uint64_t path_of(uint64_t n);

// Whether the harness gets to look at an n in any case: the first and the last of a
// group of equal call paths.
bool to_watch(uint64_t before, uint64_t path, uint64_t after);

// Warm up and count in one actor that stays.
struct verdict count_staying(const struct workload *w);

// All n from first on, in actors that stay; returns the last that was tried.
uint64_t try_staying(const struct workload *w, enum faultline_mode how, uint64_t first,
                     uint64_t last);
