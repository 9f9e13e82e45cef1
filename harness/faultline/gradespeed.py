"""How long a whole grade of a tree takes, beside the tree's own usertests on three harts.

Both run in the same run, one after the other: first all of the tree's own tests, built and run as
its `make qemu` would do it, and then everything that a grade does, its building included. A
grade runs the tests as well, divided among parallel machines.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from . import grade
from .bench import Bench
from .build import Build, build_probe
from .checks.usertests import WHOLE_EFFORT
from .errors import HarnessError
from .export import DATA, files, write
from .exportstyle import load_styles
from .jobs import Started
from .machine import GuestDied, StillBusy
from .progress import processor_state
from .treebuild import DoesNotBuild, make_tools
from .treesource import Source
from .verdict import TargetResult

HARTS = 3
STYLE = "2020"  # of our own tree, if none is given
PATIENCE = 4 * WHOLE_EFFORT  # processor seconds that its own tests may take
SILENCE = 1500.0  # guest seconds without a word
AIM = 0.5  # times its own tests
EXCEEDED = "stopped"


@dataclass(frozen=True)
class Taken:
    """What the tree's own tests have taken, in seconds, and how they ended."""

    wall: float
    cpu: float  # of QEMU's processor time
    end: str


@dataclass(frozen=True)
class Speed:
    """A tree's own tests, and a grade of it."""

    tree: str
    jobs: int
    own: Taken
    wall: float  # of the whole grade
    checks: tuple[tuple[str, str, float], ...]  # name, status, seconds of all its jobs

    @property
    def ratio(self) -> float:
        """How many times as long as its own tests the grade takes."""
        return self.wall / self.own.wall


def measure(
    root: Path, scratch: Path, say: Callable[[str], None], jobs: int, source: Source | None = None
) -> Speed:
    """Measure both, for a tree or for the reference kernel as one.

    Raises UsageError if there is no tree, and HarnessError if it does not build or boot: then
    there is nothing to compare.
    """
    if source is None:
        tree = scratch / "reference"
        write(files(root, None, load_styles(root / DATA / "styles")[STYLE]), tree)
        source = Source(tree)
    say(f"{source.id}: building")
    place = _new(scratch / "own")
    probe = build_probe(root).read_bytes()
    try:
        build = grade.prepare(source, place, make_tools(_new(place / "tools"), plain=True), probe)
    except DoesNotBuild as failed:
        raise HarnessError(f"{source.id} does not build: {failed.finding.message}") from failed
    say(f"{source.id}: its own usertests, {HARTS} harts")
    own = own_tests(build, place)
    return graded(root, scratch, say, jobs, source, own)


def own_tests(build: Build, scratch: Path) -> Taken:
    """Run all of a tree's own tests on a machine with several harts, whatever they come to."""
    start = time.monotonic()
    with Bench(build, scratch).machine(harts=HARTS, icount=False) as machine:
        try:
            machine.wait_prompt()
            start, cpu = time.monotonic(), processor_state(machine.pid)[0]
        except GuestDied as died:
            raise HarnessError(f"the tree does not boot: {died}") from died
        try:
            said = machine.shell("usertests", SILENCE, PATIENCE)
            end = "passed" if "ALL TESTS PASSED" in said else "failed"
        except GuestDied as died:
            end = f"died ({died.death.kind})"
        except StillBusy:
            end = EXCEEDED
        used = machine.processor_seconds()
    return Taken(time.monotonic() - start, max(used - cpu, 0.0), end)


def graded(
    root: Path, scratch: Path, say: Callable[[str], None], jobs: int, source: Source, own: Taken
) -> Speed:
    """Grade the tree, and compare; raises HarnessError if it cannot be graded."""
    place = _new(scratch / "grade")
    start = time.monotonic()
    result: TargetResult | None = None
    for event in grade.run_trees([source], grade.Plan(root, place), jobs):
        if isinstance(event, Started):
            say(f"{event.job.id}: {event.words}")
        elif isinstance(event, TargetResult):
            result = event
    if result is None or result.problem:
        raise HarnessError(f"{source.id} was not graded: {result.problem if result else '?'}")
    checks = tuple((one.check, one.status, one.seconds) for one in result.checks)
    return Speed(source.id, jobs, own, time.monotonic() - start, checks)


def table(found: Speed) -> Table:
    """Return the figures."""
    grid = Table(title=f"a whole grade of {found.tree}", title_justify="left")
    grid.add_column("what")
    grid.add_column("ended")
    grid.add_column("seconds", justify="right")
    grid.add_row(f"its own usertests, {HARTS} harts", found.own.end, f"{found.own.wall:.1f}")
    for name, status, seconds in found.checks:
        grid.add_row(f"  {name}", status, f"{seconds:.1f}")
    grid.add_row(f"a grade, {found.jobs} at a time", "", f"{found.wall:.1f}")
    grid.add_row(f"times its own tests (aim: {AIM:g} or less)", "", f"{found.ratio:.2f}")
    return grid


def as_json(found: Speed) -> dict[str, object]:
    """Return the figures for other programs."""
    return {
        "tree": found.tree,
        "jobs": found.jobs,
        "own-usertests": {"harts": HARTS, **dataclasses.asdict(found.own)},
        "grade": {
            "wall": found.wall,
            "checks": [
                {"check": name, "status": status, "seconds": seconds}
                for name, status, seconds in found.checks
            ],
        },
        "times-its-own-tests": found.ratio,
    }


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
