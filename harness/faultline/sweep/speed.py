"""How many allocation failures a second: all in one boot, beside one boot for each.

Both do the same to the same workload, on the same kind of machine, in the same run: the
n-th kalloc fails (or it and all after it), the result and the count of pages are looked at,
and the workload must work afterwards. The probe does not stop for looks at memory, in either.

For each workload, what is inside the boot is counted: from the first command typed until the
prompt after the second, one for each mode. Then all workloads are swept in both modes in one
boot, as `faultline sweep` does it, without and with the boot and QEMU's start and end. One
boot for each failure is measured on a few n only, in both modes, between sweeps of all n, so
that a busy host slows both; the seconds of QEMU's processor time depend on that less.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ..bench import Bench
from ..build import Build, build_clean
from ..errors import HarnessError
from ..machine import PROMPT, GuestDied, Machine
from ..progress import processor_state
from .protocol import Begun, CannotRun, Ran, Stopped, line_pattern, parse

WORKLOADS = ("fork", "forkbig", "sbrkbig", "pipeline", "execargs")  # with many allocations
MODES = ("nth", "from")
KPT = "share"
BOOTS = 6  # for each workload, in turn of each mode
ROUNDS = 3  # sweeps of all n of each workload, and of all workloads


@dataclass(frozen=True)
class Taken:
    """What failures in one boot have taken, in seconds."""

    failures: int
    wall: float
    cpu: float  # of QEMU's processor time
    boot_wall: float  # before, until the prompt, and after, until QEMU is gone
    boot_cpu: float


@dataclass(frozen=True)
class Speed:
    """Failures injected in one workload: all in one boot, and a boot for each."""

    workload: str
    sweeps: tuple[Taken, ...]
    boots: tuple[Taken, ...]  # of one failure each

    @property
    def failures(self) -> int:
        """How many failures a sweep injects."""
        return self.sweeps[0].failures

    @property
    def inside(self) -> float:
        """Failures a second inside a boot: the median."""
        return statistics.median(one.failures / one.wall for one in self.sweeps)

    @property
    def apart(self) -> float:
        """Failures a second with a boot for each: the median."""
        return 1 / statistics.median(one.boot_wall + one.wall for one in self.boots)

    @property
    def ratio(self) -> float:
        """How many times faster it is inside one boot."""
        return self.inside / self.apart

    @property
    def cpu_apart(self) -> float:
        """Processor seconds of a failure with a boot of its own: the median."""
        return statistics.median(one.boot_cpu + one.cpu for one in self.boots)

    @property
    def cpu_ratio(self) -> float:
        """How many times less processor time it takes inside one boot."""
        return self.cpu_apart / statistics.median(one.cpu / one.failures for one in self.sweeps)


@dataclass(frozen=True)
class Whole:
    """Failures injected in all workloads: in one boot, and a boot for each."""

    parts: tuple[Speed, ...]
    sweeps: tuple[Taken, ...]
    with_boot: bool  # the one boot counts as well

    @property
    def workload(self) -> str:
        """What it is called."""
        return "all, with the boot" if self.with_boot else "all"

    @property
    def failures(self) -> int:
        """How many failures a sweep of all injects."""
        return self.sweeps[0].failures

    @property
    def inside(self) -> float:
        """Failures a second inside the boot, or with its start and its end: the median."""
        return statistics.median(
            one.failures / (one.wall + self.with_boot * one.boot_wall) for one in self.sweeps
        )

    @property
    def apart(self) -> float:
        """Failures a second if each of those failures had a boot of its own."""
        return self.failures / sum(part.failures / part.apart for part in self.parts)

    @property
    def ratio(self) -> float:
        """How many times faster one boot is."""
        return self.inside / self.apart

    @property
    def cpu_ratio(self) -> float:
        """How many times less processor time one boot takes."""
        apart = sum(part.failures * part.cpu_apart for part in self.parts)
        return apart / statistics.median(
            one.cpu + self.with_boot * one.boot_cpu for one in self.sweeps
        )


def inject(
    machine: Machine, nonce: str, workload: str, mode: str, first: int = 1, last: int = 0
) -> int:
    """Sweep from first to last (0: to the end); return how many failures were injected.

    Raises HarnessError if the kernel does anything but survive: then nothing was measured.
    """
    machine.send(f"probe {nonce} sweep {workload} {mode} {first} {last} unseen")
    fired, told = 0, first - 1  # a line is told of all n since the one before
    while True:
        match = machine.expect(rf"{line_pattern(nonce)}|{PROMPT}", "the sweep's next line")
        if match[1] is None:
            return fired
        event = parse(match[1])
        if isinstance(event, (CannotRun, Stopped)) or isinstance(event, Ran) and event.bad:
            raise HarnessError(f"the sweep of `{workload}` said: {match[1]}")
        elif isinstance(event, Ran):
            fired += event.n - told - (event.fired == 0)
            told = event.n
        elif isinstance(event, Begun) and first > event.calls:
            raise HarnessError(f"`{workload}` has only {event.calls} allocations")


def one_boot(
    build: Build, scratch: Path, workloads: Sequence[str], modes: Sequence[str] = MODES, n: int = 0
) -> Taken:
    """Boot, and inject all failures, or just the n-th, in these workloads and modes."""
    bench = Bench(build, scratch)
    start = time.monotonic()
    try:
        with bench.machine() as machine:
            machine.wait_prompt()
            booted, boot_cpu = time.monotonic(), processor_state(machine.pid)[0]
            count = sum(
                inject(machine, bench.nonce, workload, mode, n or 1, n)
                for workload in workloads
                for mode in modes
            )
            done, cpu = time.monotonic(), processor_state(machine.pid)[0]
        around = time.monotonic() - done + booted - start
    except GuestDied as died:
        raise HarnessError(f"the kernel died: {died}\n{died.death.console}") from died
    if not count:
        raise HarnessError(f"no allocation failed in `{'`, `'.join(workloads)}`")
    tick = 0.01  # what processor time is counted in
    return Taken(count, done - booted, max(cpu - boot_cpu, tick), around, boot_cpu)


def _measure_one(build: Build, scratch: Path, workload: str, say: Callable[[str], None]) -> Speed:
    say(f"sweep of {workload}")
    sweeps = [one_boot(build, scratch, [workload])]
    last = sweeps[0].failures // len(MODES)  # both have the same
    boots = []
    for number in range(BOOTS):
        n, mode = 1 + number * (last - 1) // (BOOTS - 1), MODES[number % len(MODES)]
        say(f"sweep of {workload}: a boot for n = {n}, {mode}")
        boots.append(one_boot(build, scratch, [workload], [mode], n))
        if len(sweeps) < ROUNDS:
            sweeps.append(one_boot(build, scratch, [workload]))
    return Speed(workload, tuple(sweeps), tuple(boots))


def measure(root: Path, scratch: Path, say: Callable[[str], None]) -> list[Speed | Whole]:
    """Measure each workload both ways, in turn, and all; raises HarnessError if one fails."""
    build = build_clean(root, KPT)
    parts: list[Speed] = []
    whole: list[Taken] = []
    for workload in WORKLOADS:
        parts.append(_measure_one(build, scratch, workload, say))
        if len(whole) < ROUNDS:
            say("sweep of all workloads in one boot")
            whole.append(one_boot(build, scratch, WORKLOADS))
    return [*parts, *(Whole(tuple(parts), tuple(whole), counts) for counts in (False, True))]


def table(found: Sequence[Speed | Whole]) -> Table:
    """Return the figures."""
    grid = Table(title="allocation failures injected a second", title_justify="left")
    grid.add_column("workload")
    for name in ("failures", "in one boot", "a boot for each", "times faster", "times less CPU"):
        grid.add_column(name, justify="right")
    for one in found:
        grid.add_row(
            one.workload,
            str(one.failures),
            f"{one.inside:.1f}",
            f"{one.apart:.2f}",
            f"{one.ratio:.0f}",
            f"{one.cpu_ratio:.0f}",
        )
    return grid


def as_json(found: Sequence[Speed | Whole]) -> list[dict[str, object]]:
    """Return the figures for other programs."""
    return [
        {
            "workload": one.workload,
            "sweeps": [dataclasses.asdict(sweep) for sweep in one.sweeps],
            "boots": [dataclasses.asdict(b) for b in one.boots] if isinstance(one, Speed) else [],
            "per-second": {"one-boot": one.inside, "boot-each": one.apart},
            "times-faster": one.ratio,
            "times-less-processor-time": one.cpu_ratio,
        }
        for one in found
    ]
