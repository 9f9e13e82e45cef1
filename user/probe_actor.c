// What an actor does besides its calls: it arms itself, stops for the harness, and ends
// with a verdict. And what its end says to the sweep.
#include "probe_image.h"
#include "probe_run.h"

// An actor's exit status: VERDICT, kind << KIND, STOPPED if it has stopped already, and
// the address of what, which lies in the first few pages of every actor.
#define VERDICT 0x40000000
#define KIND    24
#define STOPPED 0x800000
#define WHAT    0x7fffff

enum faultline_mode run_mode;
struct at_hand at_hand;

void
begin(enum faultline_mode how, uint64_t which, bool watch)
{
  run_mode = how;
  at_hand = (struct at_hand){.n = which, .watched = watch};
}

static void
put_together_stop(const char *when)
{
  say_nonce();
  say("stop n=");
  say_number(at_hand.n);
  say(" ");
  say(when);
}

void
stop(const char *when)
{
  put_together_stop(when);
  say_end();
  await_line();
}

static void
stop_after(void)
{
  if (!at_hand.stopped)
    stop("after");
  at_hand.stopped = true;
}

char *
stop_line(void)
{
  if (!at_hand.watched)
    return 0;
  put_together_stop("after");
  return said();
}

void
arm(void)
{
  if (run_mode != FL_OFF)
    shim_ask(FL_ARM, run_mode, at_hand.n);
}

uint64_t
disarm(void)
{
  if (run_mode != FL_OFF)
    at_hand.fired = shim(FL_DISARM);
  if (at_hand.watched)
    stop_after();
  return at_hand.fired;
}

struct verdict
judged(enum kind kind, const char *what)
{
  struct verdict v = {kind, what};
  if (bad(v) && may_be_looked_at())
    stop_after();
  return v;
}

int
status_of(struct verdict v)
{
  return VERDICT | (int)v.kind << KIND | (at_hand.stopped ? STOPPED : 0) |
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

void
take_status(const struct workload *w, struct outcome *o, int status)
{
  o->verdict = understand(w, status);
  if (status == -1)
    o->stopped = false;
  else
    o->stopped =
        status & VERDICT ? status & STOPPED : at_hand.watched && status != IMAGE_MUTE;
}

struct outcome
outcome_of(const struct workload *w, int pid)
{
  struct outcome o = {{CHANGED, pid < 0 ? "fork" : "wait"}, 0, false};
  int status = 0;
  if (pid > 0 && wait(&status) == pid)
    take_status(w, &o, status);
  return o;
}
