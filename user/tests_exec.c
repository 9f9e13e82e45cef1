// exec: what the new program is given, and what must be refused.
#include "user/tests.h"
#include "kernel/elf.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/param.h"
#include "kernel/riscv.h"

// The new program's side.

// Are the arguments "@args", then "0", "a1", "bb2" … as exec_arguments() passed them?
static int
check_arguments(int argc, char **argv)
{
  uint64_t sp = (uint64_t)__builtin_frame_address(0);
  if (sp % 16 != 0)
    return 2;
  if (argv[argc] != 0)
    return 3;
  for (int i = 2; i < argc; i++) {
    int length = (i * 7) % 20;
    if ((int)strlen(argv[i]) != length)
      return 4;
    for (int k = 0; k < length; k++)
      if (argv[i][k] != (char)('a' + i % 26))
        return 5;
  }
  return argc;
}

// Can the kernel read at this address (hexadecimal)?
static int
peek(const char *number)
{
  uint64_t address = 0;
  for (; *number; number++)
    address = address * 16 + (uint64_t)(*number - (*number >= 'a' ? 'a' - 10 : '0'));
  if (address < (uint64_t)heap_end())
    return 3;
  return kernel_reads((void *)address, 8);
}

int
exec_child(int argc, char **argv)
{
  int number = 0;
  if (strcmp(argv[1], "@args") == 0)
    return check_arguments(argc, argv);
  if (argc == 3 && strcmp(argv[1], "@peek") == 0)
    return peek(argv[2]);
  if (argc == 3 && strcmp(argv[1], "@exit") == 0 && parse_number(argv[2], &number))
    return number;
  if (argc == 3 && strcmp(argv[1], "@write") == 0 && parse_number(argv[2], &number))
    return write(number, "inherited", 9) == 9 ? 0 : 1;
  return 99;
}

// The test's side.

static int
exec_self(char **argv)
{
  int pid = fork_or_fail();
  if (pid == 0) {
    exec(self, argv);
    exit(100);
  }
  return wait_for(pid);
}

static void
exec_arguments(void)
{
  static char strings[MAXARG][24];
  char *argv[MAXARG + 2];
  for (int n = 2; n < MAXARG; n += 7) { // 30 the last
    argv[0] = self;
    argv[1] = "@args";
    for (int i = 2; i < n; i++) {
      memset(strings[i], 'a' + i % 26, (size_t)((i * 7) % 20));
      argv[i] = strings[i];
    }
    argv[n] = 0;
    expect("arguments that arrived whole", exec_self(argv), n);
  }
}

static void
exec_limits(void)
{
  static char page[PGSIZE + 1];
  char *argv[MAXARG + 10];
  for (size_t i = 0; i < NELEM(argv); i++)
    argv[i] = "x";
  argv[NELEM(argv) - 1] = 0;
  expect("exec with 41 arguments", exec(self, argv), -1);
  argv[MAXARG + 1] = 0;
  expect("exec with 33 arguments", exec(self, argv), -1);

  memset(page, 'p', PGSIZE);
  argv[1] = page;
  argv[2] = 0;
  expect("exec with an argument of 4096 bytes", exec(self, argv), -1);
  page[PGSIZE - 1] = '\0';
  if (reference_kernel()) { // its stack is one page
    expect("exec with an argument of 4095 bytes, more than the stack has left",
           exec(self, argv), -1);
  }
  for (int i = 1; i < MAXARG - 1; i++)
    argv[i] = page;
  argv[MAXARG - 1] = 0;
  expect("exec with 30 arguments of 4095 bytes", exec(self, argv), -1);
  if (reference_kernel()) {
    page[1000] = '\0';
    argv[6] = 0;
    expect("exec with 5 arguments of 1000 bytes", exec(self, argv), -1);
  }
  argv[0] = self;
  argv[1] = "@exit";
  argv[2] = "6";
  argv[3] = 0;
  expect("status of a good exec after these", exec_self(argv), 6);
}

static void
exec_missing(void)
{
  char *argv[] = {"x", 0};
  expect("exec of a missing file", exec("missing", argv), -1);
  expect("exec in a missing directory", exec("missing/x", argv), -1);
  expect("exec of a directory", exec(".", argv), -1);
  expect("exec of the root", exec("/", argv), -1);
  expect("mknod", mknod("device", CONSOLE, 0), 0);
  if (reference_kernel())
    expect("exec of a device", exec("device", argv), -1);
  char path[MAXPATH + 10];
  memset(path, 'a', sizeof(path));
  path[sizeof(path) - 1] = '\0';
  expect("exec of a path that is too long", exec(path, argv), -1);
}

static void
exec_garbage(void)
{
  char *argv[] = {"x", 0};
  make_file("empty", "");
  make_file(
      "text",
      "#!/bin/sh\necho this is no program at all, but long enough for a header\n");
  make_file("magic", "\x7f"
                     "ELF");
  expect("exec of an empty file", exec("empty", argv), -1);
  expect("exec of a text file", exec("text", argv), -1);
  expect("exec of four bytes of magic", exec("magic", argv), -1);
}

struct program {
  struct elfhdr eh;
  struct proghdr ph;
  uint32_t code[4];
};

// A program that exits with status 9.
static void
good_program(struct program *p)
{
  memset(p, 0, sizeof(*p));
  p->eh.magic = ELF_MAGIC;
  p->eh.class64 = 2;
  p->eh.data = 1;
  p->eh.ident[0] = 1;
  p->eh.type = ELF_EXEC;
  p->eh.machine = ELF_RISCV;
  p->eh.version = 1;
  p->eh.phoff = offsetof(struct program, ph);
  p->eh.ehsize = sizeof(p->eh);
  p->eh.phentsize = sizeof(p->ph);
  p->eh.phnum = 1;
  p->ph.type = ELF_LOAD;
  p->ph.flags = ELF_FLAG_R | ELF_FLAG_X;
  p->ph.off = offsetof(struct program, code);
  p->ph.filesz = p->ph.memsz = sizeof(p->code);
  p->ph.align = PGSIZE;
  p->code[0] = 0x00900513; // li a0, 9
  p->code[1] = 0x00200893; // li a7, SYS_exit
  p->code[2] = 0x00000073; // ecall
}

// The status of the process, 100 if exec() failed.
static int
exec_program(const struct program *p)
{
  char *argv[] = {"program", 0};
  int fd = open_or_fail("program", O_CREATE | O_TRUNC | O_WRONLY);
  expect("write of a program", write(fd, p, sizeof(*p)), sizeof(*p));
  close(fd);
  int pid = fork_or_fail();
  if (pid == 0) {
    exec("program", argv);
    exit(100);
  }
  return wait_for(pid);
}

static void
exec_bad_elf(void)
{
  static struct program p;
  good_program(&p);
  expect("status of a good program", exec_program(&p), 9);

  p.eh.magic++;
  expect("exec with a wrong magic (100 is refused)", exec_program(&p), 100);
  good_program(&p);
  p.ph.memsz = p.ph.filesz - 1;
  expect("exec with memsz < filesz (100 is refused)", exec_program(&p), 100);
  good_program(&p);
  p.ph.vaddr = 8;
  expect("exec with an unaligned segment (100 is refused)", exec_program(&p), 100);
  good_program(&p);
  p.ph.filesz = p.ph.memsz = 4 * PGSIZE;
  expect("exec of a cut-off file (100 is refused)", exec_program(&p), 100);
  good_program(&p);
  p.ph.vaddr = -(uint64_t)PGSIZE;
  p.ph.memsz = 2 * PGSIZE;
  expect("exec with a segment that wraps around (100 is refused)", exec_program(&p),
         100);
  good_program(&p);
  p.ph.memsz = 1UL << 40;
  expect("exec with a segment of 1 TiB (100 is refused)", exec_program(&p), 100);
  good_program(&p);
  p.eh.phoff = 1UL << 20;
  expect("exec with program headers past the end (100 is refused)", exec_program(&p),
         100);
  good_program(&p);
  p.eh.phnum = 1000;
  expect("exec with 1000 program headers (100 is refused)", exec_program(&p), 100);
}

// Segments where the kernel's own mappings are. Other kernels first take all memory; so
// there only the last three, which no memory reaches.
static void
exec_bad_place(void)
{
  static const uint64_t places[] = {
      USERTOP, PLIC + PGSIZE,    UART0,    KSTACK,    TRAMPOLINE,
      MAXVA,   USERTOP - PGSIZE, KERNBASE, TRAPFRAME, 1UL << 63,
  };
  static struct program p;
  for (size_t i = reference_kernel() ? 0 : NELEM(places) - 3; i < NELEM(places); i++) {
    good_program(&p);
    p.ph.vaddr = places[i];
    p.ph.memsz = 2 * PGSIZE;
    if (exec_program(&p) != 100)
      fail("exec with a segment at %p: expected it to be refused", (void *)places[i]);
  }
  if (!reference_kernel())
    return;
  good_program(&p);
  p.ph.memsz = USERTOP; // leaves no room for the stack
  expect("exec with a segment up to the PLIC (100 is refused)", exec_program(&p), 100);
}

static void
exec_keeps_old(void)
{
  char *heap = grow(3 * PGSIZE);
  fill(heap, 3 * PGSIZE, 4);
  char *argv[] = {"x", 0};
  for (int i = 0; i < 5; i++)
    expect("exec of a missing file", exec("missing", argv), -1);
  exec_garbage();
  check_fill("memory after failed execs", heap, 3 * PGSIZE, 4);
  expect("write from that memory",
         write(open_or_fail("out", O_CREATE | O_WRONLY), heap, 10), 10);
}

static void
exec_keeps_files(void)
{
  int fd = open_or_fail("out", O_CREATE | O_RDWR);
  char number[2] = {(char)('0' + fd), '\0'};
  char *argv[] = {self, "@write", number, 0};
  expect("status of a new program that writes to an inherited file", exec_self(argv),
         0);
  char buf[16];
  close(fd);
  fd = open_or_fail("out", O_RDONLY);
  expect("read of what it wrote", read(fd, buf, sizeof(buf)), 9);
  expect("the bytes differ", memcmp(buf, "inherited", 9), 0);
}

static void
exec_echo(void)
{
  int fds[2];
  char buf[32];
  char *argv[] = {"echo", "one", "", "three", 0};
  expect("pipe", pipe(fds), 0);
  int pid = fork_or_fail();
  if (pid == 0) {
    close(1);
    dup(fds[1]);
    exec("/echo", argv);
    exit(100);
  }
  expect("status of echo", wait_for(pid), 0);
  expect("bytes that echo wrote", read(fds[0], buf, sizeof(buf)), 11);
  expect("the bytes differ", memcmp(buf, "one  three\n", 11), 0);
}

const struct test exec_tests[] = {
    {"exec_arguments", exec_arguments, ANYWHERE},
    {"exec_limits", exec_limits, ANYWHERE},
    {"exec_missing", exec_missing, ANYWHERE},
    {"exec_garbage", exec_garbage, ANYWHERE},
    {"exec_bad_elf", exec_bad_elf, ANYWHERE},
    {"exec_bad_place", exec_bad_place, ANYWHERE},
    {"exec_keeps_old", exec_keeps_old, ANYWHERE},
    {"exec_keeps_files", exec_keeps_files, ANYWHERE},
    {"exec_echo", exec_echo, ANYWHERE},
    {0, 0, 0},
};
