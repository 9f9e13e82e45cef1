// probe NONCE COMMAND...: what the harness puts into any xv6 kernel's file system to do
// things there and to speak with the shim in the kernel. It needs no library, and is
// one segment at address 0, so that any tree's kernel can load it. Each answer is one
// line that begins with @NONCE, which the tree under test cannot know.
//
//   probe NONCE hello               @NONCE hello shim=VERSION, 0 if there is no shim
//   probe NONCE list                @NONCE actions NAME...
//   probe NONCE leak ACTION ROUNDS  @NONCE leak ACTION rounds=R before=PAGES
//   after=PAGES
//                                   and ok, or fail=WHAT for the first call that did
//                                   not do what it should
//   probe NONCE pose                take up one pose after the other, in each say
//                                   @NONCE pose NAME and wait for a line of input;
//                                   at the end, or at once, pose fail=WHAT if a call
//                                   did not do what it should
//   probe NONCE workloads           @NONCE workloads NAME...
//   probe NONCE sweep WORKLOAD nth|from FIRST LAST
//   probe NONCE sweep WORKLOAD site ADDRESS
//                                   fail the workload's allocations; see
//                                   probe_sweep.c
//   probe NONCE pingpong            two processes wake each other, for ever
//   probe NONCE stay                wait until standard input ends
#include "probe.h"

// Two processes and a byte that goes to and fro: harts that do little but switch.
static int
pingpong(void)
{
  int to[2], fro[2];
  if (pipe(to) < 0 || pipe(fro) < 0)
    return 1;
  int pid = fork();
  int in = pid == 0 ? to[0] : fro[0], out = pid == 0 ? fro[1] : to[1];
  char c = 'p';
  if (pid > 0)
    write(out, &c, 1);
  while (pid >= 0 && read_byte(in, &c) && write(out, &c, 1) == 1)
    ;
  return 1;
}

// A number, decimal or hexadecimal with 0x. False if it is none.
static bool
parse(const char *s, uint64_t *value)
{
  uint64_t base = s[0] == '0' && s[1] == 'x' ? 16 : 10;
  if (base == 16)
    s += 2;
  *value = 0;
  if (!*s)
    return false;
  for (; *s; s++) {
    uint64_t digit = (uint64_t)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
    if (digit >= base || *value > (UINT64_MAX - digit) / base)
      return false;
    *value = *value * base + digit;
  }
  return true;
}

static int
usage(void)
{
  say("usage: probe NONCE hello | list | pose | pingpong | call NUMBER | "
      "leak ACTION ROUNDS | "
      "workloads | sweep WORKLOAD nth|from FIRST LAST [unseen] | "
      "sweep WORKLOAD site ADDRESS");
  say_end();
  return 2;
}

static int
hello(void)
{
  say_nonce();
  say("hello shim=");
  say_number(shim_version());
  say_end();
  return 0;
}

// The commands of one word. Returns -1 if this is none.
static int
run_word(const char *word)
{
  if (same(word, "hello"))
    return hello();
  if (same(word, "pose"))
    return poses();
  if (same(word, "pingpong"))
    return pingpong();
  if (same(word, "list"))
    list_actions();
  else if (same(word, "workloads"))
    list_workloads();
  else if (same(word, "stay"))
    obey(0);
  else
    return -1;
  return same(word, "stay") ? 3 : 0;
}

static int
run_sweep(int argc, char **argv)
{
  uint64_t first = 0, last = 0;
  if (argc == 6 && same(argv[4], "site") && parse(argv[5], &first))
    return sweep_command(argv[3], FL_SITE, first, 0);
  if (argc == 8 && same(argv[7], "unseen")) {
    watch_none();
    argc--;
  }
  if (argc != 7 || !parse(argv[5], &first) || !parse(argv[6], &last) || first == 0)
    return -1;
  if (same(argv[4], "nth"))
    return sweep_command(argv[3], FL_NTH, first, last);
  return same(argv[4], "from") ? sweep_command(argv[3], FL_FROM, first, last) : -1;
}

static int
run(int argc, char **argv)
{
  uint64_t number = 0;
  int status = -1;
  if (argc >= 3 && same(argv[2], "noop"))
    return argc;
  if (argc == 3)
    status = run_word(argv[2]);
  else if (argc == 4 && same(argv[2], "call") && parse(argv[3], &number))
    status = call_and_pose((long)number);
  else if (argc == 5 && same(argv[2], "leak") && parse(argv[4], &number))
    status = leak_command(argv[3], number);
  else if (argc >= 4 && same(argv[2], "sweep"))
    status = run_sweep(argc, argv);
  return status < 0 ? usage() : status;
}

void __attribute__((noreturn)) _start(int argc, char **argv)
{
  if (argc < 3)
    die(usage());
  program = argv[0];
  nonce = argv[1];
  die(run(argc, argv));
}
