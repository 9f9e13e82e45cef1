"""The sweep on real machines: the clean kernel survives, and planted mistakes are named."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from conftest import ROOT

from faultline.bench import Bench
from faultline.build import KPTS, build_clean, build_variant
from faultline.checks import all_checks
from faultline.commands.running import load_catalogue
from faultline.machine import Machine
from faultline.runner import run_check
from faultline.sweep.protocol import Choice
from faultline.verdict import CheckResult

pytestmark = pytest.mark.live


def sweep(bench: Bench) -> CheckResult:
    return run_check(all_checks()["sweep"], bench)


@pytest.mark.parametrize("workload", ["fork", "pipe"])
@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("kpt", KPTS)
def test_the_clean_kernel_survives(kpt: str, harts: int, workload: str, tmp_path: Path) -> None:
    bench = Bench(build_clean(ROOT, kpt), tmp_path, harts=harts, sweep=Choice(workload=workload))
    result = sweep(bench)
    assert (result.status, result.reason, result.findings) == ("pass", "", ())
    assert result.table is not None
    rows = [dict(zip(result.table.columns, row)) for row in result.table.rows]
    assert [(row["workload"], row["mode"]) for row in rows] == [
        (workload, "nth"), (workload, "from"),
    ]  # fmt: skip
    for row in rows:
        assert row["allocation points"] == row["survived"] != 0
        assert row["left out"] == row["not tried"] == 0


@pytest.mark.parametrize(
    ("fault", "rule", "function", "through", "words"),
    [
        ("oom-panic-in-allocproc", "alloc-failure-panic", "allocproc", "fork",
         "the kernel panics at kernel/proc.c"),
        ("mirror-oom-panic", "alloc-failure-panic", "table_alloc", "mirror_map", "mirror_map()"),
        ("uvmcopy-fail-leaks", "alloc-failure-panic", "uvmcopy", "fork", "free_empty()"),
        ("kalloc-unchecked", "alloc-failure-changed-state", "table_alloc", "walk", "killed"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_found_at_its_allocation(
    fault: str, rule: str, function: str, through: str, words: str, tmp_path: Path
) -> None:
    (planted,) = [one for one in load_catalogue() if one.id == fault]
    build_clean(ROOT, "share")
    build = build_variant(ROOT, "share", planted)
    result = sweep(Bench(build, tmp_path, sweep=Choice(workload="fork", mode="nth")))
    found = [
        one
        for one in result.findings
        if one.rule == rule
        and one.where.function == function
        and through in [place.function for place in one.path]
    ]
    assert found, result
    assert words in found[0].message


def test_an_exec_that_fails_badly_costs_one_boot_and_shows_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process makes all runs of exec that fail: what is wrong with it shows when it ends, so
    it must end at once, and not be tried again until the machine is good for nothing."""
    boots = []
    boot = Bench.machine

    def counted(bench: Bench, *, icount: bool) -> AbstractContextManager[Machine]:
        boots.append(bench)
        return boot(bench, icount=icount)

    (planted,) = [one for one in load_catalogue() if one.id == "exec-size-first"]
    build_clean(ROOT, "share")
    build = build_variant(ROOT, "share", planted)
    with monkeypatch.context() as patched:
        patched.setattr(Bench, "machine", counted)
        result = sweep(Bench(build, tmp_path, sweep=Choice(workload="exec", mode="nth")))
    assert result.table is not None, result
    row = dict(zip(result.table.columns, result.table.rows[0]))
    assert row["failed"] and row["left out"] == row["not tried"] == 0
    assert len(boots) == 1 + int(str(row["failed"]))
    assert {one.rule for one in result.findings} == {planted.expect.rule}
    first = result.findings[0]
    assert first.where.function == planted.expect.function
    assert planted.expect.through in [place.function for place in first.path]
