"""Does every page come back?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..bench import Bench
from ..finding import Finding, Rule, Where
from ..ledger import Ledger, Page, by_stack, event_findings, responsible
from ..machine import Machine
from ..ownership import holders, who_should_free
from ..trust import RULES as TRUST_RULES
from ..trust import Counts, counts, disagreements, inconsistencies, settled, tampered, without_shim
from ..unwind import call_path, path_text
from . import Unchecked, check

ROUNDS = 20
SHOWN = 5  # pages of a group that are looked for in the page tables
# Actions that make a process in each round, and so take a page and give one back at least.
FORKING = frozenset({"fork", "forkexec", "orphan", "kill", "execargs", "forkmem"})

PAGE_LEAKED = Rule(
    "page-leaked",
    "error",
    "Pages were allocated, what they were for is over, and they were never freed. Each round "
    "loses some more, until kalloc() has none left: then fork and exec fail, long after and "
    "far from the mistake; a real machine, which stays up for weeks, dies of one page a "
    "fork. The place shown is where the lost pages were allocated; the mistake is where "
    "their owner is cleaned up: a step that is missing, too few pages, an error path that "
    "returns too early.",
    "Who should free this page: freeproc(), exec() on its way out, an error path?",
    "break freeproc\n"
    "continue                   # at the shell: leaktest 1 ACTION\n"
    "print/x *p                 # what does the process still hold?\n"
    "break kfree\n"
    "commands                   # which of it is given back?\n"
    "print/x pa\n"
    "backtrace 4\n"
    "continue\n"
    "end\n"
    "tbreak usertrapret         # the end of wait()\n"
    "continue",
)
ACTION_FAILED = Rule(
    "action-failed",
    "error",
    "A system call failed although there was no reason for it: the probe does ordinary "
    "things, with plenty of memory, and each of them must succeed. Programs on a real "
    "machine give up when that happens. A page that could not be had although there were "
    "some, a check that refuses too much, or a mapping that is missing does it.",
    "Try the same in a small program of your own.",
    "continue                   # to the shell; then ctrl-C\n"
    "break usertrapret if (long)cpus[$tp].proc->trapframe->a0 == -1\n"
    "continue                   # at the shell: leaktest 20 ACTION\n"
    "print cpus[$tp].proc->trapframe->a7  # the call that failed: see syscall.h",
)


@dataclass(frozen=True)
class Answer:
    """The probe's answer to one action."""

    rounds: int
    before: int
    after: int
    failed: str  # the call that did not do what it should, or nothing


@check(PAGE_LEAKED, ACTION_FAILED, *TRUST_RULES, needs=("boot",), quick=True)
def leaks(bench: Bench) -> Iterator[Finding]:
    """After fork, exec, sbrk, pipe and the rest, every page is free again"""
    with bench.machine() as machine:
        machine.wait_prompt()
        reported: set[str] = set()
        for action in actions(bench, machine):
            bench.say(f"leaks: {action}")
            ledger = Ledger(machine.ram, bench.elf)
            before = counts(ledger)
            answer = run_action(bench, machine, action)
            wrong = settled(machine, lambda: contradictions(ledger, before, action, answer))
            if wrong:
                yield tampered(wrong, f"after {ROUNDS} rounds of `{action}`")
                return
            harts = machine.registers()
            ledger = Ledger(machine.ram, bench.elf)
            found = event_findings(ledger, harts)
            yield from (one for one in found if one.rule not in reported)
            reported |= {one.rule for one in found}
            if answer.failed:
                yield ACTION_FAILED.finding(
                    f"The probe's action `{action}` failed at {answer.failed}.",
                    where=_refused(ledger),
                    evidence=f"probe NONCE leak {action} {ROUNDS} answered fail={answer.failed}",
                )
            yield from lost_findings(ledger, action, answer)
            machine.resume()


def actions(bench: Bench, machine: Machine) -> list[str]:
    """Ask the probe what it can do; raises Unchecked if it is not there."""
    if bench.build.probe_missing:
        raise Unchecked(bench.build.probe_missing)
    said = machine.shell(f"probe {bench.nonce} hello")
    version = re.search(rf"^@{bench.nonce} hello shim=(\d+)$", said, re.MULTILINE)
    if version is None:
        raise Unchecked(f"the probe did not answer; it printed {said[-200:]!r}")
    if version[1] == "0" or bench.elf.address("faultline_ctl") is None:
        raise Unchecked("the kernel is not linked with the shim, so there is no ledger")
    if missing := without_shim(Ledger(machine.ram, bench.elf)):
        raise Unchecked(missing)
    listed = re.search(
        rf"^@{bench.nonce} actions (.+)$", machine.shell(f"probe {bench.nonce} list"), re.MULTILINE
    )
    if listed is None:
        raise Unchecked("the probe did not list its actions")
    return listed[1].split()


def run_action(bench: Bench, machine: Machine, action: str, rounds: int = ROUNDS) -> Answer:
    """Have the probe do an action so many times; return its answer."""
    said = machine.shell(f"probe {bench.nonce} leak {action} {rounds}")
    answer = re.search(
        rf"@{bench.nonce} leak {action} rounds=(\d+) before=(\d+) after=(\d+) "
        r"(?:ok|fail=(\S+))",
        said,
    )
    if answer is None:
        return Answer(rounds, 0, 0, f"once, without an answer: {said[-200:]!r}")
    return Answer(int(answer[1]), int(answer[2]), int(answer[3]), answer[4] or "")


def contradictions(
    ledger: Ledger, before: Counts, action: str, answer: Answer
) -> Iterator[str]:
    """Yield in words what the probe's answer and memory do not agree in."""
    yield from inconsistencies(ledger)
    if not answer.failed:
        least = 2 * answer.rounds if action in FORKING else 0
        yield from disagreements(before, counts(ledger), answer.after - answer.before, least)


def _refused(ledger: Ledger) -> Where:
    event = ledger.event("refused")
    places = responsible(call_path(ledger.elf, event.stack)) if event.count else []
    return places[0] if places else Where()


def lost_findings(ledger: Ledger, action: str, answer: Answer) -> Iterator[Finding]:
    """Yield a finding for each place whose pages were lost between mark and end."""
    groups = by_stack(ledger.lost())
    if not groups:
        return
    looked_for = {page.pa for pages in groups.values() for page in pages[:SHOWN]}
    held_by = holders(ledger.ram, ledger.elf, looked_for)
    for stack, pages in groups.items():
        places = responsible(call_path(ledger.elf, stack))
        per_round = len(pages) / answer.rounds
        yield PAGE_LEAKED.finding(
            f"{len(pages)} pages were lost in {answer.rounds} rounds of `{action}` "
            f"({per_round:.3g} a round), allocated here. "
            f"{who_should_free(ledger.elf, places)}".rstrip(),
            where=places[0] if places else Where(),
            evidence=f"Allocated by\n{path_text(places)}\n" + _held(pages, held_by),
        )


def _held(pages: list[Page], held_by: dict[int, str]) -> str:
    lines = []
    for page in pages[:SHOWN]:
        by = held_by.get(page.pa, "nothing in any page table refers to it")
        lines.append(f"page 0x{page.pa:x}: {by}")
    if len(pages) > SHOWN:
        lines.append(f"and {len(pages) - SHOWN} more")
    return "\n".join(lines)
