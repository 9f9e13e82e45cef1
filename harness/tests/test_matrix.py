"""Which checks a target gets, in which jobs, and what its result is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faultline import matrix
from faultline.bench import Bench
from faultline.build import Build, BuildFailed
from faultline.cases import Job, merged
from faultline.catalogue import Expect, Fault
from faultline.checks import Check, check
from faultline.errors import HarnessError
from faultline.finding import Finding, Rule, Table, Where
from faultline.matrix import (
    Plan, Target, clean_targets, longest_first, run_matrix,
)  # fmt: skip
from faultline.verdict import CheckResult, TargetResult

ODD = Rule("odd", "error", "Something is odd.")
LEAKY, NO_BOOT = "leaky", "no-boot"  # kernels, by the names of their builds


def kernel(bench: Bench) -> str:
    return bench.build.kernel.name


@check(ODD, quick=True)
def boot(bench: Bench) -> Iterator[Finding]:
    """It boots"""
    if kernel(bench) == NO_BOOT:
        yield ODD.finding("does not boot")


@check(ODD, needs=("boot",), quick=True)
def leaks(bench: Bench) -> Iterator[Finding]:
    """It loses nothing"""
    if kernel(bench) == LEAKY:
        yield ODD.finding("first", where=Where(function="fork"))
        yield ODD.finding("second", where=Where(function="fork"))


@check(ODD, needs=("boot",), parts=("1/2", "2/2"))
def tests(bench: Bench) -> Iterator[Finding]:
    """All tests pass"""
    if kernel(bench) == LEAKY:
        yield ODD.finding(f"part {bench.part or 'all'}")
    if kernel(bench) == "breaks" and bench.part == "2/2":
        raise HarnessError("no machine")


@check(ODD, needs=("boot",), parts=("1/2", "2/2"), long=True)
def sweep(bench: Bench) -> Iterator[Finding | Table]:
    """It survives everything"""
    yield Table("tried", ("workload", "part"), ((bench.sweep.first or "all", bench.part),))
    yield ODD.finding("dies")


CHECKS: dict[str, Check] = {one.name: one for one in (boot, leaks, tests)}


def fault(name: str, expect: Expect) -> Fault:
    return Fault(name, "unmap", "summary", "story", expect)


LEAK = Expect("leaks", "odd", "fork")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    def made(root: Path, kpt: str, fault: Fault | None = None) -> Build:
        if fault and fault.id == "no-build":
            raise BuildFailed("make failed")
        return Build(Path(fault.id if fault else "clean"), Path(), Path())

    for name in ("build_clean", "build_variant", "built"):
        monkeypatch.setattr(matrix, name, made)
    monkeypatch.setattr(matrix, "all_checks", lambda: CHECKS)
    return Plan(tmp_path, tmp_path)


def result_of(target: Target, plan: Plan) -> TargetResult:
    events = list(run_matrix([target], plan, 2))
    (result,) = [event for event in events if isinstance(event, TargetResult)]
    return result


def statuses(result: TargetResult) -> dict[str, str]:
    return {one.check: one.status for one in result.checks}


def messages(result: TargetResult) -> list[str]:
    return [finding.message for finding in result.findings]


def test_the_clean_kernel_gets_every_check(plan: Plan) -> None:
    result = result_of(Target("share"), plan)
    assert (result.id, result.verdict) == ("clean", "clean")
    assert statuses(result) == {"boot": "pass", "leaks": "pass", "tests": "pass"}


def test_the_clean_kernels_are_checked_with_several_numbers_of_harts(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [target.id for target in clean_targets()] == [
        "clean", "clean-copy", "clean-2-harts", "clean-copy-2-harts",
        "clean-3-harts", "clean-copy-3-harts", "clean-8-harts", "clean-copy-8-harts",
    ]  # fmt: skip

    @check(ODD)
    def counts(bench: Bench) -> Iterator[Finding]:
        """It runs on few harts"""
        if (bench.harts or 1) > 2:
            yield ODD.finding("too many")

    monkeypatch.setattr(matrix, "all_checks", lambda: {"counts": counts})
    verdicts = {target.id: result_of(target, plan).verdict for target in clean_targets()}
    assert [name for name, verdict in verdicts.items() if verdict == "fail"] == [
        "clean-3-harts", "clean-copy-3-harts", "clean-8-harts", "clean-copy-8-harts",
    ]  # fmt: skip


def test_a_variant_ends_at_its_first_expected_finding(plan: Plan) -> None:
    result = result_of(Target("share", fault(LEAKY, LEAK)), plan)
    assert result.verdict == "caught"
    assert statuses(result) == {"leaks": "fail"}  # and no boot for its own sake
    assert messages(result) == ["first"]


def test_a_variant_that_the_expected_check_misses_gets_the_others(plan: Plan) -> None:
    result = result_of(Target("share", fault("unseen", LEAK)), plan)
    assert result.verdict == "missed"
    assert statuses(result) == {"leaks": "pass", "boot": "pass", "tests": "pass"}
    assert result_of(Target("share", fault(NO_BOOT, LEAK)), plan).verdict == "misdiagnosed"


def test_a_variant_without_an_oracle_gets_what_is_quick(plan: Plan) -> None:
    result = result_of(Target("share", fault("x", Expect(no_oracle="no TLB"))), plan)
    assert result.verdict == "no-oracle"
    assert statuses(result) == {"boot": "pass", "leaks": "pass", "tests": "skip"}
    assert result.checks[-1].as_json()["reason"] == matrix.UNEXPECTED


def test_with_all_every_check_runs_on_and_parts_are_put_together(plan: Plan) -> None:
    every = Plan(plan.root, plan.scratch, every_check=True)
    result = result_of(Target("share", fault(LEAKY, LEAK)), every)
    assert result.verdict == "caught"
    assert statuses(result) == {"leaks": "fail", "boot": "pass", "tests": "fail"}
    assert messages(result) == ["first", "second", "part 1/2", "part 2/2"]


def test_with_all_the_expected_check_runs_even_if_the_kernel_does_not_boot(plan: Plan) -> None:
    every = Plan(plan.root, plan.scratch, every_check=True)
    result = result_of(Target("share", fault(NO_BOOT, LEAK)), every)
    assert statuses(result) == {"leaks": "pass", "boot": "fail", "tests": "skip"}


def test_what_is_long_is_for_the_clean_kernel_and_for_who_expects_it(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "all_checks", lambda: {**CHECKS, "sweep": sweep})
    clean = result_of(Target("share"), plan)
    (swept,) = [one for one in clean.checks if one.check == "sweep"]
    assert swept.table == Table("tried", ("workload", "part"), (("all", "1/2"), ("all", "2/2")))
    expect = Expect("sweep", "odd", workload="pipe")
    result = result_of(Target("share", fault("dying", expect)), plan)
    assert (result.verdict, statuses(result)) == ("caught", {"sweep": "fail"})
    assert result.checks[0].table == Table("tried", ("workload", "part"), (("pipe", ""),))
    missed = result_of(Target("share", fault("unseen", LEAK)), plan)
    assert (missed.verdict, statuses(missed)["sweep"]) == ("missed", "skip")
    assert "sweep" not in statuses(result_of(Target("share", harts=8), plan))
    assert "sweep" in statuses(result_of(Target("share", harts=3), plan))


def test_a_check_alone_needs_no_other(plan: Plan) -> None:
    only = Plan(plan.root, plan.scratch, every_check=True, only="tests")
    result = result_of(Target("share", fault(NO_BOOT, LEAK)), only)
    assert statuses(result) == {"tests": "pass"}


def test_what_the_harness_could_not_do_is_an_error(plan: Plan) -> None:
    unbuilt = result_of(Target("share", fault("no-build", LEAK)), plan)
    assert (unbuilt.verdict, unbuilt.problem) == ("error", "make failed")
    every = Plan(plan.root, plan.scratch, every_check=True)
    broken = result_of(Target("share", fault("breaks", LEAK)), every)
    assert broken.verdict == "error"
    assert [one.reason for one in broken.checks if one.status == "error"] == ["no machine"]


def test_a_clean_kernel_that_cannot_be_built_fails_all_that_are_made_of_it(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_clean(root: Path, kpt: str) -> Build:
        if kpt == "copy":
            raise BuildFailed("no copy")
        return Build(Path("clean"), Path(), Path())

    monkeypatch.setattr(matrix, "build_clean", build_clean)
    targets = [Target("share"), Target("copy"), Target("copy", fault(LEAKY, LEAK))]
    results = {
        event.id: event for event in run_matrix(targets, plan, 2) if isinstance(event, TargetResult)
    }
    assert {name: one.verdict for name, one in results.items()} == {
        "clean": "clean", "clean-copy": "error", "leaky": "error",
    }  # fmt: skip
    assert results["leaky"].problem == "no copy"


def test_what_takes_long_starts_first(plan: Plan) -> None:
    slow = Target("share", fault("slow", Expect("tests", "odd")))
    quick = Target("share", fault("quick", LEAK))
    clean = Target("share")
    assert longest_first([quick, slow, clean]) == [clean, slow, quick]
    jobs, skipped = plan.jobs_after(Job(clean), [CheckResult("boot", "pass", 0.1)])
    assert [job.id for job in jobs] == ["clean tests 1/2", "clean tests 2/2", "clean leaks"]
    assert skipped == []


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("pass", "pass"), "pass"),
        (("pass", "fail"), "fail"),
        (("skip", "pass"), "skip"),
        (("error", "fail"), "error"),
    ],
)
def test_a_check_is_what_the_worst_of_its_parts_is(statuses: tuple[str, ...], status: str) -> None:
    parts = [
        CheckResult("tests", one, 1.5, "why", part=str(number))
        for number, one in enumerate(statuses)
    ]
    (result,) = merged(parts)
    assert (result.status, result.seconds, result.reason) == (status, 3.0, "why")
