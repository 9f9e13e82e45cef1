// Actors that stay: each makes all the runs that it can, and hands over.
#include "probe_run.h"

// The exit status of an actor that stays, besides a verdict (see probe_actor.c):
// HANDED_OVER and the last n tried, and ENDED if there is none to try after that.
#define HANDED_OVER 0x60000000
#define ENDED       0x10000000
#define TRIED       0xfffffff

struct verdict
count_staying(const struct workload *w)
{
  begin(FL_COUNT, 0, false);
  int pid = fork();
  if (pid == 0) {
    staying = true;
    die(status_of(count(w)));
  }
  return outcome_of(w, pid).verdict;
}

// The actor.
static void __attribute__((noreturn))
stay(const struct workload *w, enum faultline_mode how, uint64_t first, uint64_t last)
{
  staying = true;
  unarmed(w, FL_OFF); // what it does but once in a process is done
  own_pages();
  if (!unseen)
    stop("end");
  struct progress p = try_all(w, how, first, last);
  die(HANDED_OVER | (p.ended ? ENDED : 0) | (int)p.tried);
}

// The n at which an actor has ended that was to begin with first.
static uint64_t
reached(uint64_t first)
{
  uint64_t tried = shim(FL_TRIED);
  return tried < first ? first : tried;
}

// An actor that stays is gone, killed, another program, or unfit: that is the run that
// it made.
static struct progress
bury_actor(const struct workload *w, enum faultline_mode how, uint64_t first,
           uint64_t last, uint64_t before, int status)
{
  uint64_t tried = reached(first);
  begin(how, tried, to_watch(path_of(tried - 1), path_of(tried), path_of(tried + 1)));
  struct outcome o = {0};
  take_status(w, &o, status);
  conclude(w, &o);
  bool good = report(w, tried, &o, before, true);
  return (struct progress){tried, good, tried == last || o.fired == 0};
}

// There is no actor, or its end is not to be had, for this call has failed: nothing is
// known of the n that it was at, and that is a bad result.
static struct progress
miss_actor(const struct workload *w, uint64_t first, uint64_t last, uint64_t before,
           const char *call)
{
  uint64_t missed = reached(first);
  struct outcome o = {{CHANGED, call}, 0, false};
  report(w, missed, &o, before, true);
  return (struct progress){missed, false, missed == last || path_of(missed) == 0};
}

uint64_t
try_staying(const struct workload *w, enum faultline_mode how, uint64_t first,
            uint64_t last)
{
  for (;;) {
    int status = 0;
    struct progress p;
    uint64_t before = shim(FL_MARK);
    int pid = fork();
    if (pid == 0)
      stay(w, how, first, last);
    if (pid < 0 || wait(&status) != pid)
      p = miss_actor(w, first, last, before, pid < 0 ? "fork" : "wait");
    else if (status >= 0 && (status & HANDED_OVER) == HANDED_OVER)
      p = (struct progress){status & TRIED, true, status & ENDED};
    else
      p = bury_actor(w, how, first, last, before, status);
    if (p.ended)
      return p.tried;
    first = p.tried + 1;
  }
}
