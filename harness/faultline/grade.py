"""Grading trees: each is copied, built and booted, and every check looks at it.

The first job of a tree builds it, on a copy, and boots it; then come the checks (cases.py).
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import archive, sandbox, sparse
from .bench import Bench
from .build import Build, build_probe
from .cases import Case, Job, Outcome, jobs_after, merged, needed_first, run_cases
from .checks import Check, all_checks
from .errors import UsageError
from .fsimage import Image, ImageError
from .fsinject import add_file
from .jobs import Finished, Say, Started
from .lab import Lab
from .qemu import Limits
from .runner import run_check, run_checks
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
    bounds: sandbox.Bounds = field(default_factory=sandbox.Bounds)  # of a build
    room: archive.Room = field(default_factory=archive.Room)  # that a tree may take
    lab: Lab | None = None  # whose points are asked for
    pristine: Path | None = None  # the course's handout, for the files that may not be changed

    def checks(self) -> list[Check]:
        """Return the checks to run, each after those it needs; the lab's own come last."""
        own = self.lab.checks() if self.lab else []
        chosen = [check for check in all_checks().values() if self.only in ("", check.name)]
        return [*chosen, *own]

    def check(self, name: str) -> Check:
        """Return the check of that name."""
        return next(check for check in self.checks() if check.name == name)

    def look(self, tree: Path) -> list[CheckResult]:
        """Do what the lab asks for before a tree is built."""
        return self.lab.look(tree, self.pristine) if self.lab else []


@dataclass
class TreeCase(Case[Source]):
    """What is known so far of a tree, and what is to be done with it."""

    plan: Plan = field(kw_only=True)
    last: list[Check] = field(default_factory=list)  # what others may make unnecessary

    def more(self, job: Job[Source]) -> list[Job[Source]]:
        """Return the jobs that follow from one that has ended."""
        if self.build is None:
            return []
        jobs = [] if job.check else self.jobs_after(dataclasses.replace(job, build=self.build))
        return jobs if jobs or self.waiting else self.last_jobs()

    def jobs_after(self, first: Job[Source]) -> list[Job[Source]]:
        """Return the jobs that follow the first one; note what is skipped, and what is to run
        at the very end, if it is still needed then."""
        jobs, skipped = jobs_after(first, self.plan.checks(), self.results, _parts)
        self.results += skipped
        later = self.plan.lab.later() if self.plan.lab else set()
        names = dict.fromkeys(job.check for job in jobs if job.check in later)
        self.last = [self.plan.check(name) for name in names]
        return [job for job in jobs if job.check not in later]

    def last_jobs(self) -> list[Job[Source]]:
        """Return the jobs that are still needed when all others have ended."""
        lab = self.plan.lab
        answered = lab.answered(merged(self.results)) if lab and self.last else []
        names = {check.name for check in self.last}
        self.results += [result for result in answered if result.check in names]
        known = {result.check for result in answered}
        left = [check.name for check in self.last if check.name not in known]
        self.last = []
        return [Job(self.target, name, build=self.build) for name in left]

    def interrupted(self) -> TargetResult:
        """Return what there is of a result."""
        self.waiting += [Job(self.target, check.name) for check in self.last]
        return super().interrupted()

    def result(self) -> TargetResult:
        """Return the tree's result. With a lab, points decide whether it has passed."""
        lab = self.plan.lab
        own = lab.names() if lab else []
        order = list(dict.fromkeys([BUILD, *(check.name for check in self.plan.checks()), *own]))
        results = tuple(sorted(merged(self.results), key=lambda one: order.index(one.check)))
        verdict = "error" if self.problem else tree_verdict(results)
        points = lab.score(results) if lab and not self.problem else None
        if points is not None and verdict != "error":
            known = points.earned is not None
            verdict = ("pass" if points.passed else "fail") if known else "error"
        seconds = time.monotonic() - self.begun
        return TargetResult(
            self.target.id, "tree", "", verdict, None, results, seconds, self.problem, points
        )


def tree_verdict(results: Iterable[CheckResult]) -> str:
    """Return a tree's verdict: a check that could not look at it does not fail it.

    A tree that no check could look at has not passed: that it builds is not enough.
    """
    results = list(results)
    statuses = {result.status for result in results}
    if "error" in statuses:
        return "error"
    looked = any(result.status == "pass" for result in results if result.check != BUILD)
    return "pass" if looked and "fail" not in statuses else "fail"


def run_trees(
    sources: Sequence[Source], plan: Plan, limit: int
) -> Iterator[Started[Job[Source]] | Finished[Job[Source]] | TargetResult]:
    """Grade trees in parallel; yield progress, and each result as it comes.

    Raises HarnessError if no tree can be graded here, and UsageError if the only tree is
    none.
    """
    sandbox.require()
    folder = plan.scratch / "tools"
    folder.mkdir()
    tools = make_tools(folder)
    probe = build_probe(plan.root).read_bytes()

    def work(job: Job[Source], say: Say) -> Outcome:
        try:
            return _run_job(job, plan, tools, probe, say)
        except UsageError as error:
            return Outcome([], problem=str(error), unusable=True)

    cases = [TreeCase(source, plan=plan) for source in sources]
    for event in run_cases(cases, work, limit):
        if isinstance(event, Finished) and len(cases) == 1:
            if event.result is not None and event.result.unusable:
                raise UsageError(event.result.problem)
        yield event


def _run_job(
    job: Job[Source], plan: Plan, tools: Tools, probe: bytes, say: Say
) -> Outcome:
    if job.build is None:
        return _first_job(job, plan, tools, probe, say)
    build, check = job.build, plan.check(job.check)

    def run() -> list[CheckResult]:
        with _bench(build, plan, say, job.part) as bench:
            return [dataclasses.replace(run_check(check, bench), part=job.part)]

    say(f"{job.check} {job.part}".rstrip())
    return Outcome(_twice_if_broken(run, say))


def _twice_if_broken(run: Callable[[], list[CheckResult]], say: Say) -> list[CheckResult]:
    """Run checks, and once more if the harness could not do one: it may have been this host,
    just then."""
    results = run()
    broken = next((result for result in results if result.status == "error"), None)
    if broken is None:
        return results
    say(f"{broken.check} {broken.part}".rstrip() + f" once more, for {broken.reason}")
    return run()


def _first_job(
    job: Job[Source], plan: Plan, tools: Tools, probe: bytes, say: Say
) -> Outcome:
    """Build a tree, and run what the other checks need."""
    say(BUILD)
    start = time.monotonic()
    seen: list[CheckResult] = []
    try:
        build = prepare(
            job.target, plan.scratch, tools, probe, plan.bounds, plan.room,
            lambda tree: seen.extend(plan.look(tree)),
        )  # fmt: skip
    except DoesNotBuild as failed:
        seconds = time.monotonic() - start
        finding = dataclasses.replace(failed.finding, check=BUILD)
        failure = CheckResult(BUILD, "fail", seconds, "", (finding,))
        return Outcome([failure, *seen, *_all_skipped(plan.checks(), "it does not build")])
    took = time.monotonic() - start
    needed = needed_first(plan.checks())
    first = needed or [all_checks()["boot"]]  # the disk must be there for any check
    results = _first_results(first, build, plan, say)
    for other in other_boards(build, results):
        again = _first_results(first, other, plan, say)
        if all(result.status == "pass" for result in again):
            build, results = other, again
            break
    results = results if needed else []
    made = CheckResult(BUILD, "pass", took, "; ".join(build.notes))
    return Outcome([made, *seen, *results], build=build)


def _first_results(
    checks: list[Check], build: Build, plan: Plan, say: Say
) -> list[CheckResult]:
    def run() -> list[CheckResult]:
        with _bench(dataclasses.replace(build), plan, say) as bench:
            return run_checks(checks, bench)

    return _twice_if_broken(run, say)


def other_boards(build: Build, results: Sequence[CheckResult]) -> Iterator[Build]:
    """Yield the same build with what its kernel may have missed when it did not boot."""
    if lacks_disk(results):
        yield with_other_virtio(build)
    if build.board.asked > 1 and any(result.status == "fail" for result in results):
        yield with_all_harts(build)


def with_all_harts(build: Build) -> Build:
    """Return a build to be booted with never fewer harts than its Makefile asks for."""
    board = dataclasses.replace(build.board, least=build.board.asked)
    note = f"it only boots with all the {board.asked} harts that its Makefile asks for"
    return dataclasses.replace(build, board=board, notes=(*build.notes, note))


def lacks_disk(results: Iterable[CheckResult]) -> bool:
    """Tell whether a kernel did not boot and says, or its call path does, that it is the disk."""
    return any(
        "virtio" in f"{finding.message} {finding.evidence}"
        for result in results
        if result.status == "fail"
        for finding in result.findings
    )


def with_other_virtio(build: Build) -> Build:
    """Return a build to be booted with the other version of virtio-mmio, and a note of it."""
    legacy = not build.board.legacy_virtio
    version = 1 if legacy else 2
    note = f"its Makefile asks for another version of virtio-mmio than {version}, which it needs"
    board = dataclasses.replace(build.board, legacy_virtio=legacy)
    return dataclasses.replace(build, board=board, notes=(*build.notes, note))


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


def prepare(
    source: Source,
    scratch: Path,
    tools: Tools,
    probe: bytes,
    bounds: sandbox.Bounds = sandbox.Bounds(),
    room: archive.Room = archive.Room(),
    before: Callable[[Path], None] = lambda tree: None,
) -> Build:
    """Copy a tree, build it, and put the probe into its file system.

    `before` gets the copy before it is built. Raises UsageError if there is no tree, and
    DoesNotBuild.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix="built-"))
    job, out = folder / "job", folder / "out"
    job.mkdir()
    out.mkdir()
    try:
        tree, left_out = fetch(source, job, room)
        before(tree)
        build = build_tree(tree, job, out, tools, bounds)
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
    sparse.write(disk, image.data)
    return ""


def _parts(check: Check) -> tuple[str, ...]:
    """Return the parts in which a check of a tree is done.

    The sweep of one dies of the same allocations in many workloads, so it goes on where others
    have shown that.
    """
    return check.parts if check.parts and check.name != "sweep" else ("",)


def _all_skipped(checks: Iterable[Check], reason: str) -> list[CheckResult]:
    return [CheckResult(check.name, "skip", 0.0, reason) for check in checks]
