// The shim: watches kalloc and kfree in any xv6-like kernel. It is linked with
// --wrap=kalloc --wrap=kfree --wrap=sys_uptime and knows nothing of the kernel but
// these functions, myproc(), argaddr() and syscall(). It keeps the ledger: for each
// page, who allocated and who freed it last. A program arms it through uptime (ctl.h).
// A sweep has it do some thousand things for each failure, so what is short is inlined.

#include "ctl.h"
#include "look.h"

void *__real_kalloc(void);
void __real_kfree(void *pa);
uint64_t __real_sys_uptime(void);
void *myproc(void);
int argaddr(int n, uint64_t *out); // returns nothing in some kernels: not looked at
__attribute__((weak)) void syscall(void);

// 0 in a kernel without it: look() is then blind. In memory, for code cannot reach
// address 0 from where kernels are.
static void (*volatile const make_call)(void) = syscall;

#define PGSIZE 4096
#define SAMPLE 8 // words at the beginning of a page
#define INLINE static inline __attribute__((always_inline))

// The reference kernel has one of its own.
__attribute__((weak)) struct faultline_ctl faultline_ctl = {
    .magic = FAULTLINE_MAGIC,
    .version = FAULTLINE_VERSION,
};

struct faultline_page faultline_ledger[FL_PAGES];

#define CTL faultline_ctl

static uint32_t ledger_lock;

// Returns sstatus for interrupts_restore(). Nests.
INLINE uint64_t
interrupts_off(void)
{
  uint64_t sstatus;
  asm volatile("csrrci %0, sstatus, 2" : "=r"(sstatus) : : "memory");
  return sstatus;
}

INLINE void
interrupts_restore(uint64_t sstatus)
{
  asm volatile("csrs sstatus, %0" : : "r"(sstatus & 2) : "memory");
}

// The ledger's lock; interrupts must be off.
INLINE void
lock_quietly(void)
{
  while (__atomic_exchange_n(&ledger_lock, 1, __ATOMIC_ACQUIRE))
    ;
}

INLINE void
unlock_quietly(void)
{
  __atomic_store_n(&ledger_lock, 0, __ATOMIC_RELEASE);
}

// Take the ledger's lock with interrupts off. Returns sstatus for unlock().
INLINE uint64_t
lock(void)
{
  uint64_t sstatus = interrupts_off();
  lock_quietly();
  return sstatus;
}

INLINE void
unlock(uint64_t sstatus)
{
  unlock_quietly();
  interrupts_restore(sstatus);
}

// Whether the frame whose upper end is fp lies in the page of the frame before it, or
// the page above: then it can be read. Kernel stacks are one page, or a few.
INLINE int
same_stack(uint64_t fp, uint64_t next)
{
  return next % 8 == 0 && next > fp && next - fp < PGSIZE &&
         ((next - 1) / PGSIZE == (fp - 1) / PGSIZE);
}

// Record the return addresses from the frame at fp on, innermost first (psABI frames:
// the return address at fp - 8, the caller's frame pointer at fp - 16).
static void
record_stack(uint64_t stack[FL_DEPTH], uint64_t fp)
{
  int n = 0;
  while (n < FL_DEPTH) {
    const uint64_t *frame = (const uint64_t *)fp;
    uint64_t next = frame[-2];
    stack[n++] = frame[-1];
    if (!same_stack(fp, next))
      break;
    fp = next;
  }
  while (n < FL_DEPTH)
    stack[n++] = 0;
}

static void
record_event(struct faultline_event *event, void *pa, void *proc, uint64_t fp)
{
  if (event->count++ > 0)
    return;
  event->pa = (uint64_t)pa;
  event->live = CTL.live;
  event->proc = (uint64_t)proc;
  record_stack(event->stack, fp);
}

// The ledger's entry of a page, or 0 if it has none.
INLINE struct faultline_page *
entry(void *pa)
{
  uint64_t page = ((uint64_t)pa - FL_RAM) / PGSIZE;
  return (uint64_t)pa % PGSIZE == 0 && page < FL_PAGES ? &faultline_ledger[page] : 0;
}

// Keep the call path of a counting run's kalloc: FNV-1a over the words of its stack.
static void
record_path(uint64_t fp)
{
  uint64_t stack[FL_DEPTH];
  uint64_t hash = 0xcbf29ce484222325UL;
  record_stack(stack, fp);
  for (int i = 0; i < FL_DEPTH; i++)
    hash = (hash ^ stack[i]) * 0x100000001b3UL;
  if (CTL.counted < FL_PATHS)
    CTL.paths[CTL.counted] = hash ? hash : 1;
  CTL.counted++;
}

// Whether this kalloc, whose frame is fp, is one that should fail. site is its return
// address.
INLINE int
should_fail(void *proc, uint64_t site, uint64_t fp)
{
  if (!CTL.armed || CTL.armed != (uint64_t)proc)
    return 0;
  CTL.calls++;
  switch (CTL.mode) {
  case FL_NTH:
    return CTL.calls == CTL.n;
  case FL_FROM:
    return CTL.n && CTL.calls >= CTL.n;
  case FL_SITE:
    return CTL.n == site;
  case FL_COUNT:
    record_path(fp);
    return 0;
  default:
    return 0;
  }
}

// Note that this kalloc is made to fail. scause tells what the process trapped for,
// unless an interrupt came between.
static void
record_fired(void *proc, uint64_t fp)
{
  if (CTL.fired.count == 0)
    asm volatile("csrr %0, scause" : "=r"(CTL.cause));
  record_event(&CTL.fired, 0, proc, fp);
}

void *
__wrap_kalloc(void)
{
  uint64_t fp = (uint64_t)__builtin_frame_address(0);
  void *proc = myproc();

  // What is armed is the armed process's own business, and needs no lock.
  CTL.shim = 1;
  if (should_fail(proc, (uint64_t)__builtin_return_address(0), fp)) {
    record_fired(proc, fp);
    return 0;
  }

  void *pa = __real_kalloc();

  uint64_t sstatus = lock();
  struct faultline_page *page = entry(pa);
  if (!pa) {
    record_event(&CTL.refused, 0, proc, fp);
  } else if (page) {
    page->seq = ++CTL.seq;
    page->proc = (uint64_t)proc;
    CTL.live += !page->live; // it may be, after a double free
    page->live = 1;
    record_stack(page->alloc, fp);
  }
  unlock(sstatus);
  return pa;
}

static void
take_sample(uint64_t sample[SAMPLE], const volatile uint64_t *page)
{
  for (int i = 0; i < SAMPLE; i++)
    sample[i] = page[i];
}

// Whether kfree has written to a page, or left a free list's link in it.
static int
written(const uint64_t before[SAMPLE], const void *pa)
{
  uint64_t now[SAMPLE];
  uint64_t changed = 0;
  take_sample(now, pa);
  for (int i = 0; i < SAMPLE; i++)
    changed |= now[i] ^ before[i];
  return changed || entry((void *)now[0]);
}

// The page was not freed: it gets its old number again.
static void
take_back(struct faultline_page *page, uint64_t seq)
{
  uint64_t sstatus = lock();
  if (!page->live) {
    page->seq = seq;
    page->live = 1;
    CTL.live++;
  }
  unlock(sstatus);
}

// Whether this kernel's kfree writes to pages; one with a bitmap does not. It shows
// when all memory is freed at the beginning, or with the first page that only one has.
// After that beginning, an address that kalloc never gave may be no memory: not read.
static int kfree_writes;

// A kernel that counts references (copy on write) does not free a page that others
// have. One that does, writes to it, at least the link of its free list, to a page.
// The allocator itself may free what nobody has allocated: all memory at the beginning,
// the parts of larger pages later. That is no mistake.
INLINE void
watched_kfree(void *pa, uint64_t fp, int by_allocator)
{
  // Nothing else runs on this hart before the page is noted for what it is in the end:
  // a process that shares it could free it too, or write to it.
  uint64_t interrupts = interrupts_off();

  // Noted before it is done: once free, the page may be allocated by another hart.
  lock_quietly();
  struct faultline_page *page = entry(pa);
  uint64_t seq = 0, sample[SAMPLE];
  if (!page || !page->live) {
    if (!by_allocator)
      record_event(page && page->seq ? &CTL.double_free : &CTL.wild_free, pa, myproc(),
                   fp);
  } else {
    seq = page->seq;
    page->seq = ++CTL.seq;
    page->live = 0;
    record_stack(page->free, fp);
    CTL.live--;
  }
  int looks = seq || (page && !kfree_writes && !CTL.shim);
  if (looks)
    take_sample(sample, pa);
  unlock_quietly();
  __real_kfree(pa);
  if (looks && written(sample, pa))
    kfree_writes = 1;
  else if (seq && kfree_writes)
    take_back(page, seq);
  interrupts_restore(interrupts);
}

void
__wrap_kfree(void *pa)
{
  watched_kfree(pa, (uint64_t)__builtin_frame_address(0), 0);
}

// What is called for kfree in the file that defines kalloc: see harness/cross/cross.sh.
void
faultline_kfree_inside(void *pa)
{
  watched_kfree(pa, (uint64_t)__builtin_frame_address(0), 1);
}

// Count, and fail, the kallocs of proc from now on. What the last counting run kept
// stays until the next.
static void
arm(void *proc, uint64_t mode, uint64_t n)
{
  CTL.mode = mode;
  CTL.n = n;
  CTL.calls = 0;
  CTL.cause = 0;
  CTL.fired.count = 0;
  CTL.armed = (uint64_t)proc;
  if (mode == FL_COUNT) {
    CTL.counted = CTL.tried = 0;
    CTL.wrong = CTL.double_free.count + CTL.wild_free.count;
  } else if (n) {
    CTL.tried = n;
  }
}

// Watch from now on.
static void
mark(void)
{
  CTL.mark = CTL.seq;
  CTL.end = 0;
  CTL.at_mark = CTL.live;
}

// Watch no longer. Returns how many pages more are live than before.
static uint64_t
end(uint64_t before)
{
  CTL.end = CTL.seq;
  CTL.watched++;
  CTL.gained += CTL.live - before;
  return CTL.live - before;
}

static uint64_t
path(uint64_t n)
{
  return n > 0 && n <= CTL.counted && n <= FL_PATHS ? CTL.paths[n - 1] : 0;
}

// The shim's answer to uptime(FAULTLINE_UPTIME, command, a, b).
static uint64_t
command(uint64_t command, uint64_t a, uint64_t b)
{
  void *proc = myproc();
  uint64_t sstatus = lock();
  uint64_t answer = 0;
  switch (command) {
  case FL_HELLO:
    answer = FAULTLINE_VERSION;
    break;
  case FL_MARK:
    mark();
    answer = CTL.live;
    break;
  case FL_END:
    end(CTL.at_mark);
    answer = CTL.live;
    break;
  case FL_NEXT:
    mark();
    answer = path(a);
    break;
  case FL_GAIN:
    answer = end(a ? a : CTL.at_mark);
    break;
  case FL_ARM:
    arm(proc, a, b);
    break;
  case FL_DISARM:
    CTL.armed = 0;
    answer = CTL.fired.count;
    break;
  case FL_CALLS:
    answer = CTL.calls;
    break;
  case FL_PATH:
    answer = path(a);
    break;
  case FL_ARMED:
    answer = CTL.armed != 0;
    break;
  case FL_CAUSE:
    answer = CTL.cause;
    break;
  case FL_TRIED:
    answer = CTL.tried;
    break;
  }
  unlock(sstatus);
  return answer;
}

// Where a trap leaves the user's registers in the trapframe, in words: every xv6's
// trampoline has them there.
enum { A0 = 14, A1, A2, A3, A7 = 21, PROC_WORDS = 64 };

// The running process's trapframe, or 0: the page that proc points to in which the
// arguments of the present call are.
static uint64_t *
trapframe(const uint64_t *proc, const uint64_t arguments[4])
{
  for (int i = 0; i < PROC_WORDS; i++) {
    uint64_t *page = (uint64_t *)proc[i];
    const struct faultline_page *known = entry(page);
    if (known && known->live && page[A0] == arguments[0] && page[A1] == arguments[1] &&
        page[A2] == arguments[2] && page[A3] == arguments[3] && page[A7] == SYS_uptime)
      return page;
  }
  return 0;
}

// Make a system call as if the process had.
static long
call(void *frame, long number, uint64_t a, uint64_t b, uint64_t c)
{
  uint64_t *word = frame;
  word[A7] = (uint64_t)number;
  word[A0] = a;
  word[A1] = b;
  word[A2] = c;
  make_call();
  return (long)word[A0];
}

static uint64_t
look(const uint64_t arguments[4])
{
  uint64_t *frame = make_call ? trapframe(myproc(), arguments) : 0;
  if (!frame)
    return FL_BLIND;
  uint64_t seen = faultline_look(call, frame, arguments[2], arguments[3]);
  for (int i = 0; i < 4; i++)
    frame[A0 + i] = arguments[i];
  frame[A7] = SYS_uptime;
  return seen;
}

uint64_t
__wrap_sys_uptime(void)
{
  uint64_t arguments[4] = {0};
  argaddr(0, &arguments[0]);
  if (arguments[0] != FAULTLINE_UPTIME)
    return __real_sys_uptime();
  for (int i = 1; i < 4; i++)
    argaddr(i, &arguments[i]);
  if (arguments[1] == FL_LOOK)
    return look(arguments);
  return command(arguments[1], arguments[2], arguments[3]);
}
