"""What does the test program say?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..bench import Bench
from ..elf import ElfImage
from ..finding import Finding, Rule, Where
from ..machine import GuestDied
from . import check

FAILED = Rule(
    "usertest-failed",
    "error",
    "One of the tests in usertests failed: a system call did not do, or did not return, "
    "what it promises. What the test printed says what it expected and what it got.",
    "Run `usertests NAME` in the shell, and read the test of that name in user/.",
)
DIED = Rule(
    "usertests-died",
    "error",
    "The kernel panicked or stopped getting anywhere during a test. No program may be able "
    "to do that, however badly it behaves.",
    "Run `usertests NAME` in the shell; the panic's call path is in the next finding.",
)
INCOMPLETE = Rule(
    "usertests-incomplete",
    "error",
    "usertests came back to the prompt without its last line. It ended too early: it was "
    "killed, it could not be executed, or its output was lost.",
    "Is usertests in the file system image, and does it get its output written?",
)

_RESULT = re.compile(r"test (\S+): (OK|FAILED|SKIPPED)\b.*")


@dataclass(frozen=True)
class Result:
    """One test's result, and what was printed since the test before it."""

    name: str
    result: str
    printed: str


@check(FAILED, DIED, INCOMPLETE, needs=("boot",))
def usertests(bench: Bench) -> Iterator[Finding]:
    """All of usertests passes"""
    program = bench.build.program("usertests")
    with bench.machine() as machine:
        machine.wait_prompt()
        before = len(machine.said())
        try:
            said = machine.shell("usertests")
        except GuestDied as died:
            said = machine.said()[before:]
            results, rest = parse(said)
            yield from failures(results, program)
            last = results[-1].name if results else None
            yield DIED.finding(
                f"usertests did not survive {_after(last)}: {died.death.words}",
                evidence=f"Printed since then:\n{rest[-1500:]}",
            )
            raise
        results, rest = parse(said)
        yield from failures(results, program)
        done = re.search(r"^(ALL TESTS PASSED|SOME TESTS FAILED)$", said, re.MULTILINE)
        failed = any(result.result == "FAILED" for result in results)
        if not done or (done[1] == "ALL TESTS PASSED") == failed:
            yield INCOMPLETE.finding(
                f"usertests ended {_after(results[-1].name if results else None)} without "
                + ("the last line that fits its results." if done else "its last line."),
                evidence=f"The last output:\n{said[-1500:]}",
            )


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
                evidence=f"It printed:\n{result.printed.strip()[-1500:]}",
            )


def test_place(program: ElfImage | None, name: str) -> Where:
    """Return where the test of that name is, if the program's debug information tells."""
    if program is not None:
        for function in (name, f"test_{name}"):
            place = program.function_place(function)
            if place is not None:
                return place
    return Where()


def _after(test: str | None) -> str:
    return f"the test after {test}" if test else "its first test"
