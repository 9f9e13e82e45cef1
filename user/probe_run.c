// One run of a workload, and its line; and all runs, one after the other.
#include "probe_run.h"

#define SILENT_RUNS 16 // good ones in a row of which nothing is said

bool staying;
bool unseen;

// Whether this process makes the run at hand itself. Where success ends the actor, only
// those that are to fail.
static bool
in_place(const struct workload *w)
{
  return staying && (!w->status || may_be_looked_at());
}

void
conclude(const struct workload *w, struct outcome *o)
{
  o->fired = run_mode == FL_OFF || in_place(w) ? at_hand.fired : shim(FL_DISARM);
  if (o->verdict.kind == FAILED && o->fired == 0) {
    o->verdict.kind = FALSE_FAILURE;
    o->verdict.what = "unprovoked";
  }
  if ((at_hand.watched || bad(o->verdict)) && !o->stopped && may_be_looked_at())
    stop("after");
  if (w->reset)
    w->reset();
}

// One run.
static struct outcome
attempt(const struct workload *w, enum faultline_mode how, uint64_t which, bool watch)
{
  struct outcome o = {0};
  begin(how, which, watch);
  if (in_place(w)) {
    o.verdict = w->run();
    o.stopped = at_hand.stopped;
  } else {
    int pid = fork();
    if (pid == 0)
      die(status_of(w->run()));
    o = outcome_of(w, pid);
  }
  conclude(w, &o);
  return o;
}

struct verdict
unarmed(const struct workload *w, enum faultline_mode how)
{
  return attempt(w, how, 0, false).verdict;
}

void
say_verdict(struct verdict v)
{
  static const char *const names[] = {"ok", "failed", "false-success", "false-failure",
                                      "changed"};
  say(names[v.kind]);
  if (v.what) {
    say(":");
    say(v.what);
  }
}

static void
say_run(uint64_t which, const struct outcome *o, int64_t lost, struct verdict sane)
{
  say_nonce();
  say("n=");
  say_number(which);
  say(" fired=");
  say_number(o->fired);
  say(" result=");
  say_verdict(o->verdict);
  say(lost < 0 ? " lost=-" : " lost=");
  say_number((uint64_t)(lost < 0 ? -lost : lost));
  say(sane.kind == DONE ? " sane=1" : " sane=0 insane=");
  if (sane.kind != DONE)
    say_verdict(sane);
  say_end();
}

bool
report(const struct workload *w, uint64_t which, const struct outcome *o,
       uint64_t before, bool must_say)
{
  static int silent;
  int64_t lost = (int64_t)shim_ask(FL_GAIN, before, 0);
  struct verdict sane = unarmed(w, FL_OFF);
  bool good = !bad(o->verdict) && lost == 0 && sane.kind == DONE;
  if (!good || must_say || o->fired == 0 || ++silent == SILENT_RUNS) {
    say_run(which, o, lost, sane);
    silent = 0;
  }
  if (!good) {
    at_hand.n = which;
    stop("end");
  }
  return good;
}

struct progress
try(const struct workload *w, enum faultline_mode how, uint64_t which, bool watch,
    bool last)
{
  struct outcome o = attempt(w, how, which, watch);
  if (in_place(w) && w->status && bad(o.verdict)) {
    at_hand.stopped = true;
    die(status_of(o.verdict)); // not fit to try again: bury_actor() goes on
  }
  bool good = report(w, which, &o, 0, watch || last);
  return (struct progress){which, good, last || o.fired == 0};
}

struct verdict
count(const struct workload *w)
{
  struct verdict v = {DONE, 0};
  for (int i = 0; i < 3 && v.kind == DONE; i++)
    v = unarmed(w, i < 2 ? FL_OFF : FL_COUNT);
  return v;
}

bool
to_watch(uint64_t before, uint64_t path, uint64_t after)
{
  return !unseen && path && (path != before || path != after);
}

uint64_t
path_of(uint64_t which)
{
  return shim_ask(FL_PATH, which, 0);
}

struct progress
try_all(const struct workload *w, enum faultline_mode how, uint64_t first,
        uint64_t last)
{
  uint64_t before = path_of(first - 1), path = path_of(first);
  for (uint64_t which = first;; which++) {
    uint64_t after = shim_ask(FL_NEXT, which + 1, 0);
    bool watch = to_watch(before, path, after);
    struct progress p = try(w, how, which, watch, which == last);
    if (p.ended || (staying && !p.good))
      return p;
    before = path;
    path = after;
  }
}
