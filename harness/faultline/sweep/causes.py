"""Failures of many n put together: one finding a cause."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from ..finding import Finding, Rule, Table, Where
from ..unwind import path_text
from .groups import ENOUGH, LIVED, ranges
from .rules import OF_DEATH, PANIC

EVIDENCE = 8000  # characters of one failure's evidence that are kept
COLUMNS = (
    "workload", "mode", "allocation points", "survived", "failed", "left out", "not tried",
    "distinct causes",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """A workload in one mode."""

    workload: str
    mode: str

    @property
    def all_after(self) -> bool:
        """Whether all that follow the n-th fail, too."""
        return self.mode == "from"

    def __str__(self) -> str:
        failing = "the n-th" if self.mode == "nth" else "the n-th and all after it"
        return f"`{self.workload}`, failing {failing}"


@dataclass(frozen=True)
class Failure:
    """What one n has shown. `path` is the call path of the allocation that failed, without
    the allocator, innermost first; `place` tells failures apart that have the same."""

    rule: Rule
    path: tuple[Where, ...]
    place: Hashable
    happened: str  # continues "When this allocation fails, "; ends with a full stop
    evidence: str = ""
    hint: str = ""

    @property
    def key(self) -> Hashable:
        """What failures of the same cause have in common.

        Where a kernel dies in the same way, it matters no more which of several calls in one
        function has led to the allocation; nor who had called the function that then dies.
        """
        path: Hashable = self.path
        if self.rule in OF_DEATH.values():
            functions = [(place.file, place.function) for place in self.path]
            path = self.path[:1], tuple(functions[: self._dies_at + 1] or functions)
        return self.rule.name, path, self.place

    @property
    def _dies_at(self) -> int:
        """Which of the allocation's callers panics; -1 if none does.

        Who has asked for the page may be at work for somebody else when it traps, as walk() may.
        """
        if self.rule is not PANIC:
            return -1
        names = [f" {place.function}()" for place in self.path]
        found = (n for n, name in enumerate(names) if str(self.place).endswith(name))
        return next((n for n in found if n or not self._trapped), -1)

    @property
    def _trapped(self) -> bool:
        return " at 0x" in self.happened  # not by calling panic() itself

    @property
    def died_at(self) -> str:
        """Where the kernel called panic(), if that is on the call path of the allocation; else
        nothing: then, or if it was a trap, the place of death alone does not tell of the cause."""
        return "" if self._dies_at < 0 or self._trapped else str(self.place)

    @property
    def at_home(self) -> bool:
        """Whether the function that asked for the page is the one that panicked."""
        return bool(self.path) and self.died_at.endswith(f" {self.path[0].function}()")


@dataclass
class Cause:
    """Failures that are one mistake; the first of them stands for all."""

    first: Failure
    example: tuple[Round, int]  # where `first` was seen
    numbers: dict[Round, list[int]] = field(default_factory=dict)
    reported: bool = False

    @property
    def all_after(self) -> bool:
        """Whether it was only ever seen when all the following failed, too."""
        return all(round_.all_after for round_ in self.numbers)

    def finding(self, left_out: dict[Round, str]) -> Finding:
        """Return what is to be said of it; `left_out` are words on what was not tried."""
        first, path = self.first, self.first.path
        in_words = f"`, `".join(dict.fromkeys(one.workload for one in self.numbers))
        once = sum(len(numbers) for numbers in self.numbers.values()) == 1
        what = f"When this allocation fails in `{in_words}`, " if path else (
            f"When an allocation fails in `{in_words}`, "
        )
        lines = [f"Seen at {each}: n = {ranges(ns)}" for each, ns in self.numbers.items()]
        lines += dict.fromkeys(f"  {left_out[each]}" for each in self.numbers if each in left_out)
        round_, n = self.example
        command = f"probe NONCE sweep {round_.workload} {round_.mode} {n} {n}"
        return first.rule.finding(
            what + first.happened + ("" if once else f" {self._how_often()}"),
            where=path[0] if path else Where(),
            evidence="The allocation that failed was asked for by\n"
            + path_text(list(path))
            + "\n"
            + "\n".join(lines)
            + f"\nTo see it: {command}"
            + (f"\n{first.evidence}" if first.evidence else ""),
            hint=first.hint,
            path=path,
        )

    def _how_often(self) -> str:
        count = sum(len(numbers) for numbers in self.numbers.values())
        each = "; ".join(f"{one.mode} {ranges(ns)}" for one, ns in self.numbers.items())
        return f"({count} times: {each}.)" if len(self.numbers) < 4 else f"({count} times.)"


@dataclass
class Tally:
    """What became of each n of one round."""

    points: int = 0
    survived: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    left_out: set[int] = field(default_factory=set)
    not_tried: int = 0
    limit: str = ""  # why the rest was not tried

    def words(self) -> str:
        """Return in words what was not tried, or nothing."""
        said = []
        if self.left_out:
            said.append(
                f"n = {ranges(self.left_out)} left out: of the same call paths as others, of which "
                f"{ENOUGH} in a row had died alike, or {LIVED} had survived (--exhaustive tries all)"
            )
        if self.not_tried:
            said.append(f"the last {self.not_tried} not tried: {self.limit}")
        return "; ".join(said)


@dataclass
class Causes:
    """All that a sweep has found, and what it has tried."""

    found: dict[Hashable, Cause] = field(default_factory=dict)
    tallies: dict[Round, Tally] = field(default_factory=dict)

    def add(self, at: Round, n: int, failure: Failure) -> None:
        """Note that the n-th allocation's failure has shown something."""
        cause = self._cause(at, failure)
        if cause is None:
            cause = self.found.setdefault(failure.key, Cause(failure, (at, n)))
        elif failure.at_home and not cause.first.at_home:
            cause.first, cause.example = failure, (at, n)
        numbers = cause.numbers.setdefault(at, [])
        if n not in numbers:
            numbers.append(n)
        tally = self.tally(at)
        tally.failed.add(n)
        tally.survived.discard(n)

    def _cause(self, at: Round, failure: Failure) -> Cause | None:
        """Return what a failure belongs to, if that has been seen.

        Where all from one on fail, the kernel may die of any of them, whichever was the first: so
        what died at one place on their way is one cause, and what that function had asked for
        itself tells best which.
        """
        known = self.found.get(failure.key)
        if known is not None or failure.rule is not PANIC:
            return known
        place = str(failure.place)
        there = [one for one in self.found.values() if place and one.first.died_at == place]
        return next(
            (one for one in there if at.all_after or one.all_after and failure.died_at), None
        )

    def tally(self, at: Round) -> Tally:
        """Return what became of each n of a round."""
        return self.tallies.setdefault(at, Tally())

    def findings(self) -> Iterator[Finding]:
        """Yield the causes that were not yielded before."""
        left_out = {at: tally.words() for at, tally in self.tallies.items() if tally.words()}
        for cause in self.found.values():
            if not cause.reported:
                cause.reported = True
                yield cause.finding(left_out)

    def table(self) -> Table:
        """Return a row for each round."""
        rows = []
        for at, tally in self.tallies.items():
            causes = sum(at in cause.numbers for cause in self.found.values())
            rows.append(
                (at.workload, at.mode, tally.points, len(tally.survived), len(tally.failed),
                 len(tally.left_out), tally.not_tried, causes)
            )  # fmt: skip
        return Table("allocation failures", COLUMNS, tuple(rows))
