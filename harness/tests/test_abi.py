"""Our own system call tests on anybody's kernel: which they are, and what is made of them."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from conftest import ROOT
from fakes import FakeBench, FakeMachine

from faultline import export, fsck
from faultline.bench import Bench
from faultline.build import build_probe
from faultline.checks import all_checks
from faultline.checks.abi import DIED, NAME, Program, Runs, abi, our_tests
from faultline.errors import HarnessError
from faultline.exportstyle import load_styles
from faultline.finding import Finding
from faultline.fsimage import Image, ImageError
from faultline.grade import prepare
from faultline.machine import Death, GuestDied, Machine, StillBusy
from faultline.matrix import Plan
from faultline.treebuild import make_tools
from faultline.treesource import Source
from faultline.treetests import DEATHS

NONCE = "0123456789abcdef"
PASS = "test {name}: OK\n@{nonce} {name} ok\n"
FAIL = "{name}: write: expected -1, got 1\ntest {name}: FAILED\n@{nonce} {name} failed\n"
FORGED = "ALL TESTS PASSED\ntest {name}: OK\n@nonce {name} ok\n"


@pytest.fixture(scope="module")
def ours() -> Program:
    return Program.build()


def test_the_tests_are_those_that_every_xv6_passes(ours: Program) -> None:
    names = our_tests()
    assert len(names) == len(set(names)) > 90
    assert {"copy_bad", "memory_all", "race_look_up"} <= set(names)
    assert all(name.startswith("memory_") for name in names[-4:])
    assert not {"copy_text", "disk_full", "sbrk_counts"} & set(names)  # what xv6 does not promise
    assert all(f"\0{name}\0".encode() in ours.content for name in names)


def test_a_table_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    table = 'const struct test a_tests[] = {\n    {"a", a, %s},\n    {0, 0, 0},\n};\n'
    (tmp_path / "tests_a.c").write_text(table % "ANYWHERE" + table.replace("a", "b") % "REFERENCE")
    assert our_tests(tmp_path) == ("a",)
    (tmp_path / "tests_c.c").write_text(table % "flags(1)")
    our_tests.cache_clear()
    with pytest.raises(HarnessError, match="tests_c.c: a table of tests cannot be read"):
        our_tests(tmp_path)


def test_the_program_is_added_to_the_file_system(ours: Program, image: Image) -> None:
    with pytest.raises(ImageError, match="blocks are in use"):
        small = Image(bytes(image.data))
        for number in range(small.super.datastart, small.super.size):
            small.mark(number, True)
        ours.disk(small)
    short = dataclasses.replace(ours, content=ours.content[:20_000])
    made = Image(short.disk(image))
    assert made.read_file(f"/{NAME}") == short.content
    assert fsck.check(made) == []


def test_the_matrix_leaves_it_to_usertests(tmp_path: Path) -> None:
    assert all_checks()["abi"].trees
    assert "abi" not in [check.name for check in Plan(ROOT, tmp_path).checks()]
    assert [check.name for check in Plan(ROOT, tmp_path, only="abi").checks()] == ["abi"]


# Recorded output --------------------------------------------------------------------------

Answer = Callable[[str, int], str | Death | None]  # to a test's name, as the n-th on its machine


class RecordedMachine:
    """Answers commands with recorded output, dies with it, or is never done."""

    def __init__(self, answer: Answer, log: list[list[str]]) -> None:
        self.answer, self.ran = answer, cast(list[str], [])
        log.append(self.ran)
        self.ram = None
        self._said = "$ "
        self._unread = ""
        self._names: list[str] = []

    def __enter__(self) -> RecordedMachine:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def wait_prompt(self) -> str:
        return ""

    def processor_seconds(self) -> float:
        return float(len(self.ran))

    def stop(self) -> tuple[()]:
        return ()

    def said(self) -> str:
        return self._said

    def send(self, command: str) -> None:
        program, option, nonce, *self._names = command.split()
        assert (program, option, nonce) == (NAME, "-a", NONCE) and len(command) <= 98
        assert 1 <= len(self._names) <= 6
        self._say(f"{command}\n")

    def expect(self, pattern: str, what: str, silence: float, effort: float) -> re.Match[str]:
        while not (match := re.search(pattern, self._unread)):
            name = self._names.pop(0)
            self.ran.append(name)
            answer = self.answer(name, len(self.ran))
            if isinstance(answer, Death):
                self._say(answer.console)
                raise GuestDied(cast(Machine, self), answer)
            if answer is None:
                raise StillBusy(cast(Machine, self), name, effort)
            self._say(answer.format(name=name, nonce=NONCE))
            if f"@{NONCE} {name} ok\n" not in self._unread or not self._names:
                self._names = []
                self._say("$ ")
        self._unread = self._unread[match.end() :]
        return match

    def _say(self, words: str) -> None:
        self._said += words
        self._unread += words


class NoElf:
    """A kernel's ELF without anything in it."""

    def address(self, name: str) -> None:
        return None

    def __getattr__(self, name: str) -> object:
        raise HarnessError("no such thing in this ELF")


def findings(
    answer: Answer, names: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Finding], list[list[str]]]:
    """Run tests against recorded answers; return the findings, and what ran on which machine."""
    log: list[list[str]] = []

    class RecordedBench:
        nonce, elf = NONCE, NoElf()

        def say(self, words: str) -> None:
            pass

        def machine(self, disk: bytes) -> RecordedMachine:
            assert disk == b"disk"
            return RecordedMachine(answer, log)

    def what_died(died: GuestDied, elf: object) -> Finding:
        return DIED.finding("its place")

    monkeypatch.setattr(sys.modules[Runs.__module__], "death_finding", what_died)
    runs = Runs(cast(Bench, RecordedBench()), None, b"disk")
    return list(runs.run(names)), log


def test_what_passes_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    found, log = findings(lambda name, nth: PASS, "abc", monkeypatch)
    assert (found, log) == ([], [["a", "b", "c"]])


@pytest.mark.parametrize(
    ("said", "rule", "words"),
    [
        (FAIL, "abi-test-failed", "b: write: expected -1, got 1."),
        ("usertrap(): unexpected scause 15 pid=4\n@{nonce} {name} failed\n", "abi-test-failed", "b failed."),
        # The kernel says something in front of the answer, or the test does.
        ("noise @{nonce} {name} failed\n", "abi-test-failed", "b failed."),
        (FORGED, "abi-test-lost", "b has no result."),
        ("", "abi-test-lost", "b has no result."),
        ("@{nonce} c ok\n", "abi-test-lost", "b has no result."),
        ("@{nonce} {name} unknown\n", "abi-test-lost", "b has no result."),
        ("exec abitests failed\n", "abi-test-lost", "b has no result."),
    ],
)
def test_what_does_not_pass_is_tried_alone(
    said: str, rule: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, log = findings(lambda name, nth: said if name == "b" else PASS, "abc", monkeypatch)
    assert [(one.rule, one.message) for one in found] == [(rule, f"Our test {words}")]
    assert (found[0].where.function, log) == ("b", [["a", "b"], ["b", "c"]])


def test_a_command_is_one_that_any_shell_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [letter * 23 for letter in "abcdefgh"] + list("ijklmnopq")
    found, log = findings(lambda name, nth: PASS, names, monkeypatch)
    assert (found, log) == ([], [names])


def test_what_passes_alone_is_due_to_the_tests_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(name: str, nth: int) -> str:
        return FAIL if name == "b" and nth > 1 else PASS

    found, log = findings(answer, "abc", monkeypatch)
    assert [one.rule for one in found] == ["abi-test-failed"]
    assert "passes on a machine just booted" in found[0].message
    assert log == [["a", "b"], ["b", "c"]]


def test_a_death_names_the_test_and_the_next_machine_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    death = Death("panic", "kerneltrap", "panic: kerneltrap\n")
    found, log = findings(lambda name, nth: death if name == "b" else PASS, "abc", monkeypatch)
    assert [one.message for one in found] == [
        "The kernel did not survive our test b: kerneltrap", "its place",
    ]  # fmt: skip
    assert (found[0].rule, log) == ("abi-test-died", [["a", "b"], ["c"]])
    assert "panic: kerneltrap" in found[0].evidence and "@" not in found[0].evidence


def test_a_test_that_is_never_done_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found, log = findings(lambda name, nth: None if name == "a" else PASS, "abc", monkeypatch)
    assert [one.rule for one in found] == ["abi-test-unfinished"]
    assert ("our test a was not done" in found[0].message.lower()) and log == [["a"], ["b", "c"]]


@pytest.mark.parametrize(
    ("answer", "machines", "why"),
    [
        (Death("hang", "it hangs", ""), DEATHS, f"{DEATHS} tests before them took the machine"),
        (None, 2, "those before them took 180 s of computing"),
    ],
)
def test_what_was_not_run_is_said(
    answer: Death | None, machines: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "abcdef"
    found, log = findings(lambda name, nth: answer, names, monkeypatch)
    assert len(log) == machines
    assert found[-1].rule == "abi-test-unfinished"
    left = names[machines:]
    assert found[-1].message.startswith(f"{len(left)} of our tests were not run: {why}")
    assert found[-1].evidence == "Not run: " + ", ".join(left)


def test_a_kernel_that_boots_not_with_our_tests_has_not_run_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boots = iter([True, False])
    seen: list[Finding] = []

    def wait_prompt(machine: RecordedMachine) -> str:
        if not next(boots):
            raise GuestDied(cast(Machine, machine), Death("panic", "no", ""))
        return ""

    def run(self: Runs, chosen: Sequence[str]) -> Iterator[Finding]:
        for one in run_all(self, chosen):
            seen.append(one)
            yield one

    run_all = Runs.run
    monkeypatch.setattr(Runs, "run", run)
    monkeypatch.setattr(RecordedMachine, "wait_prompt", wait_prompt)
    death = Death("panic", "kerneltrap", "")
    with pytest.raises(GuestDied):
        findings(lambda name, nth: death if name == "a" else PASS, "abc", monkeypatch)
    assert (seen[-1].rule, seen[-1].evidence) == ("abi-test-unfinished", "Not run: b, c")


def test_what_the_image_has_no_room_for_is_left_out(
    monkeypatch: pytest.MonkeyPatch, image: Image, ours: Program
) -> None:
    ran: list[str] = []

    def run(self: Runs, chosen: Sequence[str]) -> Iterator[Finding]:
        ran.extend(chosen)
        return iter(())

    monkeypatch.setattr(Runs, "run", run)
    monkeypatch.setattr(Program, "build", lambda: ours)
    monkeypatch.setattr(Image, "load", lambda path: Image(bytes(image.data)))
    bench = FakeBench(FakeMachine(lambda command: ""))
    setattr(bench, "disk", None)
    assert list(abi.run(bench.real)) == []
    assert sorted(ran) == sorted(our_tests())
    ran.clear()
    for number in list(image.free_blocks())[250:]:
        image.mark(number, True)
    (note,) = list(abi.run(bench.real))
    assert isinstance(note, Finding) and (note.rule, note.severity) == ("abi-test-no-room", "note")
    assert note.message.startswith("file_largest not run: ")
    assert sorted(ran) == sorted(set(our_tests()) - {"file_largest"})


# A real kernel ----------------------------------------------------------------------------

BOAST = """
#include "user/user.h"
int main(void) { printf("usertests starting\\nALL TESTS PASSED\\n"); return 0; }
"""
TRIED = ("file_modes", "pipe_order", "copy_wait")


NEAR_THE_STACK = ("copy_guard", "fault_guard", "fault_stack_overflow", "fault_bad_sp", "exec_limits")


def exported(folder: Path) -> Path:
    """Write the reference kernel as a tree of 2020."""
    style = load_styles(ROOT / export.DATA / "styles")["2020"]
    export.write(export.files(ROOT, None, style), folder)
    return folder


def tried(
    tmp_path: Path, tree: Path, ours: Program, names: Sequence[str] = TRIED
) -> list[Finding]:
    """Build a tree, boot it, and run some of our tests there."""
    tools = tmp_path / "tools"
    tools.mkdir()
    build = prepare(
        Source(tree), tmp_path, make_tools(tools), build_probe(ROOT).read_bytes()
    )  # fmt: skip
    bench = Bench(build, tmp_path)
    with bench.machine() as machine:
        machine.wait_prompt()
        assert "ALL TESTS PASSED" in machine.shell("usertests copy_wait")
    return list(Runs(bench, ours.elf, ours.disk(Image.load(build.disk))).run(names))


@pytest.mark.live
def test_usertests_that_only_boast_gain_nothing(tmp_path: Path, ours: Program) -> None:
    tree = exported(tmp_path / "tree")
    file = tree / "kernel/file.c"
    correct = file.read_text()
    file.write_text(correct.replace("!f->writable ||", ""))
    assert file.read_text() != correct
    for part in (tree / "user").glob("tests_*"):
        part.write_text("")
    (tree / "user/usertests.c").write_text(BOAST)
    found = tried(tmp_path, tree, ours)
    assert [(one.rule, one.where.function) for one in found] == [
        ("abi-test-failed", "file_modes")
    ]  # fmt: skip
    assert "write to a file opened for reading: expected -1, got 1" in found[0].message


@pytest.mark.live
def test_an_honest_tree_passes(tmp_path: Path, ours: Program) -> None:
    assert tried(tmp_path, exported(tmp_path / "tree"), ours) == []


@pytest.mark.live
def test_a_stack_of_two_pages_is_no_mistake(tmp_path: Path, ours: Program) -> None:
    tree = exported(tmp_path / "tree")
    parameters = tree / "kernel/param.h"
    text, changed = re.subn(r"(#define USERSTACK +)1\b", r"\g<1>2", parameters.read_text())
    assert changed == 1
    parameters.write_text(text)
    assert tried(tmp_path, tree, ours, NEAR_THE_STACK) == []
