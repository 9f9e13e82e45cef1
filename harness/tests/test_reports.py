"""Reports of a run in which everything that can happen has happened."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT
from junitparser import Error, Failure, JUnitXml, Skipped
from rich.console import Console

from faultline.catalogue import Expect
from faultline.finding import Finding, Table, Where
from faultline.reports import file_reports, json_report, junit_report, terminal
from faultline.verdict import CheckResult, Run, TargetResult

LEAK = Finding(
    "page-leaked", "error", "20 pages were lost", Where("kernel/vm.c", 19, "kvmcreate"),
    "evidence with \x1b[31m and \ud800 and <&>", "a hint", "leaks",
)  # fmt: skip
PANIC = Finding("kernel-panic", "error", "The kernel panicked", check="boot")
EXPECT = Expect("leaks", "page-leaked", "kvmcreate")


def target(name: str, verdict: str, *findings: Finding, expect: Expect = EXPECT) -> TargetResult:
    status = "fail" if findings else "pass"
    results = (CheckResult("leaks", status, 1.25, "", findings),)
    return TargetResult(name, "variant", "unmap", verdict, expect, results, 2.5)


RUN = Run(
    "matrix",
    {"qemu": "QEMU 7.2", "gcc": "gcc 12", "faultline": "0"},
    (
        TargetResult("clean", "clean", "", "clean", None, (), 1.0),
        target("leaky", "caught", PANIC, LEAK),
        target("wrong", "misdiagnosed", PANIC),
        target("unseen", "missed"),
        target("unseeable", "no-oracle", expect=Expect(no_oracle="QEMU cannot show it")),
        TargetResult("broken", "variant", "unmap", "error", EXPECT, problem="make failed"),
    ),
)


def schema() -> object:
    return json.loads((ROOT / "reports/faultline.schema.json").read_text())


def test_json_follows_the_schema(tmp_path: Path) -> None:
    run = Run(RUN.command, RUN.tools, RUN.targets[2:])
    json_report.write(run, tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(document, schema())
    assert document["summary"] == {"misdiagnosed": 1, "missed": 1, "no-oracle": 1, "error": 1}
    assert document["targets"][0]["findings"][0]["check"] == "boot"


def test_a_check_s_table_and_a_finding_s_path_are_shown_and_kept(tmp_path: Path) -> None:
    path = (Where("kernel/vm.c", 19, "walk"), Where("kernel/vm.c", 60, "mappages"))
    found = Finding("alloc-failure-panic", "error", "It dies.", path[0], check="sweep", path=path)
    table = Table("what was tried", ("workload", "survived"), (("fork", 22),))
    check = CheckResult("sweep", "fail", 1.0, "", (found,), table=table)
    run = Run("sweep", RUN.tools, (TargetResult("x", "clean", "", "fail", None, (check,), 1.0),))
    json_report.write(run, tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    jsonschema.validate(document, schema())
    (target,) = document["targets"]
    assert target["checks"][0]["table"]["rows"] == [["fork", 22]]
    assert [place["function"] for place in target["findings"][0]["path"]] == ["walk", "mappages"]
    out = io.StringIO()
    terminal.show(run, Console(file=out, width=120), verbose=True)
    text = out.getvalue()
    assert text.index("what was tried") < text.index("It dies.")
    assert ["fork", "22"] in [line.split() for line in text.splitlines()]
    junit_report.write(run, tmp_path / "out.xml")  # which has no place for tables


def test_json_holds_whatever_a_guest_prints(tmp_path: Path) -> None:
    json_report.write(RUN, tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["targets"][1]["findings"][1]["where"]["line"] == 19


@pytest.mark.parametrize("broken", ["verdict", "kind", "findings"])
def test_the_schema_refuses_what_it_should(broken: str) -> None:
    document = RUN.as_json()
    document["targets"][1][broken] = "nonsense"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def test_junit_outcomes(tmp_path: Path) -> None:
    junit_report.write(RUN, tmp_path / "out.xml")
    (suite,) = JUnitXml.fromfile(str(tmp_path / "out.xml"))
    outcomes = {case.name: [type(result) for result in case.result] for case in suite}
    assert outcomes == {
        "clean": [], "leaky": [], "wrong": [Failure], "unseen": [Failure],
        "unseeable": [Skipped], "broken": [Error],
    }  # fmt: skip
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (6, 2, 1, 1)


def test_terminal_shows_the_expected_finding_and_explains_the_rest() -> None:
    out = io.StringIO()
    terminal.show(RUN, Console(file=out, width=200))
    text = out.getvalue()
    (row,) = [line for line in text.splitlines() if line.startswith("leaky ")]
    assert row.split() == [
        "leaky", "unmap", "caught", "leaks", "page-leaked", "kernel/vm.c:19", "kvmcreate()", "2.5",
    ]  # fmt: skip
    assert "20 pages were lost" not in text  # as expected: the table is enough
    assert "expected: leaks/page-leaked in kvmcreate()" in text
    assert "make failed" in text
    assert "6 targets: 1 clean, 1 caught, 1 misdiagnosed, 1 missed, 1 no-oracle, 1 error" in text


def test_progress_in_a_pipe_is_one_line_a_target() -> None:
    out = io.StringIO()
    with terminal.Progress(Console(file=out, width=200), 2) as progress:
        progress.doing("leaky", "build")
        progress.finished(RUN.targets[1])
        progress.finished(RUN.targets[5])
    first, second = out.getvalue().splitlines()
    assert first.startswith("[1/2] leaky: caught leaks/page-leaked at kernel/vm.c:19 kvmcreate()")
    assert second.startswith("[2/2] broken: error make failed")


def test_reports_are_found_by_being_there() -> None:
    assert {report.option for report in file_reports()} >= {"json", "junit"}


def test_the_view_shows_who_sees_what() -> None:
    def results(*seen: tuple[str, str, tuple[Finding, ...]]) -> tuple[CheckResult, ...]:
        return tuple(CheckResult(name, status, 1.0, "", found) for name, status, found in seen)

    both = results(("boot", "fail", (PANIC,)), ("leaks", "fail", (LEAK, LEAK, PANIC)))
    one = results(("boot", "pass", ()), ("leaks", "fail", (LEAK,)))
    none = results(("boot", "pass", ()), ("leaks", "skip", ()))
    targets = tuple(
        TargetResult(name, "variant", "unmap", "caught", EXPECT, checks)
        for name, checks in (("both", both), ("one", one), ("none", none))
    )
    out = io.StringIO()
    terminal.show(Run("matrix", {}, targets), Console(file=out, width=120), matrix=True)
    view = out.getvalue().split("seen by", 1)[1]
    rows = [line.split() for line in view.splitlines() if line.strip()]
    assert rows[:4] == [
        ["both", "kernel-panic", "page-leaked", "2"],
        ["kernel-panic"],
        ["one", "–", "page-leaked", "only", "leaks"],
        ["none", "–", "skip", "–"],
    ]


def test_what_a_guest_prints_does_nothing_to_a_terminal() -> None:
    finding = Finding("kernel-panic", "error", "panic: \x1b]0;owned\x07", evidence="\x9b2J\ud800\tx")
    out = Console(file=io.StringIO(), width=200)
    terminal.explain(target("[/evil]", "fail", finding), out)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert r"panic: \x1b]0;owned\x07" in text and r"\x9b2J\xd800" in text and "[/evil]" in text
