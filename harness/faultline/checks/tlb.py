"""Is every translation that is used fenced?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from ..bench import Bench
from ..finding import Finding
from ..machine import Machine
from ..tlb import findings, look, watched
from ..tlbrules import RULES
from . import Unchecked, check
from .leaks import actions, run_action

HARTS = 3
ROUNDS = 3  # of each of the probe's actions
# What is run at the same time, so that pages that one hart frees are given to another.
LOADS = {
    "programs": ("leak forkexec 1000",) * 4,
    "memory": ("pingpong", "leak sbrk 1000", "leak forkexec 1000", "leak sbrkbig 1000"),
}
LOOKS = 6  # at each; what is wrong shows at the first, nearly always
BETWEEN = 0.25  # wall seconds that the load runs, at least, between two looks
EFFORT = 0.4  # processor seconds that QEMU uses meanwhile; on a busy host that takes longer
PATIENCE = 6  # times BETWEEN, and no longer

Work = Callable[[Bench, Machine], Iterator[None]]


@check(*RULES.values(), needs=("boot",), long=True)
def tlb(bench: Bench) -> Iterator[Finding]:
    """No translation is used that was changed and not fenced"""
    seen: set[tuple[str, str | None]] = set()
    for harts, work in _plan(bench.harts):
        with watched(bench, harts=harts) as machine:
            machine.wait_prompt()
            known = 0
            for _ in work(bench, machine):
                report = look(machine)
                fresh = report.violations[known:]
                known = len(report.violations)
                if not report.paging:
                    raise Unchecked("the kernel runs without address translation")
                for finding in findings(replace(report, violations=fresh), bench.elf):
                    key = finding.rule, finding.where.function
                    if key not in seen:
                        seen.add(key)
                        yield finding


def _plan(asked: int | None) -> Iterator[tuple[int, Work]]:
    """Yield what is done, each on a machine of its own: with one hart, then with several."""
    if asked in (None, 1):
        yield 1, _actions
    if asked != 1:
        for name in LOADS:
            yield asked or HARTS, partial(_load, name)


def _actions(bench: Bench, machine: Machine) -> Iterator[None]:
    """One hart does each of the probe's actions."""
    yield
    for action in actions(bench, machine):
        bench.say(f"tlb: {action}")
        run_action(bench, machine, action, ROUNDS)
        yield


def _load(name: str, bench: Bench, machine: Machine) -> Iterator[None]:
    """Several harts at once: what one frees, another is given."""
    bench.say(f"tlb: several harts, {name}")
    actions(bench, machine)  # is the probe there?
    for words in LOADS[name]:
        machine.start(f"probe {bench.nonce} {words}")
    for _ in range(LOOKS):
        begun = machine.processor_seconds()
        for _ in range(PATIENCE):
            machine.watch(BETWEEN)
            if machine.processor_seconds() - begun >= EFFORT:
                break
        yield
