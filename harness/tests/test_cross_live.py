"""What the wrapper makes of a kernel's files, run on a machine of its own without any kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from test_cross import MEMSET

from faultline.qemu import find_qemu
from faultline.treebuild import make_tools

FLAGS = ("-O", "-ffreestanding", "-nostdlib", "-mcmodel=medany", "-fno-pie", "-Ikernel")
HEADER = """
#define NCPU 8
typedef unsigned int uint;
typedef unsigned long pte_t;
typedef unsigned long *pagetable_t;
extern unsigned long tables[2][512];
struct cpu { int held; int before; };
extern struct cpu cpus[NCPU];
struct cpu *mycpu(void);
void *memset(void *, int, uint);
static inline unsigned long r_sstatus(void)
{
  unsigned long x;
  asm volatile("csrr %0, sstatus" : "=r"(x));
  return x;
}
static inline void w_sstatus(unsigned long x) { asm volatile("csrw sstatus, %0" : : "r"(x)); }
static inline void intr_on(void) { w_sstatus(r_sstatus() | 2); }
static inline void intr_off(void) { w_sstatus(r_sstatus() & ~2ul); }
static inline int intr_get(void) { return (r_sstatus() & 2) != 0; }
"""
STRING = MEMSET.replace("SIZE", "unsigned")
PROC = """
#include "kernel.h"
struct cpu cpus[NCPU];
struct cpu *mycpu(void)
{
  long id;
  asm volatile("mv %0, tp" : "=r"(id));
  return &cpus[id];
}
"""
SPINLOCK = """
#include "kernel.h"
void hold(void)
{
  int were = intr_get();
  intr_off();
  if (mycpu()->held++ == 0)
    mycpu()->before = were;
}
int give_back(void)
{
  struct cpu *c = mycpu();
  if (intr_get() || c->held < 1)
    return -1;
  if (--c->held == 0 && c->before)
    intr_on();
  return c->held;
}
"""
VM = """
#include "kernel.h"
pte_t *walk(pagetable_t pagetable, unsigned long va, int alloc)
{
  for (int level = 2; level > 0; level--) {
    pte_t *pte = &pagetable[va >> (12 + 9 * level) & 511];
    if (!(*pte & 1) && !alloc)
      return 0;
    pagetable = tables[2 - level];
    *pte = (unsigned long)pagetable >> 2 | 1;
  }
  return &pagetable[va >> 12 & 511];
}
int map(pagetable_t pagetable, unsigned long va, int pages, int alloc)
{
  for (int page = 0; page < pages; page++, va += 4096) {
    pte_t *pte = walk(pagetable, va, alloc);
    if (pte == 0)
      return -1;
    *pte = va | 3;
  }
  return 0;
}
"""
MAIN = """
#include "kernel.h"
#define SIZE 1200
static unsigned char page[SIZE + 64] __attribute__((aligned(16)));

static void say(const char *word)
{
  while (*word)
    *(volatile char *)0x10000000 = *word++;
}

static int filled(uint first, uint size, int byte)
{
  for (uint i = 0; i < sizeof(page); i++)
    page[i] = 0xa5;
  if (memset(page + first, byte, size) != page + first)
    return 0;
  for (uint i = 0; i < sizeof(page); i++)
    if (page[i] != (i >= first && i < first + size ? (unsigned char)byte : 0xa5))
      return 0;
  return 1;
}

void hold(void);
int give_back(void);
int map(pagetable_t, unsigned long, int, int);
unsigned long tables[2][512];

static int maps(void)
{
  static unsigned long root[512];
  if (map(root, 0x3000, 5, 0) != -1 || map(root, 0x3000, 5, 1) != 0)
    return 0;
  for (int i = 0; i < 512; i++)
    if (tables[1][i] != (i >= 3 && i < 8 ? i * 4096ul + 3 : 0))
      return 0;
  return root[0] == ((unsigned long)tables[0] >> 2 | 1) && !root[1];
}

static int locks(int on)
{
  (on ? intr_on : intr_off)();
  unsigned long others = r_sstatus() & ~2ul;
  hold();
  if (intr_get() || cpus[3].held != 1 || cpus[3].before != on)
    return 0;
  hold();
  if (give_back() != 1 || intr_get() || give_back() != 0)
    return 0;
  return intr_get() == on && (r_sstatus() & ~2ul) == others;
}

void check(void)
{
  static const int bytes[] = {0, 1, 5, 0x80, -1, 0x17f};
  for (uint size = 0; size <= SIZE; size += size < 300 ? 1 : 37)
    for (uint first = 0; first < 17; first++)
      if (!filled(first, size, bytes[(size + first) % 6])) {
        say("memset is wrong\\n");
        return;
      }
  if (!maps()) {
    say("walk is wrong\\n");
    return;
  }
  say(locks(0) && locks(1) && locks(0) ? "all is well\\n" : "locks are wrong\\n");
}
"""
START = """
.globl _start
_start:
  csrr t0, mhartid
1: bnez t0, 1b
  la sp, stack + 4096
  li tp, 3
  call check
  li t0, 0x100000
  li t1, 0x5555
  sw t1, 0(t0)
2: j 2b
.bss
.balign 16
stack: .space 4096
"""
SOURCES = {
    "start.S": START, "main.c": MAIN, "string.c": STRING, "proc.c": PROC, "spinlock.c": SPINLOCK,
    "vm.c": VM,
}  # fmt: skip


@pytest.mark.parametrize("optimize", ["-O0", "-O", "-O2", "-Os"])
@pytest.mark.parametrize("plain", [False, True], ids=["rewritten", "plain"])
def test_what_is_rewritten_does_what_it_did(tmp_path: Path, optimize: str, plain: bool) -> None:
    (tmp_path / "tools").mkdir()
    tools = make_tools(tmp_path / "tools", plain=plain)
    kernel = tmp_path / "kernel"
    kernel.mkdir()
    (kernel / "kernel.h").write_text(HEADER)
    gcc = str(tools.folder / f"{tools.cross}gcc")
    objects = []
    for name, text in SOURCES.items():
        (kernel / name).write_text(text)
        objects.append(f"kernel/{name[: name.rindex('.')]}.o")
        words = [gcc, *FLAGS, optimize, "-c", "-o", objects[-1], f"kernel/{name}"]
        subprocess.run(words, cwd=tmp_path, check=True)
    words = [f"{tools.cross}ld", "-Ttext=0x80000000", "--no-relax", "-o", "guest", *objects]
    subprocess.run(words, cwd=tmp_path, check=True)
    code = subprocess.run(
        [f"{tools.cross}objdump", "-d", "guest"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    hold, memset, mapping = (
        code[code.index(f"<{name}>:") :].split("\n\n")[0] for name in ("hold", "memset", "map")
    )
    if optimize != "-O0":
        assert ("<mycpu>" not in hold) == (not plain)
        assert (hold.count("sstatus") == 1) == (not plain)
        assert ("sd\ta1,248(t0)" in memset) == (not plain)
    if optimize in ("-O0", "-O"):  # with others the compiler does so anyway
        assert ("<walk>" not in mapping) == (not plain)
    words = [find_qemu(), "-machine", "virt", "-smp", "1", "-bios", "none", "-kernel", "guest"]
    words += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True
    )
    assert done.stdout.decode().split("\n")[0] == "all is well"
