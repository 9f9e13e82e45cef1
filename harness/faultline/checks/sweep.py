"""Does the kernel survive any allocation that fails?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..audit import RULES as AUDIT_RULES
from ..bench import Bench
from ..ctype import Struct
from ..errors import HarnessError
from ..finding import Finding, Table
from ..ledger import Ledger
from ..machine import Machine
from ..sweep.groups import Deaths
from ..sweep.machines import Machines
from ..sweep.protocol import Choice, workloads
from ..sweep.rules import RULES, broken_anyway
from ..sweep.run import TREE_BOOTS, Sweep
from ..trust import RULES as TRUST_RULES
from ..trust import without_shim
from . import Unchecked, check

PARTS = 4
NEEDED = ("paths", "tried", "n", "mark")  # members of the control block


@check(
    *RULES,
    *AUDIT_RULES,
    *TRUST_RULES,
    needs=("boot",),
    parts=tuple(f"{number}/{PARTS}" for number in range(1, PARTS + 1)),
    long=True,
)
def sweep(bench: Bench) -> Iterator[Finding | Table]:
    """Whichever allocation fails, the call fails cleanly and the kernel goes on"""
    choice = bench.sweep
    ask(bench)
    with Machines(bench) as machines:
        listed = listing(bench, machines.get())
        sparing = bench.build.tree and not choice.exhaustive
        deaths = Deaths(choice.exhaustive, sparing)
        boots = TREE_BOOTS if sparing else None
        all_of_it = Sweep(bench, machines, deaths=deaths, boots=boots)
        for workload in chosen(listed, choice, bench.part):
            for mode in choice.modes:
                works = all_of_it.round(workload, mode)
                if workload == choice.first:
                    yield from told(all_of_it)
                if not works:
                    break
        yield from told(all_of_it)


def ask(bench: Bench) -> None:
    """Raise Unchecked if the kernel's control block is not the one that a sweep needs."""
    block = bench.elf.type_of("faultline_ctl")
    known = {name for name, _, _ in block.members} if isinstance(block, Struct) else set()
    missing = [name for name in NEEDED if name not in known]
    if missing:
        raise Unchecked(
            f"the kernel's control block has no {', '.join(missing)}: it is not linked with the "
            "shim, or with that of another version"
        )


def told(all_of_it: Sweep) -> Iterator[Finding | Table]:
    """Yield the table, and the findings that were not yielded before."""
    yield all_of_it.causes.table()
    yield from all_of_it.other
    all_of_it.other.clear()
    if all_of_it.anyway:
        yield broken_anyway(all_of_it.anyway)
        all_of_it.anyway.clear()
    yield from all_of_it.causes.findings()


def listing(bench: Bench, machine: Machine) -> list[str]:
    """Ask the probe which workloads there are."""
    said = machine.shell(f"probe {bench.nonce} workloads")
    found = workloads(said, bench.nonce)
    if not found:
        raise Unchecked(f"the probe did not list its workloads; it printed {said[-200:]!r}")
    if missing := without_shim(Ledger(machine.ram, bench.elf)):
        raise Unchecked(missing)
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
