"""Each kind of condition, true and false; and files that may not be changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from test_grade import write_tree

from faultline.bench import Bench
from faultline.checks import all_checks
from faultline.errors import UsageError
from faultline.finding import Finding
from faultline.labentry import Entry
from faultline.labkinds import KINDS, Condition, titles
from faultline.labtree import pristine_tree, restore
from faultline.machine import Death, GuestDied, Machine, StillBusy
from faultline.treetests import effort, result_of_test


def condition(kind: str, **keys: object) -> Condition:
    entry = Entry(Path("mine.toml"), keys, {}, checks=all_checks())
    found = KINDS[kind](entry)
    entry.end()
    return found


def test_every_kind_says_what_it_asks_for() -> None:
    assert [name for name, _ in titles()] == [
        "check", "tests", "counts", "file", "number",
    ]  # fmt: skip
    assert all(len(words.split()) > 2 for _, words in titles())


def test_checks_decide_with_all_their_findings_or_some() -> None:
    assert condition("check", check="leaks") == Condition("leaks")
    rules = condition("check", check="leaks", rules=["page-leaked"])
    assert rules == Condition("leaks", ("page-leaked",))


# Files --------------------------------------------------------------------------------------


def seen(kind: str, tree: Path, **keys: object) -> list[str]:
    look = condition(kind, **keys).file
    assert look is not None
    return [finding.message for finding in look(tree)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"some words that answer", ""),
        (b"\xff\xfe not UTF-8, but words", ""),
        (b"   \n\n          ", "holds 0 characters, and at least 10 are expected"),
        (b"too short", "holds 9 characters"),
        (None, "answers.txt is missing"),
    ],
)
def test_a_file_exists(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "answers.txt").write_bytes(content)
    found = seen("file", tmp_path, file="answers.txt", characters=10)
    assert bool(found) == bool(says) and all(says in words for words in found)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"12", ""),
        (b" 7 \r\n", ""),
        (b"12 hours", "and nothing else, and holds '12 hours'"),
        (b"1.5\n", "whole number"),
        (b"-1\n", "whole number"),
        ("\u0663\n".encode(), "whole number"),  # a digit, but none of ours
        (b"", "whole number"),
        (None, "time.txt is missing"),
    ],
)
def test_a_file_holds_a_whole_number(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "time.txt").write_bytes(content)
    found = seen("number", tmp_path, file="time.txt")
    assert bool(found) == bool(says) and all(says in words for words in found)


def test_what_is_no_file_of_the_tree_is_not_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_text("12")
    (tree / "link").symlink_to(tmp_path / "outside")
    (tree / "loop").symlink_to("loop")
    os.mkfifo(tree / "pipe")
    assert seen("number", tree, file="link") == ["link leads out of the tree."]
    for name in ("folder", "loop", "pipe"):
        assert len(seen("number", tree, file=name)) == 1


# In the guest -------------------------------------------------------------------------------


@dataclass
class Guest:
    """Machines that answer commands, one after the other, each time from the beginning."""

    answers: Callable[[int, str], str | Exception]
    boots: int = 0
    scratch: Path = Path()
    build: object = None
    console: str = "$ "

    def program(self, name: str) -> None:
        """No program has debug information."""

    @contextmanager
    def machine(self) -> Iterator[Guest]:
        self.boots += 1
        yield self

    def wait_prompt(self) -> None:
        pass

    def said(self) -> str:
        return self.console

    def send(self, command: str) -> None:
        answer = self.answers(self.boots, command)
        if isinstance(answer, Exception):
            raise answer
        self.console += f"{command}\n{answer}$ "

    def expect(self, pattern: str, what: str, silence: float, effort: float) -> None:
        self.efforts.append(effort)
        if isinstance(self.end, Exception):
            raise self.end

    efforts: list[float] = field(default_factory=list)
    end: Exception | None = None

    def shell(self, command: str) -> str:
        answer = self.answers(self.boots, command)
        assert isinstance(answer, str)
        return answer


def found_in(guest: Guest, kind: str, **keys: object) -> list[Finding]:
    check = condition(kind, **keys).guest
    assert check is not None
    guest.build = guest
    return [one for one in check.run(cast(Bench, guest)) if isinstance(one, Finding)]


def says(text: str) -> Guest:
    return Guest(lambda boot, command: text)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("usertests starting\ntest copyin: OK\nALL TESTS PASSED\n", None),
        # the kernel talks in between
        ("test copyin: page table 0x1\n..0: pte 0x2\nOK\n", None),
        # what comes later is not this test's
        ("test copyin: OK\nFAILED -- lost some free pages\n", None),
        ("test copyin: copyin: error\nFAILED\nSOME TESTS FAILED\n", "usertest-failed"),
        ("test copyin: FAILED\n", "usertest-failed"),
        ("test copyin: SKIPPED\n", "usertest-failed"),
        ("ALL TESTS PASSED\n", "usertests-incomplete"),
        ("test copyinstr1: OK\nALL TESTS PASSED\n", "usertests-incomplete"),
        ("test copyin: it is OK\n", "usertests-incomplete"),
    ],
)
def test_a_named_test_passes(said: str, rule: str | None) -> None:
    found = found_in(says(said), "tests", tests=["copyin"])
    assert [one.rule for one in found] == ([rule] if rule else [])


def test_each_test_has_a_machine_of_its_own() -> None:
    guest = Guest(lambda boot, command: f"test {command.split()[1]}: OK\n" if boot != 2 else "")
    found = found_in(guest, "tests", tests=["copyin", "sbrkmuch", "mem"])
    assert ["sbrkmuch" in one.message for one in found] == [True]
    assert guest.boots == 3


def test_a_test_alone_may_take_as_long_as_among_all_others() -> None:
    guest = Guest(lambda boot, command: f"test {command.split()[1]}: OK\n")
    names = ["outofinodes", "mem"]
    assert found_in(guest, "tests", tests=names) == []
    assert guest.efforts == [effort(name) for name in names]
    assert guest.efforts[0] > guest.efforts[1]


def ends(kind: type[Exception]) -> Exception:
    if kind is GuestDied:
        return GuestDied(cast(Machine, None), Death("panic", "kerneltrap", ""))
    busy = StillBusy.__new__(StillBusy)
    Exception.__init__(busy, "60 s of computing were not enough")
    return busy


@pytest.mark.parametrize(
    ("end", "said", "rule"),
    [
        (GuestDied, "test copyin: ", "usertests-died"),
        (StillBusy, "test copyin: ", "usertests-died"),
        (GuestDied, "test copyin: OK\npanic", None),
    ],
)
def test_a_machine_that_ends_in_a_test(end: type[Exception], said: str, rule: str | None) -> None:
    guest = says(said)
    guest.end = ends(end)
    found = found_in(guest, "tests", tests=["copyin"])
    assert [one.rule for one in found] == ([rule] if rule else [])
    assert all(str(guest.end) in one.message for one in found)


def test_the_result_is_that_test_s() -> None:
    said = "test a: OK\ntest ab: FAILED\ntest b: \nSKIPPED\n"
    assert [result_of_test(said, name) for name in ("a", "ab", "b", "c")] == [
        "OK", "FAILED", "SKIPPED", "",
    ]  # fmt: skip


def test_only_names_are_tests() -> None:
    with pytest.raises(UsageError, match="'; poweroff' is no name of a test"):
        condition("tests", tests=["; poweroff"])


@pytest.mark.parametrize(
    ("first", "second", "says_so"),
    [
        ("copyin: 26\ncopyinstr: 9\n", "copyin: 54\ncopyinstr: 12\n", ""),
        ("page table 0x1\ncopyin: 26\ncopyinstr: 9", "copyin: 54\ncopyinstr: 12", ""),
        ("copyin: 0\ncopyinstr: 0", "copyin: 0\ncopyinstr: 3", "up by 0, and 28 is expected"),
        ("copyin: 26\ncopyinstr: 9", "copyin: 54\ncopyinstr: 13", "copyinstr goes from 9 to 13"),
        ("exec stats failed", "exec stats failed", "does not print a line `copyin: NUMBER`"),
        ("copyin: 1\ncopyin: 26\ncopyinstr: 9", "copyin: 54\ncopyinstr: 12", "does not print"),
    ],
)
def test_counters_rise(first: str, second: str, says_so: str) -> None:
    said = iter([first, second])
    guest = Guest(lambda boot, command: next(said))
    found = found_in(guest, "counts", command="stats", rise={"copyin": 28, "copyinstr": 3})
    assert bool(found) == bool(says_so)
    assert not found or any(says_so in one.message for one in found)
    assert {one.rule for one in found} <= {"count-differs"}


def test_counts_has_bounds() -> None:
    right: dict[str, object] = {"command": "stats", "rise": {"copyin": 1}}
    assert condition("counts", **right).guest
    wrong: list[dict[str, object]] = [
        {"boot": 9}, {"command": "stats\npoweroff"}, {"rise": {}}, {"rise": {"a": "b"}},
    ]  # fmt: skip
    for keys in wrong:
        with pytest.raises(UsageError):
            condition("counts", **(right | keys))


# Files that may not be changed ---------------------------------------------------------------


def handout(folder: Path) -> Path:
    return write_tree(folder, **{"user/usertests.c": "int handed_out;\n"})


def test_changed_files_are_restored(tmp_path: Path) -> None:
    given, names = handout(tmp_path / "handout"), ["user/usertests.c"]
    tree = write_tree(tmp_path / "tree", **{"user/usertests.c": "int cheat;\n"})
    assert restore(tree, given, names).startswith("user/usertests.c was changed; restored")
    assert (tree / "user/usertests.c").read_text() == "int handed_out;\n"
    assert "as they were handed out" in restore(tree, given, names)
    (tree / "user/usertests.c").write_bytes(b"int handed_out;\r\n")
    assert "as they were handed out" in restore(tree, given, names)


def test_nothing_is_restored_through_a_link(tmp_path: Path) -> None:
    given, names = handout(tmp_path / "handout"), ["user/usertests.c"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "usertests.c").write_text("mine")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "user").symlink_to(outside)
    restore(tree, given, names)
    assert (outside / "usertests.c").read_text() == "mine"
    assert (tree / "user/usertests.c").read_text() == "int handed_out;\n"
    (tree / "user/usertests.c").unlink()
    (tree / "user/usertests.c").symlink_to(outside / "usertests.c")
    restore(tree, given, names)
    assert (outside / "usertests.c").read_text() == "mine"


def test_without_the_handout_it_is_said_that_nothing_was_checked(tmp_path: Path) -> None:
    said = restore(tmp_path, None, ["kernel/stats.c"])
    assert said.startswith("not checked") and said.endswith("kernel/stats.c")
    assert restore(tmp_path, None, []) == ""


def test_a_handout_must_have_the_files(tmp_path: Path) -> None:
    given = handout(tmp_path / "handout")
    assert pristine_tree(tmp_path / "handout", ["user/usertests.c"]) == given
    with pytest.raises(UsageError, match="found no user/stats.c in it"):
        pristine_tree(given, ["user/usertests.c", "user/stats.c"])
