"""One line a target as CSV, for spreadsheets and grade books"""

from __future__ import annotations

import csv
from pathlib import Path

from ..verdict import INTERRUPTED, Run, TargetResult
from .brief import by_importance

OPTION = "csv"
DEFAULT = ""
COLUMNS = (
    "tree", "verdict", "earned", "possible", "built", "booted", "errors", "warnings",
    "first_check", "first_rule", "first_where", "first_finding", "problem", "seconds",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula, and runs it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(run: Run, path: Path) -> None:
    """Write a run to `path`."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(COLUMNS)
        for target in (*run.targets, *map(_unfinished, run.without_result)):
            row = row_of(target)
            lines.writerow([_harmless(row[name]) for name in COLUMNS])


def _unfinished(name: str) -> TargetResult:
    return TargetResult(name, "tree", "", "error", None, problem=INTERRUPTED)


def row_of(target: TargetResult) -> dict[str, str]:
    """Return what is said of a target, by column; what is not known is empty."""
    points = target.as_json()["points"] or {"earned": "", "possible": ""}
    severities = [finding.severity for finding in target.findings]
    first = next(iter(by_importance(target)), None)
    status = {result.check: result.status for result in target.checks}
    return {
        "tree": target.id,
        "verdict": target.verdict,
        "earned": _number(points["earned"]),
        "possible": _number(points["possible"]),
        "built": _answer(status.get("build", "")),
        "booted": _answer(status.get("boot", "")),
        "errors": str(severities.count("error")),
        "warnings": str(severities.count("warning")),
        "first_check": first.check if first else "",
        "first_rule": first.rule if first else "",
        "first_where": str(first.where) if first else "",
        "first_finding": _line(first.message) if first else "",
        "problem": _line(target.problem),
        "seconds": f"{target.seconds:.1f}",
    }


def _answer(status: str) -> str:
    return {"pass": "yes", "fail": "no", "skip": "no"}.get(status, status)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else ""


def _line(text: str) -> str:
    """Return a text as one line that can be printed."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell
