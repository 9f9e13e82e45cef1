"""Running checks on a target: the one place where a check's end becomes a status."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

from .bench import Bench
from .checks import Check, Unchecked
from .errors import HarnessError
from .finding import Finding
from .hart import Hart
from .ledger import Ledger, event_findings
from .machine import GuestDied
from .postmortem import death_finding
from .verdict import CheckResult


def run_check(check: Check, bench: Bench) -> CheckResult:
    """Run one check; whatever happens in it becomes its result.

    If the guest dies, what the ledger knows comes before the death itself, for it is the
    cause. An exception that is a mistake of the harness makes the status *error*.
    """
    start = time.monotonic()
    findings: list[Finding] = []
    status, reason = "", ""
    try:
        for finding in check.run(bench):
            findings.append(finding)
    except GuestDied as died:
        known = {finding.rule for finding in findings}
        causes = causes_of_death(died, bench)
        findings[:0] = [cause for cause in causes if cause.rule not in known]
        findings.append(death_finding(died, bench.elf))
    except Unchecked as unchecked:
        status, reason = "skip", str(unchecked)
    except HarnessError as error:
        status, reason = "error", str(error)
    except Exception as error:  # the check's own mistake: never the target's
        status, reason = "error", f"{type(error).__name__}: {error}"
    if not status:
        status = "fail" if any(f.severity != "note" for f in findings) else "pass"
    named = tuple(dataclasses.replace(finding, check=check.name) for finding in findings)
    return CheckResult(check.name, status, time.monotonic() - start, reason, named)


def causes_of_death(died: GuestDied, bench: Bench) -> list[Finding]:
    """Return what the ledger knows of a dead guest; nothing if there is no ledger."""
    harts: tuple[Hart, ...] = died.death.harts
    try:
        return event_findings(Ledger(died.machine.ram, bench.elf), harts)
    except HarnessError:
        return []


def run_checks(
    checks: Iterable[Check],
    bench: Bench,
    *,
    enough: Callable[[CheckResult], bool] = lambda result: False,
) -> list[CheckResult]:
    """Run checks in this order until one result is `enough`.

    A check whose needs have failed before it is skipped: it would only fail likewise.
    """
    results: list[CheckResult] = []
    for check in checks:
        failed = [r.check for r in results if r.check in check.needs and r.status != "pass"]
        if failed:
            results.append(CheckResult(check.name, "skip", 0.0, f"{failed[0]} did not pass"))
            continue
        bench.say(check.name)
        result = run_check(check, bench)
        results.append(result)
        if enough(result):
            break
    return results
