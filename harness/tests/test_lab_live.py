"""A lab's points for trees that are built and booted."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from test_grade import write_tree

from faultline import catalogue, export
from faultline.exportstyle import load_styles
from faultline.grade import Plan, run_trees
from faultline.lab import PRISTINE, load_lab
from faultline.treesource import Source
from faultline.verdict import TargetResult

LAB = """\
title = "a small lab"
pristine = ["kernel/vm.c"]
[[part]]
title = "all of it"
[[part.item]]
title = "boots"
points = 3
kind = "check"
check = "boot"
[[part.item]]
title = "time"
points = 1
kind = "number"
file = "time.txt"
[[part.item]]
title = "counts"
points = 2
kind = "counts"
command = "echo n: 1"
rise = { n = 0 }
boot = 2
[[part.item]]
title = "rises"
points = 2
kind = "counts"
command = "echo n: 1"
rise = { n = 1 }
[[part.item]]
title = "tests"
points = 5
kind = "tests"
tests = ["copyin"]
"""


def graded(
    folder: Path, tree: Path, given: Path | None, text: str = LAB, only: str = "boot"
) -> TargetResult:
    (folder / "small.toml").write_text(text)
    scratch = folder / "scratch"
    scratch.mkdir()
    lab = load_lab(folder / "small.toml")
    plan = Plan(ROOT, scratch, only, lab=lab, pristine=given)
    (result,) = [
        event for event in run_trees([Source(tree)], plan, 2) if isinstance(event, TargetResult)
    ]
    return result


@pytest.mark.live
def test_a_tree_gets_its_points(tmp_path: Path) -> None:
    given = write_tree(tmp_path / "handout")
    tree = write_tree(tmp_path / "tree", **{"kernel/vm.c": "int x = ;\n", "time.txt": "12\n"})
    result = graded(tmp_path, tree, given)
    assert result.points is not None
    earned = {item.title: item.earned for item in result.points.items}
    assert earned == {"boots": 3, "time": 1, "counts": 2, "rises": 0, "tests": 0}
    assert (result.points.earned, result.points.possible, result.verdict) == (6, 13, "fail")
    reasons = {check.check: check.reason for check in result.checks}
    assert "kernel/vm.c was changed; restored" in reasons[PRISTINE]
    why = {item.title: " ".join(item.why) for item in result.points.items}
    assert "n goes from 1 to 1: up by 0, and 1 is expected" in why["rises"]
    assert "printed no result of the test copyin" in why["tests"]
    assert (tree / "kernel/vm.c").read_text() == "int x = ;\n"


@pytest.mark.live
def test_a_tree_that_does_not_build_keeps_the_points_for_its_files(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", **{"kernel/vm.c": "int x = ;\n", "time.txt": "12\n"})
    result = graded(tmp_path, tree, None)
    assert result.points is not None and result.verdict == "fail"
    assert [item.earned for item in result.points.items] == [0, 1, 0, 0, 0]
    assert all(
        "does not build" in " ".join(item.why) for item in result.points.items if not item.earned
    )


LAB_2020 = """\
title = "a lab of 2020"
[[part]]
title = "all of it"
[[part.item]]
title = "answers"
points = 5
kind = "file"
file = "answers-pgtbl.txt"
characters = 10
[[part.item]]
title = "time"
points = 1
kind = "number"
file = "time.txt"
[[part.item]]
title = "tests"
points = 10
kind = "tests"
tests = ["copy_guard", "no_such_test"]
off = 4
[[part.item]]
title = "no page is lost"
points = 10
kind = "check"
check = "leaks"
rules = ["page-leaked"]
[[part.item]]
title = "no page is freed twice"
points = 10
kind = "check"
check = "leaks"
rules = ["double-free"]
"""


@pytest.mark.live
def test_an_exported_tree_gets_the_points_that_its_fault_leaves(tmp_path: Path) -> None:
    faults = {one.id: one for one in catalogue.load(ROOT / "faults/catalogue", ROOT / "kernel")}
    style = load_styles(ROOT / "harness/export/styles")["2020"]
    export.write(export.files(ROOT, faults["kstack-not-freed"], style), tmp_path / "tree")
    points = graded(tmp_path, tmp_path / "tree", None, LAB_2020, "leaks").points
    assert points is not None
    earned = {item.title: item.earned for item in points.items}
    assert earned == {
        "answers": 5, "time": 1, "tests": 6, "no page is lost": 0, "no page is freed twice": 10,
    }  # fmt: skip
    why = {item.title: " ".join(item.why) for item in points.items}
    assert "kernel stack" in why["no page is lost"] and "kernel/proc.c:" in why["no page is lost"]
