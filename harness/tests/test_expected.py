"""The file of expected verdicts, and every way in which a run can differ from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faultline import expected
from faultline.commands import matrix as command
from faultline.commands.running import load_catalogue
from faultline.catalogue import Expect
from faultline.expected import ExpectedError, Seen, accepted, differences, load, save
from faultline.finding import Finding, Where
from faultline.matrix import clean_targets
from faultline.verdict import EXIT_AS_EXPECTED, EXIT_NOT, CheckResult, Run, TargetResult

CAUGHT = Seen("caught", "leaks", "page-leaked", "fork")
OTHER = Seen("misdiagnosed", "boot", "kernel-panic", "exit")
EXPECT = Expect("leaks", "page-leaked", "fork")


def target(seen: Seen, name: str = "some-fault", expect: Expect = EXPECT) -> TargetResult:
    findings = (
        Finding(seen.rule, "error", "m", Where("f.c", 3, seen.function or None), check=seen.check),
    )
    results = (CheckResult(seen.check, "fail", 1.0, "", findings if seen.rule else ()),)
    return TargetResult(name, "variant", "unmap", seen.verdict, expect, results, 2.5)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (CAUGHT, CAUGHT, ""),
        (CAUGHT, Seen("missed"), "newly missed"),
        (Seen("no-oracle"), Seen("missed"), "newly missed"),
        (CAUGHT, OTHER, "newly misdiagnosed"),
        (Seen("missed"), OTHER, "newly misdiagnosed"),
        (Seen("missed"), CAUGHT, "newly caught"),
        (OTHER, CAUGHT, "newly caught"),
        (Seen("no-oracle"), CAUGHT, "newly caught"),
        (CAUGHT, Seen("caught", "leaks", "double-free", "fork"), "other rule"),
        (CAUGHT, Seen("caught", "leaks", "page-leaked", "exec"), "other function"),
        (CAUGHT, Seen("caught", "audit", "page-leaked", "fork"), "other check"),
        (OTHER, Seen("misdiagnosed", "boot", "no-shell"), "other rule"),
        (CAUGHT, Seen("no-oracle"), "now no-oracle"),
        (Seen("clean"), Seen("fail", "boot", "kernel-panic"), "now fail"),
        (Seen("fail", "boot", "kernel-panic"), Seen("clean"), "newly clean"),
        (None, CAUGHT, "not in the file"),
    ],
)
def test_kinds_of_difference(before: Seen | None, now: Seen, kind: str) -> None:
    known = {} if before is None else {"some-fault": before}
    found = differences(known, [target(now)], everything=True)
    assert [difference.kind for difference in found] == ([kind] if kind else [])
    for difference in found:
        assert "some-fault" in str(difference) and str(now) in str(difference)
        assert before is None or f"was {before}" in str(difference)


def test_only_a_run_of_everything_can_tell_what_is_gone() -> None:
    known = {"some-fault": CAUGHT, "old-fault": OTHER}
    (gone,) = differences(known, [target(CAUGHT)], everything=True)
    assert (gone.kind, gone.id) == ("gone", "old-fault")
    assert str(gone) == "gone: old-fault: was misdiagnosed by boot/kernel-panic in exit()"
    assert differences(known, [target(CAUGHT)], everything=False) == []


def test_an_error_is_no_difference_and_never_accepted() -> None:
    failed = [target(CAUGHT), target(Seen("error"), "other-fault")]
    assert differences({"some-fault": CAUGHT, "other-fault": CAUGHT}, failed, everything=True) == []
    with pytest.raises(ExpectedError, match="could not check other-fault"):
        accepted({}, failed, everything=True)


def test_a_function_that_does_not_matter_is_not_expected() -> None:
    anywhere = Expect("leaks", "page-leaked")
    assert Seen.of(target(CAUGHT, expect=anywhere)).function == ""
    assert Seen.of(target(CAUGHT)).function == "fork"
    assert Seen.of(target(OTHER, expect=anywhere)).function == "exit"  # it may tell why


def test_the_file_keeps_what_it_is_given_and_nothing_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    run = [target(CAUGHT, "b"), target(Seen("missed"), "a")]
    save(path, accepted({}, run, everything=True))
    assert load(path) == {"a": Seen("missed"), "b": CAUGHT}
    text = path.read_text()
    assert text.index('"a"') < text.index('"b"')
    assert json.loads(text)["targets"]["b"] == {
        "verdict": "caught", "check": "leaks", "rule": "page-leaked", "function": "fork",
    }  # fmt: skip
    save(path, accepted(load(path), run, everything=True))
    assert path.read_text() == text


def test_a_partial_run_keeps_the_other_entries_and_a_full_one_does_not() -> None:
    known = {"some-fault": OTHER, "old-fault": OTHER}
    assert accepted(known, [target(CAUGHT)], everything=False) == {
        "some-fault": CAUGHT, "old-fault": OTHER,
    }  # fmt: skip
    assert accepted(known, [target(CAUGHT)], everything=True) == {"some-fault": CAUGHT}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Expecting property name"),
        ("[]", "schema: expected"),
        ('{"schema": "faultline/1"}', "schema: expected"),
        ('{"schema": "faultline-expected/1"}', "targets: expected an object"),
        ('{"schema": "faultline-expected/1", "targets": {"x": {}}}', "targets.x: expected"),
        ('{"schema": "faultline-expected/1", "targets": {"x": {"verdict": "clean", "line": 3}}}',
         "targets.x.line"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "expected.json"
    path.write_text(text)
    with pytest.raises(ExpectedError) as error:
        load(path)
    assert str(path) in str(error.value) and words in str(error.value)


def test_no_file_expects_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == {}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "expected.json"
    monkeypatch.setattr(command, "EXPECTED", path)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    save(path, {"some-fault": CAUGHT})
    return path


def run_of(*targets: TargetResult) -> Run:
    return Run("matrix", {}, targets)


def test_the_command_s_status_and_words(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same, other = run_of(target(CAUGHT)), run_of(target(OTHER))
    assert command.compare(same, everything=True, accept=False) == EXIT_AS_EXPECTED
    assert capsys.readouterr().out == ""
    text = file.read_text()
    assert command.compare(other, everything=True, accept=False) == EXIT_NOT
    out = capsys.readouterr().out
    assert "newly misdiagnosed: some-fault: misdiagnosed by boot/kernel-panic in exit()" in out
    assert "make matrix ACCEPT=1" in out
    assert file.read_text() == text
    assert command.compare(other, everything=True, accept=True) == EXIT_AS_EXPECTED
    assert load(file) == {"some-fault": OTHER}
    assert command.compare(other, everything=True, accept=False) == EXIT_AS_EXPECTED


def test_a_run_with_an_error_leaves_the_file_alone(file: Path) -> None:
    text = file.read_text()
    with pytest.raises(ExpectedError):
        command.compare(run_of(target(Seen("error"))), everything=True, accept=True)
    assert file.read_text() == text


def test_this_project_s_file_is_of_this_project_s_faults() -> None:
    known = load(command.EXPECTED)
    ids = {target.id for target in clean_targets()}
    ids |= {fault.id for fault in load_catalogue()}
    assert set(known) <= ids, "run `make matrix ACCEPT=1`"
    assert {seen.verdict for seen in known.values()} <= {"clean", "caught", "no-oracle"}
    assert expected.SCHEMA in command.EXPECTED.read_text()
