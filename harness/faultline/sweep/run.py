"""Sweeping workloads on machines, as many n on each as it survives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from ..audit.satp import RULES as SATP_RULES
from ..bench import Bench
from ..checks import Unchecked
from ..checks.audit import at_rest, new_findings
from ..finding import Finding, Where
from ..machine import PROMPT, GuestDied, Machine
from ..postmortem import death_finding
from ..trust import Counts, counts, inconsistencies, settled, tampered
from . import rules
from .causes import Causes, Failure, Round
from .evidence import (
    Memory, Path, audit_failure, death_failure, death_words, loss_failures, result_failures,
    wrong_free_failure,
)  # fmt: skip
from .groups import Deaths, Paths, ranges
from .protocol import Begun, CannotRun, Done, Event, Ran, Stopped, line_pattern, parse

# Guest seconds that one n may take, and its workload at the beginning, three times. Most need
# less than one; but a kernel may be slow where a workload takes all memory there is.
SILENCE, FIRST_SILENCE = 20.0, 400.0
UNSTEADY = 5  # times that, where the guest's clock is the host's: with several harts
MAX_BOOTS = 24  # of one workload in one mode, unless the sweep is to be exhaustive
# Of all that is swept of somebody's tree: it may die wherever one looks. What then follows may
# cost one boot each.
TREE_BOOTS = 20
TREE_ROUND_BOOTS = 8  # and of one workload in one mode
HANG_COST = 4  # boots that a hang counts for: it takes that much longer to be sure of it
MANY_LOST = 4000  # pages; a machine that has lost so many will not have enough for the rest
UNREADABLE = 8  # numbers that are tried again because their lines could not be read

HARTS = frozenset(rule.name for rule in SATP_RULES)

Audit = Callable[[Bench, Machine, str], list[Finding]]


class Machines:
    """The machine that is swept on; after one that was given up, a new one."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.fresh = True  # nothing was swept on it yet
        self.one_hart = (bench.harts or 1) == 1
        self._open = ExitStack()
        self._machine: Machine | None = None

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *error: object) -> None:
        self.give_up()

    def get(self) -> Machine:
        """Return a machine at the shell's prompt."""
        if self._machine is None:
            machine = self.bench.machine(icount=self.one_hart)
            self._machine = self._open.enter_context(machine)
            self._machine.wait_prompt()
            self.fresh = True
        return self._machine

    def give_up(self) -> None:
        """End the machine, if there is one."""
        self._machine = None
        self._open.close()


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
class Sweep:
    """All that is swept, and what came of it."""

    bench: Bench
    machines: Machines
    audit: Audit = at_rest
    causes: Causes = field(default_factory=Causes)
    other: list[Finding] = field(default_factory=list)  # workloads that do not work
    deaths: Deaths = field(default_factory=Deaths)
    known: dict[int, Path] = field(default_factory=dict)  # call paths by their numbers
    unswept: dict[str, tuple[tuple[str, ...], Finding]] = field(default_factory=dict)
    usual: set[str] = field(default_factory=set)  # audit rules broken without any failure, too
    boots: int | None = None  # that are left for all there is to sweep; None: no such limit

    def spend(self, boots: int) -> None:
        """Note that machines were used up."""
        if self.boots is not None:
            self.boots -= boots

    @property
    def used_up(self) -> bool:
        """Whether no machine is left."""
        return self.boots is not None and self.boots <= 0

    def round(self, workload: str, mode: str) -> bool:
        """Sweep a workload in one mode; return whether it works at all."""
        try:
            _Sweeper(self, Round(workload, mode)).run()
        except WorkloadFails as fails:
            self.machines.give_up()
            self._not_swept(workload, fails)
            return False
        except Distrusted as distrusted:
            self.machines.give_up()
            self.other.append(distrusted.finding)
            return False
        return True

    def _not_swept(self, workload: str, fails: WorkloadFails) -> None:
        """Note a workload that cannot be swept: one finding for all for which it is the same."""
        names: tuple[str, ...] = (workload,)
        what = str(fails)
        found = rules.cannot_run(names, what, fails.evidence, fails.where)
        if found.rule != rules.BOUNDARY.name:  # that is said of each by itself
            before = self.unswept.get(what)
            if before is not None and before[1] in self.other:  # else it was told already
                self.other.remove(before[1])
                names = (*before[0], workload)
                found = rules.cannot_run(names, what, fails.evidence, fails.where)
            self.unswept[what] = names, found
        self.other.append(found)


@dataclass
class _Leg:
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


class _Sweeper:
    """Sweeps one workload in one mode."""

    def __init__(self, sweep: Sweep, at: Round) -> None:
        self.sweep, self.at, self.bench = sweep, at, sweep.bench
        self.tally = sweep.causes.tally(at)
        self.paths = Paths()
        self.cost = 0  # boots
        self.counted = 0  # kallocs that the workload makes, as the probe says
        self.lost = 0  # pages of this machine
        self.alone_until = 0  # up to here, each n is tried by a command of its own
        self.suspects: tuple[int, int, Failure] | None = None  # one of these freed wrongly
        self.again: set[int] = set()  # tried a second time, on a fresh machine
        self.silence = FIRST_SILENCE  # guest seconds that one n may take

    def run(self) -> None:
        """Try all there is to try."""
        self.sweep.deaths.begin()
        self._leg(0, 0)
        n: int | None = 1
        while n is not None:
            most = MAX_BOOTS if self.sweep.boots is None else TREE_ROUND_BOOTS
            if self.cost >= most and not self.sweep.deaths.exhaustive:
                self.tally.not_tried = max(0, len(self.paths.hashes) - n + 1)
                self.tally.limit = f"the first {n - 1} took {self.cost} boots"
                break
            if self.sweep.used_up and self.cost:
                self.tally.not_tried = max(0, len(self.paths.hashes) - n + 1)
                self.tally.limit = f"so many had died before that {TREE_BOOTS} boots were used up"
                break
            alone = n <= self.alone_until
            n = self._leg(n, n if alone else self.sweep.deaths.last_to_try(n, self.paths))
            if n is not None:
                n = self._leave_out(n)
            self._settle_suspects(n)
        self._try_unread()

    def _leave_out(self, n: int) -> int:
        following = self.sweep.deaths.next_to_try(n, self.paths)
        self.tally.left_out |= set(range(n, following))
        return following

    def _try_unread(self) -> None:
        """Try once more what has no result because its line could not be read."""
        known = self.tally.survived | self.tally.failed | self.tally.left_out
        end = max(known, default=0) if self.tally.limit else self.tally.points
        unread = [n for n in range(1, end + 1) if n not in known]
        for n in unread[: 0 if self.sweep.used_up else UNREADABLE]:
            self._leg(n, n)
        unread = [n for n in unread if n not in self.tally.survived | self.tally.failed]
        if unread:
            self.tally.not_tried += len(unread)
            self.tally.limit += f"{'; ' * bool(self.tally.limit)}no result for {ranges(unread)}"

    def _leg(self, first: int, last: int) -> int | None:
        """Have the probe try these; return the number to go on with, or None at the end."""
        leg = _Leg(first, last)
        machine = self.sweep.machines.get()
        leg.since = counts(Memory(machine.ram, self.bench.elf).ledger)
        self.bench.say(f"sweep: {self.at.workload} {self.at.mode} n={first}")
        try:
            # A site that nobody returns to: a run in which nothing fails, to look at likewise.
            what = f"{self.at.mode} {first} {last}" if first else "site 0"
            machine.send(f"probe {self.bench.nonce} sweep {self.at.workload} {what}")
            following = self._follow(machine, leg)
        except GuestDied as died:
            following = self._died(died, leg)
            leg.spoiled = died.death.kind
        self.sweep.machines.fresh = False
        if self.lost > MANY_LOST:
            leg.spoiled = leg.spoiled or "it has lost too many pages"
        if leg.spoiled:
            slow = rules.OF_DEATH.get(leg.spoiled) is rules.HANG
            self.cost += HANG_COST if slow else 1
            self.sweep.spend(HANG_COST if slow else 1)
            self.lost = 0
            self.sweep.machines.give_up()
        return following

    def _follow(self, machine: Machine, leg: _Leg) -> int | None:
        memory = Memory(machine.ram, self.bench.elf)
        wanted = rf"{line_pattern(self.bench.nonce)}|{PROMPT}"
        start = machine.guest_seconds()
        while True:
            match = machine.expect(
                wanted,
                f"the probe's n={leg.next}",
                self.silence if leg.begun else FIRST_SILENCE,
                alive=lambda: memory.armed().tried,
            )
            if match[1] is None:
                return self._gone(machine, memory, leg)
            event = parse(match[1])
            if isinstance(event, Begun) and not leg.first:
                self.silence = max(SILENCE, machine.guest_seconds() - start)
                if not self.sweep.machines.one_hart:
                    self.silence *= UNSTEADY
            if isinstance(event, Done):
                return self._done(machine, memory, leg, event)
            following = self._take(machine, memory, leg, event)
            if following is not None:
                return following

    def _take(
        self, machine: Machine, memory: Memory, leg: _Leg, event: Event | None
    ) -> int | None:
        """Take in one line; return the number to go on with if the leg ends here."""
        leg.unread |= event is None
        if isinstance(event, CannotRun):
            raise WorkloadFails(event.what)
        if isinstance(event, Begun):
            leg.begun, leg.wrong_frees = True, memory.wrong_frees_before()
            self.paths = Paths(memory.paths(event.calls))
            self.counted = event.calls
            self.tally.points = max(self.tally.points, event.calls)
        elif isinstance(event, Ran):
            leg.lost += event.lost
            since = leg.next
            self._ran(memory, leg, event)
            if not event.bad:  # else it waits until its end has been looked at
                return self._after(machine, memory, leg, event, since)
        elif isinstance(event, Stopped) and event.after:
            self._look(machine, memory, leg, event.n)
            machine.send("")
        elif isinstance(event, Stopped) and event.n == 0:
            found = self._audit(machine, f"after `{self.at.workload}`")
            self.sweep.usual |= {one.rule for one in found}
            machine.send("")
        elif isinstance(event, Stopped):
            if event.n > leg.tried:  # its line, a bad one, could not be read
                leg.unread = True
                self._lived(leg, event.n)
                leg.tried = event.n
            if memory.wrong_frees() > leg.wrong_frees:
                self._freed_wrongly(memory, leg, event.n)
            if leg.spoiled or self.lost > MANY_LOST:
                leg.spoiled = leg.spoiled or "it has lost too many pages"
                return event.n + 1
            machine.send("")
        return None

    def _look(self, machine: Machine, memory: Memory, leg: _Leg, n: int) -> None:
        """Audit the machine right after the call."""
        armed = memory.armed()
        leg.path = n, memory.path(armed.stack) if armed.fired else ()
        found = self._audit(
            machine, f"right after `{self.at.workload}` with its kalloc {n} refused"
        )
        if not armed.fired:
            self.sweep.usual |= {one.rule for one in found}
        leg.looked = found

    def _audit(self, machine: Machine, when: str) -> list[Finding]:
        try:
            found = self.sweep.audit(self.bench, machine, when)
        except Unchecked:  # this kernel does not say enough of itself
            return []
        # What a hart has loaded depends on when it is looked at, not on what has failed.
        return [one for one in found if one.rule not in HARTS]

    def _lived(self, leg: _Leg, end: int) -> None:
        """Note that all since the last line were survived, up to the one before `end`."""
        self.tally.survived |= set(range(max(1, leg.next), end))

    def _ran(self, memory: Memory, leg: _Leg, ran: Ran) -> None:
        """Take in a result. If it is bad the probe waits, and memory is that of this n."""
        if ran.n == 0 and (ran.bad or ran.result != "ok"):
            raise WorkloadFails(ran.words)
        for n in range(max(1, leg.next), ran.n):
            self.sweep.deaths.survived(self.paths.of(n))
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
        for found in new_findings(leg.looked, set(self.sweep.usual)):
            failures.append(audit_failure(found, path))
            leg.spoiled = found.rule
        leg.looked = []
        if not ran.sane:
            leg.spoiled = leg.spoiled or rules.INSANE.name
        for failure in failures:
            self.sweep.causes.add(self.at, ran.n, failure)
        if leg.spoiled:
            self.sweep.deaths.died(self.paths.of(ran.n), failures[0].key)
        else:
            self.sweep.deaths.survived(self.paths.of(ran.n))

    def _after(
        self, machine: Machine, memory: Memory, leg: _Leg, ran: Ran, since: int
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

    def _freed_wrongly(self, memory: Memory, leg: _Leg, n: int) -> None:
        failure = wrong_free_failure(memory, self._path(memory, leg, n))
        self.sweep.causes.add(self.at, n, failure)
        self.sweep.deaths.died(self.paths.of(n), failure.key)
        leg.spoiled = rules.DOUBLE_FREE.name
        self.suspects = None

    def _settle_suspects(self, n: int | None) -> None:
        """If none of those who may have freed wrongly does so alone, it was one of them."""
        if self.suspects is not None and (n is None or n > self.suspects[1]):
            first, last, failure = self.suspects
            self.suspects = None
            for one in range(first, last + 1):
                self.sweep.causes.add(self.at, one, failure)

    def _done(self, machine: Machine, memory: Memory, leg: _Leg, done: Done) -> int | None:
        machine.wait_prompt()
        self._lived(leg, min(done.n, self.tally.points) + 1)
        if memory.wrong_frees() > leg.wrong_frees and leg.tried:
            self._freed_wrongly(memory, leg, leg.tried)
        self._compare(machine, memory, leg)
        return done.n + 1 if leg.last and done.n >= leg.last else None

    def _compare(self, machine: Machine, memory: Memory, leg: _Leg) -> None:
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

    def _gone(self, machine: Machine, memory: Memory, leg: _Leg) -> int:
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
        self.sweep.causes.add(self.at, n, failure)
        self.sweep.deaths.died(self.paths.of(n), failure.key)
        leg.spoiled = "gone"
        return n + 1

    def _died(self, died: GuestDied, leg: _Leg) -> int:
        """Note what a machine died of; return the number to go on with."""
        memory = Memory(died.machine.ram, self.bench.elf)
        if not leg.begun or leg.next == 0:
            raise _dies_anyway(died, self.bench)
        armed, current = memory.armed(), leg.current(memory)
        self._lived(leg, current)
        n = armed.n or current
        following = max(n, leg.tried) + 1
        refused = armed.n > 0 and armed.fired > 0
        if not refused or n < leg.first:  # nothing was refused since the last result
            if current == leg.first and (self.sweep.machines.fresh or current in self.again):
                raise _dies_anyway(died, self.bench)
            n, following = leg.tried if current == leg.first else current - 1, current
            self.again.add(current)
        if n == 0:
            return following  # what was tried before this leg did it; a fresh machine will tell
        path = self._path(memory, leg, n)
        if memory.wrong_frees() > leg.wrong_frees:
            failure = wrong_free_failure(memory, path, death_finding(died, self.bench.elf))
        else:
            failure = death_failure(died, self.bench.elf, path)
        self.sweep.causes.add(self.at, n, failure)
        self.sweep.deaths.died(self.paths.of(n), failure.key)
        return following

    def _path(self, memory: Memory, leg: _Leg, n: int) -> Path:
        """Return the call path of the n-th kalloc, which has been refused: memory has it if it
        was the last, and others that fail by the same path may have been seen."""
        armed = memory.armed()
        path = leg.path[1] if leg.path[0] == n else ()
        if not path and armed.n in (0, n):
            path = memory.path(armed.stack)
        if path and self.paths.of(n):
            self.sweep.known.setdefault(self.paths.of(n), path)
        return path or self.sweep.known.get(self.paths.of(n), ())


def _dies_anyway(died: GuestDied, bench: Bench) -> WorkloadFails:
    death = death_finding(died, bench.elf)
    return WorkloadFails(death_words(death), death.evidence, death.where)
