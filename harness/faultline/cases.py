"""What is known of each target while its checks run: what the matrix and grading have in common.

The first job of a target makes ready what its other checks need, and runs what they need to
have passed. Then comes a job for each check, or each part of one. When a target's last job has
ended, the results are put together.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from .build import Build
from .checks import Check
from .errors import HarnessError
from .finding import Table
from .jobs import Finished, Say, Started, run_jobs
from .lifeline import Interrupted
from .runner import unmet
from .verdict import INTERRUPTED, CheckResult, TargetResult

STATUSES = ("pass", "skip", "fail", "error")  # of a check's parts, the last of these counts


class Named(Protocol):
    """A target has the name that reports use. It can be a dictionary's key."""

    @property
    def id(self) -> str:
        """That name."""


Of = TypeVar("Of", bound=Named)


@dataclass(frozen=True)
class Job(Generic[Of]):
    """One thing to do with a target: its first job, or a check, or a part of one."""

    target: Of
    check: str = ""
    part: str = ""
    build: Build | None = None  # what the first job made

    @property
    def id(self) -> str:
        """The name under which progress is shown."""
        return " ".join(filter(None, (self.target.id, self.check, self.part)))


@dataclass(frozen=True)
class Outcome:
    """What one job brought. `problem` is why it could not be done; it may be that there is
    nothing to look at."""

    results: list[CheckResult]
    seconds: float = 0.0
    problem: str = ""
    unusable: bool = False
    build: Build | None = None


@dataclass
class Case(Generic[Of]):
    """What is known so far of a target."""

    target: Of
    results: list[CheckResult] = field(default_factory=list)
    seconds: float = 0.0  # of all its jobs
    begun: float = 0.0  # when its first job was
    problem: str = ""
    build: Build | None = None
    waiting: list[Job[Of]] = field(default_factory=list)  # jobs that have not ended

    def more(self, job: Job[Of]) -> list[Job[Of]]:
        """Return the jobs that follow from one that has ended."""
        raise NotImplementedError

    def result(self) -> TargetResult:
        """Return the target's result, from all that is known."""
        raise NotImplementedError

    def take(self, finished: Finished[Job[Of]]) -> list[Job[Of]]:
        """Note what a job brought; return the jobs that follow."""
        outcome = finished.result or Outcome([], problem=finished.problem)
        self.results += outcome.results
        self.seconds += outcome.seconds
        self.problem = self.problem or outcome.problem
        self.build = self.build or outcome.build
        self.waiting.remove(finished.job)
        more = self.more(finished.job)
        self.waiting += more
        return more

    def interrupted(self) -> TargetResult:
        """Return what there is of a result: what is not done is an error, and so is all of it."""
        self.results += [
            CheckResult(job.check, "error", 0.0, INTERRUPTED, part=job.part)
            for job in self.waiting
        ]
        self.problem = self.problem or INTERRUPTED
        return dataclasses.replace(self.result(), unfinished=True)


def run_cases(
    cases: Iterable[Case[Of]], work: Callable[[Job[Of], Say], Outcome], limit: int
) -> Iterator[Started[Job[Of]] | Finished[Job[Of]] | TargetResult]:
    """Do the jobs of all cases in parallel; yield progress, and each result as it comes.

    An interruption gives, before it goes on, what is known of those that are not done.
    """
    cases_of = {case.target: case for case in cases}
    for case in cases_of.values():
        case.waiting = [Job(case.target)]

    def timed(job: Job[Of], say: Say) -> Outcome:
        start = time.monotonic()
        try:
            outcome = work(job, say)
        except HarnessError as error:
            outcome = Outcome([], problem=str(error))
        return dataclasses.replace(outcome, seconds=time.monotonic() - start)

    def then(finished: Finished[Job[Of]]) -> Sequence[Job[Of]]:
        return cases_of[finished.job.target].take(finished)

    first = [job for case in cases_of.values() for job in case.waiting]
    try:
        for event in run_jobs(first, timed, limit, then):
            case = cases_of[event.job.target]
            case.begun = case.begun or time.monotonic()
            yield event
            if isinstance(event, Finished) and not case.waiting:
                yield case.result()
    except Interrupted:
        for case in cases_of.values():
            if case.waiting and case.results:
                yield case.interrupted()
        raise


def jobs_after(
    first: Job[Of],
    checks: Sequence[Check],
    results: Sequence[CheckResult],
    parts: Callable[[Check], Sequence[str]],
    always: str = "",
) -> tuple[list[Job[Of]], list[CheckResult]]:
    """Return the jobs of the checks that have no result yet, and the checks that are skipped.

    What takes longest comes first, so that the last to end are short. The check `always` is never
    skipped.
    """
    done = {result.check for result in results}
    jobs: list[Job[Of]] = []
    skipped: list[CheckResult] = []
    for check in sorted(checks, key=lambda check: (not check.long, -len(check.parts))):
        if check.name in done:
            continue
        skip = unmet(check, results) if check.name != always else None
        if skip is not None:
            skipped.append(skip)
        else:
            of_check = dataclasses.replace(first, check=check.name)
            jobs += [dataclasses.replace(of_check, part=part) for part in parts(check)]
    return jobs, skipped


def needed_first(checks: Sequence[Check]) -> list[Check]:
    """Return those checks that others of them need."""
    needed = {need for check in checks for need in check.needs}
    return [check for check in checks if check.name in needed]


def merged(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Return one result a check, its parts put together in the order of their names."""
    by_check: dict[str, list[CheckResult]] = {}
    for result in sorted(results, key=lambda result: result.part):
        by_check.setdefault(result.check, []).append(result)
    return [_merge(parts) for parts in by_check.values()]


def _merge(parts: Sequence[CheckResult]) -> CheckResult:
    return dataclasses.replace(
        parts[0],
        status=max((part.status for part in parts), key=STATUSES.index),
        seconds=sum(part.seconds for part in parts),
        reason="; ".join(dict.fromkeys(part.reason for part in parts if part.reason)),
        findings=tuple(finding for part in parts for finding in part.findings),
        part="",
        table=_joined([part.table for part in parts if part.table is not None]),
    )


def _joined(tables: Sequence[Table]) -> Table | None:
    joined: Table | None = None
    for table in reversed(tables):
        joined = table.joined(joined)
    return joined
