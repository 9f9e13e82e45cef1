"""A run that is interrupted shows and writes what is done, and says that it is not all."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT
from junitparser import Error, JUnitXml
from test_lab import TESTS, lab_file

from faultline import cases, expected, matrix
from faultline.cases import Case, Job, Outcome, merged, run_cases
from faultline.cli import main
from faultline.commands import running
from faultline.grade import Plan, TreeCase
from faultline.jobs import Finished, Started
from faultline.lab import load_lab
from faultline.lifeline import Interrupted
from faultline.treesource import Source
from faultline.verdict import INTERRUPTED, CheckResult, TargetResult


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """`main` has signals interrupt it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, action in before.items():
        signal.signal(number, action)


# Of a target --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thing:
    """A target."""

    id: str


class ThingCase(Case[Thing]):
    """Its first job is followed by two parts of a check."""

    def more(self, job: Job[Thing]) -> list[Job[Thing]]:
        return [] if job.check else [Job(self.target, "tests", part) for part in ("1/2", "2/2")]

    def result(self) -> TargetResult:
        return TargetResult(
            self.target.id, "tree", "", "pass", None, tuple(merged(self.results)), 1.0, self.problem
        )


def ends_after(number: int) -> Callable[..., Iterator[Started[Any] | Finished[Any]]]:
    """Do so many jobs, one after the other; then comes the interruption."""

    def run_jobs(
        jobs: Sequence[Any], work: Any, limit: int, then: Any
    ) -> Iterator[Started[Any] | Finished[Any]]:
        waiting = list(jobs)
        for _ in range(number):
            job = waiting.pop(0)
            yield Started(job)
            finished = Finished(job, work(job, lambda words: None))
            waiting[:0] = then(finished)
            yield finished
        raise Interrupted(signal.SIGINT)

    return run_jobs


def work(job: Job[Thing], say: object) -> Outcome:
    return Outcome([CheckResult(job.check or "boot", "pass", 0.1, part=job.part)])


@pytest.mark.parametrize(
    ("number", "done", "partly"), [(0, [], []), (2, [], ["a"]), (3, ["a"], []), (4, ["a"], ["b"])]
)
def test_what_is_known_of_each_target_comes_before_the_interruption(
    monkeypatch: pytest.MonkeyPatch, number: int, done: list[str], partly: list[str]
) -> None:
    monkeypatch.setattr(cases, "run_jobs", ends_after(number))
    results = []
    with pytest.raises(Interrupted):
        for event in run_cases([ThingCase(Thing(name)) for name in "abc"], work, 1):
            if isinstance(event, TargetResult):
                results.append(event)
    assert [one.id for one in results if not one.unfinished] == done
    assert [one.id for one in results if one.unfinished] == partly
    for result in results[len(done) :]:
        statuses = {one.check: (one.status, one.reason) for one in result.checks}
        assert statuses["boot"] == ("pass", "")
        assert statuses["tests"] == ("error", INTERRUPTED)  # though a part may have passed
        assert result.problem == INTERRUPTED


def test_of_a_tree_nothing_counts_as_done_that_was_to_come_last(tmp_path: Path) -> None:
    lab = load_lab(lab_file(tmp_path, TESTS))
    case = TreeCase(Source(tmp_path), plan=Plan(ROOT, tmp_path, lab=lab))
    case.results = [CheckResult(name, "pass", 0.1) for name in ("build", "boot", "leaks")]
    case.waiting = case.jobs_after(Job(case.target))
    result = case.interrupted()
    assert (result.verdict, result.points, result.unfinished) == ("error", None, True)
    statuses = {one.check: one.status for one in result.checks}
    assert {name for name, status in statuses.items() if status == "pass"} == {
        "build", "boot", "leaks",
    }  # fmt: skip
    assert statuses["usertests copyin mem"] == statuses["sweep"] == "error"


# Of a run -----------------------------------------------------------------------------------

FILES = ("json", "junit", "csv")


def stopped(*done: str) -> Callable[..., Iterator[TargetResult]]:
    """A matrix that is interrupted when so much is done."""

    def run_matrix(targets: Sequence[matrix.Target], plan: object, limit: int) -> Iterator[Any]:
        for target in targets:
            if target.id in done:
                yield TargetResult(target.id, "clean", "", "clean", None, (), 1.0)
        raise Interrupted(signal.SIGINT)

    return run_matrix


def interrupted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, targets: Sequence[str], *done: str
) -> int:
    monkeypatch.setattr(running, "run_matrix", stopped(*done))
    files = [word for name in FILES for word in (f"--{name}", str(folder / name))]
    return main(["matrix", *targets, *files])


def test_what_is_done_of_a_matrix_is_shown_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(expected, "differences", None)  # nothing is compared
    targets = ["clean", "clean-copy", "kstack-not-freed"]
    assert interrupted(monkeypatch, tmp_path, targets, "clean-copy") == 130
    out, err = capsys.readouterr()
    assert "1 target: 1 clean" in out
    assert "interrupted: 1 of 3 targets done; not done: clean, kstack-not-freed" in out
    assert "interrupted (SIGINT)" in err
    document = json.loads((tmp_path / "json").read_text())
    jsonschema.validate(document, json.loads((ROOT / "reports/faultline.schema.json").read_text()))
    assert [one["id"] for one in document["targets"]] == ["clean-copy"]
    assert document["unfinished"] == ["clean", "kstack-not-freed"]
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit"))
    unfinished = {case.name: case.result for case in suite if case.result}
    assert list(unfinished) == ["clean", "kstack-not-freed"]
    assert all(isinstance(one, Error) for results in unfinished.values() for one in results)
    with (tmp_path / "csv").open(newline="") as file:
        rows = {row["tree"]: (row["verdict"], row["problem"]) for row in csv.DictReader(file)}
    assert rows == {
        "clean-copy": ("clean", ""),
        "clean": ("error", INTERRUPTED),
        "kstack-not-freed": ("error", INTERRUPTED),
    }


def test_if_nothing_is_done_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted(monkeypatch, tmp_path, ["clean"]) == 130
    assert "interrupted: 0 of 1 target done; not done: clean" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_of_many_only_the_first_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted(monkeypatch, tmp_path, [], "clean") == 130
    said = capsys.readouterr().out
    assert "not done: clean-copy, clean-2-harts, " in said and " more\n" in said
