"""Whether the ledger, the control block and the probe's answers fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import pytest
from conftest import Compile, FakeRam
from fakes import PAGE_TAKEN, SOURCE, FakeKernel

from faultline.elf import ElfImage
from faultline.ledger import MAGIC
from faultline.machine import Machine
from faultline.ram import PAGE
from faultline.trust import (
    Counts, counts, disagreements, inconsistencies, settled, tampered, without_shim,
)  # fmt: skip


@pytest.fixture
def kernel(compile_guest: Compile, fake_ram: FakeRam) -> FakeKernel:
    """A kernel with two pages in use and one that was freed, of which one was watched."""
    made = FakeKernel(ElfImage(compile_guest(SOURCE, "c")), fake_ram)
    for number, live in enumerate((1, 1, 0), 1):
        made.page(PAGE_TAKEN + number * PAGE, number, live)
    made.set("faultline_ctl", 2, "mark")
    made.set("faultline_ctl", 3, "end")
    return made


def test_what_fits_together_is_believed(kernel: FakeKernel) -> None:
    assert list(inconsistencies(kernel.ledger())) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("magic", 0, f"faultline_ctl.magic is 0x0, it was 0x{MAGIC:x}"),
        ("version", 7, "faultline_ctl.version is 0x7"),
        ("shim", 0, "faultline_ctl.shim is 0x0"),
        ("live", 1, "1 pages are counted as live, and 2 are noted as live"),
        ("seq", 2, "kalloc or kfree 3 is noted, and there were only 2"),
        ("mark", 9, "noted as from 9 to 3, of 3"),
        ("end", 1, "noted as from 2 to 1, of 3"),
        ("end", 4, "noted as from 2 to 4, of 3"),
    ],
)
def test_a_control_block_that_was_written_over(
    kernel: FakeKernel, name: str, value: int, words: str
) -> None:
    kernel.set("faultline_ctl", value, name)
    problems = list(inconsistencies(kernel.ledger()))
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("seq", "live", "words"),
    [(2, 0, "two pages are noted for the same"), (4, 7, "neither live nor free"),
     (9, 1, "9 is noted, and there were only 3")],
)  # fmt: skip
def test_a_ledger_that_was_written_over(
    kernel: FakeKernel, seq: int, live: int, words: str
) -> None:
    kernel.page(PAGE_TAKEN + 5 * PAGE, seq, live)
    kernel.set("faultline_ctl", 3 if seq > 4 else 4, "seq")
    assert any(words in problem for problem in inconsistencies(kernel.ledger()))


@pytest.mark.parametrize(
    ("after", "lost", "words"),
    [
        (Counts(50, 2, 3), 3, ""),
        (Counts(50, 1, 3), 3, "the shim was asked 0 times"),
        (Counts(50, 3, 3), 3, "the shim was asked 2 times"),
        (Counts(50, 2, 3), 0, "says that 0 pages more are in use .* the shim has counted 3"),
        (Counts(50, 2, -1), 0, "the shim has counted -1"),
        (Counts(49, 2, 3), 3, "at least 40 kallocs and kfrees, there were 39"),
    ],
)
def test_an_answer_is_compared_with_what_the_shim_has_counted(
    after: Counts, lost: int, words: str
) -> None:
    problems = list(disagreements(Counts(10, 1, 0), after, lost, 40))
    assert bool(problems) == bool(words)
    if words:
        assert re.search(words, problems[0])


def test_counts_may_be_negative(kernel: FakeKernel) -> None:
    kernel.set("faultline_ctl", -3, "gained")
    assert counts(kernel.ledger()) == Counts(3, 0, -3)


def test_a_kernel_whose_kalloc_goes_round_the_shim_is_told_so(kernel: FakeKernel) -> None:
    assert without_shim(kernel.ledger()) == ""
    kernel.set("faultline_ctl", 0, "shim")
    assert without_shim(kernel.ledger()) == ""  # it was at work: somebody has cleared it
    kernel.set("faultline_ctl", 0, "seq")
    assert "no kalloc() of this kernel goes through the shim" in without_shim(kernel.ledger())


class Still:
    """A machine that is only ever stopped and resumed."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def stop(self) -> None:
        self.did.append("stop")

    def resume(self) -> None:
        self.did.append("resume")

    def watch(self, seconds: float) -> None:
        self.did.append("watch")


@pytest.mark.parametrize(
    ("looks", "found", "did"),
    [
        ([[]], [], ["stop"]),
        ([["odd"], []], [], ["stop", "resume", "watch", "stop"]),
        ([["odd"], ["odd"]], ["odd"], ["stop", "resume", "watch", "stop"]),
    ],
)
def test_what_is_only_so_for_a_moment_is_no_problem(
    looks: list[list[str]], found: list[str], did: list[str]
) -> None:
    machine, left = Still(), iter(looks)

    def look() -> Iterator[str]:
        return iter(next(left))

    assert settled(cast(Machine, machine), look) == found
    assert machine.did == did


def test_the_finding_says_what_and_when() -> None:
    found = tampered(["one thing", "another"], "after boot")
    assert found.rule == "evidence-tampered" and found.severity == "error"
    assert found.message.endswith("does not fit together, after boot: one thing.")
    assert found.evidence == "one thing\nanother"
