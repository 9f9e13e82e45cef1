"""Reading panics and registers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from conftest import Compile, FakeRam

from faultline.elf import ElfImage
from faultline.hart import (
    SIE, Hart, cause_words, closed, handler_fault, machine_fault, parse_registers,
)  # fmt: skip
from faultline.machine import Death, GuestDied, Machine
from faultline.postmortem import Panic, death_finding, parse_panic
from faultline.ram import RAM_BASE
from faultline.sv39 import R, V, W

OURS = """$ forktest\r
panic: kernel trap: load page fault\r
  hart 1, pid 7 (forktest)\r
  satp 0x8000000000087f00 sstatus 0x0000000200000120\r
  scause 0x000000000000000d sepc 0x0000000080002f00 stval 0x0000000000005000\r
   ra 0x0000000080002480   sp 0x000000003ffffe80\r
backtrace:\r
  0x0000000080002480\r
  0x00000000800075b4\r
"""
XV6 = """hart 2 starting
scause 0x000000000000000c
sepc=0x0000000080002f00 stval=0x0000000080002f00
panic: kerneltrap
"""

# A program is killed, and then the kernel panics: of itself, or in a trap of its own.
KILLED = """usertrap(): unexpected scause 0x0000000000000002 pid=393
            sepc=0x0000000000000000 stval=0x000000002083c40f
"""


@pytest.mark.parametrize(
    ("console", "panic"),
    [
        (
            OURS,
            Panic(
                "kernel trap: load page fault", 1, 7, "forktest", 13, 0x80002F00, 0x5000,
                (0x80002480, 0x800075B4),
            ),
        ),
        (XV6, Panic("kerneltrap", scause=12, sepc=0x80002F00, stval=0x80002F00)),
        ("panic: freewalk: leaf\n", Panic("freewalk: leaf")),
        (KILLED + "panic: freewalk: leaf\n", Panic("freewalk: leaf")),
        (KILLED + XV6, Panic("kerneltrap", scause=12, sepc=0x80002F00, stval=0x80002F00)),
        ("panic: kfree\n  hart 0, no process\nbacktrace:\n", Panic("kfree", hart=0)),
        ("$ panic: remap", Panic("remap")),
        ("nothing to see\n", None),
        ("don't panic\n", None),
    ],
)  # fmt: skip
def test_parse_panic(console: str, panic: Panic | None) -> None:
    assert parse_panic(console) == panic


GUEST = """\
#define FUNCTION(name) __attribute__((noinline)) void name(void) { asm volatile("nop; nop; nop"); }
FUNCTION(panic) FUNCTION(freewalk) FUNCTION(exit) FUNCTION(timervec) FUNCTION(kernelvec)
FUNCTION(kerneltrap) FUNCTION(devintr) FUNCTION(scheduler) FUNCTION(yield)
enum procstate { UNUSED, SLEEPING, RUNNABLE };
struct context { unsigned long ra, sp, s0; };
struct proc { enum procstate state; int pid; char name[16]; unsigned long *pagetable;
              struct context context; } proc[2];
unsigned long *kernel_pagetable;
void _start(void) { for (;;) freewalk(); }
"""
FRAME = RAM_BASE + 0x10100


@pytest.mark.parametrize(
    ("pc", "mepc", "sepc", "stack"),
    [
        ("panic", "exit", "exit", ["freewalk", "exit"]),
        ("timervec", "panic", "exit", ["freewalk", "exit"]),
        ("devintr", "exit", "panic", ["kerneltrap", "kernelvec", "freewalk", "exit"]),
    ],
    ids=["nothing", "a-timer-interrupt", "a-software-interrupt"],
)
def test_where_it_panicked_is_known_whatever_interrupts_the_end(
    compile_guest: Compile, fake_ram: FakeRam, pc: str, mepc: str, sepc: str, stack: list[str]
) -> None:
    elf = ElfImage(compile_guest(GUEST, "c"))
    at = {name: elf.symbols[name][0] + 4 for name in {pc, mepc, sepc, *stack}}
    for index, function in enumerate(stack):
        fake_ram.put(FRAME + index * 0x40 - 8, at[function])
        above = FRAME + (index + 1) * 0x40 if index + 1 < len(stack) else 0
        fake_ram.put(FRAME + index * 0x40 - 16, above)
    registers = {"pc": at[pc], "mepc": at[mepc], "sepc": at[sepc], "s0": FRAME, "satp": 0}
    death = Death("panic", "freewalk: leaf", "panic: freewalk: leaf\n", (Hart(0, registers),))
    machine = cast(Machine, SimpleNamespace(ram=fake_ram.ram()))
    finding = death_finding(GuestDied(machine, death), elf)
    assert finding.where.function == "freewalk"
    path = finding.evidence.partition("hart 0")[0]
    assert path.index("freewalk()") < path.index("exit()") and "kernelvec" not in path


def test_where_it_panicked_is_known_though_another_could_run_since(
    compile_guest: Compile, fake_ram: FakeRam
) -> None:
    elf = ElfImage(compile_guest(GUEST, "c"))
    at = {name: symbol[0] + 4 for name, symbol in elf.symbols.items()}
    for index, function in enumerate(["yield", "kerneltrap", "kernelvec", "freewalk", "exit"]):
        fake_ram.put(FRAME + index * 0x40 - 8, at[function])
        fake_ram.put(FRAME + index * 0x40 - 16, FRAME + (index + 1) * 0x40 if index < 4 else 0)
    root = RAM_BASE + 0x20000
    fake_ram.put(root + 8 * (RAM_BASE >> 30), RAM_BASE >> 2 | V | R | W)
    fake_ram.put(elf.symbols["kernel_pagetable"][0], root)
    proc = elf.variable(fake_ram.ram(), "proc")
    assert proc is not None
    for index, state in enumerate((1, 2)):
        fake_ram.put(proc[index]["state"].address, state, 4)
        fake_ram.put(proc[index]["pid"].address, index + 1, 4)
    fake_ram.put(proc[1]["context"]["s0"].address, FRAME)
    machine = cast(Machine, SimpleNamespace(ram=fake_ram.ram()))
    for sepc, place in (("panic", "freewalk"), ("exit", None)):
        registers = {"pc": at["scheduler"], "sepc": at[sepc]}
        said = "panic: freewalk: leaf\n"
        death = Death("panic", "freewalk: leaf", said, (Hart(0, registers),))
        assert death_finding(GuestDied(machine, death), elf).where.function == place


REGISTERS = """\r
CPU#0\r
 V      =   0\r
 pc       0000000080000014\r
 mcause   8000000000000007\r
 satp     8000000000087fff\r
 x0/zero  0000000000000000 x1/ra    0000000080001234 x2/sp    000000003ffffe80\r
 x8/s0    000000003ffffff0 x9/s1    0000000000000000\r
\r
CPU#1\r
 pc       0000000000000000\r
 mepc     0000000080000010\r
 mcause   0000000000000001\r
"""


def test_parse_registers() -> None:
    first, second = parse_registers(REGISTERS)
    assert (first.number, first.pc, first["satp"]) == (0, 0x80000014, 0x8000000000087FFF)
    assert (first["ra"], first["sp"], first["s0"]) == (0x80001234, 0x3FFFFE80, 0x3FFFFFF0)
    assert (second.number, second.pc, second["ra"]) == (1, 0, 0)


def test_timer_interrupts_are_no_machine_fault() -> None:
    first, second = parse_registers(REGISTERS)
    assert machine_fault((first,)) == ""
    assert machine_fault((second,)) == "instruction access fault at 0x80000010"
    assert machine_fault(()) == ""


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (15, "store page fault"),
        (1 << 63 | 9, "supervisor external interrupt"),
        (1 << 63 | 40, "interrupt 40"),
        (24, "exception 24"),
    ],
)
def test_cause_words(cause: int, words: str) -> None:
    assert cause_words(cause) == words


TRAMPOLINE = 0x3F_FFFF_F000


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "load page fault at 0x3ffffff00a, in the trap handler itself"),
        ({"scause": 8}, ""),  # a system call
        ({"scause": 1 << 63 | 5}, ""),  # an interrupt
        ({"sepc": 0x8000_1000}, ""),  # a fault elsewhere, which the handler serves
        ({"pc": 0x8000_1000}, ""),  # it has come further
        ({"stvec": 0}, ""),
    ],
)
def test_a_handler_that_faults_itself(changed: dict[str, int], words: str) -> None:
    registers = {"pc": TRAMPOLINE, "stvec": TRAMPOLINE, "sepc": TRAMPOLINE + 10, "scause": 13}
    assert handler_fault((Hart(0, {"pc": 0}), Hart(1, registers | changed))) == words


@pytest.mark.parametrize(
    ("changed", "inside"),
    [
        ({}, True),
        ({"pc": TRAMPOLINE}, True),  # its trap handler
        ({"pc": 0x1000}, False),  # a program
        ({"mstatus": SIE}, False),  # an interrupt may come
    ],
)
def test_a_hart_with_nothing_but_itself_to_change_it(
    changed: dict[str, int], inside: bool
) -> None:
    registers = {"pc": 0x8000_1000, "mstatus": 0, "stvec": TRAMPOLINE, "satp": 1} | changed
    number = closed((Hart(0, registers),))
    assert (number != 0) == inside
    assert number == closed((Hart(0, dict(registers)),))
    assert not inside or number != closed((Hart(0, registers | {"satp": 2}),))
    assert closed((Hart(0, registers), Hart(1, registers))) == 0 == closed(())
