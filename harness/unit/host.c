// What the kernel's sources need of the rest of the kernel: panic, the running process,
// sleeping, the console.

#include "host.h"

#include <sys/mman.h>

jmp_buf panic_jump;
bool panic_wanted;
char panic_message[256];

// Kernel pages live for as long as tests do; what is lost of them, the tests count.
const char *
__asan_default_options(void)
{
  return "detect_leaks=0";
}

// End the call of the test that expects it, or the test.
void
panic(const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  vsnprintf(panic_message, sizeof(panic_message), format, ap);
  va_end(ap);
  if (!panic_wanted)
    ck_abort_msg("panic: %s", panic_message);
  panic_wanted = false;
  longjmp(panic_jump, 1);
}

struct cpu cpus[NCPU];
static struct proc only_process = {.pid = 1, .name = "unit"};
struct proc *running = &only_process;

struct proc *
myproc(void)
{
  return running;
}

// There is nobody else to wake it, so this is the end, as for a panic.
void
k_sleep(void *chan, struct spinlock *lk)
{
  (void)chan;
  panic("the only process sleeps for ever, waiting under the lock %s", lk->name);
}

void
wakeup(void *chan)
{
  (void)chan;
}

// kalloc() and kfree() come by here (unit.mk).
int most_locks;
void *__real_kalloc(void);
void __real_kfree(void *pa);

static void
count_locks(void)
{
  if (cpus[0].noff > most_locks)
    most_locks = cpus[0].noff;
}

void *
__wrap_kalloc(void)
{
  count_locks();
  return __real_kalloc();
}

void
__wrap_kfree(void *pa)
{
  count_locks();
  __real_kfree(pa);
}

char console_text[65536];
static size_t console_used;

void
consputc(int c)
{
  ck_assert_uint_lt(console_used + 1, sizeof(console_text));
  console_text[console_used++] = c;
  console_text[console_used] = 0;
}

// Let printf() through to consputc() at once.
void
uartputc_sync(int c)
{
  consputc(c);
}

void
machine_reset(void)
{
  memset(cpus, 0, sizeof(cpus));
  memset(running, 0, sizeof(*running));
  running->pid = 1;
  console_used = 0;
  console_text[0] = 0;
  kernel_pagetable = 0;
  kinit();
  most_locks = 0;
}

static void
map_ram(void)
{
  void *want = (void *)KERNBASE;
  void *ram =
      mmap(want, PHYSTOP - KERNBASE, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (ram != want) {
    perror("fake RAM: mmap");
    exit(2);
  }
  madvise(ram, PHYSTOP - KERNBASE, MADV_HUGEPAGE); // each test touches all of it anew
}

TCase *
machine_case(Suite *suite, const char *name)
{
  TCase *tc = tcase_create(name);
  tcase_add_checked_fixture(tc, machine_reset, 0);
  suite_add_tcase(suite, tc);
  return tc;
}

int
run_suite(Suite *suite)
{
  map_ram();
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

// What assembly, syscall.c and sched.c would provide to the process code.

const char initcode[] = "the first program";
const uint64_t initcode_size = sizeof(initcode);

void
sched(void)
{
  panic("the only process gave its hart away");
}

void
usertrapret(void)
{
  panic("the process went to user space");
}

uint64_t system_call_arguments[6];

int
argint(int n, int *out)
{
  *out = (int)system_call_arguments[n];
  return 0;
}

int
argaddr(int n, uint64_t *out)
{
  *out = system_call_arguments[n];
  return 0;
}

int
argstr(int n, char *buf, int max)
{
  return copyinstr(buf, system_call_arguments[n], max);
}
