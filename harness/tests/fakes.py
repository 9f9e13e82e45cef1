"""A kernel's memory, and a machine's console, to be filled by a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from conftest import FakeRam

from faultline.bench import Bench
from faultline.ctype import Value
from faultline.elf import ElfImage
from faultline.ledger import MAGIC, Ledger
from faultline.machine import Death, GuestDied, Machine
from faultline.ram import PAGE, RAM_BASE, Ram

SOURCE = """\
#include <stdint.h>
#include "faults/ctl.h"
struct faultline_ctl faultline_ctl;
struct faultline_page faultline_ledger[FL_PAGES];
enum procstate { UNUSED, USED, RUNNING };
struct proc { enum procstate state; int pid; char name[16]; uint64_t *pagetable; };
struct proc proc[4];
volatile long sink;
__attribute__((noinline)) void kalloc(void) { sink++; }
__attribute__((noinline)) void kfree(void) { sink++; }
__attribute__((noinline)) void grow(void) { kalloc(); kfree(); sink++; }
__attribute__((noinline)) void _start(void) { grow(); for (;;) sink++; }
"""
PAGE_TAKEN = RAM_BASE + 900 * PAGE


class FakeKernel:
    """The control block and ledger of SOURCE, in RAM to be filled by a test."""

    def __init__(self, elf: ElfImage, ram: FakeRam) -> None:
        self.elf, self.fake = elf, ram
        ram.memory.extend(bytes(16 << 20))
        self._empty = ram.ram()
        self.set("faultline_ctl", MAGIC, "magic")
        self.set("faultline_ctl", 1, "version")
        self.set("faultline_ctl", 1, "shim")
        self.set("faultline_ctl", 1000, "pages", "total")
        self._live: dict[int, int] = {}
        self._seq = 0

    def set(self, variable: str, value: int, *path: str | int) -> None:
        found = self.elf.variable(self._empty, variable)
        assert found is not None
        for step in path:
            found = found[step]
        assert isinstance(found, Value)
        self.fake.put(found.address, value, found.ctype.size)

    def call(self, function: str) -> int:
        """Return an address that is a return address in that function."""
        return self.elf.symbols[function][0] + 4

    def page(self, pa: int, seq: int, live: int, caller: str = "grow") -> None:
        index = (pa - RAM_BASE) // PAGE
        for name, value in (("seq", seq), ("live", live)):
            self.set("faultline_ledger", value, index, name)
        for kind in ("alloc", "free"):
            self.set("faultline_ledger", self.call("kalloc"), index, kind, 0)
            self.set("faultline_ledger", self.call(caller), index, kind, 1)
        self._live[pa], self._seq = live, max(self._seq, seq)
        self.set("faultline_ctl", sum(self._live.values()), "live")
        self.set("faultline_ctl", self._seq, "seq")

    def event(self, name: str, count: int, pa: int, live: int = 0) -> None:
        for key, value in (("count", count), ("pa", pa), ("live", live)):
            self.set("faultline_ctl", value, name, key)
        self.set("faultline_ctl", self.call("kfree"), name, "stack", 0)
        self.set("faultline_ctl", self.call("grow"), name, "stack", 1)

    def ledger(self) -> Ledger:
        return Ledger(self.fake.ram(), self.elf)


class FakeMachine:
    """Answers commands with recorded output, or dies with it."""

    def __init__(self, answer: Callable[[str], str | Death], ram: Ram | None = None) -> None:
        self.answer = answer
        self.ram = ram
        self.asked: list[str] = []
        self._said = "$ "

    def wait_prompt(self) -> str:
        return ""

    def said(self) -> str:
        return self._said

    def shell(self, command: str) -> str:
        self.asked.append(command)
        answer = self.answer(command)
        if isinstance(answer, Death):
            self._said += answer.console
            raise GuestDied(cast(Machine, self), answer)
        self._said += answer
        return answer

    def __enter__(self) -> FakeMachine:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class FakeBench:
    """A bench on which one fake machine stands."""

    def __init__(self, machine: FakeMachine, elf: ElfImage | None = None) -> None:
        self._machine, self.elf = machine, elf
        self.part = self.test = ""
        self.tree = False
        self.build = self
        self.probe_missing = ""

    def program(self, name: str) -> None:
        """No program has debug information."""

    def machine(self) -> FakeMachine:
        return self._machine

    def say(self, words: str) -> None:
        """Nobody listens."""

    @property
    def real(self) -> Bench:
        return cast(Bench, self)
