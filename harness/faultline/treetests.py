"""Somebody's usertests, divided among machines, each test bounded.

Each machine gets a copy of the program that has only its tests. If a test kills the
machine, or does not end, the next machine goes on with the test after it. Where the program counts
the free pages, before and after its tests, it asks the shim.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .bench import Bench
from .elf import ElfImage
from .errors import HarnessError
from .excerpt import last_lines
from .finding import Finding, Rule, Table, Where
from .fsimage import Image, ImageError
from .fsinject import replace_content
from .ledger import Ledger
from .machine import PROMPT, GuestDied, Machine, StillBusy
from .postmortem import causes_of_death, death_finding, hart_words
from .testtable import TestTable, find_tables, with_only, with_shim_asked
from .trust import without_shim

EFFORT = 90.0  # processor seconds that any test may take
PART_EFFORT = 180.0  # that all tests of a part may have taken when another is begun
# Of tests that are known to take long, so many times what they usually take; of a part likewise.
PATIENCE, PART_PATIENCE = 16.0, 12.0
DEATHS = 3  # machines that the tests of one part may use up
# Guest seconds: a busy guest uses up its effort before; one that idles lets them go by fast.
SILENCE = 1500.0
# Processor seconds of the tests of 2020 to 2025 that take long; in proportion to each other.
COSTS = {
    "bigdir": 12.0, "diskfull": 11.0, "manywrites": 8.5, "execout": 8.0, "outofinodes": 7.5,
    "badwrite": 7.5, "reparent2": 7.0, "twochildren": 4.5, "killstatus": 3.7, "sharedfd": 1.6,
    "concreate": 1.2, "badarg": 1.0, "forkfork": 0.9, "reparent": 0.9, "truncate3": 0.8,
    "writebig": 0.8, "bigwrite": 0.7, "createdelete": 0.7, "iref": 0.6, "mem": 0.6,
    "createtest": 0.5, "sbrkfail": 0.4, "writetest": 0.4, "linkunlink": 0.3,
}  # fmt: skip
USUAL_COST = 0.1  # of a test that is not known

LOST_PAGES = Rule(
    "usertests-lost-pages",
    "error",
    "After the tests fewer pages are free than before: usertests counts them by taking all "
    "that the kernel will give. Something that a test made was not freed altogether when "
    "it was over. Any test loses them if every process does. On a machine that stays up, "
    "memory runs out sooner or later, and fork and exec fail then.",
    "`faultline leaks` tells which pages, and who allocated them.",
    "break freeproc\n"
    "continue                   # at the shell: usertests NAME\n"
    "print/x *p                 # what does the process still hold?\n"
    "finish\n"
    "print/x *p                 # and what was not given back?",
)
UNFINISHED = Rule(
    "usertests-unfinished",
    "warning",
    "A test was stopped before it was done: it had used far more processor time than such a "
    "test needs, and the kernel was still doing something. It may only be slow, or it may "
    "go round in a circle for ever, which looks the same from outside. A kernel that looks "
    "at every buffer, page or process where it need not is slow on real hardware, too.",
    "Run `usertests NAME` alone; where the harts were is in the evidence.",
    "continue                   # at the shell: usertests NAME; then ctrl-C\n"
    "thread apply all backtrace # the same place each time?",
)
NOT_RUN = Rule(
    "usertests-not-run",
    "note",
    "Tests were left out, because those before them had taken the machine with them, or had not "
    "ended. What they would have shown is not known; the others are findings of their own.",
    "Mend what the others died of first.",
    "break panic\n"
    "continue                   # at the shell: usertests NAME, one that was left out",
)
COLUMNS = ("test", "result", "seconds")
OK, FAILED, DIED, STOPPED, LEFT_OUT = "OK", "FAILED", "died", "stopped", "not run"

_BEGUN = re.compile(r"^test (\w+): ", re.MULTILINE)
_LOST = re.compile(r"^.*lost (?:some )?free pages.*$", re.MULTILINE)
_PASSED = re.compile(r"ALL TESTS PASSED\s*$", re.MULTILINE)
_FAILED = re.compile(r"^SOME TESTS FAILED\s*$", re.MULTILINE)


class NoTables(Exception):
    """The tests of this usertests cannot be told apart; says why."""


class TreeTests:
    """A tree's test program, and the machines that it runs on."""

    def __init__(self, bench: Bench, failed: Rule, died: Rule, incomplete: Rule) -> None:
        """Find the tests; raises NoTables if that cannot be done."""
        self.bench = bench
        self.failed, self.died, self.incomplete = failed, died, incomplete
        self.places = bench.build.program("usertests")
        try:
            self.image = Image.load(bench.build.disk)
            self.own = self.image.read_file("usertests")
            program = _program(self.own, bench.scratch)
            self.tables = find_tables(program)
        except (ImageError, HarnessError) as error:
            raise NoTables(str(error)) from error
        self.content = self.own  # of what is run
        if bench.elf.address("faultline_ctl") is not None:
            self.content = with_shim_asked(self.own, program)
        if not self.tables:
            raise NoTables("usertests has no table of tests")
        self.deaths = 0
        self.spent = 0.0  # processor seconds
        self.effort = PART_EFFORT  # that all tests of the part may take
        self.results: dict[str, tuple[str, float]] = {}  # and processor seconds, of each test

    def run(self, part: int, of: int) -> Iterator[Finding | Table]:
        """Run the tests of one part; yield what went wrong, and a table of the results."""
        names = [name for table in self.tables for name in table.names]
        left = chosen = divide(list(dict.fromkeys(names)), of)[part - 1]
        usual = sum(COSTS.get(name, USUAL_COST) for name in chosen)
        self.effort = max(PART_EFFORT, PART_PATIENCE * usual)
        while left and self.deaths < DEATHS and self.spent < self.effort:
            run = _Run(self, left)
            yield from run.findings()
            left = [name for name in left if name not in run.begun] if run.ended_early else []
        if left:
            why = f"those before them took {self.spent:.0f} s of computing"
            if self.deaths >= DEATHS:
                why = f"{self.deaths} tests before them took the machine with them"
            rule = NOT_RUN if self.deaths else UNFINISHED
            yield rule.finding(
                f"{len(left)} tests of usertests were not run: {why}.",
                evidence="Not run: " + ", ".join(left),
            )
        yield self.table(chosen)

    def table(self, chosen: Sequence[str]) -> Table:
        """Return the result of each of these tests."""
        rows = [(name, *self.results.get(name, (LEFT_OUT, 0.0))) for name in chosen]
        words = [(name, result, f"{seconds:.1f}") for name, result, seconds in rows]
        return Table("tests of usertests", COLUMNS, tuple(words))

    def disk(self, chosen: Sequence[str]) -> bytes:
        """Return a file system whose usertests has only these tests."""
        image = Image(bytes(self.image.data))
        replace_content(image, "usertests", with_only(self.content, self.tables, chosen))
        return bytes(image.data)


class _Run:
    """One machine, on which some tests run one after the other."""

    def __init__(self, tests: TreeTests, chosen: Sequence[str]) -> None:
        self.tests, self.chosen = tests, chosen
        self.begun: list[str] = []
        self.ended_early = False

    def findings(self) -> Iterator[Finding]:
        """Run the tests; yield what went wrong."""
        tests = self.tests
        with tests.bench.machine(disk=tests.disk(self.chosen)) as machine:
            machine.wait_prompt()
            if tests.content != tests.own and without_shim(Ledger(machine.ram, tests.bench.elf)):
                tests.content = tests.own  # the next machine does without
                self.ended_early = True
                return
            before = len(machine.said())
            machine.send("usertests")
            try:
                self._follow(machine)
            except GuestDied as died:
                yield from self._judged(machine.said()[before:], over=False)
                yield from self._dead(died)
            except StillBusy as busy:
                yield from self._judged(machine.said()[before:], over=False)
                yield self._unfinished(machine, busy)
            else:
                yield from self._judged(machine.said()[before:], over=not self.ended_early)

    def _follow(self, machine: Machine) -> None:
        """Wait for one test after the other; returns at the prompt, or if it takes too long."""
        tests, what = self.tests, "its first test"
        while True:
            start = machine.processor_seconds()
            name = self.begun[-1] if self.begun else ""
            try:
                match = machine.expect(
                    rf"(?:\n|\A)test (\w+): |{PROMPT}", f"the end of {what}", SILENCE, effort(name)
                )
            except (GuestDied, StillBusy) as end:
                died = isinstance(end, GuestDied)
                took = 0.0 if died else effort(name)
                tests.spent += took
                tests.deaths += 1
                tests.results[name] = DIED if died else STOPPED, took
                self.ended_early = True
                raise
            took = max(0.0, machine.processor_seconds() - start)
            tests.spent += took
            tests.results[name] = result_of_test(machine.said(), name) or LEFT_OUT, took
            if match[1] is None:
                return
            if tests.spent > tests.effort:
                self.ended_early = True
                return
            self.begun.append(match[1])
            what = f"test {match[1]}"
            tests.bench.say(f"usertests: {match[1]}")

    @property
    def _last(self) -> str:
        return f"test {self.begun[-1]}" if self.begun else "its beginning"

    def _judged(self, said: str, *, over: bool) -> Iterator[Finding]:
        """Yield a finding for each test that failed; `over` if usertests has ended."""
        said = re.sub(rf"{PROMPT}\Z", "\n", said)
        marks = list(_BEGUN.finditer(said))
        failed = False
        for mark, following in zip(marks, [*marks[1:], None]):
            text = said[mark.end() : following.start() if following else len(said)]
            if re.search(r"\bFAILED\s*$", text if following else _FAILED.sub("", text)):
                failed = True
                yield self._failed(mark[1], text)
        if not over:
            return
        lost = _LOST.search(said)
        if lost:
            yield LOST_PAGES.finding(
                f"usertests: {lost[0].strip()}.",
                where=self._place(self.begun[-1]) if len(self.begun) == 1 else Where(),
                evidence=f"The tests were {', '.join(self.begun)}.",
            )
        elif not _PASSED.search(said) and not (failed and _FAILED.search(said)):
            yield self.tests.incomplete.finding(
                f"usertests ended after {self._last} without the last line that fits.",
                evidence=f"The last output:\n{last_lines(said)}",
            )
        unseen = [name for name in self.chosen if name not in self.begun]
        if unseen and _PASSED.search(said):
            yield self.tests.incomplete.finding(
                f"usertests ended without a result of {', '.join(unseen)}.",
                evidence=f"The last output:\n{last_lines(said)}",
            )

    def _failed(self, name: str, text: str) -> Finding:
        lines = [line for line in text.split("\n") if line.startswith(f"{name}:")]
        why = lines[0] if lines else f"test {name} failed"
        return self.tests.failed.finding(
            f"usertests: {why}",
            where=self._place(name),
            evidence=f"It printed:\n{last_lines(text)}",
        )

    def _dead(self, died: GuestDied) -> Iterator[Finding]:
        elf = self.tests.bench.elf
        yield from causes_of_death(died, elf)
        yield self.tests.died.finding(
            f"usertests did not survive {self._last}: {died.death.words}",
            where=self._place(self.begun[-1]) if self.begun else Where(),
            evidence=f"The last output:\n{last_lines(died.machine.said())}",
        )
        yield death_finding(died, elf)

    def _unfinished(self, machine: Machine, busy: StillBusy) -> Finding:
        elf = self.tests.bench.elf
        harts = "\n".join(hart_words(hart, machine.ram, elf) for hart in busy.harts)
        given = effort(self.begun[-1] if self.begun else "")
        return UNFINISHED.finding(
            f"usertests: {self._last} was not done after {given:.0f} s of computing.",
            where=self._place(self.begun[-1]) if self.begun else Where(),
            evidence=f"{harts}\nThe last output:\n{last_lines(machine.said())}",
        )

    def _place(self, name: str) -> Where:
        return test_place(self.tests.places, name)


def effort(name: str) -> float:
    """Return how many processor seconds a test may take."""
    return max(EFFORT, PATIENCE * COSTS.get(name, 0.0))


def result_of_test(said: str, name: str) -> str:
    """Return a test's result, OK or FAILED or SKIPPED, or nothing.

    It stands after the test's name or, if the kernel said something meanwhile, on a line of
    its own; before it may be what preempt says, as in "kill... wait... OK".
    """
    begun = re.search(rf"^test {re.escape(name)}: ", said, re.MULTILINE)
    if begun is None:
        return ""
    text = _BEGUN.split(said[begun.end() :])[0]
    result = re.search(r"^(?:\w+\.\.\. )*(OK|FAILED|SKIPPED)\b", text, re.MULTILINE)
    return result[1] if result else ""


def divide(
    names: Sequence[str],
    count: int,
    costs: Mapping[str, float] = COSTS,
    usual: float = USUAL_COST,
) -> list[list[str]]:
    """Divide tests into groups of about the same cost; each keeps the order of the list.

    `usual` is the cost of those that `costs` does not have.
    """
    order = {name: index for index, name in enumerate(names)}
    found: list[list[str]] = [[] for _ in range(count)]
    spent = [0.0] * count
    for name in sorted(names, key=lambda name: (-costs.get(name, usual), order[name])):
        cheapest = spent.index(min(spent))
        found[cheapest].append(name)
        spent[cheapest] += costs.get(name, usual)
    return [sorted(group, key=lambda name: order[name]) for group in found]


def test_place(program: ElfImage | None, name: str) -> Where:
    """Return where the test of that name is; without debug information, just its name."""
    if program is not None:
        for function in (name, f"test_{name}"):
            place = program.function_place(function)
            if place is not None:
                return place
    return Where(function=name)


def _program(content: bytes, scratch: Path) -> ElfImage:
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".elf") as file:
        file.write(content)
        file.flush()
        return ElfImage(Path(file.name))
