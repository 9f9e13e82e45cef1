"""How fast the matrix is, beside the naive way: for each variant a full build in a fresh folder,
a boot, and the whole of usertests.

Both start from a copy of the source in which nothing is built, and both use as many jobs at a
time. The naive way is measured on a few variants only.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from .bench import Bench
from .build import KPTS, build_apart
from .catalogue import Fault
from .checks.usertests import run as run_usertests
from .errors import HarnessError
from .jobs import Finished, Say, run_jobs
from .machine import GuestDied
from .matrix import Plan, Target, run_matrix
from .qemu import Limits
from .verdict import TargetResult

SAMPLES = 3
KPT = "share"
NOT_SOURCE = ("build", "out", ".git", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Speed:
    """What was measured. Seconds are wall time, of all jobs together."""

    jobs: int
    variants: int
    whole: float  # seconds of the matrix's run, clean kernels included
    alone: float  # seconds that its variants took, if the jobs had nothing else to do
    naive: dict[str, float]  # seconds of each sample's one job

    @property
    def matrix_each(self) -> float:
        """Seconds a variant, a share of the clean kernels' included."""
        return self.whole / self.variants

    @property
    def alone_each(self) -> float:
        """Seconds a variant, without the clean kernels."""
        return self.alone / self.variants

    @property
    def naive_each(self) -> float:
        """Seconds a variant, if all jobs are always busy."""
        together = min(self.jobs, len(self.naive))
        return sum(self.naive.values()) / len(self.naive) / together


def samples(faults: Sequence[Fault]) -> list[Fault]:
    """Return the faults to try the naive way on: of different checks, if there are such.

    Those that do not even boot are left out: the naive way would be done with them at once.
    """
    able = [fault for fault in faults if fault.expect.check not in ("", "boot")] or list(faults)
    chosen: list[Fault] = []
    for fault in able:
        if fault.expect.check not in {one.expect.check for one in chosen}:
            chosen.append(fault)
    chosen += [fault for fault in able if fault not in chosen]
    return chosen[:SAMPLES]


def measure(
    root: Path, faults: Sequence[Fault], jobs: int, scratch: Path, say: Callable[[str], None]
) -> Speed:
    """Run the matrix and the samples; raises HarnessError if one of them cannot be run."""
    tree = copy_source(root, scratch / "matrix")
    targets = [Target(kpt) for kpt in KPTS] + [Target(KPT, fault) for fault in faults]
    start = time.monotonic()
    results = _results(run_matrix(targets, Plan(tree, scratch), jobs), len(targets), say)
    whole = time.monotonic() - start
    shutil.rmtree(tree)
    alone = sum(result.seconds for result in results if result.kind == "variant") / jobs

    def work(fault: Fault, _: Say) -> float:
        begin = time.monotonic()
        naive_run(copy_source(root, scratch / f"naive-{fault.id}"), fault, scratch)
        return time.monotonic() - begin

    naive: dict[str, float] = {}
    for event in run_jobs(samples(faults), work, jobs):
        if not isinstance(event, Finished):
            say(f"the naive way: {event.job.id}")
        elif event.problem:
            raise HarnessError(f"the naive way, {event.job.id}: {event.problem}")
        else:
            naive[event.job.id] = event.result
    return Speed(jobs, len(faults), whole, alone, naive)


def _results(
    events: Iterable[object], total: int, say: Callable[[str], None]
) -> list[TargetResult]:
    results: list[TargetResult] = []
    for event in events:
        if isinstance(event, TargetResult):
            results.append(event)
            say(f"the matrix: {len(results)} of {total} done")
            if event.verdict == "error":
                raise HarnessError(f"the matrix, {event.id}: {event.problem or 'a check failed'}")
    return results


def naive_run(tree: Path, fault: Fault, scratch: Path) -> None:
    """Build a variant and all that belongs to it, boot it, and run usertests."""
    folder = scratch / f"run-{fault.id}"
    folder.mkdir()
    bench = Bench(build_apart(tree, KPT, fault), folder, fault.harts, Limits())
    with bench.machine() as machine:
        try:
            machine.wait_prompt()
            for _ in run_usertests(machine, [], None):
                pass
        except GuestDied:
            pass  # that is a result too, and an early one
    shutil.rmtree(tree)


def copy_source(root: Path, to: Path) -> Path:
    """Copy the project without what was built from it."""
    shutil.copytree(root, to, ignore=shutil.ignore_patterns(*NOT_SOURCE), symlinks=True)
    return to


def table(speed: Speed) -> Table:
    """Return the figures; a ratio is to the naive way."""
    title = f"seconds a variant, {speed.jobs} jobs at a time, nothing built before"
    grid = Table(title=title, title_justify="left")
    grid.add_column("way")
    grid.add_column("measured on")
    grid.add_column("seconds", justify="right")
    grid.add_column("times faster", justify="right")
    grid.add_row(
        "full build, boot, usertests", ", ".join(speed.naive), f"{speed.naive_each:.2f}", "1"
    )
    for way, each in (
        ("matrix, with the clean kernels", speed.matrix_each),
        ("matrix, variants alone", speed.alone_each),
    ):
        ratio = f"{speed.naive_each / each:.1f}"
        grid.add_row(way, f"{speed.variants} variants", f"{each:.2f}", ratio)
    return grid


def as_json(speed: Speed) -> dict[str, object]:
    """Return the figures for other programs."""
    return {
        "jobs": speed.jobs,
        "variants": speed.variants,
        "seconds": {
            "matrix": speed.whole,
            "variants": speed.alone,
            "naive": speed.naive,
        },
        "per-variant": {
            "matrix": speed.matrix_each,
            "variants": speed.alone_each,
            "naive": speed.naive_each,
        },
        "times-faster": {
            "matrix": speed.naive_each / speed.matrix_each,
            "variants": speed.naive_each / speed.alone_each,
        },
    }
