// The state of a process as it can be seen from inside: what a call that fails must not
// change.
#include "faults/look.h"
#include "probe_sweep.h"

extern char __bss_start[], _end[]; // the linker's: all before is text and constants

static int root = -1;         // an open directory, for fstat
static int tap[2] = {-1, -1}; // a pipe, for the kernel to read from memory
static uint64_t marks;        // where the marked pages begin
static int marks_made;        // how many there are
static bool marks_spoiled;

const char *
open_eyes(void)
{
  root = open("/", O_RDONLY);
  if (root < 0)
    return "open";
  // The strings of argv lie at the end of memory, where the kernel is made to write.
  if (sbrk((int)(2 * PAGE - sbrk(0) % PAGE)) == (uint64_t)-1)
    return "sbrk";
  *(volatile char *)(sbrk(0) - 1) = 1;
  return pipe(tap) < 0 ? "pipe" : 0;
}

void
close_eyes(void)
{
  close(root);
  close(tap[0]);
  close(tap[1]);
}

static long
call_myself(void *unused, long number, uint64_t a, uint64_t b, uint64_t c)
{
  (void)unused;
  return call(number, a, b, c, 0);
}

// Have the shim look, or do it here.
static uint64_t
seen(uint64_t end)
{
  uint64_t eyes = FL_EYES(root, tap[0], tap[1]), told = shim_ask(FL_LOOK, eyes, end);
  return told != FL_BLIND ? told : faultline_look(call_myself, 0, eyes, end);
}

// A checksum of the program. One word in eight does: what a kernel mixes up is pages.
static uint64_t
image_sum(void)
{
  uint64_t sum = 0;
  for (const uint64_t *p = 0; p < (const uint64_t *)__bss_start; p += 8) {
    asm volatile("" : "+r"(p)); // 0 is an address like any other
    sum = sum * 31 + *p;
  }
  return sum;
}

// The mark at one place of a marked page: its address, of which no two are alike.
static volatile uint64_t *
mark(int page, bool last)
{
  return (volatile uint64_t *)(marks + (uint64_t)page * PAGE + (last ? PAGE / 2 : 0));
}

bool
grow_marked(int pages)
{
  if (marks_made == 0) {
    marks = sbrk(pages * PAGE);
    if (marks == (uint64_t)-1)
      return false;
    marks_made = pages;
    marks_spoiled = true;
  }
  for (int i = 0; i < pages && marks_spoiled; i++) {
    *mark(i, false) = (uint64_t)mark(i, false);
    *mark(i, true) = (uint64_t)mark(i, true);
  }
  marks_spoiled = false;
  return true;
}

void
keep_marks(int pages)
{
  marks_made = pages;
}

void
spoil_marks(void)
{
  for (int i = 0; i < marks_made; i++)
    *mark(i, false) = 0;
  marks_spoiled = true;
}

static bool
marked(void)
{
  uint64_t wrong = 0; // a loop without branches: the code is new in each process
  for (int i = 0; i < marks_made; i++)
    wrong |= (*mark(i, false) ^ (uint64_t)mark(i, false)) |
             (*mark(i, true) ^ (uint64_t)mark(i, true));
  return wrong == 0;
}

struct state
look(void)
{
  static struct state known;
  if (!staying || !known.size) {
    uint64_t now = seen(0);
    known = (struct state){FL_SIZE(now), FL_DESCRIPTORS(now), image_sum()};
  }
  return known;
}

void
own_pages(void)
{
  uint64_t end = (uint64_t)_end;
  *(volatile char *)(look().size - 1) = 1;
  for (uint64_t a = (uint64_t)__bss_start; a < end; a = (a / PAGE + 1) * PAGE) {
    volatile char *byte = (volatile char *)a;
    char same = *byte;
    *byte = same;
  }
}

const char *
changed(const struct state *before)
{
  static const char *const edges[] = {0, "end-unreadable", "end-unwritable",
                                      "beyond-readable", "beyond-writable"};
  bool closely = may_be_looked_at() || !staying;
  uint64_t now = seen(closely ? before->size : 0);
  if (FL_SIZE(now) != before->size)
    return "size";
  *(volatile char *)(before->size - 1) = 1;
  if (FL_DESCRIPTORS(now) != before->descriptors)
    return "descriptors";
  if (!marked() || image_sum() != before->image)
    return "memory";
  return edges[FL_EDGE(now)];
}
