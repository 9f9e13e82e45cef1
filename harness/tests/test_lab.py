"""Lab files: what is wrong with one is said with its line; points follow from results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import ROOT

from faultline import grade, labkinds
from faultline.build import Build
from faultline.cases import Job
from faultline.cli import main
from faultline.errors import UsageError
from faultline.finding import Finding, Rule, Table, Where
from faultline.grade import tree_verdict
from faultline.lab import PRISTINE, Lab, find_lab, lab_names, load_lab
from faultline.labentry import Entry, LabError
from faultline.labkinds import KINDS, Kind
from faultline.labpoints import ItemPoints
from faultline.tomllines import key_lines, line_of
from faultline.treesource import Source
from faultline.treetests import COLUMNS
from faultline.verdict import CheckResult, exit_status

GOOD = """\
title = "a lab"
pristine = ["kernel/vmcopyin.c"]

[[part]]
title = "the course's"

[[part.item]]
title = "answers"
points = 5
kind = "file"
file = "answers.txt"

[[part.item]]
title = "all tests"
points = 20
kind = "check"
check = "usertests"
off = 8

[[part]]
title = "ours"

[[part.item]]
title = "leaks"
points = 2.5
kind = "check"
check = "leaks"
rules = ["page-leaked"]

[[part.item]]
title = "isolation"
points = 10
kind = "check"
check = "audit"
optional = true
"""
LEAK = Finding("page-leaked", "error", "20 pages\nwere lost", Where("kernel/vm.c", 19, "f"))
FREED = Finding("double-free", "error", "freed twice")
NOTE = Finding("page-leaked", "note", "nothing much")
DEATH = Finding("kernel-panic", "error", "The kernel panicked")
FAILED = [Finding("usertest-failed", "error", f"test t{number} failed") for number in range(6)]


def lab_file(folder: Path, text: str = GOOD) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def good(folder: Path) -> Lab:
    return load_lab(lab_file(folder))


# What usertests has shown already -----------------------------------------------------------


TESTS = GOOD + """
[[part.item]]
title = "copyin and mem"
points = 5
kind = "tests"
tests = ["copyin", "mem"]
"""


def shown(*rows: tuple[str, str]) -> CheckResult:
    table = Table("tests of usertests", COLUMNS, tuple((*row, "0.1") for row in rows))
    return CheckResult("usertests", "fail", 1.0, table=table)


@pytest.mark.parametrize(
    ("rows", "answered"),
    [
        ([("copyin", "OK"), ("mem", "OK"), ("bigdir", "died")], True),
        ([("copyin", "OK"), ("mem", "FAILED")], False),  # alone it may pass
        ([("copyin", "OK"), ("mem", "not run")], False),
        ([("copyin", "OK")], False),
        ([], False),
    ],
)
def test_tests_that_have_passed_among_all_are_not_run_again(
    tmp_path: Path, rows: list[tuple[str, str]], answered: bool
) -> None:
    lab = load_lab(lab_file(tmp_path, TESTS))
    plan = grade.Plan(ROOT, tmp_path, lab=lab)
    source = Source(tmp_path)
    build = cast(Build, None)
    case = grade.TreeCase(source, plan=plan)
    jobs = case.jobs_after(Job(source, build=build))
    assert [check.name for check in case.last] == ["usertests copyin mem"]
    assert not {job.check for job in jobs} & {"usertests copyin mem"}
    case.results = [shown(*rows)]
    jobs = case.last_jobs()
    assert [job.check for job in jobs] == ["usertests copyin mem"] * (not answered)
    results = [result.status for result in case.results if result.check == "usertests copyin mem"]
    assert results == ["pass"] * answered
    assert case.last_jobs() == []  # once


# Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("points = 5", "point = 5", 7, "part.item.points: missing: a number is expected"),
        ("points = 5", 'points = "five"', 9, "part.item.points: expected a number, found 'five'"),
        ("points = 5", "points = true", 9, "part.item.points: expected a number, found true"),
        ("points = 20", "points = 0", 15, "part.item.points: is 0, expected more than 0"),
        ("off = 8", "off = 21", 18, "part.item.off: is 21, and the item has 20 points"),
        ("off = 8", "of = 8", 18, "part.item.of: unknown key; known here: check, kind, off"),
        ('kind = "file"', 'kind = "fiel"', 10, "part.item.kind: there is no kind 'fiel'; there"),
        ('"answers.txt"', '"../answers.txt"', 11, "'../answers.txt' is no path inside the tree"),
        ('"usertests"', '"usertest"', 17, "part.item.check: there is no check 'usertest'; there"),
        ('["page-leaked"]', '["page-lost"]', 28, "check leaks has no rule 'page-lost'; it has"),
        ('["page-leaked"]', '"page-leaked"', 28, "part.item.rules: expected a list of texts"),
        ('["page-leaked"]', "[]", 28, "part.item.rules: must not be empty"),
        ("optional = true", "optional = 1", 35, "part.item.optional: expected true or false"),
        ('"kernel/vmcopyin.c"', '"/etc/passwd"', 2, "pristine: '/etc/passwd' is no path inside"),
        ('title = "a lab"', 'title = ""', 1, "title: must not be empty"),
        ('title = "a lab"', 'title = "a"\npass = 99', 2, "pass: is 99, and the items have 37.5"),
        ('title = "ours"', 'title = "ours"\nweight = 2', 22, "part.weight: unknown key"),
        ('title = "ours"', 'title = "the course\'s"', 4, "part: two parts have the title"),
        ('"all tests"', '"answers"', 14, "part.item.title: two items have the title 'answers'"),
        ("off = 8", 'ours = ["copyin"]', 18, "ours: none of our tests is called 'copyin'"),
        ("off = 8", 'ours = ["copy_text"]', 18, "ours: none of our tests is called 'copy_text'"),
        ('title = "a lab"', "title = ", 1, "Invalid value"),
    ],
)
def test_an_error_names_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert GOOD.count(old) == 1 or old == 'title = "a lab"'
    path = lab_file(tmp_path, GOOD.replace(old, new))
    with pytest.raises(LabError) as error:
        load_lab(path)
    assert says in str(error.value)
    assert str(error.value).startswith(str(path))
    assert f":{line}: " in str(error.value)


def test_a_lab_without_items_is_none(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"mine.toml:1: part: missing: tables \[\[part\]\]"):
        load_lab(lab_file(tmp_path, 'title = "empty"\n'))
    with pytest.raises(LabError, match=r"mine.toml:2: part.item: missing: tables \[\[part.item"):
        load_lab(lab_file(tmp_path, 'title = "empty"\n[[part]]\ntitle = "nothing"\n'))


TOML = '''\
a = 1 # c = [
"quoted key" = """
b = 2
[not.a.table]
""" # comment
list = [
  "]", # [ and "
  'x = 1',
]
one.two = { three = [1, 2], four = "}" }

  [table . sub]
key = \'\'\'x\'\'\'

[[many]]
k = "#"
[[many]]
k = "\\"]"
[[many.below]]
deep = "\\\\"
[many.beside]
last = 1979-05-27T07:32:00Z'''


def paths(table: dict[str, Any], above: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    found: set[tuple[str | int, ...]] = set()
    for name, value in table.items():
        found.add((*above, name))
        if isinstance(value, dict):
            found |= paths(value, (*above, name))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, one in enumerate(value):
                found |= {(*above, name, index)} | paths(one, (*above, name, index))
    return found


def test_lines_are_found_for_every_key() -> None:
    lines = key_lines(TOML)
    inline = {("one", "two", "three"), ("one", "two", "four"), ("table",)}
    assert set(lines) == paths(tomllib.loads(TOML)) - inline
    assert [lines[key] for key in (("a",), ("quoted key",), ("list",), ("one", "two"))] == [
        1, 2, 6, 10,
    ]  # fmt: skip
    assert lines["many", 1, "k"] == 18
    assert lines["many", 1, "below", 0, "deep"] == 20
    assert lines["many", 1, "beside", "last"] == 22
    assert line_of(("one", "two", "three", 0), lines) == 10
    assert line_of(("nowhere",), lines) == 1


@pytest.mark.parametrize("name", lab_names())
def test_the_labs_that_come_along(name: str) -> None:
    path = ROOT / f"labs/{name}.toml"
    text = path.read_text()
    assert load_lab(path) == find_lab(name)
    for keys in paths(tomllib.loads(text)):
        words = text.splitlines()[line_of(keys, key_lines(text)) - 1]
        assert str(keys[-1]) in words or isinstance(keys[-1], int) or "rise" in words


def test_the_course_s_own_points_are_66() -> None:
    lab = find_lab("pgtbl-2020")
    _, items = lab.parts[0]
    assert sum(item.points for item in items) == 66
    assert not any(item.off or item.optional for item in items)
    assert sum(item.points for item in lab.items) == 100
    assert len(lab.pristine) == 4


def test_a_lab_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="there are pgtbl-2020, xv6"):
        find_lab("pgtbl")
    with pytest.raises(UsageError, match="no such file"):
        find_lab("pgtbl.toml")


def test_the_manual_s_example_is_a_lab_with_every_kind(tmp_path: Path) -> None:
    manual = (ROOT / "docs/labs.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    lab = load_lab(lab_file(tmp_path, example))
    assert {word for word in re.findall(r'^kind = "(\w+)"', example, re.MULTILINE)} == set(KINDS)
    assert any(item.off for item in lab.items) and any(item.optional for item in lab.items)
    assert lab.pristine and lab.needed == 15
    (kind,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    known = {name: getattr(labkinds, name) for name in re.findall(r"\b[A-Za-z_]\w+\b", kind)
             if hasattr(labkinds, name)}  # fmt: skip
    made: dict[str, Kind] = {}
    rule = Rule("file-too-long", "error", "It is too long.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labkinds, "KINDS", made)
        exec(kind, {**known, "FILE_TOO_LONG": rule})
    entry = Entry(tmp_path / "mine.toml", {"file": "a.c", "lines": 1}, {})
    look = made["lines"](entry).file
    assert look is not None
    (tmp_path / "a.c").write_text("one\n")
    assert list(look(tmp_path)) == []
    (tmp_path / "a.c").write_text("one\ntwo\n")
    assert [one.message for one in look(tmp_path)] == ["a.c has 2 lines, and 1 are allowed."]


def test_labs_that_mean_different_things_look_different(tmp_path: Path) -> None:
    before = repr(good(tmp_path))
    assert repr(good(tmp_path)) == before
    assert "0x" not in before
    assert repr(load_lab(lab_file(tmp_path, GOOD.replace("answers.txt", "a.txt")))) != before


def test_a_lab_looks_the_same_in_every_process() -> None:
    # What `grade --each` keeps is found again by it.
    words = "from faultline.lab import find_lab; print(repr(find_lab('pgtbl-2020')))"
    here = Path(__file__).resolve().parents[1]
    seen = {
        subprocess.run(
            [sys.executable, "-c", words], cwd=here, check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1


# Points -------------------------------------------------------------------------------------


def result(check: str, *findings: Finding, status: str = "", reason: str = "") -> CheckResult:
    wrong = any(finding.severity != "note" for finding in findings)
    named = tuple(replace(finding, check=check) for finding in findings)
    return CheckResult(check, status or ("fail" if wrong else "pass"), 1.0, reason, named)


FULL = (
    result("build"), result("boot"), result("file answers.txt"), result("usertests"),
    result("leaks"), result("audit"),
)  # fmt: skip


def scored(folder: Path, *changed: CheckResult) -> dict[str, ItemPoints]:
    by_name = {one.check: one for one in (*FULL, *changed)}
    points = good(folder).score(list(by_name.values()))
    return {item.title: item for item in points.items}


def test_full_marks(tmp_path: Path) -> None:
    points = good(tmp_path).score(FULL)
    assert (points.earned, points.possible, points.takes) == (37.5, 37.5, 37.5)
    assert points.passed
    assert not any(item.why for item in points.items)


@pytest.mark.parametrize(
    ("changed", "item", "earned", "possible", "why"),
    [
        # anything wrong costs all of it, unless the lab says what each thing costs
        (result("leaks", LEAK), "leaks", 0, 2.5, "20 pages were lost (kernel/vm.c:19 f())"),
        (result("usertests", FAILED[0]), "all tests", 12, 20, "test t0 failed"),
        (result("usertests", *FAILED[:2]), "all tests", 4, 20, "test t1 failed"),
        (result("usertests", *FAILED), "all tests", 0, 20, "and 2 more"),
        # only the rules that the item names
        (result("leaks", FREED), "leaks", 2.5, 2.5, None),
        (result("leaks", FREED, LEAK), "leaks", 0, 2.5, "20 pages were lost"),
        # whoever dies has not been looked at to the end
        (result("leaks", DEATH), "leaks", 0, 2.5, "The kernel panicked"),
        (result("usertests", FAILED[0], DEATH), "all tests", 0, 20, "The kernel panicked"),
        # a note is no mistake
        (result("audit", NOTE), "isolation", 10, 10, None),
        # what did not run earns nothing, and says why
        (result("leaks", status="skip", reason="no probe"), "leaks", 0, 2.5, "no probe"),
        (result("audit", status="skip", reason="not done"), "isolation", 0, 0, "does not count"),
        # what the harness could not find out is not the tree's fault
        (result("leaks", status="error", reason="it broke"), "leaks", None, 2.5, "it broke"),
    ],
)
def test_points_of_an_item(
    tmp_path: Path, changed: CheckResult, item: str, earned: float, possible: float, why: str | None
) -> None:
    found = scored(tmp_path, changed)[item]
    assert (found.earned, found.possible) == (earned, possible)
    assert bool(found.why) == (why is not None)
    assert why is None or any(why in words for words in found.why)


OURS = GOOD.replace("off = 8", 'ours = ["copy_*", "pipe_order"]')
WRONG = Finding("abi-test-failed", "error", "wrote 3", Where("user/tests.c", 1, "copy_bad"))
OTHER = replace(WRONG, where=Where("user/tests.c", 2, "pipe_sizes"))
NOT_RUN = Finding("abi-test-unfinished", "warning", "3 of our tests were not run")
RESTORED = CheckResult(PRISTINE, "pass", 0.0)


@pytest.mark.parametrize(
    ("results", "earned", "why"),
    [
        ([result("abi")], 20, None),
        ([result("abi", OTHER, DEATH)], 20, None),
        ([result("abi", WRONG)], 0, "wrote 3 (user/tests.c:1 copy_bad())"),
        ([result("abi", NOT_RUN)], 0, "were not run"),
        ([result("abi", replace(NOT_RUN, evidence="Not run: copy_bad, x"))], 0, "were not run"),
        ([result("abi", replace(NOT_RUN, evidence="Not run: pipe_sizes, x"))], 20, None),
        ([result("abi", status="skip", reason="no room")], 0, "and ours say nothing: no room"),
        ([result("abi", status="error", reason="it broke")], None, "it broke"),
        ([], None, "was not run"),
        # what the handout's usertests is linked with may be the tree's
        ([RESTORED, result("abi", WRONG)], 0, "wrote 3 (user/tests.c:1 copy_bad())"),
        ([RESTORED, result("abi"), result("usertests", FAILED[0])], 0, "test t0 failed"),
    ],
)
def test_our_tests_vouch_for_the_tree_s_own(
    tmp_path: Path, results: list[CheckResult], earned: float | None, why: str | None
) -> None:
    lab = load_lab(lab_file(tmp_path, OURS))
    by_name = {one.check: one for one in (*FULL, *results)}
    found = lab.score(list(by_name.values())).items[1]
    assert (found.title, found.earned) == ("all tests", earned)
    assert bool(found.why) == (why is not None) and (why or "") in " ".join(found.why)


OURS_COUNT = OURS + """
[[part.item]]
title = "abi"
points = 6
kind = "check"
check = "abi"
off = 2
"""
OURS_DIED = Finding("abi-test-died", "error", "it did not survive mem", Where("u.c", 3, "mem"))


@pytest.mark.parametrize(
    ("findings", "earned"),
    [
        ([OURS_DIED, DEATH], 4),  # one mistake
        ([OURS_DIED, FREED, DEATH, WRONG], 2),
        ([DEATH], 0),  # before any of them
    ],
)
def test_how_the_guest_died_of_our_test_is_no_other_mistake(
    tmp_path: Path, findings: list[Finding], earned: float
) -> None:
    lab = load_lab(lab_file(tmp_path, OURS_COUNT))
    by_name = {one.check: one for one in (*FULL, result("abi", *findings))}
    (item,) = (one for one in lab.score(list(by_name.values())).items if one.title == "abi")
    assert item.earned == earned


@pytest.mark.parametrize("first", ["build", "boot"])
def test_what_does_not_start_has_no_optional_items(tmp_path: Path, first: str) -> None:
    skipped = result("audit", status="skip", reason="boot did not pass")
    found = scored(tmp_path, skipped, result(first, DEATH))["isolation"]
    assert (found.earned, found.possible) == (0, 10)


def test_a_result_that_is_not_there_is_the_harness_s_fault(tmp_path: Path) -> None:
    points = good(tmp_path).score(FULL[:4])
    assert points.earned is None and not points.passed
    assert "could not find out" in points.items[-1].why[0]


def test_it_passes_with_what_the_lab_says(tmp_path: Path) -> None:
    lab = load_lab(lab_file(tmp_path, GOOD.replace('"a lab"', '"a lab"\npass = 30')))
    lost_five = [*FULL[:2], result("file answers.txt", LEAK), *FULL[3:]]
    assert lab.score(lost_five).passed and not good(tmp_path).score(lost_five).passed
    audit = result("audit", status="skip", reason="not done yet")
    assert good(tmp_path).score([*FULL[:5], audit]).passed  # 27.5 of 27.5


@pytest.mark.parametrize(
    ("changed", "verdict", "status"),
    [
        (result("leaks", FREED), "pass", 0),  # a finding that no item asks for
        (result("leaks", LEAK), "fail", 1),
        (result("leaks", status="error", reason="QEMU went away"), "error", 3),
        (result("vmprint", status="error", reason="QEMU went away"), "error", 3),
    ],
)
def test_points_decide_and_the_harness_s_errors_are_no_grade(
    tmp_path: Path, changed: CheckResult, verdict: str, status: int
) -> None:
    results = list({one.check: one for one in (*FULL, changed)}.values())
    plan = grade.Plan(ROOT, tmp_path, lab=good(tmp_path))
    case = grade.TreeCase(Source(tmp_path), results=results, plan=plan)
    found = case.result()
    assert found.verdict == verdict and exit_status([found.verdict]) == status
    assert found.points is not None
    broken = grade.TreeCase(Source(tmp_path), results=results, problem="no QEMU", plan=plan)
    found = broken.result()
    assert (found.verdict, found.points) == ("error", None)


# The command --------------------------------------------------------------------------------


def test_list_labs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "labs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == lab_names() == ["pgtbl-2020", "xv6"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--lab", "nothing"], "there is no such lab"),
        (["--lab", "BROKEN"], "mine.toml:1: titel: unknown key"),
        (["--pristine", "."], "--pristine goes with --lab"),
        (["--lab", "pgtbl-2020", "--pristine", "EMPTY"], "no xv6 tree"),
    ],
)
def test_what_cannot_be_graded_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    broken = lab_file(tmp_path, "titel = 1\n" + GOOD)
    (tmp_path / "empty").mkdir()
    places = {"BROKEN": str(broken), "EMPTY": str(tmp_path / "empty")}
    assert main(["grade", str(tmp_path), *[places.get(word, word) for word in words]]) == 2
    assert says in capsys.readouterr().err


def test_a_skipped_pristine_check_fails_nobody(tmp_path: Path) -> None:
    lab = good(tmp_path)
    (tmp_path / "answers.txt").write_text("yes")
    results = lab.look(tmp_path, None)
    assert [(one.check, one.status) for one in results] == [
        ("file answers.txt", "pass"), (PRISTINE, "skip"),
    ]  # fmt: skip
    assert tree_verdict(results) == "pass"
