"""Which member of struct proc is what, in a kernel that calls all of them something else."""

from __future__ import annotations

from conftest import Compile, FakeRam

from faultline.ctype import Value
from faultline.elf import TRAMPOLINE, ElfImage
from faultline.processes import kernel_root, processes
from faultline.procmembers import members_of
from faultline.ram import PAGE, RAM_BASE
from faultline.sv39 import R, U, V, W, X

SOURCE = """\
#include <stdint.h>
typedef uint64_t *table_t;
enum mood { FREE, WAITING };
struct saved { uint64_t ra, sp; };
struct frame { uint64_t words[36]; };
struct proc {
  enum mood mood; int flag, number; void *on; uint64_t low, bytes; table_t theirs, ours;
  struct frame *frame; struct saved saved; char label[16];
};
struct proc proc[4];
table_t everybodys, nothing;
void _start(void) { for (;;) { proc[0].number++; everybodys++; nothing++; } }
"""
FIRST = RAM_BASE + 512 * PAGE  # of the pages that are taken here


class Memory:
    """Page tables in RAM to be filled by a test."""

    def __init__(self, fake: FakeRam) -> None:
        self.fake, self.next = fake, FIRST

    def page(self) -> int:
        self.next += PAGE
        return self.next - PAGE

    def map(self, root: int, va: int, pa: int, flags: int) -> None:
        table = root
        for level in (2, 1, 0):
            at = table + 8 * (va >> 12 + 9 * level & 511)
            if level == 0:
                self.fake.put(at, pa >> 12 << 10 | flags | V)
                return
            start = at - RAM_BASE
            pte = int.from_bytes(self.fake.memory[start : start + 8], "little")
            if not pte:
                pte = self.page() >> 12 << 10 | V
                self.fake.put(at, pte)
            table = pte >> 10 << 12


def test_members_are_known_by_type_and_use(compile_guest: Compile, fake_ram: FakeRam) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    unfilled = elf.variable(fake_ram.ram(), "proc")
    assert unfilled is not None
    empty: Value = unfilled
    memory = Memory(fake_ram)

    def put(index: int, value: int, *path: str) -> None:
        place: Value = empty[index]
        for step in path:
            place = place[step]
        fake_ram.put(place.address, value, place.ctype.size)

    for index in range(2):
        theirs, ours, frame, stack = (memory.page() for _ in range(4))
        memory.map(theirs, TRAMPOLINE, RAM_BASE, R | X)
        memory.map(theirs, TRAMPOLINE - PAGE, frame, R | W)
        for number in range(3 + index):
            memory.map(theirs, number * PAGE, memory.page(), R | W | X | U)
        memory.map(ours, RAM_BASE, RAM_BASE, R | X)
        values = {
            ("mood",): 1, ("flag",): 0, ("number",): 7 + index, ("low",): stack,
            ("bytes",): (3 + index) * PAGE - 100, ("theirs",): theirs, ("ours",): ours,
            ("frame",): frame, ("saved", "sp"): stack + 3000, ("label",): ord("a"),
        }  # fmt: skip
        for path, value in values.items():
            put(index, value, *path)
    root = memory.page()
    memory.map(root, RAM_BASE, RAM_BASE, R | X)
    fake_ram.put(elf.symbols["everybodys"][0], root)

    ram = fake_ram.ram()
    table = elf.variable(ram, "proc")
    assert table is not None
    found = members_of(table)
    assert (found.pagetable, found.kpagetable) == ("theirs", "ours")
    assert (found.state, found.pid, found.name) == ("mood", "number", "label")
    assert (found.sz, found.trapframe, found.kstack) == ("bytes", "frame", "low")
    assert found.context == "saved"
    assert [process.pid for process in processes(ram, elf)] == [7, 8]
    assert kernel_root(ram, elf) == root
