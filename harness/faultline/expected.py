"""The verdicts that a run of the matrix is expected to give, and how one differs from them.

The file says for each target its verdict and, if something is found, by which check and rule
and in which function. Nothing in it changes from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import HarnessError
from .verdict import TargetResult

SCHEMA = "faultline-expected/1"
NEWLY = ("missed", "misdiagnosed", "caught", "clean")  # verdicts that a target can get newly


class ExpectedError(HarnessError):
    """The file of expected verdicts cannot be used; says which and why."""


@dataclass(frozen=True)
class Seen:
    """A target's verdict, and the finding behind it if there is one."""

    verdict: str
    check: str = ""
    rule: str = ""
    function: str = ""

    @classmethod
    def of(cls, target: TargetResult) -> Seen:
        """Return what a run says of a target.

        The function is left out where the catalogue says that it does not matter.
        """
        shown = target.shown
        if shown is None:
            return cls(target.verdict)
        any_function = target.expect is not None and not target.expect.function
        function = "" if any_function and target.verdict == "caught" else shown.where.function
        return cls(target.verdict, shown.check, shown.rule, function or "")

    def __str__(self) -> str:
        if not self.rule:
            return self.verdict
        place = f" in {self.function}()" if self.function else ""
        return f"{self.verdict} by {self.check}/{self.rule}{place}"

    def as_json(self) -> dict[str, str | None]:
        """Return the file's entry."""
        if not self.rule:
            return {"verdict": self.verdict}
        return {
            "verdict": self.verdict,
            "check": self.check,
            "rule": self.rule,
            "function": self.function or None,
        }


@dataclass(frozen=True)
class Difference:
    """One target on which a run and the file disagree."""

    kind: str  # newly missed, other rule, gone, …
    id: str
    before: Seen | None
    now: Seen | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.kind}: {self.id}: {self.now}"
        if self.now is None:
            return f"{self.kind}: {self.id}: was {self.before}"
        return f"{self.kind}: {self.id}: {self.now}; was {self.before}"


def load(path: Path) -> dict[str, Seen]:
    """Read the file; it need not exist. Raises ExpectedError, naming what is wrong in it."""
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ExpectedError(f"{path}: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ExpectedError(f"{path}: schema: expected {SCHEMA!r}")
    targets = document.get("targets")
    if not isinstance(targets, dict):
        raise ExpectedError(f"{path}: targets: expected an object")
    return {name: _entry(path, name, entry) for name, entry in targets.items()}


def _entry(path: Path, name: str, entry: Any) -> Seen:
    words = {"verdict": "", "check": "", "rule": "", "function": ""}
    if not isinstance(entry, dict) or not entry.get("verdict"):
        raise ExpectedError(f"{path}: targets.{name}: expected an object with a verdict")
    for key, value in entry.items():
        if key not in words or not isinstance(value, str | None):
            raise ExpectedError(f"{path}: targets.{name}.{key}: unknown key or not a text")
        words[key] = value or ""
    return Seen(**words)


def save(path: Path, seen: Mapping[str, Seen]) -> None:
    """Write the file, targets in the order of their names; raises ExpectedError."""
    targets = {name: seen[name].as_json() for name in sorted(seen)}
    document = {"schema": SCHEMA, "targets": targets}
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise ExpectedError(f"{path}: {error}") from error


def differences(
    before: Mapping[str, Seen], targets: Sequence[TargetResult], *, everything: bool
) -> list[Difference]:
    """Return on which targets a run and the file disagree, in the run's order.

    `everything` says that the run was of all targets: then those that only the file has are
    gone. A target whose verdict is error has shown nothing and is not compared.
    """
    found = []
    for target in targets:
        if target.verdict != "error":
            now, was = Seen.of(target), before.get(target.id)
            if now != was:
                found.append(Difference(_kind(was, now), target.id, was, now))
    if everything:
        found += list(_gone(before, targets))
    return found


def _kind(before: Seen | None, now: Seen) -> str:
    if before is None:
        return "not in the file"
    if before.verdict != now.verdict:
        return f"{'newly' if now.verdict in NEWLY else 'now'} {now.verdict}"
    if before.rule != now.rule:
        return "other rule"
    return "other check" if before.check != now.check else "other function"


def _gone(before: Mapping[str, Seen], targets: Sequence[TargetResult]) -> Iterator[Difference]:
    ran = {target.id for target in targets}
    for name in sorted(before):
        if name not in ran:
            yield Difference("gone", name, before[name], None)


def accepted(
    before: Mapping[str, Seen], targets: Sequence[TargetResult], *, everything: bool
) -> dict[str, Seen]:
    """Return what the file is to say after a run: of other targets as before, unless gone.

    Raises ExpectedError if a target's verdict is error: that is no verdict to expect.
    """
    failed = [target.id for target in targets if target.verdict == "error"]
    if failed:
        raise ExpectedError(
            f"the expected verdicts stay as they were: the harness could not check "
            f"{', '.join(failed)}"
        )
    kept = {} if everything else dict(before)
    return kept | {target.id: Seen.of(target) for target in targets}
