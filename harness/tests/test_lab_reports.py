"""What reports say of points."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT
from junitparser import Error, Failure, JUnitXml, Skipped
from rich.console import Console
from test_lab import FULL, LEAK, good, result

from faultline.labpoints import Points
from faultline.manystore import decode, encode
from faultline.reports import json_report, junit_report, terminal
from faultline.verdict import CheckResult, Run, TargetResult



def graded(folder: Path, *changed: CheckResult) -> TargetResult:
    results = {one.check: one for one in (*FULL, *changed)}
    points = good(folder).score(list(results.values()))
    verdict = "pass" if points.passed else "error" if points.earned is None else "fail"
    checks = tuple(results.values())
    return TargetResult("tree", "tree", "", verdict, None, checks, 2.0, points=points)


SKIPPED = result("audit", status="skip", reason="not done yet")
BROKEN = result("usertests", status="error", reason="QEMU went away")


def test_json_follows_the_schema(tmp_path: Path) -> None:
    schema = json.loads((ROOT / "reports/faultline.schema.json").read_text())
    for changed in ((), (result("leaks", LEAK), SKIPPED), (BROKEN,)):
        run = Run("grade", {"qemu": "", "gcc": "", "faultline": ""}, (graded(tmp_path, *changed),))
        json_report.write(run, tmp_path / "out.json")
        document = json.loads((tmp_path / "out.json").read_text())
        jsonschema.validate(document, schema)
    points = document["targets"][0]["points"]
    assert (points["earned"], points["possible"], points["lab"]) == (None, 37.5, "mine")
    assert [part["earned"] for part in points["parts"]] == [None, 12.5]
    points["items"][0].pop("why")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_junit_has_a_case_for_each_item(tmp_path: Path) -> None:
    target = graded(tmp_path, result("leaks", LEAK), SKIPPED, BROKEN)
    junit_report.write(Run("grade", {}, (target,)), tmp_path / "out.xml")
    (suite,) = JUnitXml.fromfile(str(tmp_path / "out.xml"))
    outcomes = {case.name: [type(one) for one in case.result] for case in suite}
    assert outcomes == {
        "tree": [Error], "tree: the course's: answers": [],
        "tree: the course's: all tests": [Error], "tree: ours: leaks": [Failure], "tree: ours: isolation": [Skipped],
    }  # fmt: skip


def test_the_terminal_says_why_not(tmp_path: Path) -> None:
    out = io.StringIO()
    target = graded(tmp_path, result("leaks", LEAK), SKIPPED)
    terminal.show(Run("grade", {}, (target,)), Console(file=out, width=120))
    rows = [line.split() for line in out.getvalue().splitlines()]
    assert ["tree:", "a", "lab"] in rows
    assert ["answers", "5/5"] in rows
    assert any(row[:3] == ["leaks", "0/2.5", "20"] and "lost" in row for row in rows)
    assert any(row[:2] == ["isolation", "0/0"] for row in rows)
    assert ["all", "25/27.5"] in rows


def test_points_are_kept_with_a_result(tmp_path: Path) -> None:
    target = graded(tmp_path, result("leaks", LEAK), SKIPPED)
    kept = decode(TargetResult, json.loads(json.dumps(encode(target))))
    assert isinstance(kept, TargetResult) and isinstance(kept.points, Points)
    assert kept.points == target.points
