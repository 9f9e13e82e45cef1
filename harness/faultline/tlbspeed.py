"""What the TLB checker's plugin costs: the same workloads with it and without it.

Both run alternately in the same run, on one hart, so that a busy host slows both; the ratio
is of QEMU's processor time, which depends on that less than the wall clock does. The plugin
sees each instruction as it is translated, and is called at run time only for those that can
matter: docs/tlb.md.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from .bench import Bench
from .build import Build, build_clean
from .errors import HarnessError
from .machine import GuestDied
from .progress import processor_state
from .tlb import look, plugin_words, require_plugin

KPT = "share"
ROUNDS = 3  # boots with, and boots without
BOOT = "boot to prompt"
# What the shell is told: processes, memory, files, calls, computing.
WORKLOADS = {
    "fork and exec": "usertests race_exec",
    "memory": "usertests memory_all",
    "files": "usertests file_largest",
    "pipes": "usertests pipe_sizes",
    "forks that copy memory": "usertests memory_forks",
}
TICK = 0.01  # what processor time is counted in


@dataclass(frozen=True)
class Taken:
    """What a workload has taken, in seconds."""

    wall: float
    cpu: float  # of QEMU's processor time


@dataclass(frozen=True)
class Cost:
    """One workload, in several boots without the plugin and with it."""

    workload: str
    without: tuple[Taken, ...]
    watched: tuple[Taken, ...]

    @property
    def ratio(self) -> float:
        """How many times more processor time it takes with the plugin, by the medians."""
        return cpu(self.watched) / cpu(self.without)


def cpu(taken: tuple[Taken, ...]) -> float:
    """Return the median of the processor time."""
    return statistics.median(one.cpu for one in taken)


def whole(costs: list[Cost]) -> Cost:
    """Return all workloads as one."""

    def total(runs: list[tuple[Taken, ...]]) -> tuple[Taken, ...]:
        return tuple(
            Taken(sum(one.wall for one in boot), sum(one.cpu for one in boot))
            for boot in zip(*runs, strict=True)
        )

    return Cost(
        "all", total([one.without for one in costs]), total([one.watched for one in costs])
    )


def one_boot(build: Build, scratch: Path, plugin: str) -> dict[str, Taken]:
    """Boot once and do each workload; raises HarnessError if one fails, or is found fault with."""
    bench = Bench(build, scratch)
    taken: dict[str, Taken] = {}
    start, used = time.monotonic(), 0.0
    try:
        with bench.machine(icount=False, plugin=plugin) as machine:

            def note(workload: str) -> None:
                nonlocal start, used
                now, cpu_now = time.monotonic(), processor_state(machine.pid)[0]
                taken[workload] = Taken(now - start, max(cpu_now - used, TICK))
                start, used = now, cpu_now

            machine.wait_prompt()
            note(BOOT)
            for workload, words in WORKLOADS.items():
                said = machine.shell(words)
                note(workload)
                if "ALL TESTS PASSED" not in said:
                    raise HarnessError(f"`{words}` said: {said[-500:]}")
            if plugin and look(machine).violations:
                raise HarnessError("the TLB checker reports on the clean kernel: see `faultline tlb`")
    except GuestDied as died:
        raise HarnessError(f"the kernel died: {died}\n{died.death.console}") from died
    return taken


def measure(root: Path, scratch: Path, say: Callable[[str], None]) -> list[Cost]:
    """Measure each workload both ways, in turn; raises Unchecked if QEMU is too old."""
    build = build_clean(root, KPT)
    words = plugin_words(require_plugin(), build.elf)
    boots: dict[str, list[dict[str, Taken]]] = {"": [], words: []}
    for number in range(ROUNDS):
        for plugin, done in boots.items():
            say(f"boot {number + 1} of {ROUNDS}, {'with' if plugin else 'without'} the plugin")
            done.append(one_boot(build, scratch, plugin))
    return [
        Cost(name, *(tuple(boot[name] for boot in done) for done in boots.values()))
        for name in (BOOT, *WORKLOADS)
    ]


def table(costs: list[Cost]) -> Table:
    """Return the figures."""
    grid = Table(title="processor seconds with the TLB checker's plugin", title_justify="left")
    grid.add_column("workload")
    for name in ("without", "with", "times"):
        grid.add_column(name, justify="right")
    for one in (*costs, whole(costs)):
        grid.add_row(
            one.workload, f"{cpu(one.without):.2f}", f"{cpu(one.watched):.2f}", f"{one.ratio:.2f}"
        )
    return grid


def as_json(costs: list[Cost]) -> list[dict[str, object]]:
    """Return the figures for other programs."""
    return [
        {
            "workload": one.workload,
            "without": [dataclasses.asdict(taken) for taken in one.without],
            "with": [dataclasses.asdict(taken) for taken in one.watched],
            "times-slower": one.ratio,
        }
        for one in (*costs, whole(costs))
    ]
