"""Labs: what an item is worth, and what it takes to earn it. docs/labs.md shows how to write one.

A lab only says what results mean. Points are computed from the results of the checks, of which
a few are the lab's own (labkinds.py).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checks import Check, all_checks
from .checks.abi import DIED as OURS_DIED
from .checks.abi import NOT_RUN, our_tests
from .errors import UsageError
from .finding import Finding
from .labentry import Entry, LabError
from .labkinds import KINDS, Condition
from .labpoints import ItemPoints, Points
from .labtree import restore
from .postmortem import RULES as DEATH_RULES
from .treetests import OK
from .tomlentry import read_toml
from .verdict import CheckResult

LABS = Path(__file__).resolve().parents[2] / "labs"
PRISTINE = "pristine"  # what the restoring of files is called among a tree's checks
DEATHS = frozenset(rule.name for rule in DEATH_RULES)
FOUND_FIRST = ("build", "boot")  # without these nothing can be asked of a tree
USERTESTS = "usertests"  # the check with a table of what became of each test
SHOWN = 4  # reasons of one item
ABI = "abi"  # the check that runs our own tests of system calls


@dataclass(frozen=True)
class Item:
    """Something that points are given for.

    `off` is what each thing that is wrong costs; 0: anything wrong costs all of it. With
    `optional`, the item does not count if its check cannot look at this tree, or not here.
    What a tree's own tests say is its word: these of `ours`, our own tests of system calls, must
    pass, too.
    """

    title: str
    points: float
    off: float
    optional: bool
    asked: str  # the table of the lab file, as text
    condition: Condition = field(repr=False, compare=False)
    # Its order is another in each process; `asked` and the harness's sources tell the same.
    ours: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class Lab:
    """A lab file that was read. Its repr() tells labs with different meanings apart."""

    name: str
    title: str
    parts: tuple[tuple[str, tuple[Item, ...]], ...]
    needed: float  # points that it takes to pass
    pristine: tuple[str, ...] = ()  # files that may not be changed

    @property
    def items(self) -> list[Item]:
        """All items, in their order."""
        return [item for _, items in self.parts for item in items]

    def checks(self) -> list[Check]:
        """Return the checks in the guest that are the lab's own."""
        found = {item.condition.check: item.condition.guest for item in self.items}
        return [check for check in found.values() if check is not None]

    def later(self) -> set[str]:
        """Return which of its own checks `answered` may make unnecessary."""
        return {item.condition.check for item in self.items if item.condition.tests}

    def names(self) -> list[str]:
        """Return the names of all results that are the lab's own."""
        own = {c.check: 0 for c in (item.condition for item in self.items) if c.guest or c.file}
        return [PRISTINE, *own]

    def look(self, tree: Path, handout: Path | None) -> list[CheckResult]:
        """Look at a tree's files before it is built, and restore those that may not be changed."""
        results = []
        for condition in {item.condition.check: item.condition for item in self.items}.values():
            if condition.file is not None:
                start = time.monotonic()
                found = tuple(
                    dataclasses.replace(finding, check=condition.check)
                    for finding in condition.file(tree)
                )
                status, seconds = "fail" if found else "pass", time.monotonic() - start
                results.append(CheckResult(condition.check, status, seconds, "", found))
        if self.pristine:
            words = restore(tree, handout, self.pristine)
            results.append(CheckResult(PRISTINE, "pass" if handout else "skip", 0.0, words))
        return results

    def answered(self, results: Sequence[CheckResult]) -> list[CheckResult]:
        """Return those of its own checks' results that follow from what usertests has shown."""
        tables = [one.table for one in results if one.check == USERTESTS and one.table is not None]
        passed = {row[0] for table in tables for row in table.rows if row[1] == OK}
        conditions = {item.condition.check: item.condition for item in self.items}
        return [
            CheckResult(name, "pass", 0.0, "passed among all tests")
            for name, condition in conditions.items()
            if condition.tests and passed.issuperset(condition.tests)
        ]

    def score(self, results: Sequence[CheckResult]) -> Points:
        """Return the points for a tree of which these results are known."""
        by_name = {result.check: result for result in results}
        items = [
            points_of(item, title, by_name) for title, items in self.parts for item in items
        ]
        return Points(self.name, self.title, self.needed, tuple(items))


def points_of(item: Item, part: str, results: Mapping[str, CheckResult]) -> ItemPoints:
    """Return what an item earns, and why not more.

    A check that did not run earns nothing. Neither does one in which the guest died: what
    would have come after is not known.
    """
    result = results.get(item.condition.check)
    if result is None or result.status == "error":
        reason = result.reason if result else "was not run"
        words = f"the harness could not find out: {item.condition.check}: {reason}"
        return ItemPoints(part, item.title, None, item.points, (words,))
    if result.status == "skip":
        if item.optional and all(_passed(name, results) for name in FOUND_FIRST):
            words = f"does not count here: {result.reason}"
            return ItemPoints(part, item.title, 0, 0, (words,))
        return ItemPoints(part, item.title, 0, item.points, (result.reason or "was not run",))
    wrong, died = _wrong(item.condition, result)
    if item.ours:
        looked = results.get(ABI)
        if looked is None or looked.status in ("error", "skip"):
            reason = looked.reason if looked else "was not run"
            words = f"a tree's own tests can be forged, and ours say nothing: {reason}"
            unknown = looked is None or looked.status == "error"
            return ItemPoints(part, item.title, None if unknown else 0, item.points, (words,))
        wrong += [finding for finding in looked.findings if _concerns(finding, item.ours)]
    earned = item.points
    if wrong:
        earned = max(0, item.points - item.off * len(wrong)) if item.off and not died else 0
    why = [_reason(finding) for finding in wrong[:SHOWN]]
    if len(wrong) > SHOWN:
        why.append(f"and {len(wrong) - SHOWN} more")
    return ItemPoints(part, item.title, earned, item.points, tuple(why))


def _passed(name: str, results: Mapping[str, CheckResult]) -> bool:
    return name in results and results[name].status == "pass"


def _concerns(finding: Finding, ours: frozenset[str]) -> bool:
    """Tell whether a finding is about one of these tests, or that some were not run."""
    if not finding.rule.startswith(f"{ABI}-test-"):
        return False
    if finding.where.function is not None:
        return finding.where.function in ours
    if not finding.evidence.startswith(NOT_RUN):
        return True
    return not ours.isdisjoint(finding.evidence.removeprefix(NOT_RUN).split(", "))


def _wrong(condition: Condition, result: CheckResult) -> tuple[list[Finding], bool]:
    """Return the findings that count, and whether the guest died for good.

    After one of our own tests a new machine goes on with the next; how the guest died of it is
    then no other mistake.
    """
    findings = result.findings
    if any(finding.rule == OURS_DIED.name for finding in findings):
        findings = tuple(one for one in findings if one.rule.startswith(f"{ABI}-test-"))
    deaths = [finding for finding in findings if finding.rule in DEATHS]
    wrong = [
        finding
        for finding in findings
        if (finding.rule in condition.rules if condition.rules else finding.severity != "note")
        or finding in deaths
    ]
    return wrong, bool(deaths)


def _reason(finding: Finding) -> str:
    """Return a finding in one line."""
    message = " ".join(finding.message.split())
    return f"{message} ({finding.where})" if finding.where.line is not None else message


# Lab files ----------------------------------------------------------------------------------


def lab_names(folder: Path = LABS) -> list[str]:
    """Return the names of the labs that come with the harness."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_lab(word: str, folder: Path = LABS) -> Lab:
    """Return the lab of a name, or of a lab file's path; raises LabError, or UsageError."""
    if word.endswith(".toml") or "/" in word:
        path = Path(word)
        if not path.is_file():
            raise UsageError(f"--lab {word}: there is no such file")
        return load_lab(path)
    if word not in lab_names(folder):
        raise UsageError(
            f"--lab {word}: there is no such lab; there are {', '.join(lab_names(folder))}. "
            "A lab file of your own ends in .toml"
        )
    return load_lab(folder / f"{word}.toml")


def load_lab(path: Path, checks: Mapping[str, Check] | None = None) -> Lab:
    """Read a lab file; raises LabError, naming the file, the line and the key."""
    table, lines = read_toml(path, LabError)
    top = Entry(path, table, lines, checks=all_checks() if checks is None else checks)
    title, pristine = top.text("title"), top.texts("pristine", required=False)
    for name in pristine:
        top.check_inside("pristine", name)
    parts = tuple(_part(entry) for entry in top.tables("part"))
    possible = sum(item.points for _, items in parts for item in items)
    needed = top.points("pass", required=False) or possible
    if needed > possible:
        raise top.error("pass", f"is {needed:g}, and the items have {possible:g} points in all")
    top.end()
    titles = [title for title, _ in parts]
    for index, title_of_part in enumerate(titles):
        if title_of_part in titles[:index]:
            raise top.error("part", f"two parts have the title {title_of_part!r}")
    return Lab(path.stem, title, parts, needed, tuple(pristine))


def _part(entry: Entry) -> tuple[str, tuple[Item, ...]]:
    title = entry.text("title")
    items: list[Item] = []
    for below in entry.tables("item"):
        items.append(_item(below))
        if items[-1].title in [item.title for item in items[:-1]]:
            raise below.error("title", f"two items have the title {items[-1].title!r}")
    entry.end()
    return title, tuple(items)


def _item(entry: Entry) -> Item:
    title, points = entry.text("title"), entry.points("points")
    off, optional = entry.points("off", required=False), entry.yes("optional")
    if off > points:
        raise entry.error("off", f"is {off:g}, and the item has {points:g} points")
    ours: set[str] = set()
    for pattern in entry.texts("ours", required=False):
        found = fnmatch.filter(our_tests(), pattern)
        if not found:
            raise entry.error("ours", f"none of our tests is called {pattern!r}")
        ours.update(found)
    kind = entry.text("kind")
    if kind not in KINDS:
        raise entry.error("kind", f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    condition = KINDS[kind](entry)
    entry.end()
    return Item(title, points, off, optional, repr(dict(entry.table)), condition, frozenset(ours))
