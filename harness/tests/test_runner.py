"""From a check's end, whatever it is, to its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from conftest import Compile, FakeRam
from fakes import PAGE_TAKEN, SOURCE, FakeBench, FakeKernel, FakeMachine

from faultline.bench import Bench
from faultline.checks import Check, Unchecked, check
from faultline.elf import ElfImage
from faultline.errors import HarnessError
from faultline.finding import Finding, Rule, Table
from faultline.ledger import DOUBLE_FREE
from faultline.machine import Death, GuestDied, Machine
from faultline.runner import run_check, run_checks
from faultline.verdict import CheckResult

ODD = Rule("odd", "error", "Something is odd.")
EVEN = Rule("even", "note", "Something is even.")
NOWHERE = FakeBench(FakeMachine(lambda command: "")).real


@check(ODD, EVEN)
def passes(bench: Bench) -> Iterator[Finding]:
    """Nothing is wrong"""
    yield EVEN.finding("as it should be")


@check(ODD, needs=("passes",))
def fails(bench: Bench) -> Iterator[Finding]:
    """Something is wrong"""
    yield ODD.finding("one")
    yield ODD.finding("two")


@check(ODD, needs=("fails",))
def follows(bench: Bench) -> Iterator[Finding]:
    """What needs a check that fails"""
    yield from ()


@check(ODD)
def measures(bench: Bench) -> Iterator[Finding | Table]:
    """It has measured something"""
    yield Table("so far", ("n",), ((1,),))
    yield ODD.finding("one")
    yield Table("in all", ("n",), ((1,), (2,)))


def test_the_last_table_of_a_check_is_kept() -> None:
    result = run_check(measures, NOWHERE)
    assert (result.status, len(result.findings)) == ("fail", 1)
    assert result.table == Table("in all", ("n",), ((1,), (2,)))
    assert result.as_json()["table"]["rows"] == [[1], [2]]
    first = run_check(measures, NOWHERE, lambda finding: True).table
    assert first is not None and first.title == "so far"


def raising(error: Exception) -> Check:
    @check(ODD)
    def raises(bench: Bench) -> Iterator[Finding]:
        """It ends with an exception"""
        yield ODD.finding("before")
        raise error

    return raises


@pytest.mark.parametrize(
    ("one", "status", "reason"),
    [
        (passes, "pass", ""),
        (fails, "fail", ""),
        (raising(Unchecked("no probe")), "skip", "no probe"),
        (raising(HarnessError("no QEMU")), "error", "no QEMU"),
        (raising(ZeroDivisionError("by zero")), "error", "ZeroDivisionError: by zero"),
    ],
)
def test_a_check_s_end_is_its_status(one: Check, status: str, reason: str) -> None:
    result = run_check(one, NOWHERE)
    assert (result.status, result.reason) == (status, reason)
    assert {finding.check for finding in result.findings} == {one.name}


def test_a_check_ends_at_the_finding_that_is_enough_and_its_machine_with_it() -> None:
    steps: list[str] = []

    @check(ODD)
    def slow(bench: Bench) -> Iterator[Finding]:
        """It has a machine"""
        try:
            for number in range(3):
                steps.append(f"finding {number}")
                yield ODD.finding(str(number))
        finally:
            steps.append("machine ended")

    result = run_check(slow, NOWHERE, lambda finding: finding.message == "1")
    assert [finding.message for finding in result.findings] == ["0", "1"]
    assert steps == ["finding 0", "finding 1", "machine ended"]
    assert result.status == "fail"


def statuses(results: list[CheckResult]) -> dict[str, str]:
    return {result.check: result.status for result in results}


def test_what_needs_a_check_that_failed_is_skipped() -> None:
    results = run_checks([passes, fails, follows], NOWHERE)
    assert statuses(results) == {"passes": "pass", "fails": "fail", "follows": "skip"}
    assert results[2].reason == "fails did not pass"


def test_what_comes_first_does_not_wait_for_what_it_needs() -> None:
    assert statuses(run_checks([follows, passes], NOWHERE)) == {
        "follows": "pass", "passes": "pass",
    }  # fmt: skip


def test_checks_end_when_a_finding_is_enough() -> None:
    results = run_checks([fails, passes], NOWHERE, enough=lambda finding: True)
    assert statuses(results) == {"fails": "fail"}
    assert len(results[0].findings) == 1


@pytest.fixture
def kernel(compile_guest: Compile, fake_ram: FakeRam) -> FakeKernel:
    return FakeKernel(ElfImage(compile_guest(SOURCE, "c")), fake_ram)


def dying(kernel: FakeKernel, *before: Finding) -> CheckResult:
    """Run a check on a guest that panics after these findings."""
    machine = FakeMachine(lambda command: "", kernel.fake.ram())
    death = Death("panic", "kfree", "panic: kfree\n")

    @check(ODD)
    def dies(bench: Bench) -> Iterator[Finding]:
        """The guest panics"""
        yield from before
        raise GuestDied(cast(Machine, machine), death)

    return run_check(dies, FakeBench(machine, kernel.elf).real)


def test_what_the_ledger_knows_comes_before_the_panic(kernel: FakeKernel) -> None:
    kernel.page(PAGE_TAKEN, 5, 0)
    kernel.event("double_free", 1, PAGE_TAKEN)
    result = dying(kernel, ODD.finding("seen before"))
    assert [finding.rule for finding in result.findings] == ["double-free", "odd", "kernel-panic"]
    assert {finding.check for finding in result.findings} == {"dies"}
    assert result.status == "fail"


def test_a_cause_that_the_check_has_reported_is_not_reported_again(kernel: FakeKernel) -> None:
    kernel.event("double_free", 1, PAGE_TAKEN)
    result = dying(kernel, DOUBLE_FREE.finding("by the check itself"))
    assert [finding.rule for finding in result.findings] == ["double-free", "kernel-panic"]
    assert result.findings[0].message == "by the check itself"


def test_a_panic_without_a_ledger_is_still_a_panic(
    compile_guest: Compile, kernel: FakeKernel
) -> None:
    kernel.elf = ElfImage(compile_guest("void _start(void) { for (;;) ; }\n", "c"))
    assert [finding.rule for finding in dying(kernel).findings] == ["kernel-panic"]


def test_a_message_is_bounded_whatever_the_guest_says() -> None:
    @check(ODD)
    def talks(bench: Bench) -> Iterator[Finding]:
        """It says little"""
        yield ODD.finding("begin " + "x" * 10**6 + " end")

    (finding,) = run_check(talks, NOWHERE).findings
    assert len(finding.message) < 2100
    assert finding.message.startswith("begin") and finding.message.endswith("end")
