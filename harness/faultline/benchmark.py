"""How fast the kernel is, with shared and with copied kernel page tables side by side.

The figures are of real time, so they hold for this host and this moment; what lasts is the
ratio. Both kinds run alternately, so that a busy host slows both.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .build import KPTS, Build, build_clean
from .errors import HarnessError, UsageError
from .machine import Config, GuestDied, Machine
from .scratch import Scratch

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("user", "table", "kstack", "trapframe", "pipe", "other")
_LINE = re.compile(r"^(\S+) (\d+) (\d+\.\d\d) (\d+)$", re.MULTILINE)
_PAGES = re.compile(r"^pages((?: \w+=-?\d+)+)$", re.MULTILINE)


@dataclass(frozen=True)
class Measure:
    """A row of the table: what bench calls it, what it is, and its unit."""

    name: str
    title: str
    unit: str

    def value(self, microseconds: float, size: int) -> float:
        """Turn the time of one iteration, which moved `size` bytes, into the unit."""
        return size / microseconds if self.unit == "MB/s" else microseconds


BOOT = Measure("boot", "boot to prompt", "ms")
MEASURES = (
    Measure("fork", "fork+exit", "µs"),
    Measure("exec", "fork+exec+exit", "µs"),
    Measure("sbrk", "sbrk ±16 pages", "µs"),
    Measure("pipe", "pipe", "MB/s"),
    Measure("file-write", "file write", "MB/s"),
    Measure("file-read", "file read", "MB/s"),
)


@dataclass(frozen=True)
class Sample:
    """What one boot of one kernel gave."""

    values: dict[str, float]  # by measure, in its unit
    pages: dict[str, int]  # that one more process takes, by class


@dataclass(frozen=True)
class Spread:
    """The values of several boots."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{figures(self.median)} ({figures(self.low)}–{figures(self.high)})"


def figures(value: float) -> str:
    """Return a number with three figures, without an exponent."""
    digits = next((d for d, limit in ((2, 10), (1, 100)) if abs(value) < limit), 0)
    return f"{value:.{digits}f}"


def parse(said: str) -> Sample:
    """Read what bench prints; raises HarnessError if anything is missing."""
    lines = {line[1]: line for line in _LINE.finditer(said)}
    pages = _PAGES.search(said)
    missing = [m.name for m in MEASURES if m.name not in lines] + ["pages"] * (pages is None)
    if missing or pages is None:
        raise HarnessError(f"bench said nothing of {', '.join(missing)}; it said:\n{said}")
    values = {m.name: m.value(float(lines[m.name][3]), int(lines[m.name][4])) for m in MEASURES}
    counts = dict(word.split("=") for word in pages[1].split())
    return Sample(values, {name: int(counts.get(name, "0")) for name in CLASSES})


def run_once(build: Build, harts: int, scratch: Path) -> Sample:
    """Boot the kernel without the shim, and measure; raises HarnessError if it dies."""
    disk = scratch / "bench.img"
    shutil.copyfile(build.disk, disk)
    config = Config(build.kernel.with_name("kernel.elf"), disk, harts=harts, icount=False)
    try:
        with Machine(config, scratch) as machine:
            start = time.monotonic()
            machine.wait_prompt()
            boot = time.monotonic() - start
            sample = parse(machine.shell("bench"))
    except GuestDied as died:
        raise HarnessError(f"the kernel died: {died}\n{died.death.console}") from died
    finally:
        disk.unlink(missing_ok=True)
    return dataclasses.replace(sample, values={BOOT.name: boot * 1000, **sample.values})


def run(repeat: int, harts: int, say: Callable[[str], None]) -> dict[str, list[Sample]]:
    """Build both kinds of kernel and measure them in turn, `repeat` times each."""
    say("building")
    builds = {kpt: build_clean(ROOT, kpt) for kpt in KPTS}
    samples: dict[str, list[Sample]] = {kpt: [] for kpt in KPTS}
    with Scratch() as scratch:
        for number in range(repeat):
            for kpt, build in builds.items():
                say(f"run {number + 1} of {repeat}, KPT={kpt}")
                samples[kpt].append(run_once(build, harts, scratch))
    return samples


def spreads(samples: dict[str, list[Sample]], name: str) -> dict[str, Spread]:
    """Return one measure's spread for each kind of kernel."""
    return {kpt: Spread.of([s.values[name] for s in some]) for kpt, some in samples.items()}


def time_table(samples: dict[str, list[Sample]]) -> Table:
    """Return the times and speeds; a ratio is that of the medians."""
    table = Table(title="median (lowest–highest)", title_justify="left")
    table.add_column("measure", no_wrap=True)
    for column in ("unit", *(f"KPT={kpt}" for kpt in KPTS), "copy/share"):
        table.add_column(column, justify="right", no_wrap=True)
    for measure in (BOOT, *MEASURES):
        by_kpt = spreads(samples, measure.name)
        ratio = by_kpt["copy"].median / by_kpt["share"].median
        cells = [str(by_kpt[kpt]) for kpt in KPTS]
        table.add_row(measure.title, measure.unit, *cells, f"{ratio:.2f}")
    return table


def page_table(samples: dict[str, list[Sample]]) -> Table:
    """Return the pages of one process, by class."""
    table = Table(title="pages that one more process takes", title_justify="left")
    table.add_column("KPT")
    for name in (*CLASSES, "all"):
        table.add_column(name, justify="right")
    for kpt, some in samples.items():
        by_class = [sorted({sample.pages[name] for sample in some}) for name in CLASSES]
        totals = sorted({sum(sample.pages.values()) for sample in some})
        table.add_row(kpt, *("–".join(map(str, counts)) for counts in (*by_class, totals)))
    return table


def as_json(samples: dict[str, list[Sample]]) -> str:
    """Return every sample, for other programs."""
    units = {measure.name: measure.unit for measure in (BOOT, *MEASURES)}
    runs = {kpt: [dataclasses.asdict(one) for one in some] for kpt, some in samples.items()}
    return json.dumps({"schema": "faultline-bench/1", "units": units, "runs": runs}, indent=2)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `faultline bench` takes."""
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="boots of each kind")
    parser.add_argument("--harts", type=int, default=1, choices=range(1, 9), metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there")


def command(options: argparse.Namespace) -> int:
    """Measure and print; return the exit status. Raises HarnessError and UsageError."""
    if options.repeat < 1:
        raise UsageError(f"--repeat {options.repeat}: expected at least 1")
    console = Console(highlight=False)
    with console.status("") as status:
        samples = run(options.repeat, options.harts, status.update)
    console.print(time_table(samples), page_table(samples))
    if options.json:
        options.json.write_text(as_json(samples) + "\n")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command on its own."""
    parser = argparse.ArgumentParser(prog="faultline bench", description=__doc__)
    add_options(parser)
    return command(parser.parse_args(words))
