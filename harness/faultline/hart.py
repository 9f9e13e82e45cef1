"""A hart's registers, and what they say in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

INTERRUPT = 1 << 63

CAUSES = {
    0: "instruction address misaligned",
    1: "instruction access fault",
    2: "illegal instruction",
    3: "breakpoint",
    4: "load address misaligned",
    5: "load access fault",
    6: "store address misaligned",
    7: "store access fault",
    8: "system call from user mode",
    9: "environment call from supervisor mode",
    11: "environment call from machine mode",
    12: "instruction page fault",
    13: "load page fault",
    15: "store page fault",
}
CALLS = (8, 9)  # environment calls: not the handler's own doing
PAGE_SHIFT = 12
SIE = 2  # in mstatus: supervisor mode takes interrupts
KERNEL, KERNEL_END = 0x8000_0000, 0x1_0000_0000  # where a kernel's code is
# What a program computes with; the rest is the machine's.
GENERAL = ("ra", "sp", "gp", "tp", *(f"{kind}{n}" for kind, count in (("t", 7), ("s", 12), ("a", 8))
           for n in range(count)))  # fmt: skip
INTERRUPTS = {
    1: "supervisor software interrupt",
    3: "machine software interrupt",
    5: "supervisor timer interrupt",
    7: "machine timer interrupt",
    9: "supervisor external interrupt",
    11: "machine external interrupt",
}


def cause_words(cause: int) -> str:
    """Return what a value of scause or mcause means (Privileged Architecture, 4.1.8)."""
    if cause & INTERRUPT:
        number = cause & ~INTERRUPT
        return INTERRUPTS.get(number, f"interrupt {number}")
    return CAUSES.get(cause, f"exception {cause}")


@dataclass(frozen=True)
class Hart:
    """The registers of one hart, by QEMU's names for them."""

    number: int
    registers: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.registers.get(name, 0)

    @property
    def pc(self) -> int:
        """The next instruction's address."""
        return self["pc"]


_REGISTER = re.compile(r"(?:x\d+/)?([a-z][a-z0-9]*)\s+([0-9a-f]{16})\b")


def parse_registers(text: str) -> tuple[Hart, ...]:
    """Return the harts in what QEMU's monitor prints for `info registers -a`."""
    harts = []
    for number, block in re.findall(r"CPU#(\d+)\s+(.*?)(?=CPU#|\Z)", text, re.DOTALL):
        registers = {name: int(value, 16) for name, value in _REGISTER.findall(block)}
        harts.append(Hart(int(number), registers))
    return tuple(harts)


def handler_fault(harts: tuple[Hart, ...]) -> str:
    """Return a description of an exception that a hart's own trap handler took, or nothing.

    The handler's first instructions fault when the table or the stack that it needs is not
    there; then each trap is the next one's cause, for ever.
    """
    for hart in harts:
        handler = hart["stvec"] >> PAGE_SHIFT
        inside = hart.pc >> PAGE_SHIFT == handler == hart["sepc"] >> PAGE_SHIFT
        if handler and inside and not hart["scause"] & INTERRUPT and hart["scause"] not in CALLS:
            where = f"0x{hart['sepc']:x}"
            return f"{cause_words(hart['scause'])} at {where}, in the trap handler itself"
    return ""


def deaf(harts: tuple[Hart, ...]) -> tuple[int, ...]:
    """Return the harts' pcs if all of them run in the kernel with interrupts off, or nothing."""
    if any(hart["mstatus"] & SIE or not KERNEL <= hart.pc < KERNEL_END for hart in harts):
        return ()
    return tuple(hart.pc for hart in harts)


def states(harts: tuple[Hart, ...]) -> tuple[int, ...]:
    """Return a number for what each hart's general registers hold."""
    return tuple(hash(tuple(hart[name] for name in GENERAL)) for hart in harts)


def closed(harts: tuple[Hart, ...]) -> int:
    """Return a number for all that the only hart's registers hold, 0 if it is not in the kernel,
    or its trap handler, with interrupts off."""
    if len(harts) != 1:
        return 0
    hart = harts[0]
    inside = KERNEL <= hart.pc < KERNEL_END or 0 < hart.pc >> PAGE_SHIFT == hart["stvec"] >> PAGE_SHIFT
    return hash(tuple(hart.registers.items())) or 1 if inside and not hart["mstatus"] & SIE else 0


def machine_fault(harts: tuple[Hart, ...]) -> str:
    """Return a description of the exception hart 0 last took to machine mode, or nothing.

    Kernels that need no firmware take only timer interrupts there.
    """
    if not harts:
        return ""
    hart = harts[0]
    if hart["mcause"] & INTERRUPT or not hart["mcause"]:
        return ""
    return f"{cause_words(hart['mcause'])} at 0x{hart['mepc']:x}"
