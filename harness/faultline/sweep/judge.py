"""What a workload's lines, and its machines' deaths, say of each allocation that failed.

run.py reads the lines; here it is decided what they mean, and which n was to blame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..checks.audit import new_findings
from ..elf import ElfImage
from ..finding import Finding, Where
from ..machine import GuestDied, Machine
from ..postmortem import death_finding
from ..trust import Counts, counts, inconsistencies, settled, tampered
from . import rules
from .causes import Causes, Failure, Round
from .evidence import (
    Memory, Path, audit_failure, death_failure, death_words, loss_failures, result_failures,
    wrong_free_failure,
)  # fmt: skip
from .groups import Deaths, Paths
from .protocol import Begun, Done, Ran

MANY_LOST = 4000  # pages; a machine that has lost so many will not have enough for the rest


class WorkloadFails(Exception):
    """The workload cannot be swept: it does not work although no allocation fails."""

    def __init__(self, what: str, evidence: str = "", where: Where | None = None) -> None:
        super().__init__(what)
        self.evidence, self.where = evidence, where or Where()


class Distrusted(Exception):
    """Memory contradicts itself, or the probe; carries what is to be said of it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass
class Leg:
    """One command to the probe: what is known while it goes on."""

    first: int
    last: int
    begun: bool = False
    tried: int = 0  # the last n with a line; all before it were as they should be
    wrong_frees: int = 0  # before it
    spoiled: str = ""  # why the machine can show nothing more
    since: Counts | None = None  # what the shim had counted before
    lost: int = 0  # pages, of all lines
    unread: bool = False  # a line could not be read
    looked: list[Finding] = field(default_factory=list)  # the audit's, of the n that runs
    path: tuple[int, Path] = (0, ())  # of the last n that was stopped at

    @property
    def next(self) -> int:
        """The first n of which nothing is known yet."""
        return self.tried + 1 if self.tried else self.first

    def current(self, memory: Memory) -> int:
        """Return the n that runs, or is about to: those since the last line were good."""
        return max(self.next, memory.armed().tried)


@dataclass(kw_only=True)
class Learned:
    """What is known from all that was swept so far."""

    causes: Causes = field(default_factory=Causes)
    deaths: Deaths = field(default_factory=Deaths)
    known: dict[int, Path] = field(default_factory=dict)  # call paths by their numbers
    usual: set[str] = field(default_factory=set)  # audit rules broken without any failure, too
    paths: dict[str, Paths] = field(default_factory=dict)  # of each workload, as last counted


class Judge:
    """Decides what came of each n of one workload in one mode."""

    def __init__(self, learned: Learned, at: Round, elf: ElfImage) -> None:
        self.learned, self.at, self.elf = learned, at, elf
        self.tally = learned.causes.tally(at)
        self.paths = learned.paths.get(at.workload, Paths())
        self.counted = 0  # kallocs that the workload makes, as the probe says
        self.lost = 0  # pages of this machine
        self.alone_until = 0  # up to here, each n is tried by a command of its own
        self.suspects: tuple[int, int, Failure] | None = None  # one of these freed wrongly
        self.again: set[int] = set()  # tried a second time, on a fresh machine

    def begun(self, memory: Memory, leg: Leg, begun: Begun) -> None:
        """Take in that the workload works."""
        leg.begun, leg.wrong_frees = True, memory.wrong_frees_before()
        self.paths = self.learned.paths[self.at.workload] = Paths(memory.paths(begun.calls))
        self.counted = begun.calls
        self.tally.points = max(self.tally.points, begun.calls)

    def _lived(self, leg: Leg, end: int) -> None:
        """Note that all since the last line were survived, up to the one before `end`."""
        self.tally.survived |= set(range(max(1, leg.next), end))

    def ran(self, memory: Memory, leg: Leg, ran: Ran) -> None:
        """Take in a result. If it is bad the probe waits, and memory is that of this n."""
        if ran.n == 0 and (ran.bad or ran.result != "ok"):
            raise WorkloadFails(ran.words)
        for n in range(max(1, leg.next), ran.n):
            self.learned.deaths.survived(self.paths.of(n))
        self._lived(leg, ran.n + (ran.fired > 0))
        leg.tried = ran.n
        if ran.fired:
            self.tally.points = max(self.tally.points, ran.n)
        if ran.n == 0 or not ran.fired and not ran.bad:
            leg.looked = []
            return
        path = self._path(memory, leg, ran.n) if ran.fired and (ran.bad or leg.looked) else ()
        failures = list(result_failures(ran, path))
        if ran.lost:
            self.lost += max(0, ran.lost)
            failures += loss_failures(memory, ran, path)
        for found in new_findings(leg.looked, set(self.learned.usual)):
            failures.append(audit_failure(found, path))
            leg.spoiled = found.rule
        leg.looked = []
        if not ran.sane:
            leg.spoiled = leg.spoiled or rules.INSANE.name
        for failure in failures:
            self.learned.causes.add(self.at, ran.n, failure)
        if leg.spoiled:
            self.learned.deaths.died(self.paths.of(ran.n), failures[0].key)
        else:
            self.learned.deaths.survived(self.paths.of(ran.n))

    def after(
        self, machine: Machine, memory: Memory, leg: Leg, ran: Ran, since: int
    ) -> int | None:
        """After a line that was not bad, on a machine that runs on: see whether it can.

        The line is that of all n from `since` on.
        """
        if memory.wrong_frees() > leg.wrong_frees:
            machine.stop()
            armed = memory.armed()
            if since == ran.n and (armed.n <= ran.n or ran.n == leg.last):
                self._freed_wrongly(memory, leg, ran.n)
            else:  # it may have been another one: try them one by one
                last = max(ran.n, min(armed.n, self.tally.points + 1))  # it is the guest's word
                self.suspects = since, last, wrong_free_failure(memory, ())
                self.alone_until = last
                leg.spoiled = rules.DOUBLE_FREE.name
                return since
        return ran.n + 1 if leg.spoiled else None

    def _freed_wrongly(self, memory: Memory, leg: Leg, n: int) -> None:
        failure = wrong_free_failure(memory, self._path(memory, leg, n))
        self.learned.causes.add(self.at, n, failure)
        self.learned.deaths.died(self.paths.of(n), failure.key)
        leg.spoiled = rules.DOUBLE_FREE.name
        self.suspects = None

    def settle_suspects(self, n: int | None) -> None:
        """If none of those who may have freed wrongly does so alone, it was one of them."""
        if self.suspects is not None and (n is None or n > self.suspects[1]):
            first, last, failure = self.suspects
            self.suspects = None
            for one in range(first, last + 1):
                self.learned.causes.add(self.at, one, failure)

    def ended(self, memory: Memory, leg: Leg, n: int) -> None:
        """Take in that the probe waits after the n-th, of which a bad line has come."""
        if n > leg.tried:  # it could not be read
            leg.unread = True
            self._lived(leg, n)
            leg.tried = n
        if memory.wrong_frees() > leg.wrong_frees:
            self._freed_wrongly(memory, leg, n)
        self.weigh_losses(leg)

    def weigh_losses(self, leg: Leg) -> None:
        """Say so if the machine has lost so much that it is of no more use."""
        if self.lost > MANY_LOST:
            leg.spoiled = leg.spoiled or "it has lost too many pages"

    def done(self, memory: Memory, leg: Leg, done: Done) -> None:
        """Take in that the probe is done."""
        self._lived(leg, min(done.n, self.tally.points) + 1)
        if memory.wrong_frees() > leg.wrong_frees and leg.tried:
            self._freed_wrongly(memory, leg, leg.tried)

    def compare(self, machine: Machine, memory: Memory, leg: Leg) -> None:
        """Compare what the probe has said of all its runs with what the shim has counted."""

        def look() -> Iterator[str]:
            yield from inconsistencies(memory.ledger)
            gained = counts(memory.ledger).gained - (leg.since.gained if leg.since else 0)
            if gained != leg.lost and not leg.unread:
                yield (
                    f"the probe's lines say that {leg.lost} pages were lost in all, the shim has "
                    f"counted {gained}"
                )
            if self.counted != memory.counted():
                yield (
                    f"the probe says that the workload makes {self.counted} kallocs, the shim has "
                    f"counted {memory.counted()}"
                )

        wrong = settled(machine, look)
        machine.resume()
        if wrong and not leg.spoiled:
            when = f"after the sweep of `{self.at.workload}`, {self.at.mode}"
            raise Distrusted(tampered(wrong, when))

    def gone(self, machine: Machine, memory: Memory, leg: Leg) -> int:
        """The shell's prompt is back, and the probe has not said that it is done."""
        said = f"The last output:\n{machine.said()[-500:]}"
        if not leg.begun:
            raise WorkloadFails("the probe has no answer", said)
        n = leg.current(memory)
        if n == 0:
            raise WorkloadFails("the probe is gone", said)
        self._lived(leg, n)
        failure = Failure(
            rules.CHANGED,
            self._path(memory, leg, n),
            "gone",
            "the program that made the call is gone: the kernel ended it.",
            said,
        )
        self.learned.causes.add(self.at, n, failure)
        self.learned.deaths.died(self.paths.of(n), failure.key)
        leg.spoiled = "gone"
        return n + 1

    def died(self, died: GuestDied, leg: Leg, fresh: bool) -> int:
        """Note what a machine died of; return the number to go on with."""
        memory = Memory(died.machine.ram, self.elf)
        if not leg.begun or leg.next == 0:
            raise _dies_anyway(died, self.elf)
        armed, current = memory.armed(), leg.current(memory)
        self._lived(leg, current)
        n = armed.n or current
        following = max(n, leg.tried) + 1
        refused = armed.n > 0 and armed.fired > 0
        if not refused or n < leg.first:  # nothing was refused since the last result
            if current == leg.first and (fresh or current in self.again):
                raise _dies_anyway(died, self.elf)
            n, following = leg.tried if current == leg.first else current - 1, current
            self.again.add(current)
        if n == 0:
            return following  # what was tried before this leg did it; a fresh machine will tell
        path = self._path(memory, leg, n)
        if memory.wrong_frees() > leg.wrong_frees:
            failure = wrong_free_failure(memory, path, death_finding(died, self.elf))
        else:
            failure = death_failure(died, self.elf, path)
        self.learned.causes.add(self.at, n, failure)
        self.learned.deaths.died(self.paths.of(n), failure.key)
        return following

    def _path(self, memory: Memory, leg: Leg, n: int) -> Path:
        """Return the call path of the n-th kalloc, which has been refused: memory has it if it
        was the last, and others that fail by the same path may have been seen."""
        armed = memory.armed()
        path = leg.path[1] if leg.path[0] == n else ()
        if not path and armed.n in (0, n):
            path = memory.path(armed.stack)
        if path and self.paths.of(n):
            self.learned.known.setdefault(self.paths.of(n), path)
        return path or self.learned.known.get(self.paths.of(n), ())


def _dies_anyway(died: GuestDied, elf: ElfImage) -> WorkloadFails:
    death = death_finding(died, elf)
    return WorkloadFails(death_words(death), death.evidence, death.where)
