"""Sweeping workloads on machines, as many n on each as it survives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..audit.satp import RULES as SATP_RULES
from ..bench import Bench
from ..checks import Unchecked
from ..checks.audit import at_rest, new_findings
from ..finding import Finding
from ..machine import PROMPT, GuestDied, Machine
from ..trust import counts
from . import rules
from .causes import Round
from .evidence import Memory
from .groups import ranges
from .judge import Distrusted, Judge, Learned, Leg, WorkloadFails
from .machines import Machines
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
UNREADABLE = 8  # numbers that are tried again because their lines could not be read

HARTS = frozenset(rule.name for rule in SATP_RULES)

Audit = Callable[[Bench, Machine, str], list[Finding]]


@dataclass
class Sweep(Learned):
    """All that is swept, and what came of it."""

    bench: Bench
    machines: Machines
    audit: Audit = at_rest
    other: list[Finding] = field(default_factory=list)  # workloads that do not work
    anyway: list[tuple[str, Finding]] = field(default_factory=list)  # after these workloads
    unswept: dict[str, tuple[tuple[str, ...], Finding]] = field(default_factory=dict)
    # Guest seconds that one n may take, of each workload that was run with nothing failing.
    silence: dict[str, float] = field(default_factory=dict)
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


class _Sweeper:
    """Sweeps one workload in one mode."""

    def __init__(self, sweep: Sweep, at: Round) -> None:
        self.sweep, self.at, self.bench = sweep, at, sweep.bench
        self.judge = Judge(sweep, at, sweep.bench.elf)
        self.tally = self.judge.tally
        self.cost = 0  # boots
        self.doubtful = False  # what is broken may come of what has failed before

    def run(self) -> None:
        """Try all there is to try."""
        self.sweep.deaths.begin()
        if self.at.workload not in self.sweep.silence:  # in another mode nothing fails likewise
            self._leg(0, 0)
        if self.doubtful:
            self.sweep.machines.give_up()
            self._leg(0, 0)
        n: int | None = 1
        while n is not None:
            most = MAX_BOOTS if self.sweep.boots is None else TREE_ROUND_BOOTS
            if self.cost >= most and not self.sweep.deaths.exhaustive:
                self.tally.not_tried = max(0, len(self.judge.paths.hashes) - n + 1)
                self.tally.limit = f"the first {n - 1} took {self.cost} boots"
                break
            if self.sweep.used_up and self.cost:
                self.tally.not_tried = max(0, len(self.judge.paths.hashes) - n + 1)
                self.tally.limit = f"so many had died before that {TREE_BOOTS} boots were used up"
                break
            alone = n <= self.judge.alone_until
            n = self._leg(n, n if alone else self.sweep.deaths.last_to_try(n, self.judge.paths))
            if n is not None:
                n = self._leave_out(n)
            self.judge.settle_suspects(n)
        self._try_unread()

    def _leave_out(self, n: int) -> int:
        following = self.sweep.deaths.next_to_try(n, self.judge.paths)
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
        leg = Leg(first, last)
        machine = self.sweep.machines.get()
        leg.since = counts(Memory(machine.ram, self.bench.elf).ledger)
        self.bench.say(f"sweep: {self.at.workload} {self.at.mode} n={first}")
        try:
            # A site that nobody returns to: a run in which nothing fails, to look at likewise.
            what = f"{self.at.mode} {first} {last}" if first else "site 0"
            machine.send(f"probe {self.bench.nonce} sweep {self.at.workload} {what}")
            following = self._follow(machine, leg)
        except GuestDied as died:
            following = self.judge.died(died, leg, self.sweep.machines.fresh)
            leg.spoiled = died.death.kind
        self.sweep.machines.fresh = False
        self.judge.weigh_losses(leg)
        if leg.spoiled:
            slow = rules.OF_DEATH.get(leg.spoiled) is rules.HANG
            self.cost += HANG_COST if slow else 1
            self.sweep.spend(HANG_COST if slow else 1)
            self.judge.lost = 0
            self.sweep.machines.give_up()
        return following

    @property
    def _silence(self) -> float:
        return self.sweep.silence.get(self.at.workload, FIRST_SILENCE)

    def _follow(self, machine: Machine, leg: Leg) -> int | None:
        memory = Memory(machine.ram, self.bench.elf)
        wanted = rf"{line_pattern(self.bench.nonce)}|{PROMPT}"
        start = machine.guest_seconds()
        while True:
            match = machine.expect(
                wanted,
                f"the probe's n={leg.next}",
                self._silence if leg.begun else FIRST_SILENCE,
                alive=lambda: memory.armed().tried,
            )
            if match[1] is None:
                return self.judge.gone(machine, memory, leg)
            event = parse(match[1])
            if isinstance(event, Begun) and not leg.first:
                silence = max(SILENCE, machine.guest_seconds() - start)
                steady = self.sweep.machines.one_hart
                self.sweep.silence[self.at.workload] = silence * (1 if steady else UNSTEADY)
            if isinstance(event, Done):
                return self._done(machine, memory, leg, event)
            following = self._take(machine, memory, leg, event)
            if following is not None:
                return following

    def _take(
        self, machine: Machine, memory: Memory, leg: Leg, event: Event | None
    ) -> int | None:
        """Take in one line; return the number to go on with if the leg ends here."""
        leg.unread |= event is None
        if isinstance(event, CannotRun):
            raise WorkloadFails(event.what)
        if isinstance(event, Begun):
            self.judge.begun(memory, leg, event)
        elif isinstance(event, Ran):
            leg.lost += event.lost
            since = leg.next
            self.judge.ran(memory, leg, event)
            if not event.bad:  # else it waits until its end has been looked at
                return self.judge.after(machine, memory, leg, event, since)
        elif isinstance(event, Stopped) and event.after:
            self._look(machine, memory, leg, event.n)
            machine.send("")
        elif isinstance(event, Stopped) and event.n == 0:
            self._usual(leg, self._audit(machine, f"after `{self.at.workload}`"))
            machine.send("")
        elif isinstance(event, Stopped):
            self.judge.ended(memory, leg, event.n)
            if leg.spoiled:
                return event.n + 1
            machine.send("")
        return None

    def _look(self, machine: Machine, memory: Memory, leg: Leg, n: int) -> None:
        """Audit the machine right after the call."""
        armed = memory.armed()
        leg.path = n, memory.path(armed.stack) if armed.fired else ()
        found = self._audit(
            machine, f"right after `{self.at.workload}` with its kalloc {n} refused"
        )
        if not armed.fired:
            self._usual(leg, found)
        leg.looked = found

    def _usual(self, leg: Leg, found: list[Finding]) -> None:
        """Take in what is broken although nothing has failed in this run: it counts for no
        allocation, and is told once."""
        new = list(new_findings(found, set(self.sweep.usual)))
        if new and not leg.first and not self.sweep.machines.fresh:
            self.doubtful = True
            return
        self.sweep.usual |= {one.rule for one in new}
        self.sweep.anyway += [(self.at.workload, one) for one in new]

    def _audit(self, machine: Machine, when: str) -> list[Finding]:
        try:
            found = self.sweep.audit(self.bench, machine, when)
        except Unchecked:  # this kernel does not say enough of itself
            return []
        # What a hart has loaded depends on when it is looked at, not on what has failed.
        return [one for one in found if one.rule not in HARTS]

    def _done(self, machine: Machine, memory: Memory, leg: Leg, done: Done) -> int | None:
        machine.wait_prompt()
        self.judge.done(memory, leg, done)
        self.judge.compare(machine, memory, leg)
        return done.n + 1 if leg.last and done.n >= leg.last else None
