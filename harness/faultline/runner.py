"""Running checks on a target: the one place where a check's end becomes a status."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterable

from .bench import Bench
from .checks import Check, Unchecked
from .errors import HarnessError
from .finding import Finding, Table
from .machine import GuestDied
from .postmortem import causes_of_death, death_finding
from .verdict import CheckResult

MESSAGE_AT_MOST = 2000  # characters; evidence may be longer


def run_check(
    check: Check, bench: Bench, enough: Callable[[Finding], bool] = lambda finding: False
) -> CheckResult:
    """Run one check, until a finding is `enough`; whatever happens in it becomes its result.

    If the guest dies, what the ledger knows comes before the death itself, for it is the
    cause. An exception that is a mistake of the harness makes the status *error*.
    """
    start = time.monotonic()
    findings: list[Finding] = []
    table: Table | None = None
    status, reason = "", ""
    try:
        found = check.run(bench)
        for finding in found:
            if isinstance(finding, Table):
                table = finding  # the last one says all that those before it said
                continue
            findings.append(dataclasses.replace(finding, check=check.name))
            if enough(findings[-1]):
                if isinstance(found, Generator):
                    found.close()  # now: its machine goes with it
                break
    except GuestDied as died:
        known = {finding.rule for finding in findings}
        causes = causes_of_death(died, bench.elf)
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
    named = tuple(
        dataclasses.replace(finding, check=check.name, message=_shortened(finding.message))
        for finding in findings
    )
    return CheckResult(
        check.name, status, time.monotonic() - start, reason, named, table=table
    )


def _shortened(message: str) -> str:
    """Return a message without the middle of what a guest may have put into it."""
    if len(message) <= MESSAGE_AT_MOST:
        return message
    half = MESSAGE_AT_MOST // 2
    return f"{message[:half]} […] {message[-half:]}"


def run_checks(
    checks: Iterable[Check],
    bench: Bench,
    *,
    enough: Callable[[Finding], bool] = lambda finding: False,
) -> list[CheckResult]:
    """Run checks in this order until a finding is `enough`.

    A check whose needs have failed before it is skipped: it would only fail likewise.
    """
    results: list[CheckResult] = []
    for check in checks:
        skip = unmet(check, results)
        if skip is not None:
            results.append(skip)
            continue
        bench.say(check.name)
        result = run_check(check, bench, enough)
        results.append(result)
        if any(enough(finding) for finding in result.findings):
            break
    return results


def unmet(check: Check, results: Iterable[CheckResult]) -> CheckResult | None:
    """Return why a check is skipped after these results, or None if it is not."""
    for result in results:
        if result.check in check.needs and result.status != "pass":
            return CheckResult(check.name, "skip", 0.0, f"{result.check} did not pass")
    return None
