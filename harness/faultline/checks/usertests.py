"""What does the test program say?"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from ..bench import Bench
from ..elf import ElfImage
from ..excerpt import last_lines
from ..finding import Finding, Rule, Table
from ..machine import GuestDied, Machine, StillBusy
from ..treetests import (
    LOST_PAGES, NOT_RUN, UNFINISHED, NoTables, TreeTests, divide, test_place,
)  # fmt: skip
from . import check

PARTS = 4
# What tests cost, in processor seconds of an ordinary host; only their proportions matter.
USUAL_COST = 0.1
COSTS = {
    "disk_full": 5.6, "memory_back": 2.6, "file_largest": 2.0, "inodes_all": 2.0,
    "file_shared_append": 1.8, "memory_all": 1.7, "exec_bad_place": 1.6,
    "memory_none_left": 1.4, "preempt": 0.8, "memory_forks": 0.8, "link_many": 0.7,
    "race_exec": 0.6, "kill_at_once": 0.6, "exit_closes": 0.5, "uptime_monotonic": 0.5,
    "race_create": 0.5, "kill_each": 0.4, "pipe_sizes": 0.4, "fork_limit": 0.4,
    "file_pieces": 0.3, "registers_interrupt": 0.3, "race_write": 0.3, "copy_bad": 0.3,
}  # fmt: skip
# What one command may name: the shell reads 127 characters, exec takes 31 arguments.
COMMAND_LENGTH, COMMAND_NAMES = 120, 30
WHOLE_EFFORT = 300.0  # processor seconds for all of somebody's tests, if they have no names

FAILED = Rule(
    "usertest-failed",
    "error",
    "One of the tests in usertests failed: a system call did not do, or did not return, "
    "what it promises. What the test printed says what it expected and what it got. It "
    "would fail on real hardware just the same: programs count on what the call promises. "
    "Most often a check of an argument, an error path or a step for a rare case is missing.",
    "Run `usertests NAME` in the shell, and read the test of that name in user/.",
    "tbreak exec if path[0] == 'u'\n"
    "continue                   # at the shell: usertests NAME\n"
    "add-symbol-file build/share/user/usertests.elf\n"
    "tbreak NAME                # the test's function, in user/tests_*.c\n"
    "continue\n"
    "break syscall              # each system call the test makes from here on\n"
    "continue\n"
    "print cpus[$tp].proc->trapframe->a7",
)
DIED = Rule(
    "usertests-died",
    "error",
    "The kernel panicked or stopped getting anywhere during a test. No program may be able "
    "to do that, however badly it behaves: on real hardware it takes every other program "
    "and whatever was not yet on the disk with it. A value that came from a program was "
    "used before it was checked, or something ran out and nobody had looked.",
    "Run `usertests NAME` in the shell; the panic's call path is in the next finding.",
    "break panic\n"
    "break panic_trap           # the reference's, for traps in the kernel\n"
    "continue                   # at the shell: usertests NAME\n"
    "backtrace\n"
    "print *cpus[$tp].proc",
)
INCOMPLETE = Rule(
    "usertests-incomplete",
    "error",
    "usertests came back to the prompt without its last line, or without the results of "
    "tests it was asked to run. It ended too early: it was killed, it could not be "
    "executed, or its output was lost. The same happens to any long-running program, on "
    "any hardware: an exec that fails now and then, a write that is cut short, a process "
    "that is killed for a fault it did not make.",
    "Is usertests in the file system image, and does it get its output written?",
    "tbreak exec if path[0] == 'u'\n"
    "continue                   # at the shell: usertests\n"
    "tbreak usertrapret if cpus[$tp].proc->name[0] == 'u'\n"
    "break usertrap if (long)$scause >= 0 && $scause != 8\n"
    "continue                   # not the first of them? then exec failed\n"
    "print cpus[$tp].proc->trapframe->a0  # argc\n"
    "continue                   # a fault in user mode: see $sepc, $stval",
)

_RESULT = re.compile(r"test (\S+): (OK|FAILED|SKIPPED)\b.*")
_LISTED = re.compile(r"(\w+)(?: \(slow\))?")


@dataclass(frozen=True)
class Result:
    """One test's result, and what was printed since the test before it."""

    name: str
    result: str
    printed: str


@check(
    FAILED,
    DIED,
    INCOMPLETE,
    LOST_PAGES,
    UNFINISHED,
    NOT_RUN,
    needs=("boot",),
    parts=tuple(f"{number}/{PARTS}" for number in range(1, PARTS + 1)),
)
def usertests(bench: Bench) -> Iterator[Finding | Table]:
    """All of usertests passes"""
    program = bench.build.program("usertests")
    if bench.build.tree:
        done = yield from tests_of_tree(bench)
        if done or bench.part[:2] not in ("", "1/"):
            return
    with bench.machine() as machine:
        machine.wait_prompt()
        if bench.build.tree:
            yield from run_whole(machine, program)
        elif bench.part:
            for names in _commands_of(machine, bench.part, bench.test):
                yield from run(machine, names, program)
        elif bench.test:
            found = False
            for finding in run(machine, [bench.test], program):
                found = True
                yield finding
            if not found:
                yield from run(machine, [], program)
        else:
            yield from run(machine, [], program)


def tests_of_tree(bench: Bench) -> Generator[Finding | Table, None, bool]:
    """Run a part of somebody's tests; return whether they can be divided at all."""
    try:
        tests = TreeTests(bench, FAILED, DIED, INCOMPLETE)
    except NoTables:
        return False
    number, of = (int(word) for word in (bench.part or "1/1").split("/"))
    yield from tests.run(number, of)
    return True


def run_whole(machine: Machine, program: ElfImage | None) -> Iterator[Finding]:
    """Run all of somebody's tests, whose names are not known, as long as that may take."""
    try:
        yield from run(machine, [], program, WHOLE_EFFORT)
    except StillBusy as busy:
        results, rest = parse(machine.said())
        yield from failures(results, program)
        yield UNFINISHED.finding(
            f"usertests was not done: {busy}; it was at {_after(results, ['it'])}.",
            evidence=f"Printed since then:\n{last_lines(rest)}",
        )


def run(
    machine: Machine, names: Sequence[str], program: ElfImage | None, effort: float | None = None
) -> Iterator[Finding]:
    """Run the tests of these names, or all; yield what went wrong.

    If the guest dies, raises GuestDied after the findings that lead there.
    """
    before = len(machine.said())
    try:
        command = " ".join(["usertests", *names])
        said = machine.shell(command, effort=effort) if effort else machine.shell(command)
    except GuestDied as died:
        said = machine.said()[before:]
        results, rest = parse(said)
        yield from failures(results, program)
        yield DIED.finding(
            f"usertests did not survive {_after(results, names)}: {died.death.words}",
            evidence=f"Printed since then:\n{last_lines(rest)}",
        )
        raise
    results, _ = parse(said)
    yield from failures(results, program)
    done = re.search(r"^(ALL TESTS PASSED|SOME TESTS FAILED)$", said, re.MULTILINE)
    failed = any(result.result == "FAILED" for result in results)
    unseen = [name for name in names if name not in {result.name for result in results}]
    if not done:
        problem = f"{_after(results, names)} without its last line"
    elif (done[1] == "ALL TESTS PASSED") == failed:
        problem = f"{_after(results, names)} without the last line that fits its results"
    elif unseen:
        problem = f"without a result of {', '.join(unseen)}"
    else:
        return
    yield INCOMPLETE.finding(
        f"usertests ended {problem}.", evidence=f"The last output:\n{last_lines(said)}"
    )


def _commands_of(machine: Machine, part: str, test: str) -> list[list[str]]:
    """Return a part's tests as commands; the first part begins with `test`, if any.

    A test program that cannot list its tests runs as a whole, in the first part.
    """
    number = int(part.split("/")[0]) - 1
    listed = [_LISTED.fullmatch(line) for line in machine.shell("usertests -l").split("\n") if line]
    names = [match[1] for match in listed if match]
    if not names or len(names) != len(listed):
        return [] if number else [[]]
    chosen = groups(names, PARTS)[number]
    if test in names:
        chosen = [name for name in chosen if name != test]
        chosen = chosen if number else [test, *chosen]
    return list(commands(chosen))


def groups(names: Sequence[str], count: int) -> list[list[str]]:
    """Divide our tests into groups of about the same cost, by what ours cost."""
    return divide(names, count, COSTS, USUAL_COST)


def commands(names: Sequence[str]) -> Iterator[list[str]]:
    """Divide tests into as few commands as the shell can read and exec can take."""
    command: list[str] = []
    for name in names:
        length = len(" ".join(["usertests", *command, name]))
        if command and (length > COMMAND_LENGTH or len(command) == COMMAND_NAMES):
            yield command
            command = []
        command.append(name)
    if command:
        yield command


def parse(said: str) -> tuple[list[Result], str]:
    """Return the tests' results, and what was printed after the last of them."""
    results: list[Result] = []
    printed: list[str] = []
    for line in said.split("\n"):
        match = _RESULT.fullmatch(line.strip())
        if match:
            results.append(Result(match[1], match[2], "\n".join(printed)))
            printed = []
        else:
            printed.append(line)
    return results, "\n".join(printed)


def failures(results: list[Result], program: ElfImage | None) -> Iterator[Finding]:
    """Yield a finding for each test that failed."""
    for result in results:
        if result.result == "FAILED":
            lines = result.printed.strip().split("\n")
            why = next((line for line in lines if line.startswith(result.name)), "")
            yield FAILED.finding(
                f"usertests: {why or f'test {result.name} failed'}",
                where=test_place(program, result.name),
                evidence=f"It printed:\n{last_lines(result.printed)}",
            )


def _after(results: Sequence[Result], names: Sequence[str]) -> str:
    if results:
        return f"the test after {results[-1].name}"
    return f"test {names[0]}" if len(names) == 1 else "its first test"
