"""How many allocation failures a second: all in one boot, beside one boot for each.

Both do the same to the same workload, on the same kind of machine, in the same run: the
n-th kalloc fails, the result and the count of pages are looked at, and the workload must
work afterwards. The probe does not stop for looks at memory, in either. The boots are
measured on a few n only, between two sweeps of all n, so that a busy host slows both; the
seconds of QEMU's processor time depend on that less.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ..bench import Bench
from ..build import Build, build_clean
from ..errors import HarnessError
from ..machine import PROMPT, GuestDied, Machine
from ..progress import processor_state
from .protocol import Begun, CannotRun, Ran, Stopped, line_pattern, parse

# Each has many allocations. In some an actor stays for all of them; exec ends with its own.
WORKLOADS = ("fork", "forkbig", "sbrkbig", "pipeline", "execargs")
KPT = "share"
BOOTS = 5  # for each workload
ROUNDS = 3  # sweeps of all n of each workload


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
    def cpu_ratio(self) -> float:
        """How many times less processor time it takes."""
        apart = statistics.median(one.boot_cpu + one.cpu for one in self.boots)
        return apart / statistics.median(one.cpu / one.failures for one in self.sweeps)


def inject(machine: Machine, nonce: str, workload: str, first: int, last: int) -> int:
    """Sweep from first to last (0: to the end); return how many failures were injected.

    Raises HarnessError if the kernel does anything but survive: then nothing was measured.
    """
    machine.send(f"probe {nonce} sweep {workload} nth {first} {last} unseen")
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


def one_boot(build: Build, scratch: Path, workload: str, n: int = 0) -> Taken:
    """Boot, and inject all failures, or just the n-th."""
    bench = Bench(build, scratch)
    start = time.monotonic()
    try:
        with bench.machine() as machine:
            machine.wait_prompt()
            booted, boot_cpu = time.monotonic(), processor_state(machine.pid)[0]
            count = inject(machine, bench.nonce, workload, n or 1, n)
            done, cpu = time.monotonic(), processor_state(machine.pid)[0]
        around = time.monotonic() - done + booted - start
    except GuestDied as died:
        raise HarnessError(f"the kernel died: {died}\n{died.death.console}") from died
    if not count:
        raise HarnessError(f"no allocation failed in `{workload}`")
    tick = 0.01  # what processor time is counted in
    return Taken(count, done - booted, max(cpu - boot_cpu, tick), around, boot_cpu)


def measure(root: Path, scratch: Path, say: Callable[[str], None]) -> list[Speed]:
    """Measure each workload both ways, in turn; raises HarnessError if one does not work."""
    build = build_clean(root, KPT)
    found = []
    for workload in WORKLOADS:
        say(f"sweep of {workload}")
        sweeps = [one_boot(build, scratch, workload)]
        boots = []
        for number in range(BOOTS):
            n = 1 + number * (sweeps[0].failures - 1) // (BOOTS - 1)
            say(f"sweep of {workload}: a boot for n = {n}")
            boots.append(one_boot(build, scratch, workload, n))
            if len(sweeps) < ROUNDS:
                sweeps.append(one_boot(build, scratch, workload))
        found.append(Speed(workload, tuple(sweeps), tuple(boots)))
    return found


def table(found: list[Speed]) -> Table:
    """Return the figures."""
    grid = Table(title="allocation failures injected a second", title_justify="left")
    grid.add_column("workload")
    for name in ("allocations", "in one boot", "a boot for each", "times faster", "times less CPU"):
        grid.add_column(name, justify="right")
    for one in found:
        grid.add_row(
            one.workload,
            str(one.sweeps[0].failures),
            f"{one.inside:.1f}",
            f"{one.apart:.2f}",
            f"{one.ratio:.0f}",
            f"{one.cpu_ratio:.0f}",
        )
    return grid


def as_json(found: list[Speed]) -> list[dict[str, object]]:
    """Return the figures for other programs."""
    return [
        {
            "workload": one.workload,
            "sweeps": [dataclasses.asdict(sweep) for sweep in one.sweeps],
            "boots": [dataclasses.asdict(boot) for boot in one.boots],
            "per-second": {"one-boot": one.inside, "boot-each": one.apart},
            "times-faster": one.ratio,
            "times-less-processor-time": one.cpu_ratio,
        }
        for one in found
    ]
