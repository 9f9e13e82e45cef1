"""Do system calls what xv6 promises? By our own tests, added to a copy of the file system.

The tests are those of user/tests_*.c that are not marked REFERENCE, a few to a command. What became
of each stands in a line with a nonce, so nothing that a tree's own programs print counts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..bench import Bench
from ..build import build_program
from ..elf import ElfImage
from ..errors import HarnessError
from ..excerpt import last_lines
from ..finding import Finding, Rule
from ..fsimage import Image, ImageError
from ..fsinject import add_file
from ..machine import PROMPT, GuestDied, Machine, StillBusy
from ..postmortem import causes_of_death, death_finding, hart_words
from ..treetests import DEATHS, EFFORT, PART_EFFORT, SILENCE, divide, test_place
from . import Unchecked, check

ROOT = Path(__file__).resolve().parents[3]
LAST = "tests_exhaustion"
NAME = "abitests"  # of the program in the file system
PARTS = 2
# What one command may be: xv6's shell reads 98 characters before a line's end, and takes 9 words.
COMMAND_LENGTH, COMMAND_NAMES = 98, 6
NOT_RUN = "Not run: "  # what evidence begins with that names tests, with a comma between two
# Processor seconds on xv6, which takes all memory before it refuses; in proportion to each other.
COSTS = {
    "memory_all": 8.0, "memory_back": 8.0, "memory_none_left": 6.0, "exec_bad_place": 6.0,
    "sbrk_extremes": 4.0, "sbrk_plic": 4.0, "memory_forks": 2.0, "exec_bad_elf": 2.0,
    "link_many": 1.0, "file_largest": 1.0,
}  # fmt: skip
USUAL_COST = 0.15
# Blocks that a test needs, where those of 2020 and 2021 panic if there is none left.
ROOM = {"file_largest": 280}

TO_RUN = (
    "Read the test of that name in Faultline's user/tests_*.c. To run it: copy Faultline's "
    "build/share/user/_usertests to your user/_abitests, add $U/_abitests to UPROGS in your "
    "Makefile, and type `abitests -a x NAME` in the shell."
)

FAILED = Rule(
    "abi-test-failed",
    "error",
    "A system call did not do, or did not return, what it does on every xv6 from 2020 on. The "
    "test that shows it is one of Faultline's own: it knows nothing of the tree but the "
    "numbers of the calls, so it does not matter what the tree's usertests has become. Programs "
    "count on what a call promises, on real hardware just the same. Most often a check of an "
    "argument, an error path or a step for a rare case is missing.",
    TO_RUN,
    "break syscall if cpus[$tp].proc->name[0] == 'a'\n"
    "continue                   # at the shell: abitests -a x NAME\n"
    "print cpus[$tp].proc->trapframe->a7\n"
    "finish\n"
    "print cpus[$tp].proc->trapframe->a0  # what the call returns",
)
DIED = Rule(
    "abi-test-died",
    "error",
    "The kernel panicked or stopped getting anywhere during one of Faultline's own tests of "
    "system calls. No program may be able to do that, however badly it behaves: on real "
    "hardware it takes every other program, and whatever was not yet on the disk, with it. A "
    "value that came from a program was used before it was checked, or something ran out and "
    "nobody had looked.",
    TO_RUN,
    "break panic\n"
    "continue                   # at the shell: abitests -a x NAME\n"
    "backtrace\n"
    "print *cpus[$tp].proc",
)
LOST = Rule(
    "abi-test-lost",
    "error",
    "The shell's prompt came back, and one of Faultline's own tests of system calls has not "
    "said how it went. The program that runs it was killed, could not be executed, or what it "
    "wrote did not arrive. The same happens to any program, on any hardware.",
    "Was the program killed? The kernel then prints the trap that it was killed for.",
    "tbreak exec if path[0] == 'a'\n"
    "continue                   # at the shell: abitests -a x NAME\n"
    "break usertrap if (long)$scause >= 0 && $scause != 8\n"
    "continue                   # a fault in user mode: see $sepc, $stval",
)
UNFINISHED = Rule(
    "abi-test-unfinished",
    "warning",
    "One of Faultline's own tests of system calls was stopped before it was done, or not begun: "
    "far more processor time had gone by than it needs, and the kernel was still doing "
    "something. It may only be slow, or it may go round in a circle for ever, which looks the "
    "same from outside.",
    "Where the harts were is in the evidence.",
    "continue                   # at the shell: abitests -a x NAME; then ctrl-C\n"
    "thread apply all backtrace # the same place each time?",
)

NO_ROOM = Rule(
    "abi-test-no-room",
    "note",
    "Some of Faultline's own tests of system calls were left out: the tree's file system image has "
    "too few free blocks for the files that they write. That is no mistake: an image of a thousand "
    "blocks is soon full of programs. What the tests would have shown is not known.",
    "Fewer programs in UPROGS, or a larger FSSIZE, if your Makefile may be changed.",
    "break balloc\n"
    "continue                   # at the shell: abitests -a x NAME\n"
    "print sb.size",
)

_TABLE = re.compile(r"^const struct test \w+_tests\[\] = \{(.*?)\{0, 0, 0\}", re.M | re.S)
_ENTRY = re.compile(r'\{"(\w+)",\s*\w+,\s*([A-Z |]+)\}')


@functools.cache
def our_tests(folder: Path = ROOT / "user") -> tuple[str, ...]:
    """Return the names of the tests that any xv6 passes, as the tables in the sources have them.

    Those that use up all memory come last: many kernels die of them. Raises HarnessError if a
    table cannot be read.
    """
    names: list[str] = []
    for path in sorted(folder.glob("tests_*.c"), key=lambda path: (path.stem == LAST, path)):
        for table in _TABLE.findall(path.read_text("utf-8")):
            entries = _ENTRY.findall(table)
            if len(entries) != table.count("{"):
                raise HarnessError(f"{path}: a table of tests cannot be read")
            names += [name for name, flags in entries if "REFERENCE" not in flags]
    return tuple(names)


@dataclass(frozen=True)
class Program:
    """The program that runs our tests."""

    content: bytes
    elf: ElfImage  # the same with debug information

    @classmethod
    def build(cls) -> Program:
        """Make it; raises BuildFailed."""
        path = build_program(ROOT, "usertests")
        return cls(path.read_bytes(), ElfImage(path.with_name("usertests.elf")))

    def disk(self, image: Image) -> bytes:
        """Return a file system with the program in it; raises ImageError."""
        add_file(image, NAME, self.content)
        return bytes(image.data)


@check(
    FAILED,
    DIED,
    LOST,
    UNFINISHED,
    NO_ROOM,
    needs=("boot",),
    parts=tuple(f"{number}/{PARTS}" for number in range(1, PARTS + 1)),
    trees=True,
)
def abi(bench: Bench) -> Iterator[Finding]:
    """System calls do what every xv6's do, by our own tests"""
    program = Program.build()
    number, of = (int(word) for word in (bench.part or "1/1").split("/"))
    try:
        disk = program.disk(Image.load(bench.build.disk))
    except ImageError as error:
        raise Unchecked(f"our tests cannot be put into the file system image: {error}") from error
    chosen = divide(our_tests(), of, COSTS, USUAL_COST)[number - 1]
    free = sum(1 for _ in Image(disk).free_blocks())
    short = [name for name in chosen if ROOM.get(name, 0) > free]
    if short:
        yield NO_ROOM.finding(
            f"{', '.join(short)} not run: the file system image has {free} free blocks, and "
            f"{max(ROOM[name] for name in short)} are needed."
        )
    yield from Runs(bench, program.elf, disk).run([name for name in chosen if name not in short])


class Runs:
    """Machines on which tests run, one after the other, each bounded.

    What fails after other tests is tried once more as the first on a machine.
    """

    def __init__(self, bench: Bench, program: ElfImage | None, disk: bytes) -> None:
        self.bench, self.program, self.disk = bench, program, disk
        self.deaths = 0
        self.spent = 0.0  # processor seconds
        self.again: set[str] = set()  # tests that have failed after others

    def run(self, chosen: Sequence[str]) -> Iterator[Finding]:
        """Run these tests; yield what went wrong."""
        left = list(chosen)
        try:
            while left and self.deaths < DEATHS and self.spent < PART_EFFORT:
                yield from self._machine(left)
        except GuestDied:  # before a test: the check's result says how
            yield _not_run(left, "the kernel does not boot with them in its file system")
            raise
        if left:
            why = f"those before them took {self.spent:.0f} s of computing"
            if self.deaths >= DEATHS:
                why = f"{self.deaths} tests before them took the machine with them"
            yield _not_run(left, why)

    def _machine(self, left: list[str]) -> Iterator[Finding]:
        """Boot a machine and run tests on it, taking them off `left`, while it lasts."""
        with self.bench.machine(disk=self.disk) as machine:
            machine.wait_prompt()
            done: list[str] = []
            while left and self.spent < PART_EFFORT:
                names = self._names_of_command(left)
                since = len(machine.said())
                machine.send(self._command(names))
                for name in names:
                    left.pop(0)
                    self.bench.say(f"abi: {name}")
                    start = machine.processor_seconds()
                    try:
                        self._follow(machine, name, name == names[-1])
                    except GuestDied as died:
                        self.deaths += 1
                        yield from self._dead(name, died, machine.said()[since:])
                        return
                    except StillBusy as busy:
                        self.deaths += 1
                        self.spent += EFFORT
                        yield self._unfinished(name, busy, machine, machine.said()[since:])
                        return
                    self.spent += max(0.0, machine.processor_seconds() - start)
                    result = self._result(name).search(machine.said(), since)
                    if result and result[1] == "ok":
                        if name in self.again:
                            yield self._spoilt(name)
                        done.append(name)
                        since = result.end()
                        continue
                    if done and name not in self.again:
                        self.again.add(name)
                        left.insert(0, name)
                        return
                    yield self._failed(name, result, machine.said()[since:])
                    done.append(name)
                    break

    def _command(self, names: Sequence[str]) -> str:
        return f"{NAME} -a {self.bench.nonce} {' '.join(names)}"

    def _names_of_command(self, left: Sequence[str]) -> list[str]:
        """Return as many of the next tests as one command may name."""
        names = list(left[:COMMAND_NAMES])
        while len(names) > 1 and len(self._command(names)) > COMMAND_LENGTH:
            names.pop()
        return names

    def _result(self, name: str) -> re.Pattern[str]:
        return re.compile(rf"@{self.bench.nonce} {name} (\w+).*\n")

    def _follow(self, machine: Machine, name: str, last: bool) -> None:
        """Wait for a test's result; and for the prompt, if no other test follows."""
        what = f"the end of our test {name}"
        result = machine.expect(
            f"{self._result(name).pattern}|{PROMPT}", what, SILENCE, EFFORT
        )[1]  # fmt: skip
        if result is not None and (last or result != "ok"):
            machine.expect(PROMPT, what, SILENCE, EFFORT)

    def _failed(self, name: str, result: re.Match[str] | None, said: str) -> Finding:
        """Return what is wrong with a test, from what was printed since it began."""
        lines = [line for line in said.split("\n") if line.startswith(f"{name}: ")]
        words = lines[0] if lines else f"{name} failed"
        rule = FAILED
        if result is None or result[1] != "failed":
            rule, words = LOST, f"{name} has no result"
        return rule.finding(
            f"Our test {words.rstrip('.')}.",
            where=test_place(self.program, name),
            evidence=f"It printed:\n{last_lines(said)}",
        )

    def _spoilt(self, name: str) -> Finding:
        return FAILED.finding(
            f"Our test {name} fails after other tests, and passes on a machine just booted: "
            "something that they did has stayed.",
            where=test_place(self.program, name),
        )

    def _dead(self, name: str, died: GuestDied, said: str) -> Iterator[Finding]:
        elf = self.bench.elf
        yield from causes_of_death(died, elf)
        yield DIED.finding(
            f"The kernel did not survive our test {name}: {died.death.words}",
            where=test_place(self.program, name),
            evidence=f"It printed:\n{last_lines(said)}",
        )
        yield death_finding(died, elf)

    def _unfinished(self, name: str, busy: StillBusy, machine: Machine, said: str) -> Finding:
        harts = "\n".join(hart_words(hart, machine.ram, self.bench.elf) for hart in busy.harts)
        return UNFINISHED.finding(
            f"Our test {name} was not done after {EFFORT:.0f} s of computing.",
            where=test_place(self.program, name),
            evidence=f"{harts}\nIt printed:\n{last_lines(said)}",
        )


def _not_run(left: Sequence[str], why: str) -> Finding:
    return UNFINISHED.finding(
        f"{len(left)} of our tests were not run: {why}.", evidence=NOT_RUN + ", ".join(left)
    )
