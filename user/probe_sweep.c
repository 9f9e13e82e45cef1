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
//     RESULT is ok, failed, false-success:WHAT, false-failure:WHAT or changed:WHAT. If
//     fork or wait fails for the actor, it is changed:fork or changed:wait.
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
#include "probe_run.h"

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
