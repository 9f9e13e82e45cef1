"""Grading many trees: which they are, what is known of them already, and what is left to do.

The result of each tree is kept as soon as it is there (manystore.py). A run that was
interrupted, by whatever, is therefore continued by the same command; a tree that has not
changed is not graded twice.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from . import archive, grade, manystore, sandbox
from .cases import Job
from .errors import HarnessError, UsageError
from .jobs import Finished, Say, Started, run_jobs
from .manystore import Store
from .reports.csv_report import row_of
from .reports.terminal import COLOURS
from .treesource import Source, fetch, find_tree, named, printable
from .verdict import (
    EXIT_HARNESS, EXIT_NOT, EXIT_USAGE, Run, TargetResult, exit_status,
)  # fmt: skip

# Members of grade.Plan that say where to work and how long to wait, not what to do.
NO_MATTER = ("root", "scratch", "limits")
UNUSABLE = "unusable: "  # how a problem begins that is one of what was handed in
COLUMNS = ("tree", "verdict", "points", "built", "booted", "errors", "first finding", "where")

Event = Started[Any] | Finished[Any] | TargetResult


def add_options(parser: argparse.ArgumentParser, kept: Path) -> None:
    """Declare what `faultline grade` takes besides, for many trees."""
    parser.add_argument(
        "--each", action="store_true", help="TREE is a folder: grade each folder and archive in it"
    )
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="grade the trees of FILE: in each line a path, or PATH@REF; # begins a comment",
    )
    parser.add_argument(
        "--kept",
        type=Path,
        default=kept,
        metavar="DIR",
        help="where the results of many trees are kept, so that none is graded twice",
    )
    parser.add_argument("--fresh", action="store_true", help="grade also what is kept there")


# Which trees --------------------------------------------------------------------------------


def each(folder: Path) -> list[Source]:
    """Return what a folder of hand-ins holds: its folders and archives, by name.

    Raises UsageError if there is none. Whether each is a tree turns out later.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder with a tree in each of its entries")
    found = [Source(path) for path in _entries(folder) if _may_be_tree(path)]
    if not found:
        raise UsageError(
            f"{folder}: found no folder and no archive ({', '.join(archive.TAR_ENDS)}, .zip) in it"
        )
    return found


def passed_over(folders: Sequence[str]) -> list[str]:
    """Return the names in these folders that are no folder and no archive."""
    entries = [path for folder in folders for path in _entries(Path(folder))]
    return [printable(path.name) for path in entries if not _may_be_tree(path)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {error.strerror}") from error


def _may_be_tree(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and archive.is_archive(path))


def listed(file: Path) -> list[Source]:
    """Return the trees of a list: a path a line, with @REF if a git repository's branch or
    commit is meant. What follows # is a comment; paths are relative to the list's folder.

    Raises UsageError for a list that cannot be read, or names no tree.
    """
    try:
        text = file.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    found = []
    for line in text.splitlines():
        word = line.strip() if not line.lstrip().startswith("#") else ""
        word = word.split(" #")[0].split("\t#")[0].strip()
        if "\0" in word:
            raise UsageError(f"{file}: {archive.shown(word)} is no path")
        if not word:
            continue
        path, at, ref = word.rpartition("@")
        if at and path and ref and not (file.parent / word).exists():
            found.append(Source(file.parent / path, ref))
        else:
            found.append(Source(file.parent / word))
    if not found:
        raise UsageError(f"{file}: expected a path to a tree in each line, found none")
    return found


def chosen(folders: Sequence[str], list_file: Path | None, ref: str = "") -> list[Source]:
    """Return the trees in these folders and of a list, each with a name of its own."""
    found = [source for folder in folders for source in each(Path(folder))]
    found = [dataclasses.replace(source, ref=ref) for source in found]
    if list_file is not None:
        found += listed(list_file)
    return named(found)


# What is known already ----------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What can be said of a tree before it is built. `key` is what its result is kept
    under; `unusable` is why there is nothing to build."""

    key: str = ""
    unusable: str = ""


def look_at(sources: Sequence[Source], plan: grade.Plan, tools: str, limit: int) -> Iterator[
    tuple[Source, Known]
]:
    """Look whether each is a tree, and find its key; yield that as it is known.

    `tools` names the versions of the programs that grading depends on.
    """
    harness = manystore.harness_hash(plan.root)
    asked = _asked(plan)

    def work(source: Source, say: Say) -> Known:
        try:
            content = _content(source, plan.scratch, plan.room)
        except UsageError as error:
            return Known(unusable=str(error))
        return Known(manystore.key_of(content, harness, tools, asked))

    for event in run_jobs(sources, work, limit):
        if isinstance(event, Finished):
            yield event.job, event.result or Known(unusable=_crash(event.problem))


def _crash(problem: str) -> str:
    last = problem.strip().splitlines()[-1:] or ["its worker died"]
    return f"it cannot be looked at: {last[0]}"


def _content(source: Source, scratch: Path, room: archive.Room) -> str:
    """Return a hash of a tree's content; raises UsageError if it is none."""
    if not source.ref and source.path.is_dir():
        return manystore.content_hash(find_tree(source.path, str(source.path)), room)
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix="look-"))
    try:
        into = folder / "tree"
        into.mkdir()
        tree, _ = fetch(source, into, room)
        return manystore.content_hash(tree)
    finally:
        archive.remove(folder)


def _asked(plan: grade.Plan) -> str:
    """Return in one text what a plan asks for; of a folder or file in it, the content."""
    words = []
    for field in dataclasses.fields(plan):
        if field.name not in NO_MATTER:
            value = getattr(plan, field.name)
            if isinstance(value, Path) and value.exists():
                value = manystore.content_hash(value)
            words.append(f"{field.name}={value!r}")
    return "\n".join(words)


# Grading ------------------------------------------------------------------------------------


def run_each(
    sources: Sequence[Source],
    plan: grade.Plan,
    limit: int,
    store: Store,
    tools: str,
    *,
    fresh: bool = False,
) -> Iterator[Event]:
    """Grade trees; yield progress, and each one's result, those that are known first.

    With `fresh`, nothing that is known counts. Raises HarnessError if no tree can be graded
    here. No tree's own trouble stops another's.
    """
    sandbox.require()
    left: list[Source] = []
    keys: dict[str, str] = {}
    for source, known in look_at(sources, plan, tools, limit):
        if known.unusable:
            yield unusable(source, known.unusable)
            continue
        kept = None if fresh else store.get(known.key, source.id)
        if kept is not None:
            yield kept
            continue
        keys[source.id] = known.key
        left.append(source)
    left.sort(key=sources.index)
    if not left:
        return
    try:
        for event in grade.run_trees(left, plan, limit):
            # What could not be done may be done next time.
            if isinstance(event, TargetResult) and event.verdict != "error":
                store.put(keys[event.id], event)
            yield event
    except UsageError as error:  # the only one that was left has gone meanwhile
        yield unusable(left[0], str(error))


def unusable(source: Source, why: str) -> TargetResult:
    """Return the result of what is no tree, or none that can be read."""
    why = why.removeprefix(f"{source.path}: ")  # its name is there anyhow
    return TargetResult(source.id, "tree", "", "error", None, problem=f"{UNUSABLE}{why}")


def status_of(run: Run) -> int:
    """Return the exit status: 3 if the harness could not do its work on some tree, else 2 if
    some could not be used, else 1 if some failed, else 0."""
    broken = [target for target in run.targets if not target.problem.startswith(UNUSABLE)]
    status = exit_status(target.verdict for target in broken) if broken else 0
    if status == EXIT_HARNESS:
        return EXIT_HARNESS
    if len(broken) < len(run.targets):
        return EXIT_USAGE
    return EXIT_NOT if status else 0


# The table ----------------------------------------------------------------------------------


def table(targets: Iterable[TargetResult]) -> Grid:
    """Return a line for each tree; points only if any has some."""
    targets = list(targets)
    names = [name for name in COLUMNS if name != "points" or any(one.points for one in targets)]
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in names:
        right = name in ("points", "errors")
        grid.add_column(name, overflow="fold", justify="right" if right else "left")
    for target in targets:
        row = row_of(target)
        points = f"{row['earned'] or '?'}/{row['possible']}" if row["possible"] else ""
        first = row["problem"] or (f"{row['first_check']}/{row['first_rule']}".strip("/"))
        cells = {
            **{name: Text(row.get(name, "")) for name in COLUMNS},
            "verdict": Text(target.verdict, COLOURS[target.verdict]),
            "points": Text(points),
            "first finding": Text(first),
            "where": Text(row["first_where"]),
        }
        grid.add_row(*(cells[name] for name in names))
    return grid


def show(
    run: Run, console: Console, graded: int, seconds: float, others: Sequence[str] = ()
) -> None:
    """Print the table and, in one line, what all trees came to, and how many were graded now;
    and what else was found, which is no tree."""
    console.print(table(run.targets))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in run.summary.items())
    none = sum(target.problem.startswith(UNUSABLE) for target in run.targets)
    number = len(run.targets)
    known = number - graded - none
    before = f"; {known} known from before" if known > 0 else ""
    console.print(
        f"\n{number} tree{'s' * (number != 1)}: {counts} ({seconds:.0f} s{before})",
        highlight=False,
    )
    if others:
        words = f"Not looked at, for it is neither a folder nor an archive: {', '.join(others)}"
        console.print(Text(words), soft_wrap=True)


class Count:
    """Counts, among what happens, the trees that are really graded; and the time."""

    def __init__(self) -> None:
        self.graded: set[str] = set()
        self._start = time.monotonic()

    def follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield all events as they come."""
        for event in events:
            if isinstance(event, Started) and isinstance(event.job, Job):
                self.graded.add(event.job.target.id)
            yield event

    @property
    def seconds(self) -> float:
        """Wall seconds since the beginning."""
        return time.monotonic() - self._start


def tools_text(tools: dict[str, str]) -> str:
    """Return the versions that a result depends on, as one text."""
    if not tools:
        raise HarnessError("no tools to speak of")
    return "\n".join(f"{name}={version}" for name, version in sorted(tools.items()))
