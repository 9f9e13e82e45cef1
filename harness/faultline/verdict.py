"""What the findings mean for a target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .catalogue import Expect
from .finding import SEVERITIES, Finding, Table
from .labpoints import Points

VERDICTS = (
    "clean", "caught", "misdiagnosed", "missed", "no-oracle", "pass", "fail", "error",
)  # fmt: skip
AS_EXPECTED = frozenset({"clean", "caught", "no-oracle", "pass"})
EXIT_AS_EXPECTED, EXIT_NOT, EXIT_USAGE, EXIT_HARNESS = 0, 1, 2, 3
INTERRUPTED = "interrupted before it was done"


@dataclass(frozen=True)
class CheckResult:
    """How one check ended on one target. `status` is pass, fail, skip or error."""

    check: str
    status: str
    seconds: float
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    part: str = ""  # which part of the check this is of; empty: all of it
    table: Table | None = None  # what it has measured

    def as_json(self) -> dict[str, Any]:
        """Return the schema's check."""
        shown: dict[str, Any] = {
            "check": self.check,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "reason": self.reason or None,
        }
        if self.table is not None:
            shown["table"] = self.table.as_json()
        return shown


@dataclass(frozen=True)
class TargetResult:
    """Everything that is known of a target after its checks."""

    id: str
    kind: str  # clean, variant or tree
    fault_class: str
    verdict: str
    expect: Expect | None
    checks: tuple[CheckResult, ...] = ()
    seconds: float = 0.0
    problem: str = ""  # why the verdict is error, if no check says so
    points: Points | None = None  # in the lab that it was graded for
    unfinished: bool = False  # the run was interrupted

    @property
    def findings(self) -> list[Finding]:
        """All findings, in the order of the checks."""
        return [finding for result in self.checks for finding in result.findings]

    @property
    def shown(self) -> Finding | None:
        """The finding that a table's one line shows: the expected one, or the first of those
        that are worst."""
        if self.expect is not None:
            for finding in self.findings:
                if matches(finding, self.expect):
                    return finding
        worst = sorted(self.findings, key=lambda one: SEVERITIES.index(one.severity))
        return worst[0] if worst else None

    def as_json(self) -> dict[str, Any]:
        """Return the schema's target."""
        return {
            "id": self.id,
            "kind": self.kind,
            "class": self.fault_class or None,
            "verdict": self.verdict,
            "expect": self.expect.as_json() if self.expect else None,
            "points": self.points.as_json() if self.points else None,
            "checks": [result.as_json() for result in self.checks],
            "findings": [finding.as_json() for finding in self.findings],
            "seconds": round(self.seconds, 3),
            "problem": self.problem or None,
        }


@dataclass(frozen=True)
class Run:
    """One run of a command over some targets."""

    command: str
    tools: dict[str, str]
    targets: tuple[TargetResult, ...] = field(default_factory=tuple)
    unfinished: tuple[str, ...] = ()  # targets that an interruption left undone, or not all done

    @property
    def summary(self) -> dict[str, int]:
        """How many targets got each verdict."""
        count: dict[str, int] = {}
        for target in self.targets:
            count[target.verdict] = count.get(target.verdict, 0) + 1
        return count

    @property
    def without_result(self) -> list[str]:
        """The targets of which an interruption left nothing to tell."""
        known = {target.id for target in self.targets}
        return [name for name in self.unfinished if name not in known]

    def as_json(self) -> dict[str, Any]:
        """Return the whole document of the schema `faultline/1`."""
        shown: dict[str, Any] = {
            "schema": "faultline/1",
            "command": self.command,
            "tools": self.tools,
            "targets": [target.as_json() for target in self.targets],
            "summary": self.summary,
        }
        if self.unfinished:
            shown["unfinished"] = list(self.unfinished)
        return shown


def matches(finding: Finding, expect: Expect) -> bool:
    """Tell whether a finding is the one that the catalogue expects."""
    return (
        not expect.no_oracle
        and finding.check == expect.check
        and finding.rule == expect.rule
        and (not expect.function or finding.where.function == expect.function)
        and (not expect.through or any(p.function == expect.through for p in finding.path))
    )


def variant_verdict(expect: Expect, results: Iterable[CheckResult]) -> str:
    """Return a variant's verdict.

    *caught* if the expected finding is there; else *error* if a check could not do its
    work; else *misdiagnosed* if anything was found; else *missed*, or *no-oracle* if that
    is what the catalogue expects.
    """
    results = list(results)
    findings = [finding for result in results for finding in result.findings]
    if any(matches(finding, expect) for finding in findings):
        return "caught"
    if any(result.status == "error" for result in results):
        return "error"
    if findings:
        return "misdiagnosed"
    return "no-oracle" if expect.no_oracle else "missed"


def clean_verdict(results: Iterable[CheckResult]) -> str:
    """Return the clean kernel's verdict: clean only if every check passed."""
    statuses = {result.status for result in results}
    if "error" in statuses:
        return "error"
    return "clean" if statuses == {"pass"} else "fail"


def exit_status(verdicts: Iterable[str]) -> int:
    """Return the exit status of a run whose targets got these verdicts."""
    found = set(verdicts)
    if not found or "error" in found:
        return EXIT_HARNESS
    return EXIT_AS_EXPECTED if found <= AS_EXPECTED else EXIT_NOT
