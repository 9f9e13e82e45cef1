// probe NONCE sweep WORKLOAD nth|from FIRST LAST: fail the workload's kallocs.
//
//  1. The workload runs unarmed, twice, then once more with its kallocs counted:
//       @NONCE sweep WORKLOAD calls=C
//     or, if it does not work although nothing fails, and this is the end:
//       @NONCE sweep WORKLOAD cannot=WHAT
//  2. For n = FIRST, FIRST + 1 ... up to a run in which none failed, or LAST (0: no
//     limit), a run in which the n-th kalloc fails (from: and all after it), and one
//     unarmed, which must succeed:
//       @NONCE n=7 fired=1 result=RESULT lost=PAGES sane=1
//     Not every n has a line: those between two were good.
//     RESULT is ok, failed, false-success:WHAT, false-failure:WHAT or changed:WHAT.
//     lost is how many more pages are live than before. If the unarmed run does not
//     succeed, sane=0 insane=RESULT. A run whose call path is not that of the n before
//     and the n after, and any with a bad result, stops right after the call, for a
//     look at memory, and waits for a line of input:
//       @NONCE stop n=7 after
//     If its line is bad, it does so once more after it:
//       @NONCE stop n=7 end
//     An actor that makes many runs stops before the first, and site 0 at its end,
//     for a look at what a run leaves behind in which nothing has failed:
//       @NONCE stop n=0 end
//  3. @NONCE sweep WORKLOAD done n=N, N being the last n tried.
//
// site ADDRESS in place of nth: one run in which all kallocs fail that return there.
// unseen after LAST: nobody looks at memory, so only bad results stop.
#include "probe.h"
#include "probe_image.h"
#include "probe_sweep.h"

// An actor's exit status: VERDICT, kind << KIND, STOPPED if it has stopped already, and
// the address of what, which lies in the first few pages of every actor.
#define VERDICT 0x40000000
#define KIND    24
#define STOPPED 0x800000
#define WHAT    0x7fffff

// The exit status of an actor that stays, besides: HANDED_OVER and the last n tried,
// and ENDED if there is none to try after that.
#define HANDED_OVER 0x60000000
#define ENDED       0x10000000
#define TRIED       0xfffffff

#define SILENT_RUNS 16 // good ones in a row of which nothing is said

// The run at hand; set before the actor is forked.
enum faultline_mode run_mode;
static uint64_t n;
static bool unseen;    // no run is watched
static bool watched;   // stop after the call
static bool stopped;   // did so
bool staying;          // this is an actor, and it makes the runs itself
static uint64_t fired; // kallocs that were made to fail in it, as disarm() was told

// What the sweep gets to know of a run.
struct outcome {
  struct verdict verdict;
  uint64_t fired;
  bool stopped;
};

static bool
bad(struct verdict v)
{
  return v.kind > FAILED;
}

static void
put_together_stop(const char *when)
{
  say_nonce();
  say("stop n=");
  say_number(n);
  say(" ");
  say(when);
}

static void
stop(const char *when)
{
  put_together_stop(when);
  say_end();
  await_line();
}

static void
stop_after(void)
{
  if (!stopped)
    stop("after");
  stopped = true;
}

char *
stop_line(void)
{
  if (!watched)
    return 0;
  put_together_stop("after");
  return said();
}

void
arm(void)
{
  if (run_mode != FL_OFF)
    shim_ask(FL_ARM, run_mode, n);
}

uint64_t
disarm(void)
{
  if (run_mode != FL_OFF)
    fired = shim(FL_DISARM);
  if (watched)
    stop_after();
  return fired;
}

struct verdict
judged(enum kind kind, const char *what)
{
  struct verdict v = {kind, what};
  if (bad(v) && may_be_looked_at())
    stop_after();
  return v;
}

static int
status_of(struct verdict v)
{
  return VERDICT | (int)v.kind << KIND | (stopped ? STOPPED : 0) |
         (int)((uint64_t)v.what & WHAT);
}

void
child_says(const char *what)
{
  struct verdict v = {DONE, what};
  die(status_of(v));
}

const char *
child_word(int status)
{
  if (status == -1)
    return "child-killed";
  return status & VERDICT ? (const char *)(uint64_t)(status & WHAT) : "child-status";
}

const char *
child_heard(int pid)
{
  int status = 0;
  return wait(&status) == pid ? child_word(status) : "wait";
}

// What it means that an actor was killed. While it was armed, a page that was to be
// allocated late was not to be had: that is a failure like any other, unless it
// happened in a call that has to report it.
static struct verdict
killed(const struct workload *w)
{
  struct verdict v = {FAILED, 0};
  bool in_call = shim(FL_CAUSE) == 8; // scause: an environment call from user mode
  if (!shim(FL_ARMED)) {
    v.kind = CHANGED;
    v.what = "killed-afterwards";
  } else if (shim(FL_DISARM) == 0 || (w->strict && in_call)) {
    v.kind = w->status ? FALSE_SUCCESS : CHANGED; // a program that cannot run
    v.what = "killed";
  }
  for (int tick = 0; tick < 4; tick++)
    sleep(1); // its children are init's now, which has to bury them
  return v;
}

// What an actor's exit status says.
static struct verdict
understand(const struct workload *w, int status)
{
  struct verdict v = {DONE, 0};
  if (status == -1)
    return killed(w);
  if (status & VERDICT) {
    v.kind = (enum kind)(status >> KIND & 0xf);
    if (status & WHAT)
      v.what = (const char *)(uint64_t)(status & WHAT);
  } else if (!w->status || status != w->status()) {
    v.kind = FALSE_SUCCESS;
    v.what = "status";
  }
  return v;
}

// Whether this process makes the run at hand itself. Where success ends the actor, only
// those that are to fail.
static bool
in_place(const struct workload *w)
{
  return staying && (!w->status || may_be_looked_at());
}

// What is left to do after a run that the actor has ended with a verdict: tell what
// fired, let the harness look at what is bad, and tidy up.
static void
conclude(const struct workload *w, struct outcome *o)
{
  o->fired = run_mode == FL_OFF || in_place(w) ? fired : shim(FL_DISARM);
  if (o->verdict.kind == FAILED && o->fired == 0) {
    o->verdict.kind = FALSE_FAILURE;
    o->verdict.what = "unprovoked";
  }
  if ((watched || bad(o->verdict)) && !o->stopped && may_be_looked_at())
    stop("after");
  if (w->reset)
    w->reset();
}

static void
begin(enum faultline_mode how, uint64_t which, bool watch)
{
  run_mode = how;
  n = which;
  watched = watch;
  stopped = false;
  fired = 0;
}

// What the end of an actor says of its run.
static void
take_status(const struct workload *w, struct outcome *o, int status)
{
  o->verdict = understand(w, status);
  if (status == -1)
    o->stopped = false;
  else
    o->stopped = status & VERDICT ? status & STOPPED : watched && status != IMAGE_MUTE;
}

// One run.
static struct outcome
attempt(const struct workload *w, enum faultline_mode how, uint64_t which, bool watch)
{
  struct outcome o = {{CHANGED, "fork"}, 0, false};
  int status = 0;
  begin(how, which, watch);
  if (in_place(w)) {
    o.verdict = w->run();
    o.stopped = stopped;
  } else {
    int pid = fork();
    if (pid == 0)
      die(status_of(w->run()));
    if (pid > 0) {
      o.verdict.what = "wait";
      if (wait(&status) == pid)
        take_status(w, &o, status);
    }
  }
  conclude(w, &o);
  return o;
}

// An unarmed run.
static struct verdict
unarmed(const struct workload *w, enum faultline_mode how)
{
  return attempt(w, how, 0, false).verdict;
}

static void
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

// After a run before which so many pages were live, or 0 if the shim knows: the unarmed
// one, and the line. Returns whether all was well.
static bool
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
    n = which;
    stop("end");
  }
  return good;
}

// How far the sweep has come.
struct progress {
  uint64_t tried; // the last n
  bool good;      // its run was
  bool ended;     // and there is nothing to try after it
};

// One n: the armed run, and what follows. The shim has its mark already.
static struct progress
try(const struct workload *w, enum faultline_mode how, uint64_t which, bool watch,
    bool last)
{
  struct outcome o = attempt(w, how, which, watch);
  if (in_place(w) && w->status && bad(o.verdict)) {
    stopped = true;
    die(status_of(o.verdict)); // not fit to try it again: bury_actor() goes on
  }
  bool good = report(w, which, &o, 0, watch || last);
  return (struct progress){which, good, last || o.fired == 0};
}

// Warm up and count, in this process or in actors.
static struct verdict
count(const struct workload *w)
{
  struct verdict v = {DONE, 0};
  for (int i = 0; i < 3 && v.kind == DONE; i++)
    v = unarmed(w, i < 2 ? FL_OFF : FL_COUNT);
  return v;
}

// The same in one actor that stays.
static struct verdict
count_staying(const struct workload *w)
{
  struct outcome o = {{CHANGED, "fork"}, 0, false};
  int status = 0, pid = fork();
  if (pid == 0) {
    staying = true;
    die(status_of(count(w)));
  }
  if (pid > 0) {
    begin(FL_COUNT, 0, false);
    o.verdict.what = "wait";
    if (wait(&status) == pid)
      take_status(w, &o, status);
  }
  return o.verdict;
}

// Prepare, warm up and count. Returns false, having said so, if that does not work.
static bool
ready(const struct workload *w)
{
  struct verdict v = {DONE, 0};
  const char *missing = shim_version() ? open_eyes() : "shim";
  if (!missing && w->prepare)
    missing = w->prepare();
  if (!missing)
    v = w->stays ? count_staying(w) : count(w);

  say_nonce();
  say("sweep ");
  say(w->name);
  if (missing) {
    say(" cannot=");
    say(missing);
  } else if (v.kind != DONE) {
    say(" cannot=");
    say_verdict(v);
  } else {
    say(" calls=");
    say_number(shim(FL_CALLS));
  }
  say_end();
  return !missing && v.kind == DONE;
}

// Whether the harness gets to look at this n in any case: the first and the last of a
// group of equal call paths.
static bool
to_watch(uint64_t before, uint64_t path, uint64_t after)
{
  return !unseen && path && (path != before || path != after);
}

static uint64_t
path_of(uint64_t which)
{
  return shim_ask(FL_PATH, which, 0);
}

// All n from first on, or as far as an actor that stays can go.
static struct progress
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

// An actor that stays is gone, killed, another program, or unfit: that is the run that
// it made.
static struct progress
bury_actor(const struct workload *w, enum faultline_mode how, uint64_t first,
           uint64_t last, uint64_t before, int status)
{
  uint64_t tried = shim(FL_TRIED);
  if (tried < first)
    tried = first;
  begin(how, tried, to_watch(path_of(tried - 1), path_of(tried), path_of(tried + 1)));
  struct outcome o = {0};
  take_status(w, &o, status);
  conclude(w, &o);
  bool good = report(w, tried, &o, before, true);
  return (struct progress){tried, good, tried == last || o.fired == 0};
}

// All n from first on, in actors that stay; returns the last that was tried.
static uint64_t
try_staying(const struct workload *w, enum faultline_mode how, uint64_t first,
            uint64_t last)
{
  for (;;) {
    int status = 0;
    struct progress p = {first, false, true};
    uint64_t before = shim(FL_MARK);
    int pid = fork();
    if (pid == 0) {
      staying = true;
      unarmed(w, FL_OFF); // what it does but once in a process is done
      if (!unseen)
        stop("end");
      p = try_all(w, how, first, last);
      die(HANDED_OVER | (p.ended ? ENDED : 0) | (int)p.tried);
    }
    if (pid > 0 && wait(&status) == pid) {
      if (status >= 0 && (status & HANDED_OVER) == HANDED_OVER)
        p = (struct progress){status & TRIED, true, status & ENDED};
      else
        p = bury_actor(w, how, first, last, before, status);
    }
    if (p.ended)
      return p.tried;
    first = p.tried + 1;
  }
}

static int
sweep(const struct workload *w, enum faultline_mode how, uint64_t first, uint64_t last)
{
  bool works = ready(w);
  shim(FL_MARK);
  if (works && how == FL_SITE) {
    if (try(w, how, first, true, true).good && first == 0)
      stop("end");
  } else if (works && w->stays) {
    last = try_staying(w, how, first, last);
  } else if (works) {
    last = try_all(w, how, first, last).tried;
  }
  if (w->finish)
    w->finish();
  close_eyes();
  if (works) {
    say_nonce();
    say("sweep ");
    say(w->name);
    say(" done n=");
    say_number(how == FL_SITE ? first : last);
    say_end();
  }
  return works ? 0 : 1;
}

static const struct workload *const lists[] = {memory_workloads, exec_workloads,
                                               file_workloads, process_workloads,
                                               copy_workloads};

#define NLISTS (sizeof(lists) / sizeof(lists[0]))

void
list_workloads(void)
{
  say_nonce();
  say("workloads");
  for (size_t i = 0; i < NLISTS; i++)
    for (const struct workload *w = lists[i]; w->name; w++) {
      say(" ");
      say(w->name);
    }
  say_end();
}

void
watch_none(void)
{
  unseen = true;
}

int
sweep_command(const char *name, enum faultline_mode how, uint64_t first, uint64_t last)
{
  for (size_t i = 0; i < NLISTS; i++)
    for (const struct workload *w = lists[i]; w->name; w++)
      if (same(name, w->name))
        return sweep(w, how, first, last);
  return -1;
}
