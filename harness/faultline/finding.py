"""Rules, findings and tables: what a check can say, and what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Where:
    """A place in the target's source. Every part may be unknown."""

    file: str | None = None
    line: int | None = None
    function: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}"
        if self.function:
            place = f"{place} {self.function}()" if place else f"{self.function}()"
        return place or "unknown place"

    def as_json(self) -> dict[str, Any]:
        """Return the schema's `where`."""
        return {"file": self.file, "line": self.line, "function": self.function}


@dataclass(frozen=True)
class Rule:
    """Something that a correct kernel never does.

    `meaning` is one paragraph for `faultline explain`: what the rule says, why it
    matters on real hardware, and how people break it. `hint` is the default next step for
    the student. `debug` is what to type in gdb to see it, one command a line; a line's
    comment begins with #.
    """

    name: str
    severity: str
    meaning: str
    hint: str = ""
    debug: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"rule {self.name}: severity is {self.severity!r}, expected one of "
                + ", ".join(SEVERITIES)
            )

    def finding(
        self,
        message: str,
        *,
        where: Where = Where(),
        evidence: str = "",
        hint: str = "",
        path: Sequence[Where] = (),
    ) -> Finding:
        """Return a finding of this rule. The runner fills in which check it came from."""
        return Finding(
            self.name,
            self.severity,
            message,
            where,
            evidence,
            hint or self.hint,
            path=tuple(path),
        )


@dataclass(frozen=True)
class Finding:
    """One broken rule, at one place, with what shows it.

    `path` is the call path that led to `where`, innermost first, if it is known.
    """

    rule: str
    severity: str
    message: str
    where: Where = field(default_factory=Where)
    evidence: str = ""
    hint: str = ""
    check: str = ""
    path: tuple[Where, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the schema's finding."""
        shown: dict[str, Any] = {
            "check": self.check,
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "where": self.where.as_json(),
            "evidence": self.evidence,
            "hint": self.hint,
        }
        if self.path:
            shown["path"] = [place.as_json() for place in self.path]
        return shown


@dataclass(frozen=True)
class Table:
    """What a check has measured, besides what it has found: for people, in rows.

    A cell is a text or a number. Each row has as many as there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the schema's table."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
        }

    def joined(self, other: Table | None) -> Table:
        """Return this table with the rows of another that has the same columns."""
        if other is None:
            return self
        if other.columns != self.columns:
            raise ValueError(f"{self.title}: columns are {self.columns}, not {other.columns}")
        return Table(self.title, self.columns, self.rows + other.rows)
