"""Reading panics and registers."""

from __future__ import annotations

import pytest

from faultline.hart import Hart, cause_words, handler_fault, machine_fault, parse_registers
from faultline.postmortem import Panic, parse_panic

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
        ("panic: kfree\n  hart 0, no process\nbacktrace:\n", Panic("kfree", hart=0)),
        ("$ panic: remap", Panic("remap")),
        ("nothing to see\n", None),
        ("don't panic\n", None),
    ],
)  # fmt: skip
def test_parse_panic(console: str, panic: Panic | None) -> None:
    assert parse_panic(console) == panic


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
