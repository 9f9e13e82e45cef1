"""Many trees: which they are, what is kept of them, and going on after an interruption."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import ROOT
from rich.console import Console
from test_cli import COMMAND
from test_grade import write_tree
from test_tree import make_source

from faultline import grade, many, manystore, sandbox
from faultline.archive import Room
from faultline.errors import UsageError
from faultline.finding import Finding, Table, Where
from faultline.grade import Plan
from faultline.lab import Lab, load_lab
from faultline.many import Event, chosen, each, listed, run_each, status_of
from faultline.lifeline import Interrupted
from faultline.manystore import Store, content_hash, decode, encode
from faultline.reports import csv_report
from faultline.sweep.protocol import Choice
from faultline.treesource import Source, printable
from faultline.verdict import INTERRUPTED, CheckResult, Run, TargetResult

LEAK = Finding(
    "page-leaked", "error", "20 pages\nwere lost", Where("kernel/vm.c", 19, "walk"), "evidence",
    "a hint", "leaks", (Where("kernel/proc.c", 3, "fork"),),
)  # fmt: skip
CHECKS = (
    CheckResult("build", "pass", 0.5, "a note"),
    CheckResult("boot", "pass", 1.0),
    CheckResult("leaks", "fail", 2.0, "", (LEAK,), "1/2", Table("t", ("a", "b"), (("x", 3),))),
)
FAILED = TargetResult("one", "tree", "", "fail", None, CHECKS, 3.5)
PASSED = TargetResult("two", "tree", "", "pass", None, CHECKS[:2], 1.5)


# Which trees --------------------------------------------------------------------------------


def test_each_folder_and_archive_is_a_hand_in_and_nothing_else(tmp_path: Path) -> None:
    for name in ("ann", "bob", ".git"):
        (tmp_path / name).mkdir()
    for name in ("eve.tar.gz", "sam.zip", "README", ".hidden.zip"):
        (tmp_path / name).write_text("")
    assert [source.id for source in each(tmp_path)] == ["ann", "bob", "eve", "sam"]
    assert many.passed_over([str(tmp_path)]) == ["README"]


@pytest.mark.parametrize("name", ["empty", "file", "nowhere"])
def test_a_folder_without_hand_ins_is_an_error_of_the_user(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder|found no folder and no archive"):
        each(tmp_path / name)


def test_a_list_has_paths_comments_and_references(tmp_path: Path) -> None:
    (tmp_path / "a@b").mkdir()
    file = tmp_path / "list"
    file.write_text("# all\n\n one  \ntwo@lab # late\na@b\n/abs/x.zip\nthree#1\n")
    assert listed(file) == [
        Source(tmp_path / "one"), Source(tmp_path / "two", "lab"), Source(tmp_path / "a@b"),
        Source(Path("/abs/x.zip")), Source(tmp_path / "three#1"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "# nothing\n", "a\0b\n"])
def test_a_list_of_nothing_is_an_error_of_the_user(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(UsageError, match="expected a path|is no path"):
        listed(tmp_path / "list")
    with pytest.raises(UsageError, match="cannot be read"):
        listed(tmp_path / "nowhere")


def test_trees_of_one_name_are_told_apart_and_any_name_can_be_printed(tmp_path: Path) -> None:
    for name in ("a/xv6", "b/xv6", "b/" + os.fsdecode(b"\xff\x1b[2J\n")):
        (tmp_path / name).mkdir(parents=True)
    names = [source.id for source in chosen([f"{tmp_path}/a", f"{tmp_path}/b"], None)]
    assert names == [f"{tmp_path}/a/xv6", f"{tmp_path}/b/xv6", r"\xff\x1b[2J\n"] or names == [
        f"{tmp_path}/a/xv6", r"\x1b[2J\n\xff", f"{tmp_path}/b/xv6"
    ]  # fmt: skip
    assert printable("é x") == "é x"


# What is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [FAILED, PASSED], ids=["failed", "passed"])
def test_what_is_kept_comes_back_as_it_was(tmp_path: Path, result: TargetResult) -> None:
    store = Store(tmp_path / "kept")
    assert store.get("key", "one") is None
    store.put("key", result)
    assert store.get("key", result.id) == result
    renamed = store.get("key", "other")
    assert renamed is not None and renamed.id == "other"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"id": 3}', '{"id": "x", "kind": "tree", "more": 1}']
)
def test_what_cannot_be_read_is_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.json").write_text(text)
    assert Store(tmp_path).get("key", "x") is None


def test_a_store_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Store(tmp_path / "file").put("key", PASSED)


def test_an_interruption_leaves_nothing_but_whole_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(value: object) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(manystore, "encode", interrupted)
    with pytest.raises(Interrupted):
        Store(tmp_path).put("key", PASSED)
    assert not list(tmp_path.iterdir())


def test_values_of_another_type_are_refused() -> None:
    assert decode(tuple[int, ...], encode((1, 2))) == (1, 2)
    for wanted, value in ((int, "1"), (tuple[int, str], [1]), (Where, {"file": None}), (int, True)):
        with pytest.raises(ValueError, match="expected"):
            decode(wanted, value)


def change_content(tree: Path) -> None:
    (tree / "kernel/vm.c").write_text("int y;\n")


def change_name(tree: Path) -> None:
    (tree / "kernel/vm.c").rename(tree / "kernel/vm2.c")


def change_mode(tree: Path) -> None:
    (tree / "kernel/vm.c").chmod(0o755)


def add_link(tree: Path) -> None:
    (tree / "link").symlink_to("/nowhere")


def add_folder(tree: Path) -> None:
    (tree / "kernel/new").mkdir()


@pytest.mark.parametrize(
    "change", [change_content, change_name, change_mode, add_link, add_folder]
)
def test_a_tree_that_has_changed_has_another_hash(tmp_path: Path, change: object) -> None:
    tree = make_source(tmp_path / "tree")
    before = content_hash(tree)
    (tree / ".git").mkdir()
    (tree / ".git/index").write_text("history is no content")
    os.utime(tree / "Makefile", (1, 1))
    assert content_hash(tree) == before
    assert callable(change)
    change(tree)
    assert content_hash(tree) != before


LAB = 'title = "mine"\n[[part]]\ntitle = "all"\n[[part.item]]\ntitle = "it boots"\n'


def labs(folder: Path) -> Iterator[Lab]:
    """Two versions of one lab file."""
    for points in (1, 2):
        item = f'points = {points}\nkind = "check"\ncheck = "boot"\n'
        (folder / "lab.toml").write_text(LAB + item)
        yield load_lab(folder / "lab.toml")


def handouts(folder: Path) -> Iterator[Path]:
    """Two handouts that differ in a file."""
    for number in (1, 2):
        handout = make_source(folder / f"handout{number}")
        (handout / "kernel/vm.c").write_text(f"int handout{number};\n")
        yield handout


def test_what_is_asked_for_and_the_harness_belong_to_the_key(tmp_path: Path) -> None:
    source = Source(make_source(tmp_path / "tree"))
    plan = Plan(ROOT, tmp_path)
    plans = [plan, dataclasses.replace(plan, only="leaks"),
             dataclasses.replace(plan, sweep=Choice("fork")),
             dataclasses.replace(plan, room=Room(files=9)),
             *(dataclasses.replace(plan, lab=lab) for lab in labs(tmp_path)),
             *(dataclasses.replace(plan, pristine=handout) for handout in handouts(tmp_path)),
             ]  # fmt: skip
    keys = [known.key for one in plans for _, known in many.look_at([source], one, "qemu=1", 1)]
    keys += [known.key for _, known in many.look_at([source], plan, "qemu=2", 1)]
    assert len(set(keys)) == len(keys)
    other = dataclasses.replace(plan, scratch=tmp_path / "kernel")
    assert [known.key for _, known in many.look_at([source], other, "qemu=1", 1)] == keys[:1]


@pytest.mark.parametrize(
    "name",
    ["faults/shim.c", "Makefile", "kernel/kernel.mk", "kernel/fs.h", "user/user.mk", "user/probe.c",
     "harness/tlb/plugin.mk", "harness/tlb/model.c", "harness/cross/cross.sh",
     "harness/faultline/sweep/run.py"],
)  # fmt: skip
def test_a_harness_that_has_changed_has_another_hash(tmp_path: Path, name: str) -> None:
    assert (ROOT / name).is_file()
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("a")
    before = manystore.harness_hash(tmp_path)
    assert manystore.harness_hash(tmp_path) == before
    (tmp_path / name).write_text("b")
    assert manystore.harness_hash(tmp_path) != before


def test_all_that_make_reads_for_a_tree_belongs_to_the_harness() -> None:
    goals = ["build/share/user/_probe", "build/share/user/_usertests", "tlb-plugin"]
    words = ["make", "-npr", *goals, "O=build/share"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in said.splitlines() if line.startswith("MAKEFILE_LIST := "))
    read = {name for name in line.split()[2:] if not name.startswith("build/")}
    assert {"Makefile", "user/user.mk"} <= read
    # What objects are made of, besides those headers that a build has found.
    rules = re.findall(r"^build/(?:share/user|tlb/plugin)/[^%:]+\.o: (.*)", said, re.M)
    names = {os.path.normpath(name) for rule in rules for name in rule.split()}
    made_of = {name for name in names if (ROOT / name).is_file()}
    assert {"user/probe.c", "harness/tlb/model.c"} <= made_of
    known = {str(path.relative_to(ROOT)) for path in manystore.sources(ROOT)}
    assert (read | made_of) - known == set()


# Grading ------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trees that were really graded: nothing is, here. `broken` is what goes wrong."""
    names: list[str] = []

    def run_trees(sources: Sequence[Source], plan: Plan, limit: int) -> Iterator[Event]:
        for source in sources:
            if source.id == "stop":
                raise KeyboardInterrupt
            names.append(source.id)
            verdict = "error" if source.id == "broken" else "pass"
            yield dataclasses.replace(PASSED, id=source.id, verdict=verdict)

    monkeypatch.setattr(grade, "run_trees", run_trees)
    monkeypatch.setattr(sandbox, "require", lambda: None)
    return names


def trees(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (make_source(folder / name) / "number").write_text(str(number))
    return folder


def results(folder: Path, kept: Path, **options: bool) -> dict[str, TargetResult]:
    plan = Plan(ROOT, kept.parent)
    events = run_each(each(folder), plan, 1, Store(kept), "tools", **options)
    return {event.id: event for event in events if isinstance(event, TargetResult)}


def test_a_tree_that_is_known_is_not_graded_again(tmp_path: Path, asked: list[str]) -> None:
    given = trees(tmp_path / "given", "ann", "bob")
    first = results(given, tmp_path / "kept")
    assert results(given, tmp_path / "kept") == first
    assert asked == ["ann", "bob"]
    (given / "bob/kernel/vm.c").write_text("int better;\n")
    assert results(given, tmp_path / "kept") == first
    assert asked == ["ann", "bob", "bob"]
    results(given, tmp_path / "kept", fresh=True)
    assert asked == ["ann", "bob", "bob", "ann", "bob"]


def test_what_the_harness_could_not_do_is_tried_again(tmp_path: Path, asked: list[str]) -> None:
    given = trees(tmp_path / "given", "ann", "broken")
    for _ in range(2):
        results(given, tmp_path / "kept")
    assert asked == ["ann", "broken", "broken"]


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, asked: list[str]) -> None:
    given = trees(tmp_path / "given", "ann", "bob", "stop")
    with pytest.raises(KeyboardInterrupt):
        results(given, tmp_path / "kept")
    (given / "stop").rename(given / "zoe")
    assert list(results(given, tmp_path / "kept")) == ["ann", "bob", "zoe"]
    assert asked == ["ann", "bob", "zoe"]


def test_what_is_no_tree_is_told_and_stops_nobody(tmp_path: Path, asked: list[str]) -> None:
    given = trees(tmp_path / "given", "ann")
    (given / "essay").mkdir()
    (given / "late.zip").write_text("nothing of the kind")
    found = results(given, tmp_path / "kept")
    assert found["ann"].verdict == "pass"
    assert {found[name].verdict for name in ("essay", "late")} == {"error"}
    assert "no xv6 tree" in found["essay"].problem
    assert found["late"].problem == "unusable: cannot be unpacked: File is not a zip file"
    assert not list((tmp_path / "kept").parent.glob("look-*"))


NONE = TargetResult("none", "tree", "", "error", None, problem="unusable: no xv6 tree")
CRASH = TargetResult("crash", "tree", "", "error", None, problem="its worker died")


@pytest.mark.parametrize(
    ("targets", "status"),
    [
        ((PASSED,), 0),
        ((PASSED, FAILED), 1),
        ((PASSED, NONE), 2),
        ((FAILED, NONE), 2),
        ((NONE,), 2),
        ((FAILED, NONE, CRASH), 3),
    ],
)
def test_the_exit_status_is_that_of_the_worst(
    targets: tuple[TargetResult, ...], status: int
) -> None:
    assert status_of(Run("grade", {}, targets)) == status


# Reports ------------------------------------------------------------------------------------


def test_the_csv_has_a_line_for_each_tree(tmp_path: Path) -> None:
    odd = dataclasses.replace(NONE, id="=cmd|'x'!A1", problem="no\x1b[2J tree\nat all \udcff")
    csv_report.write(Run("grade", {}, (FAILED, PASSED, odd)), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == csv_report.COLUMNS
    assert [row["verdict"] for row in rows] == ["fail", "pass", "error"]
    assert (rows[0]["errors"], rows[0]["first_rule"]) == ("1", "page-leaked")
    assert rows[0]["first_finding"] == "20 pages were lost"
    assert (rows[0]["built"], rows[0]["booted"], rows[2]["built"]) == ("yes", "yes", "")
    assert rows[2]["tree"].startswith("'=")  # no spreadsheet may run it
    assert "\x1b" not in rows[2]["problem"]


def test_the_table_says_how_many_were_known() -> None:
    out = Console(file=io.StringIO(), width=200)
    run = Run("grade", {}, (FAILED, PASSED, NONE))
    many.show(run, out, graded=1, seconds=2.0, others=["essay.pdf"])
    many.show(run, out, graded=1, seconds=2.0)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert "3 trees: 1 fail, 1 pass, 1 error (2 s; 1 known from before)" in text
    assert "points" not in text  # nobody has any
    assert text.count("neither a folder nor an archive: essay.pdf") == 1
    assert "leaks/page-leaked" in text and "kernel/vm.c:19 walk()" in text


# All of it ----------------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_started_again_it_grades_only_what_is_left(
    tmp_path: Path, number: signal.Signals
) -> None:
    for name in ("ann", "bob", "eve"):
        write_tree(tmp_path / "given" / name, **{"kernel/vm.c": f"int {name};\n"})
    words = [COMMAND, "grade", "--each", str(tmp_path / "given"), "--jobs", "1",
             "--kept", str(tmp_path / "kept"), "--csv", str(tmp_path / "out.csv")]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while not list((tmp_path / "kept").glob("*.json")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        shown, said = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert b"what is done is kept" in said and process.returncode == 130
    done = len(list((tmp_path / "kept").glob("*.json")))
    assert 1 <= done < 3 and (tmp_path / "out.csv").exists() == (number == signal.SIGINT)
    if number == signal.SIGINT:
        with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
            rows = {row["tree"]: row["problem"] for row in csv.DictReader(file)}
        assert list(rows) == ["ann", "bob", "eve"]
        assert list(rows.values()).count(INTERRUPTED) == 3 - done
        assert f"interrupted: {done} of 3 targets done" in shown.decode()
    again = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 1, again.stderr
    assert f"{done} known from before" in again.stdout
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 4
