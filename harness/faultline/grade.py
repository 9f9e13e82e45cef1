"""Grading trees: each is copied, built and booted, and every check looks at it.

The first job of a tree builds it and runs what the other checks need; then comes one job
for each check, or each part of one.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import archive, sandbox
from .bench import Bench
from .build import Build, build_probe
from .checks import Check, all_checks
from .errors import HarnessError, UsageError
from .fsimage import Image, ImageError
from .fsinject import add_file
from .jobs import Finished, Say, Started, run_jobs
from .matrix import merged, needed_first
from .qemu import Limits
from .runner import run_check, run_checks, unmet
from .sweep.protocol import Choice
from .treebuild import DoesNotBuild, Tools, build_tree, make_tools
from .treesource import Source, fetch
from .verdict import CheckResult, TargetResult

BUILD = "build"  # what the building of a tree is called among its checks


@dataclass(frozen=True)
class Plan:
    """What to do with every tree."""

    root: Path  # the project's
    scratch: Path
    only: str = ""  # the one check to run, if not all
    limits: Limits = field(default_factory=Limits)
    sweep: Choice = field(default_factory=Choice)

    def checks(self) -> list[Check]:
        """Return the checks to run, each after those it needs."""
        return [check for check in all_checks().values() if self.only in ("", check.name)]


@dataclass(frozen=True)
class Job:
    """One thing to do with a tree: building it, or a check, or a part of one."""

    source: Source
    check: str = ""
    part: str = ""
    build: Build | None = None

    @property
    def id(self) -> str:
        """The name under which progress is shown."""
        return " ".join(filter(None, (self.source.id, self.check, self.part)))


@dataclass(frozen=True)
class _Outcome:
    """What one job brought. `unusable` is why there is no tree to look at."""

    results: list[CheckResult]
    seconds: float
    problem: str = ""
    unusable: str = ""
    build: Build | None = None


@dataclass
class _Case:
    """What is known so far of a tree."""

    source: Source
    waiting: int = 1  # jobs that have not ended
    results: list[CheckResult] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    def result(self, order: Sequence[str]) -> TargetResult:
        """Return the tree's result; `order` has the names of all checks."""
        results = tuple(sorted(merged(self.results), key=lambda one: order.index(one.check)))
        verdict = "error" if self.problem else tree_verdict(results)
        return TargetResult(
            self.source.id, "tree", "", verdict, None, results, self.seconds, self.problem
        )


def tree_verdict(results: Iterable[CheckResult]) -> str:
    """Return a tree's verdict: a check that could not look at it does not fail it.

    A tree that no check could look at has not passed.
    """
    statuses = {result.status for result in results}
    if "error" in statuses:
        return "error"
    return "pass" if "fail" not in statuses and "pass" in statuses else "fail"


def run_trees(
    sources: Sequence[Source], plan: Plan, limit: int
) -> Iterator[Started[Job] | Finished[Job] | TargetResult]:
    """Grade trees in parallel; yield progress, and each result as it comes.

    Raises HarnessError if no tree can be graded here, and UsageError if the only tree is
    none.
    """
    sandbox.require()
    folder = plan.scratch / "tools"
    folder.mkdir()
    tools = make_tools(folder)
    probe = build_probe(plan.root).read_bytes()
    cases = {source: _Case(source) for source in sources}
    order = [BUILD, *(check.name for check in plan.checks())]

    def work(job: Job, say: Say) -> _Outcome:
        start = time.monotonic()
        outcome = _Outcome([], 0.0)
        try:
            outcome = _run_job(job, plan, tools, probe, say)
        except UsageError as error:
            outcome = _Outcome([], 0.0, str(error), unusable=str(error))
        except HarnessError as error:
            outcome = _Outcome([], 0.0, str(error))
        return dataclasses.replace(outcome, seconds=time.monotonic() - start)

    def then(finished: Finished[Job]) -> Sequence[Job]:
        case = cases[finished.job.source]
        outcome = finished.result or _Outcome([], 0.0, finished.problem)
        if outcome.unusable and len(cases) == 1:
            raise UsageError(outcome.unusable)
        case.results += outcome.results
        case.seconds += outcome.seconds
        case.problem = case.problem or outcome.problem
        case.waiting -= 1
        if finished.job.check or outcome.build is None:
            return ()
        more, skipped = _jobs_after(finished.job.source, outcome.build, plan, case.results)
        case.results += skipped
        case.waiting += len(more)
        return more

    for event in run_jobs([Job(source) for source in cases], work, limit, then):
        yield event
        if isinstance(event, Finished) and cases[event.job.source].waiting == 0:
            yield cases[event.job.source].result(order)


def _run_job(job: Job, plan: Plan, tools: Tools, probe: bytes, say: Say) -> _Outcome:
    if job.build is not None:
        say(f"{job.check} {job.part}".rstrip())
        with _bench(job.build, plan, say, job.part) as bench:
            result = run_check(all_checks()[job.check], bench)
        return _Outcome([dataclasses.replace(result, part=job.part)], 0.0)
    say(BUILD)
    start = time.monotonic()
    try:
        build = prepare(job.source, plan.scratch, tools, probe)
    except DoesNotBuild as failed:
        seconds = time.monotonic() - start
        finding = dataclasses.replace(failed.finding, check=BUILD)
        failure = CheckResult(BUILD, "fail", seconds, "", (finding,))
        return _Outcome([failure, *_all_skipped(plan.checks(), "it does not build")], 0.0)
    made = CheckResult(BUILD, "pass", time.monotonic() - start, "; ".join(build.notes))
    first = needed_first(plan.checks())
    results = []
    if first:
        with _bench(dataclasses.replace(build), plan, say) as bench:
            results = run_checks(first, bench)
    return _Outcome([made, *results], 0.0, build=build)


class _bench:
    """A bench with a folder of its own, as a context manager."""

    def __init__(self, build: Build, plan: Plan, say: Say, part: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(dir=plan.scratch, prefix="tree-")
        self._bench = Bench(
            build, Path(self._folder.name), None, plan.limits, say=say, part=part, sweep=plan.sweep
        )

    def __enter__(self) -> Bench:
        return self._bench

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()


def prepare(source: Source, scratch: Path, tools: Tools, probe: bytes) -> Build:
    """Copy a tree, build it, and put the probe into its file system.

    Raises UsageError if there is no tree, and DoesNotBuild.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix="built-"))
    job, out = folder / "job", folder / "out"
    job.mkdir()
    out.mkdir()
    try:
        tree, left_out = fetch(source, job)
        build = build_tree(tree, job, out, tools)
    finally:
        archive.remove(job)
    missing = put_probe(build.disk, probe)
    return dataclasses.replace(
        build, notes=(*left_out, *build.notes), probe_missing=missing
    )


def put_probe(disk: Path, probe: bytes) -> str:
    """Add the probe to a file system image; return in words why it could not be."""
    try:
        image = Image.load(disk)
        add_file(image, "probe", probe)
    except ImageError as error:
        return f"the probe cannot be put into the file system image: {error}"
    disk.write_bytes(image.data)
    return ""


def _jobs_after(
    source: Source, build: Build, plan: Plan, results: Sequence[CheckResult]
) -> tuple[list[Job], list[CheckResult]]:
    """Return the jobs that follow a tree's first one, and the checks that are skipped."""
    done = {result.check for result in results}
    jobs: list[Job] = []
    skipped: list[CheckResult] = []
    for check in sorted(plan.checks(), key=lambda check: not check.parts):
        if check.name in done:
            continue
        skip = unmet(check, results)
        if skip is not None:
            skipped.append(skip)
        else:
            jobs += [Job(source, check.name, part, build) for part in check.parts or ("",)]
    return jobs, skipped


def _all_skipped(checks: Iterable[Check], reason: str) -> list[CheckResult]:
    return [CheckResult(check.name, "skip", 0.0, reason) for check in checks]
