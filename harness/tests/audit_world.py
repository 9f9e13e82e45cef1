"""A small kernel's memory, right in everything, for tests to put one thing wrong."""

from __future__ import annotations

from conftest import FakeRam

from faultline.audit import audit_moment
from faultline.audit.moment import PLIC, PLIC_SIZE, TRAPFRAME, UART0, VIRTIO0, Moment
from faultline.ctype import Value
from faultline.elf import TRAMPOLINE, ElfImage
from faultline.finding import Finding
from faultline.hart import Hart
from faultline.ledger import MAGIC, Ledger
from faultline.ram import PAGE, RAM_BASE
from faultline.sv39 import A, D, R, U, V, W, X, pte_pa

SOURCE = """\
#include <stdint.h>
#include "faults/ctl.h"
struct faultline_ctl faultline_ctl;
struct faultline_page faultline_ledger[FL_PAGES];
enum page_class class_of_page;
enum procstate { UNUSED, USED, SLEEPING, RUNNABLE, RUNNING, ZOMBIE };
struct context { uint64_t ra, sp; };
struct proc {
  enum procstate state; int pid; char name[16]; uint64_t sz;
  uint64_t *pagetable, *kpgtbl; void *trapframe; struct context context;
};
struct proc proc[4];
struct cpu { struct proc *proc; struct context context; } cpus[2];
struct { uint64_t lock; void *freelist; uint8_t class[FL_PAGES]; } kmem;
struct file { enum { FD_NONE, FD_PIPE, FD_INODE } type; int ref; void *pipe; };
struct { int lock; struct file file[4]; } ftable;
uint64_t *kernel_pagetable;
extern char etext[], end[];
char *volatile linker[] = {etext, end};
volatile long sink;
#define FUNCTION(name) __attribute__((noinline)) void name(void) { sink++; sink++; }
FUNCTION(kalloc) FUNCTION(kfree) FUNCTION(mirror_map) FUNCTION(usertrapret)
FUNCTION(kvminit) FUNCTION(kvmcreate) FUNCTION(proc_kpagetable) FUNCTION(proc_pagetable)
FUNCTION(allocproc) FUNCTION(exec) FUNCTION(growproc) FUNCTION(freeproc) FUNCTION(uvmunmap)
FUNCTION(pipealloc) FUNCTION(scheduler)
__attribute__((aligned(4096))) FUNCTION(trampoline)
void _start(void) { for (;;) sink++; }
"""
KSTACK = 0x3FFF_F000
POOL = RAM_BASE + (16 << 20)  # the allocator's pages, up to the end of RAM
RAM_PAGES = 18 << 8  # 18 MiB
FREE, USER, TABLE, STACK, FRAME, PIPE, OTHER = range(7)


class World:
    """Memory with a global table, two processes and a pipe; `p` and `q` are the indices
    of the processes. Everything is written as the rules want it."""

    def __init__(self, elf: ElfImage, fake: FakeRam) -> None:
        self.elf, self.fake = elf, fake
        fake.memory.extend(bytes(RAM_PAGES * PAGE - len(fake.memory)))
        self._empty = fake.ram()
        self.next, self.seq = POOL, 0
        self.classes: dict[int, int] = {}
        for name, value in (("magic", MAGIC), ("version", 1), ("shim", 1)):
            self.set("faultline_ctl", value, name)
        self.kernel = self._kernel_table()
        self.set("kernel_pagetable", self.kernel)
        self.user: list[int] = []
        self.own: list[int] = []
        self.p, self.q = self._process(0, "init", 4), self._process(2, "sh", 7)
        self.pipe = self.alloc("pipealloc", PIPE)
        for index in range(2):
            for name, value in (("type", 1), ("ref", 1), ("pipe", self.pipe)):
                self.set("ftable", value, "file", index, name)

    def set(self, variable: str, value: int, *path: str | int) -> None:
        found = self.elf.variable(self._empty, variable)
        assert found is not None
        for step in path:
            found = found[step]
        assert isinstance(found, Value)
        self.fake.put(found.address, value, found.ctype.size)

    def _note(self, pa: int, live: int, stack: str, *functions: str) -> None:
        self.seq += 1
        index = (pa - RAM_BASE) // PAGE
        self.set("faultline_ledger", self.seq, index, "seq")
        self.set("faultline_ledger", live, index, "live")
        for depth, name in enumerate(functions):
            address = self.elf.symbols[name][0] + 4
            self.set("faultline_ledger", address, index, stack, depth)

    def alloc(self, function: str, kind: int) -> int:
        """Allocate a page, called by that function."""
        pa, self.next = self.next, self.next + PAGE
        callers = ("proc_kpagetable",) if function == "kvmcreate" else ()
        self._note(pa, 1, "alloc", "kalloc", function, *callers)
        self.classes[pa] = kind
        return pa

    def free(self, pa: int, function: str) -> None:
        """Free a page, called by that function through uvmunmap()."""
        self._note(pa, 0, "free", "kfree", "uvmunmap", function)
        del self.classes[pa]

    def slot(self, root: int, va: int, function: str, level: int = 0) -> int:
        """Return the address of an entry; the function gets the tables on the way."""
        table = root
        for above in range(2, level, -1):
            at = table + 8 * (va >> 12 + 9 * above & 511)
            pte = self.get(at)
            if not pte & V:
                pte = self.alloc(function, TABLE) >> 2 | V
                self.fake.put(at, pte)
            table = pte_pa(pte)
        return table + 8 * (va >> 12 + 9 * level & 511)

    def get(self, address: int) -> int:
        start = address - RAM_BASE
        return int.from_bytes(self.fake.memory[start : start + 8], "little")

    def map(self, root: int, va: int, pa: int, flags: int, function: str = "kvminit") -> None:
        self.fake.put(self.slot(root, va, function), pa >> 2 | flags | V)

    def change(self, root: int, va: int, level: int = 0, *, pa: int = 0, set: int = 0,
               clear: int = 0) -> None:  # fmt: skip
        """Change an entry that is there: its page, and flags."""
        at = self.slot(root, va, "kvminit", level)
        pte = self.get(at)
        pte = pa >> 2 | pte & 0x3FF if pa else pte
        self.fake.put(at, (pte | set) & ~clear)

    def unmap(self, root: int, va: int, level: int = 0) -> None:
        self.fake.put(self.slot(root, va, "kvminit", level), 0)

    def _kernel_table(self) -> int:
        root = self.alloc("kvminit", TABLE)
        etext = -(-self.elf.symbols["etext"][0] // PAGE) * PAGE
        for pa in (UART0, VIRTIO0, *range(PLIC, PLIC + PLIC_SIZE, PAGE)):
            self.map(root, pa, pa, R | W)
        for pa in range(RAM_BASE, RAM_BASE + RAM_PAGES * PAGE, PAGE):
            self.map(root, pa, pa, R | X if pa < etext else R | W | A | D)
        self.map(root, TRAMPOLINE, self.elf.symbols["trampoline"][0], R | X)
        return root

    def _process(self, index: int, name: str, pages: int) -> int:
        """Make a process: text, data, guard, stack and heap, shared tables in its own."""
        frame = self.alloc("allocproc", FRAME)
        user = self.alloc("proc_pagetable", TABLE)
        self.map(user, TRAMPOLINE, self.elf.symbols["trampoline"][0], R | X, "proc_pagetable")
        self.map(user, TRAPFRAME, frame, R | W, "proc_pagetable")
        root, low = self.alloc("kvmcreate", TABLE), self.alloc("kvmcreate", TABLE)
        for to, origin in ((root, self.kernel), (low, pte_pa(self.get(self.kernel)))):
            start = origin - RAM_BASE
            self.fake.write(to, bytes(self.fake.memory[start : start + PAGE]))
        self.fake.put(root, low >> 2 | V)
        stack = self.alloc("proc_kpagetable", STACK)
        self.map(root, KSTACK, stack, R | W, "proc_kpagetable")
        for n in range(pages):
            pa = self.alloc("exec" if n < 4 else "growproc", USER)
            flags = R | X | U if n == 0 else R | W if n == 2 else R | W | U
            self.map(user, n * PAGE, pa, flags, "exec")
            if flags & U:
                self.map(root, n * PAGE, pa, flags & (R | W), "exec")
        for member, value in (
            ("state", 2), ("pid", index + 1), ("sz", pages * PAGE - 100), ("pagetable", user),
            ("kpgtbl", root), ("trapframe", frame),
        ):  # fmt: skip
            self.set("proc", value, index, member)
        for n, letter in enumerate(name.encode()):
            self.set("proc", letter, index, "name", n)
        self.set("proc", KSTACK + 0xF80, index, "context", "sp")
        self.fake.put(frame + 8, KSTACK + PAGE)
        self.fake.put(frame + 48, 4 * PAGE - 64)
        self.user.append(user)
        self.own.append(root)
        return index

    def page(self, which: int, va: int) -> int:
        """Return the page that the process at place 0 or 1 has at a user address."""
        return pte_pa(self.get(self.slot(self.user[which], va, "exec")))

    def finish(self) -> None:
        """Write free list, classes and counters as the ledger has them."""
        top = RAM_BASE + RAM_PAGES * PAGE
        free = [pa for pa in range(POOL, top, PAGE) if pa not in self.classes]
        self.set("kmem", free[0], "freelist")
        for pa, following in zip(free, [*free[1:], 0]):
            self.fake.put(pa, following)
        counts = [len(free)] + [0] * 6
        for pa, kind in self.classes.items():
            counts[kind] += 1
            self.set("kmem", kind, "class", (pa - RAM_BASE) // PAGE)
        self.set("faultline_ctl", (top - POOL) // PAGE, "pages", "total")
        for kind, count in enumerate(counts):
            self.set("faultline_ctl", count, "pages", "held", kind)

    def audit(self, *harts: Hart, shares: bool = False) -> list[Finding]:
        ram = self.fake.ram()
        moment = Moment(
            ram, self.elf, harts, Ledger(ram, self.elf), True, "in the test", shares=shares
        )
        return list(audit_moment(moment))
