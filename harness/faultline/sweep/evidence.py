"""What a machine's memory says of an allocation that failed, and of what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..audit import RULES as AUDIT_RULES
from ..elf import ElfImage
from ..errors import HarnessError
from ..finding import Finding, Where
from ..ledger import DOUBLE_FREE as FREED_TWICE
from ..ledger import WILD_FREE, Ledger, by_stack, event_findings, responsible
from ..machine import GuestDied
from ..ownership import holders, who_should_free
from ..postmortem import death_finding
from ..ram import Ram
from ..unwind import call_path, path_text
from . import rules
from .causes import EVIDENCE, Failure
from .protocol import Ran

# What the probe's words mean: its results, and what of their details is no piece of state.
TOLD = {
    "false-success": "the call reports success, but this is not as it should be",
    "false-failure": "the call reports a failure, but this has happened",
    "changed": "the call reports a failure, but this is not as it was",
    "killed": "the program that made the call is killed in it",
    "killed-afterwards": "the program that made the call is killed when it goes on: its memory "
    "is not what it was",
    "unprovoked": "the call reports a failure although it had all that it needs",
    "fork": "the process that was to make the call next cannot be started: fork fails",
}
SHOWN = 3  # lost pages that are looked for in the page tables, of each place
_AUDIT_RULES = {rule.name: rule for rule in AUDIT_RULES}

Path = tuple[Where, ...]


@dataclass(frozen=True)
class Armed:
    """Which kalloc the probe asked to fail last, and what came of it."""

    n: int  # 0 if none was yet
    tried: int  # the last n that was not 0, since the workload's kallocs were counted
    fired: int  # how many were refused
    stack: tuple[int, ...]  # of the first that was ever refused so, even if that was before


class Memory:
    """The control block of a machine that is swept."""

    def __init__(self, ram: Ram, elf: ElfImage) -> None:
        """Raises HarnessError if the kernel's shim is not made for sweeps."""
        self.ledger = Ledger(ram, elf)
        self.elf = elf
        self._ctl = self.ledger.ctl
        if "paths" not in self._ctl:
            raise HarnessError(f"{elf.path}: faultline_ctl has no paths: too old a shim")

    def armed(self) -> Armed:
        """Return what was armed last."""
        fired = self.ledger.event("fired")
        n, tried = int(self._ctl["n"]), int(self._ctl["tried"])
        return Armed(n, tried, fired.count, fired.stack)

    def paths(self, calls: int) -> tuple[int, ...]:
        """Return the call paths of the counting run's kallocs, as numbers."""
        kept = self._ctl["paths"]
        return tuple(int(kept[index]) for index in range(min(calls, len(kept))))

    def counted(self) -> int:
        """Return how many kallocs the last counting run made."""
        return int(self._ctl["counted"])

    def wrong_frees(self) -> int:
        """Return how often a page was freed twice, or what is no page."""
        return sum(int(self._ctl[name]["count"]) for name in ("double_free", "wild_free"))

    def wrong_frees_before(self) -> int:
        """Return how often before the counting run. The guest runs on while it is asked."""
        return int(self._ctl["wrong"])

    def path(self, stack: Sequence[int]) -> Path:
        """Return the call path of an allocation, without the allocator."""
        return tuple(responsible(call_path(self.elf, tuple(stack))))


def death_failure(died: GuestDied, elf: ElfImage, path: Path) -> Failure:
    """Return what a guest's death says of the allocation that failed before it."""
    death = death_finding(died, elf)
    rule = rules.OF_DEATH[died.death.kind]
    # Where a hart of a machine that hangs happens to be says little.
    place = str(death.where) if rule is rules.PANIC else died.death.kind
    return Failure(rule, path, place, f"{death_words(death)}.", _died_text(death))


def death_words(death: Finding) -> str:
    """Return in words, which continue a sentence, how a kernel died and where."""
    at = f" at {death.where}" if death.where != Where() else ""
    panicked = re.fullmatch(r"The kernel panicked(?: \(.*?\))?: (.*)", death.message, re.DOTALL)
    if panicked:
        return f"the kernel panics{at}: {panicked[1]}"
    return _small(death.message) + (f" (it is{at})" if at else "")


def wrong_free_failure(memory: Memory, path: Path, death: Finding | None = None) -> Failure:
    """Return what is to be said of the first wrong free; `death` came after it."""
    names = (FREED_TWICE.name, WILD_FREE.name)
    found = [one for one in event_findings(memory.ledger, ()) if one.rule in names]
    if not found:
        return Failure(rules.DOUBLE_FREE, path, "", "a page is freed twice.")
    first = found[0]
    after = f" Then {death_words(death)}." if death else ""
    return Failure(
        rules.DOUBLE_FREE,
        path,
        str(first.where),
        f"{_small(first.message.rstrip('.'))}, in {first.where}.{after}",
        first.evidence + (f"\n{_died_text(death)}" if death else ""),
        first.hint,
    )


def result_failures(ran: Ran, path: Path) -> Iterator[Failure]:
    """Yield what the probe saw itself: a wrong result, and what does not work afterwards."""
    if ran.result in rules.OF_RESULT:
        told = TOLD.get(ran.what) or f"{TOLD[ran.result]}: {ran.what}"
        rule = rules.OF_RESULT[ran.result]
        yield Failure(rule, path, ran.what, f"{told}.", f"result={ran.result}:{ran.what}")
    if not ran.sane:
        yield Failure(
            rules.INSANE,
            path,
            ran.insane,
            f"the same does not work any more afterwards, with memory enough: "
            f"{ran.insane or 'it fails'}.",
        )


def loss_failures(memory: Memory, ran: Ran, path: Path) -> Iterator[Failure]:
    """Yield a failure for each place whose pages were lost while n was tried."""
    if ran.lost < 0:
        yield Failure(
            rules.CHANGED,
            path,
            "fewer pages",
            f"{-ran.lost} pages fewer are in use afterwards than before: what was still needed "
            "has been freed.",
        )
    if ran.lost <= 0:
        return
    groups = by_stack(memory.ledger.lost())
    if not groups:
        yield Failure(
            rules.LEAK, path, "", f"{_pages(ran.lost)} lost, and the ledger does not say which."
        )
    looked_for = {page.pa for pages in groups.values() for page in pages[:SHOWN]}
    held_by = holders(memory.ledger.ram, memory.elf, looked_for)
    for stack, pages in groups.items():
        taken = list(memory.path(stack))
        place = taken[0] if taken else Where()
        held = [
            f"page 0x{page.pa:x}: "
            + held_by.get(page.pa, "nothing in any page table refers to it")
            for page in pages[:SHOWN]
        ]
        yield Failure(
            rules.LEAK,
            path,
            str(place),
            f"{_pages(len(pages))} lost that had been allocated at {place}. "
            f"{who_should_free(memory.elf, taken)}".rstrip(),
            f"The lost pages were allocated by\n{path_text(taken)}\n" + "\n".join(held),
        )


def audit_failure(found: Finding, path: Path) -> Failure:
    """Return what an audit right after the failed call has found, as a failure of it."""
    return Failure(
        _AUDIT_RULES[found.rule],
        path,
        str(found.where.function),
        f"something is wrong afterwards: {_small(found.message)}",
        f"At {found.where}\n{found.evidence}"[:EVIDENCE],
        found.hint,
    )


def _died_text(death: Finding) -> str:
    return f"The kernel's end:\n{death.evidence}"[:EVIDENCE]


def _pages(count: int) -> str:
    return "1 page is" if count == 1 else f"{count} pages are"


def _small(sentence: str) -> str:
    """Return a sentence as the continuation of another."""
    return sentence[:1].lower() + sentence[1:]
