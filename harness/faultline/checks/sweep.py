"""Does the kernel survive any allocation that fails?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..audit import RULES as AUDIT_RULES
from ..bench import Bench
from ..errors import HarnessError
from ..finding import Finding, Table
from ..machine import Machine
from ..sweep.groups import Deaths
from ..sweep.protocol import Choice, workloads
from ..sweep.rules import RULES
from ..sweep.run import Machines, Sweep
from . import Unchecked, check

PARTS = 4


@check(
    *RULES,
    *AUDIT_RULES,
    needs=("boot",),
    parts=tuple(f"{number}/{PARTS}" for number in range(1, PARTS + 1)),
    long=True,
)
def sweep(bench: Bench) -> Iterator[Finding | Table]:
    """Whichever allocation fails, the call fails cleanly and the kernel goes on"""
    choice = bench.sweep
    with Machines(bench) as machines:
        listed = listing(bench, machines.get())
        all_of_it = Sweep(bench, machines, deaths=Deaths(choice.exhaustive))
        for workload in chosen(listed, choice, bench.part):
            for mode in choice.modes:
                works = all_of_it.round(workload, mode)
                if workload == choice.first:
                    yield from told(all_of_it)
                if not works:
                    break
        yield from told(all_of_it)


def told(all_of_it: Sweep) -> Iterator[Finding | Table]:
    """Yield the table, and the findings that were not yielded before."""
    yield all_of_it.causes.table()
    yield from all_of_it.other
    all_of_it.other.clear()
    yield from all_of_it.causes.findings()


def listing(bench: Bench, machine: Machine) -> list[str]:
    """Ask the probe which workloads there are."""
    said = machine.shell(f"probe {bench.nonce} workloads")
    found = workloads(said, bench.nonce)
    if not found:
        raise Unchecked(f"the probe did not list its workloads; it printed {said[-200:]!r}")
    return found


def chosen(listed: Sequence[str], choice: Choice, part: str) -> list[str]:
    """Return the workloads to sweep, the one that is to be first in front.

    `part` is such as 2/4, empty for all. Raises HarnessError if there is no such workload.
    """
    for name in (choice.workload, choice.first):
        if name and name not in listed:
            raise HarnessError(
                f"there is no workload {name!r}; the probe has {', '.join(listed)}"
            )
    names = [name for name in listed if choice.workload in ("", name)]
    if part:
        number, of = (int(word) for word in part.split("/"))
        names = names[number - 1 :: of]
    return sorted(names, key=lambda name: name != choice.first)
