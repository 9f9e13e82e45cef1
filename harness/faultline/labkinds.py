"""The kinds of conditions that an item of a lab can have.

A kind is one function: it reads its keys from the item's table in the lab file, and says which
check's result decides. That is one of the harness's checks, or one that the kind makes itself:
it runs in the guest, or looks at a file that was handed in.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .bench import Bench
from .checks import Check
from .checks.usertests import DIED, FAILED, INCOMPLETE
from .excerpt import last_lines
from .finding import Finding, Where
from .labentry import Entry
from .labrules import COUNT_DIFFERS, FILE_MISSING, FILE_NO_NUMBER
from .labtree import Unreadable, read_text
from .machine import PROMPT, GuestDied, StillBusy
from .treetests import SILENCE, effort, result_of_test, test_place

BOOTS_AT_MOST = 3
OUTPUT = 700  # characters of a command's, in the evidence
FileTest = Callable[[Path], Iterator[Finding]]  # from the tree, before it is built


@dataclass(frozen=True)
class Condition:
    """Which result decides: a check's; of its findings, only those of `rules`, if any.

    `guest` is the check, if it is none that runs anyway; `file` looks at the tree instead.
    """

    check: str
    rules: tuple[str, ...] = ()
    guest: Check | None = None
    file: FileTest | None = None
    tests: tuple[str, ...] = ()  # of usertests: if all of these have passed there, that is enough


Kind = Callable[[Entry], Condition]
KINDS: dict[str, Kind] = {}


def kind(name: str) -> Callable[[Kind], Kind]:
    """Make a function the kind of that name."""

    def declare(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return declare


@kind("check")
def a_check(entry: Entry) -> Condition:
    """A check passes; with `rules`, it has no finding of these."""
    name, rules = entry.text("check"), entry.texts("rules", required=False)
    known = entry.checks
    if name not in known:
        raise entry.error("check", f"there is no check {name!r}; there are {', '.join(known)}")
    there = [rule.name for rule in known[name].rules]
    for rule in rules:
        if rule not in there:
            raise entry.error(
                "rules", f"check {name} has no rule {rule!r}; it has {', '.join(sorted(there))}"
            )
    return Condition(name, tuple(rules))


@kind("tests")
def tests(entry: Entry) -> Condition:
    """These tests of the tree's own usertests pass.

    One that did not pass among all the others is asked for by its name.
    """
    names = entry.texts("tests")
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise entry.error("tests", f"{name!r} is no name of a test")

    def run(bench: Bench) -> Iterator[Finding]:
        for name in names:
            yield from _run_test(bench, name)

    check = f"usertests {' '.join(names)}"
    rules = (FAILED, DIED, INCOMPLETE)
    guest = Check(check, check, rules, ("boot",), run)
    return Condition(check, guest=guest, tests=tuple(names))


def _run_test(bench: Bench, name: str) -> Iterator[Finding]:
    """Run one test on a machine of its own, until its result is there.

    What usertests does then, to count the pages that are free, takes longer than most tests.
    """
    with bench.machine() as machine:
        machine.wait_prompt()
        before, end = len(machine.said()), ""
        wanted = rf"\ntest {name}: (?:[\s\S]*\n)?(?:OK|FAILED|SKIPPED)\b|{PROMPT}"
        machine.send(f"usertests {name}")
        try:
            machine.expect(wanted, f"the result of `usertests {name}`", SILENCE, effort(name))
        except GuestDied as died:
            end = f"the kernel did not survive it: {died}"
        except StillBusy as busy:
            end = f"it did not end: {busy}"
        yield from findings_of_test(bench, name, machine.said()[before:], end)


def findings_of_test(bench: Bench, name: str, said: str, end: str) -> Iterator[Finding]:
    """Yield what is wrong with one test, from what usertests printed.

    `end` says in words how the machine ended, if it did. What happens after the test has said
    OK is not this test's.
    """
    result = result_of_test(said, name)
    evidence = f"`usertests {name}` printed:\n{last_lines(said)}"
    where = test_place(bench.build.program("usertests"), name)
    if result == "OK":
        return
    if result:
        yield FAILED.finding(f"usertests: test {name} failed", where=where, evidence=evidence)
    elif end:
        words = f"usertests: test {name} has no result: {end}"
        yield DIED.finding(words, where=where, evidence=evidence)
    else:
        words = f"`usertests {name}` printed no result of the test {name}."
        yield INCOMPLETE.finding(words, where=where, evidence=evidence)


@kind("counts")
def counts(entry: Entry) -> Condition:
    """Two runs of a command in the guest print counters that differ by just so much.

    With `boot` = 2 they run when the same disk is booted for the second time: init makes files
    at the first, and what it does itself may be counted.
    """
    command, by = entry.text("command"), entry.numbers("rise")
    boot = entry.whole("boot", required=False) or 1
    if boot > BOOTS_AT_MOST:
        raise entry.error("boot", f"is {boot}, expected 1 to {BOOTS_AT_MOST}")
    if not re.fullmatch(r"[ -~]{1,100}", command):
        raise entry.error("command", "expected at most 100 printable characters")

    def run(bench: Bench) -> Iterator[Finding]:
        used = bench
        for number in range(1, boot):
            used = _after_boot(used, bench.scratch / f"boot-{number}.img")
        with used.machine() as machine:
            machine.wait_prompt()
            first, second = machine.shell(command), machine.shell(command)
        for name, expected in by.items():
            yield from count_findings(command, name, expected, first, second)

    asked = ", ".join(f"{name} +{rise}" for name, rise in by.items())
    check = f"counts of {command} ({asked}, boot {boot})"
    return Condition(check, guest=Check(check, check, (COUNT_DIFFERS,), ("boot",), run))


def _after_boot(bench: Bench, path: Path) -> Bench:
    """Boot, and return a bench whose disk is `path`, a copy of what that made of the disk."""
    with bench.machine() as machine:
        machine.wait_prompt()
        machine.stop()
        assert machine.config.disk is not None  # the bench gives each machine one
        shutil.copyfile(machine.config.disk, path)
    return dataclasses.replace(bench, build=dataclasses.replace(bench.build, disk=path))


def count_findings(
    command: str, name: str, expected: int, first: str, second: str
) -> Iterator[Finding]:
    """Yield what is wrong with one counter that two runs of a command have printed."""
    said = (first[-OUTPUT:], second[-OUTPUT:])
    evidence = f"The first run of `{command}` printed:\n{said[0]}\nThe second:\n{said[1]}"
    values = [_count(said, name) for said in (first, second)]
    if values[0] is None or values[1] is None:
        words = f"`{command}` does not print a line `{name}: NUMBER`."
        yield COUNT_DIFFERS.finding(words, evidence=evidence)
    elif values[1] - values[0] != expected:
        yield COUNT_DIFFERS.finding(
            f"From one run of `{command}` to the next, {name} goes from {values[0]} to "
            f"{values[1]}: up by {values[1] - values[0]}, and {expected} is expected.",
            evidence=evidence,
        )


def _count(said: str, name: str) -> int | None:
    """Return the number that one line gives for a name; None if none does, or several do."""
    found = re.findall(rf"^{re.escape(name)}: *(-?\d{{1,18}})\s*$", said, re.MULTILINE)
    return int(found[0]) if len(found) == 1 else None


@kind("file")
def file(entry: Entry) -> Condition:
    """A file was handed in, with at least so many characters in it, blanks at its ends aside."""
    name = entry.path_inside("file")
    least = entry.whole("characters", required=False)

    def look(tree: Path) -> Iterator[Finding]:
        try:
            length = len(read_text(tree, name).strip())
        except Unreadable as error:
            yield FILE_MISSING.finding(f"{name} {error}.", where=Where(name))
            return
        if length < least:
            yield FILE_MISSING.finding(
                f"{name} holds {length} characters, and at least {least} are expected.",
                where=Where(name),
            )

    return Condition(f"file {name} ({least})" if least else f"file {name}", file=look)


@kind("number")
def number(entry: Entry) -> Condition:
    """A file that was handed in holds one whole number, and nothing else."""
    name = entry.path_inside("file")

    def look(tree: Path) -> Iterator[Finding]:
        try:
            text = read_text(tree, name).strip()
        except Unreadable as error:
            yield FILE_NO_NUMBER.finding(f"{name} {error}.", where=Where(name))
            return
        if not re.fullmatch(r"[0-9]+", text):
            yield FILE_NO_NUMBER.finding(
                f"{name} must hold a whole number and nothing else, and holds {text[:40]!r}.",
                where=Where(name),
            )

    return Condition(f"number in {name}", file=look)


def titles() -> Sequence[tuple[str, str]]:
    """Return each kind's name, and what it asks for."""
    return [(name, (one.__doc__ or "").strip().split("\n")[0]) for name, one in KINDS.items()]
