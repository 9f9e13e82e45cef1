"""The figures of the benchmark of a whole grade; never how long anything takes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import ROOT
from rich.console import Console

from faultline import gradespeed
from faultline.build import Build
from faultline.errors import HarnessError, UsageError
from faultline.gradespeed import Speed, Taken
from faultline.jobs import Started
from faultline.machine import Death, GuestDied, StillBusy
from faultline.treesource import Source
from faultline.verdict import CheckResult, TargetResult

CHECKS = (("build", "pass", 4.0), ("sweep", "fail", 31.5))
FOUND = Speed("mine", 2, Taken(80.0, 120.0, "passed"), 60.0, CHECKS)


def test_the_grade_is_compared_with_the_tests() -> None:
    assert FOUND.ratio == 0.75
    out = io.StringIO()
    Console(file=out, width=150).print(gradespeed.table(FOUND))
    shown = out.getvalue().replace("│", " ")
    assert re.search(r"its own usertests, 3 harts +passed +80\.0", shown)
    assert re.search(r"sweep +fail +31\.5", shown)
    assert re.search(r"a grade, 2 at a time +60\.0", shown)
    assert re.search(r"times its own tests .* +0\.75", shown)
    document = gradespeed.as_json(FOUND)
    assert document["times-its-own-tests"] == 0.75
    assert cast(dict[str, object], document["own-usertests"])["end"] == "passed"


class Says:
    """A machine whose tests end in some way."""

    pid = 1

    def __init__(self, said: object) -> None:
        self.answer = said

    def wait_prompt(self) -> None:
        pass

    def stop(self) -> tuple[()]:
        return ()

    def processor_seconds(self) -> float:
        return 12.0

    def shell(self, line: str, silence: float, effort: float) -> str:
        assert line == "usertests"
        if self.answer == "panic":
            raise GuestDied(cast(Any, self), Death("panic", "x", "", ()))
        if self.answer == "busy":
            raise StillBusy(cast(Any, self), "the tests", effort)
        return str(self.answer)


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("test a: OK\nALL TESTS PASSED", "passed"),
        ("test a: FAILED\nSOME TESTS FAILED", "failed"),
        ("panic", "died (panic)"),
        ("busy", gradespeed.EXCEEDED),
    ],
)
def test_the_tree_s_own_tests_may_end_in_any_way(
    monkeypatch: pytest.MonkeyPatch, said: str, end: str
) -> None:
    asked: list[dict[str, object]] = []

    @contextmanager
    def machine(**how: object) -> Iterator[Says]:
        asked.append(how)
        yield Says(said)

    monkeypatch.setattr(gradespeed, "Bench", lambda *_: SimpleNamespace(machine=machine))
    monkeypatch.setattr(gradespeed, "processor_state", lambda pid: (2.0, False))
    taken = gradespeed.own_tests(cast(Build, None), Path())
    assert (taken.end, taken.cpu) == (end, 10.0)
    assert asked == [{"harts": 3, "icount": False}]


def grade(monkeypatch: pytest.MonkeyPatch, path: Path, result: TargetResult) -> Speed:
    source = Source(path)

    def run_trees(sources: list[Source], plan: object, limit: int) -> Iterator[object]:
        assert (sources, limit) == ([source], 2)
        yield Started(SimpleNamespace(id="mine sweep"), "sweep: fork")
        yield result

    monkeypatch.setattr("faultline.grade.run_trees", run_trees)
    return gradespeed.graded(ROOT, path, lambda words: None, 2, source, FOUND.own)


def test_every_check_of_the_grade_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks = tuple(CheckResult(*one) for one in CHECKS)
    found = grade(monkeypatch, tmp_path, TargetResult("mine", "tree", "", "fail", None, checks))
    assert (found.checks, found.own, found.jobs) == (CHECKS, FOUND.own, 2)
    assert found.wall > 0


def test_a_grade_that_did_not_end_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = TargetResult("mine", "tree", "", "error", None, problem="QEMU went away")
    with pytest.raises(HarnessError, match="QEMU went away"):
        grade(monkeypatch, tmp_path, broken)


def test_a_tree_that_is_none_is_an_error_of_the_user(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="no xv6 tree"):
        gradespeed.measure(ROOT, tmp_path, lambda words: None, 1, Source(empty))
