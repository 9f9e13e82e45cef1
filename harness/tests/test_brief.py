"""What a grade says at its end: what is essential, in this order, and what was left out."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from faultline.finding import Finding, Table, Where
from faultline.labpoints import ItemPoints, Points
from faultline.reports import brief, csv_report
from faultline.verdict import CheckResult, TargetResult

PLACE = Where("kernel/vm.c", 19, "walk")


def finding(check: str, words: str, severity: str = "error", rule: str = "a-rule") -> Finding:
    return Finding(rule, severity, words, PLACE, "page 0x8765 is lost", "Look there.", check)


def result(check: str, *found: Finding, status: str = "", reason: str = "") -> CheckResult:
    usual = "fail" if found else "pass"
    return CheckResult(check, status or usual, 1.5, reason, found)


NOT_RUN = finding(
    "usertests", "9 tests of usertests were not run: 3 tests before them took the machine.", "note",
    "usertests-not-run",
)  # fmt: skip
SWEEP = Table(
    "allocation failures", ("workload", "left out", "not tried"), (("fork", 3, 0), ("exec", 4, 0))
)
CHECKS = (
    result("build"),
    result("sweep", *(finding("sweep", f"sweep {number}") for number in range(5))),
    result("audit", finding("audit", "a note", "note"), finding("audit", "a warning", "warning")),
    result("leaks", finding("leaks", "pages [bold]were\x1b lost")),
    result("tlb", status="skip", reason="QEMU is too old"),
    result("file answers.txt"),
)
POINTS = Points(
    "mine", "a lab", 10, (ItemPoints("the course's", "leaks", 2, 10, ("pages " * 40, "more")),)
)


def target(*checks: CheckResult, points: Points | None = None, problem: str = "") -> TargetResult:
    return TargetResult("a tree", "tree", "", "fail", None, checks, 61.2, problem, points)


def shown(one: TargetResult) -> str:
    out = io.StringIO()
    brief.show(one, Console(file=out, width=100))
    return out.getvalue()


def test_the_worst_first_and_last_what_needs_memory_to_run_out() -> None:
    chosen, more = brief.essential(target(*CHECKS))
    assert [one.message for one in chosen] == [
        "pages [bold]were\x1b lost", "sweep 0", "sweep 1", "sweep 2", "a warning",
    ]  # fmt: skip
    assert more == {"sweep": 2, "audit": 1}


def test_what_looks_at_the_cause_comes_before_what_tests_show() -> None:
    checks = [result(name, finding(name, name)) for name in ("abi", "leaks", "sweep", "usertests")]
    checks.append(result("vmprint", finding("vmprint", "a warning", "warning")))
    chosen, _ = brief.essential(target(*checks))
    names = ["leaks", "abi", "usertests", "sweep", "a warning"]
    assert [one.message for one in chosen] == names
    assert csv_report.row_of(target(*checks))["first_check"] == "leaks"


def test_a_student_reads_findings_then_points_and_the_verdict_last() -> None:
    text = shown(target(*CHECKS, points=POINTS))
    order = ["What is wrong", "1. error: pages [bold]were\\x1b lost", "kernel/vm.c:19 walk()",
             "[leaks/a-rule]", "Look there.", "and 2 of sweep, 1 of audit", "Left out",
             "tlb: QEMU is too old", "a lab", "2/10", "a tree: fail, 2 of 10 points (61 s)"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert text.count("Look there.") == 1  # once for each rule
    assert "page 0x8765" not in text
    assert text.strip().endswith("points (61 s)")
    assert text.count("pages ") < 20  # why not more: only the beginning


def test_a_lab_s_own_checks_stand_among_its_points() -> None:
    assert "file answers.txt" not in shown(target(*CHECKS, points=POINTS))
    assert "file answers.txt" in shown(target(*CHECKS))


@pytest.mark.parametrize(
    ("check", "lines"),
    [
        (result("sweep"), []),
        (CheckResult("sweep", "pass", 1.0, table=SWEEP),
         ["sweep: 7 allocation failures left out"]),
        (result("tlb", status="skip", reason="too old"), ["tlb: too old"]),
        (result("build", reason="a note of no weight"), []),
        (result("usertests", finding("usertests", "mem failed"), NOT_RUN),
         ["usertests: 9 tests of usertests were not run: 3 tests before them took the machine."]),
    ],
)  # fmt: skip
def test_what_was_left_out(check: CheckResult, lines: list[str]) -> None:
    assert brief.what_was_left_out(target(check)) == lines


def test_tests_that_were_not_run_are_said_once() -> None:
    text = shown(target(result("usertests", finding("usertests", "mem failed"), NOT_RUN)))
    assert "Left out\n  usertests: 9 tests of usertests were not run" in text
    assert text.count("of usertests") == 1  # and not "and 1 of usertests"


def test_checks_left_out_for_the_same_reason_share_a_line() -> None:
    reason = "it does not build"
    skipped = (result(name, status="skip", reason=reason) for name in ("boot", "leaks", "tlb"))
    assert brief.what_was_left_out(target(*skipped)) == ["boot, leaks, tlb: it does not build"]


def test_nothing_wrong_is_said_in_few_lines() -> None:
    text = shown(target(result("build"), result("leaks")))
    assert "What is wrong" not in text and "Left out" not in text
    assert "could not be read" in shown(target(problem="could not be read"))
