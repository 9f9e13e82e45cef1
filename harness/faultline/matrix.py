"""The matrix: the clean kernel and every variant, and what the checks say of each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .bench import Bench
from .build import build_clean, build_variant
from .catalogue import Fault
from .checks import Check, all_checks
from .errors import HarnessError
from .jobs import Finished, Say, Started, run_jobs
from .machine import Limits
from .runner import run_checks
from .verdict import CheckResult, TargetResult, clean_verdict, matches, variant_verdict


@dataclass(frozen=True)
class Target:
    """What is under test: the reference kernel, clean or with one fault."""

    kpt: str
    fault: Fault | None = None

    @property
    def id(self) -> str:
        """The name that reports use."""
        if self.fault is None:
            return "clean" if self.kpt == "share" else f"clean-{self.kpt}"
        return self.fault.id

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


def run_matrix(
    targets: Sequence[Target], plan: Plan, limit: int
) -> Iterator[Started[Target] | TargetResult]:
    """Build and check targets in parallel; yield progress, and each result as it comes.

    Clean kernels come first: their objects are shared with the variants.
    """
    ordered = sorted(targets, key=lambda target: target.fault is not None)

    def work(target: Target, say: Say) -> TargetResult:
        return run_target(target, plan, say)

    for event in run_jobs(ordered, work, limit):
        if isinstance(event, Finished):
            yield event.result or _failed(event.job, event.problem)
        else:
            yield event


def run_target(target: Target, plan: Plan, say: Say) -> TargetResult:
    """Build one target and check it. A failed build is an error of the harness."""
    start = time.monotonic()
    try:
        say("build")
        if target.fault is None:
            build = build_clean(plan.root, target.kpt)
        else:
            build = build_variant(plan.root, target.kpt, target.fault)
        with tempfile.TemporaryDirectory(dir=plan.scratch, prefix="target-") as folder:
            harts = target.fault.harts if target.fault else None
            bench = Bench(build, Path(folder), harts, plan.limits, say=say)
            results = _check(target, plan, bench)
    except HarnessError as error:
        return _failed(target, str(error), time.monotonic() - start)
    fault = target.fault
    verdict = variant_verdict(fault.expect, results) if fault else clean_verdict(results)
    return TargetResult(
        target.id,
        target.kind,
        fault.fault_class if fault else "",
        verdict,
        fault.expect if fault else None,
        tuple(results),
        time.monotonic() - start,
    )


def _check(target: Target, plan: Plan, bench: Bench) -> list[CheckResult]:
    checks = [check for check in all_checks().values() if plan.only in ("", check.name)]
    if target.fault is None:
        return run_checks(checks, bench)
    expect = target.fault.expect

    def expected(result: CheckResult) -> bool:
        found = any(matches(finding, expect) for finding in result.findings)
        return found and not plan.every_check

    return run_checks(expected_first(checks, expect.check), bench, enough=expected)


def expected_first(checks: Sequence[Check], name: str) -> list[Check]:
    """Return the checks with the one of that name at the front."""
    return sorted(checks, key=lambda check: check.name != name)


def _failed(target: Target, problem: str, seconds: float = 0.0) -> TargetResult:
    fault = target.fault
    return TargetResult(
        target.id,
        target.kind,
        fault.fault_class if fault else "",
        "error",
        fault.expect if fault else None,
        seconds=seconds,
        problem=problem,
    )
