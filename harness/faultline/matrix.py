"""The matrix: the clean kernel and every variant, and what the checks say of each.

A target without an expected finding, or with every check asked for, is done in several jobs
(cases.py). Any other target is one job: its expected check comes first and mostly is the only
one.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .bench import Bench
from .build import KPTS, build_clean, build_variant, built
from .cases import Case, Job, Outcome, jobs_after, merged, needed_first, run_cases
from .catalogue import Fault
from .checks import Check, all_checks
from .errors import HarnessError
from .finding import Finding
from .jobs import Finished, Say, Started
from .qemu import Limits
from .runner import run_check, run_checks
from .sweep.protocol import Choice
from .verdict import CheckResult, TargetResult, clean_verdict, matches, variant_verdict

HARTS = (2, 3, 8)  # with which the clean kernels are checked, besides each check's own choice
LONG_HARTS = (None, 3)  # of these, the ones with which long checks are done
UNEXPECTED = "nothing is expected of it here; --all runs it"


@dataclass(frozen=True)
class Target:
    """What is under test: the reference kernel, clean or with one fault.

    `harts` are those of every machine it gets; None leaves that to each check.
    """

    kpt: str
    fault: Fault | None = None
    harts: int | None = None

    @property
    def id(self) -> str:
        """The name that reports use."""
        if self.fault is not None:
            return self.fault.id
        kind = "clean" if self.kpt == "share" else f"clean-{self.kpt}"
        return f"{kind}-{self.harts}-harts" if self.harts else kind

    @property
    def kind(self) -> str:
        """The schema's kind."""
        return "clean" if self.fault is None else "variant"


@dataclass(frozen=True)
class Plan:
    """What to do with every target."""

    root: Path
    scratch: Path
    every_check: bool = False  # go on after the expected finding
    only: str = ""  # the one check to run, if not all
    limits: Limits = field(default_factory=Limits)
    sweep: Choice = field(default_factory=Choice)

    def checks(self) -> list[Check]:
        """Return the checks to run, each after those it needs."""
        return [
            check
            for check in all_checks().values()
            if self.only == check.name or not self.only and not check.trees
        ]

    def divides(self, target: Target) -> bool:
        """Tell whether a target's checks are jobs of their own."""
        return target.fault is None or self.every_check

    def jobs_after(
        self, first: Job[Target], results: Sequence[CheckResult]
    ) -> tuple[list[Job[Target]], list[CheckResult]]:
        """Return the jobs that follow a target's first one, and the checks that are skipped.

        The expected check is never skipped.
        """
        target = first.target
        checks = [one for one in self.checks() if not one.long or target.harts in LONG_HARTS]
        expected = target.fault.expect.check if target.fault else ""
        return jobs_after(first, checks, results, lambda check: check.parts or ("",), expected)


@dataclass
class TargetCase(Case[Target]):
    """What is known so far of a target, and what is to be done with it."""

    plan: Plan = field(kw_only=True)

    def more(self, job: Job[Target]) -> list[Job[Target]]:
        """Return the jobs that follow from one that has ended."""
        if job.check or self.problem or not self.plan.divides(self.target):
            return []
        jobs, skipped = self.plan.jobs_after(job, self.results)
        self.results += skipped
        return jobs

    def result(self) -> TargetResult:
        """Return the target's result.

        The expected check comes first, so that what it found is shown first.
        """
        fault = self.target.fault
        first = fault.expect.check if fault else ""
        order = [check.name for check in self.plan.checks()]
        results = tuple(
            sorted(
                merged(self.results),
                key=lambda one: (one.check != first, order.index(one.check)),
            )
        )
        if self.problem:
            verdict = "error"
        else:
            verdict = variant_verdict(fault.expect, results) if fault else clean_verdict(results)
        return TargetResult(
            self.target.id,
            self.target.kind,
            fault.fault_class if fault else "",
            verdict,
            fault.expect if fault else None,
            results,
            self.seconds,
            self.problem,
        )


def clean_targets() -> list[Target]:
    """Return the clean kernels, each way of making kernel tables with each number of harts."""
    return [Target(kpt, harts=harts) for harts in (None, *HARTS) for kpt in KPTS]


def run_matrix(
    targets: Sequence[Target], plan: Plan, limit: int
) -> Iterator[Started[Job[Target]] | Finished[Job[Target]] | TargetResult]:
    """Build and check targets in parallel; yield progress, and each result as it comes.

    The clean kernels are built first: their objects are shared with the variants.
    """
    for kpt in dict.fromkeys(target.kpt for target in targets):
        yield Started(Job(Target(kpt)), "build")
        try:
            build_clean(plan.root, kpt)
        except HarnessError as error:
            for target in targets:
                if target.kpt == kpt:
                    yield TargetCase(target, problem=str(error), plan=plan).result()
            targets = [target for target in targets if target.kpt != kpt]
        yield Finished(Job(Target(kpt)), None)
    cases = [TargetCase(target, plan=plan) for target in longest_first(targets)]
    yield from run_cases(cases, lambda job, say: Outcome(run_job(job, plan, say)), limit)


def longest_first(targets: Sequence[Target]) -> list[Target]:
    """Order targets so that what takes long does not come last."""

    def rank(target: Target) -> int:
        if target.fault is None:
            return 0
        expected = all_checks().get(target.fault.expect.check)
        return 1 if expected is not None and not expected.quick else 2

    return sorted(targets, key=rank)


def run_job(job: Job[Target], plan: Plan, say: Say) -> list[CheckResult]:
    """Do one job; raises HarnessError if the target cannot be built."""
    target, fault = job.target, job.target.fault
    if job.check or fault is None:
        build = built(plan.root, target.kpt, fault)
    else:
        say("build")
        build = build_variant(plan.root, target.kpt, fault)
    with tempfile.TemporaryDirectory(dir=plan.scratch, prefix="target-") as folder:
        bench = Bench(
            build,
            Path(folder),
            fault.harts if fault else target.harts,
            plan.limits,
            say=say,
            part=job.part,
            test=fault.expect.test if fault else "",
            sweep=dataclasses.replace(plan.sweep, first=_first_workload(plan, fault)),
        )
        if job.check:
            say(f"{job.check} {job.part}".rstrip())
            result = run_check(all_checks()[job.check], bench)
            return [dataclasses.replace(result, part=job.part)]
        if plan.divides(target):
            return run_checks(needed_first(plan.checks()), bench)
        assert fault is not None  # a target without one is divided
        return _run_until_expected(plan.checks(), fault, bench)


def _first_workload(plan: Plan, fault: Fault | None) -> str:
    """Return the workload that is expected to show a fault, unless another one is asked for."""
    expected = fault.expect.workload if fault else ""
    return expected if plan.sweep.workload in ("", expected) else ""


def _run_until_expected(
    checks: Sequence[Check], fault: Fault, bench: Bench
) -> list[CheckResult]:
    """Run the expected check, and the others if it does not show what is expected."""
    expect = fault.expect

    def expected(finding: Finding) -> bool:
        return matches(finding, expect)

    if expect.no_oracle:
        wanted = [check for check in checks if check.quick]
    else:
        wanted = [check for check in checks if check.name == expect.check or not check.long]
    results = run_checks(expected_first(wanted, expect.check), bench, enough=expected)
    if any(expected(finding) for result in results for finding in result.findings):
        return results
    return results + [
        CheckResult(check.name, "skip", 0.0, UNEXPECTED) for check in checks if check not in wanted
    ]


def expected_first(checks: Sequence[Check], name: str) -> list[Check]:
    """Return the checks with the one of that name at the front."""
    return sorted(checks, key=lambda check: check.name != name)
