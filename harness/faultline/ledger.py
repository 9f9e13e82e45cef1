"""The ledger: every page's last kalloc and kfree, as the shim in the kernel recorded them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .ctype import Array, Struct
from .elf import ElfImage
from .errors import HarnessError
from .finding import Finding, Rule, Where
from .hart import Hart
from .ram import PAGE, RAM_BASE, Ram
from .sv39 import translate
from .unwind import call_path, path_text

MAGIC = 0x4E49_4C54_4C55_4146
VERSION = 1
NOT_ZERO = bytes([0]) + bytes([1]) * 255  # what becomes of each byte
# Functions that hand pages on: the mistake is with whoever called them.
ALLOCATOR = frozenset({"kalloc", "kalloc_for", "kfree", "__wrap_kalloc", "__wrap_kfree"})

DOUBLE_FREE = Rule(
    "double-free",
    "error",
    "A page was given to kfree() that was free already. It is now on the free list twice, "
    "so two owners will get it and overwrite each other's data: the crash comes later, and "
    "somewhere else; on real hardware, with more harts and other timing, somewhere else "
    "each time. Two functions each believe that the page is theirs to free, or a pointer "
    "was not cleared after the first time.",
    "Decide which of the two places owns the page, and let only that one free it.",
    "break kfree if pa == PAGE  # the finding's, or the one that the panic names\n"
    "commands                   # who frees it, each time\n"
    "backtrace 8\n"
    "continue\n"
    "end\n"
    "continue                   # then do what the finding did",
)
WILD_FREE = Rule(
    "wild-free",
    "error",
    "kfree() was given an address that kalloc() never returned: a device, the kernel's own "
    "text, a page that was never there. Freeing the leaves of a kernel page table does it, "
    "for they map devices and kernel memory as well as pages of the process. kfree() fills "
    "and links what it is given: on real hardware that writes into device registers, or "
    "over the kernel's own code.",
    "Free the table's own pages and the kernel stack; the other leaves are not yours.",
    "break kfree if (long)pa < (long)end || (long)pa >= 0x88000000\n"
    "continue                   # then do what the finding did\n"
    "backtrace 8\n"
    "info symbol pa",
)
KALLOC_REFUSED = Rule(
    "kalloc-refused",
    "error",
    "kalloc() returned 0 although pages were free. Programs see a fork or exec that fails "
    "out of nowhere. Allocators with more than one free list do it when they give up after "
    "the first. On a machine with more harts there are more lists, and it happens more "
    "often.",
    "Before returning 0, look everywhere a free page could be.",
    "continue                   # to the shell; then ctrl-C\n"
    "break kalloc\n"
    "continue                   # then do what the finding did\n"
    "finish\n"
    "while $a0 != 0\n"
    "continue\n"
    "finish\n"
    "end\n"
    "backtrace 5                # who got nothing\n"
    "print kmem.free            # not 0: there was a page",
)
STACK_FREED = Rule(
    "stack-freed",
    "error",
    "The kernel runs on a stack whose page it has freed. The next kalloc() hands the page "
    "out and the stack is overwritten under the running code. It happens when freeproc() "
    "looks up the dead child's stack in the page table of the process that runs, the "
    "parent's, or when a process frees its own stack in exit(). A single hart may get away "
    "with it for a while; on real hardware another hart takes the page at once.",
    "Look the stack up in the dead process's own table, before that table is freed.",
    "break kfree if (long)pa == *walk(myproc()->kpagetable, $sp, 0) >> 10 << 12\n"
    "continue                   # then do what the finding did\n"
    "backtrace                  # who frees the page that this hart's stack is in\n"
    "print/x $sp",
)
EVENT_RULES = (DOUBLE_FREE, WILD_FREE, KALLOC_REFUSED, STACK_FREED)


@dataclass(frozen=True)
class Event:
    """Something that should not happen: how often, and how it did so first."""

    count: int
    pa: int
    live: int
    stack: tuple[int, ...]


@dataclass(frozen=True)
class Page:
    """One page's last kalloc and kfree. Stacks are return addresses, innermost first."""

    pa: int
    seq: int
    live: bool
    proc: int
    alloc: tuple[int, ...]
    free: tuple[int, ...]


class Ledger:
    """The control block and ledger of a kernel that is linked with the shim."""

    def __init__(self, ram: Ram, elf: ElfImage) -> None:
        """Find both by their symbols; raises HarnessError if they are not usable."""
        ctl = elf.variable(ram, "faultline_ctl")
        pages = elf.variable(ram, "faultline_ledger")
        if ctl is None or pages is None:
            raise HarnessError(
                f"{elf.path}: no faultline_ctl or faultline_ledger with debug information: "
                "the kernel is not linked with the shim"
            )
        self.ctl, self._pages = ctl, pages
        self.elf, self.ram = elf, ram

    @property
    def ready(self) -> bool:
        """Whether the kernel got far enough to keep the ledger."""
        ours = int(self.ctl["magic"]) == MAGIC and int(self.ctl["version"]) == VERSION
        return ours and int(self.ctl["shim"]) == 1

    @property
    def total(self) -> int:
        """Pages that the allocator manages, or 0 if the kernel does not count them."""
        return int(self.ctl["pages"]["total"])

    def event(self, name: str) -> Event:
        """Return one of the control block's events."""
        value = self.ctl[name]
        stack = tuple(int(address) for address in value["stack"])
        return Event(int(value["count"]), int(value["pa"]), int(value["live"]), stack)

    def page(self, pa: int) -> Page | None:
        """Return the entry of the page at `pa`, or None if the shim never saw it."""
        index = (pa - RAM_BASE) // PAGE
        if not 0 <= index < len(self._pages):
            return None
        page = self._read(index)
        return page if page.seq else None

    def is_free(self, pa: int) -> bool:
        """Tell whether the ledger knows the page at `pa`, and knows it to be free."""
        return self._state(pa) == 0

    def is_live(self, pa: int) -> bool:
        """Tell whether the ledger knows the page at `pa`, and knows it to be allocated."""
        return self._state(pa) == 1

    def allocation(self, pa: int) -> tuple[int, ...] | None:
        """Return the stack that allocated the page at `pa`, or None if the shim never saw it."""
        index = (pa - RAM_BASE) // PAGE
        if not 0 <= index < len(self._pages):
            return None
        first, step, seq, _ = self._columns
        words, entry = self.ram.words, first + index * step
        at, taken = self._stacks[1]
        return tuple(words[entry + at : entry + at + taken]) if words[entry + seq] else None

    def _state(self, pa: int) -> int | None:
        """Return `live` of the page at `pa`, or None if the shim never saw it."""
        index = (pa - RAM_BASE) // PAGE
        if not 0 <= index < len(self._pages):
            return None
        first, step, seq, live = self._columns
        words, entry = self.ram.words, first + index * step
        return words[entry + live] if words[entry + seq] else None

    @functools.cached_property
    def _columns(self) -> tuple[int, int, int, int]:
        """Where the ledger's first entry lies, how far they are apart, and where in each
        seq and live are: in doublewords of RAM."""
        ctype = self._pages.ctype
        assert isinstance(ctype, Array) and isinstance(ctype.element, Struct)
        seq, live = (ctype.element.member(name)[0] // 8 for name in ("seq", "live"))
        return (self._pages.address - RAM_BASE) // 8, ctype.element.size // 8, seq, live

    @functools.cached_property
    def _stacks(self) -> tuple[int, tuple[int, int], tuple[int, int]]:
        """Where in an entry proc is, and where each stack begins and how long it is: in
        doublewords."""
        ctype = self._pages.ctype
        assert isinstance(ctype, Array) and isinstance(ctype.element, Struct)
        proc, alloc, free = (ctype.element.member(name) for name in ("proc", "alloc", "free"))
        assert isinstance(alloc[1], Array) and isinstance(free[1], Array)
        return (
            proc[0] // 8, (alloc[0] // 8, alloc[1].count), (free[0] // 8, free[1].count)
        )  # fmt: skip

    def freed(self) -> Iterator[Page]:
        """Yield the pages that are free now and were not always, the last one freed first."""
        seqs, lives = self.columns()
        free = [(s, index) for index, (s, live) in enumerate(zip(seqs, lives)) if s and not live]
        for _, index in sorted(free, reverse=True):
            yield self._read(index)

    def highest(self) -> int:
        """Return the highest page that the shim ever saw; 0 if it saw none."""
        last = _set(self._column(self._columns[2])).rfind(1)
        return RAM_BASE + last * PAGE if last >= 0 else 0

    def columns(self) -> tuple[list[int], list[int]]:
        """Return `seq` and `live` of every page's entry, as they are written there."""
        _, _, seq, live = self._columns
        return self._column(seq).tolist(), self._column(live).tolist()

    def states(self) -> tuple[bytes, bytes]:
        """Return which pages of RAM are live and which have been freed: a byte for each,
        0 or 1. A page that the shim never saw is neither."""
        _, _, seq, live = self._columns
        known, lives = (
            int.from_bytes(_set(self._column(member)), "little") for member in (seq, live)
        )
        count = len(self._pages)
        return (known & lives).to_bytes(count, "little"), (known & ~lives).to_bytes(count, "little")

    def _column(self, member: int) -> memoryview:
        """Return one doubleword of every page's entry, the one at that place."""
        first, step, _, _ = self._columns
        return self.ram.words[first + member : first + step * len(self._pages) : step]

    def lost(self) -> list[Page]:
        """Return the pages allocated between FL_MARK and FL_END that are still live."""
        mark, end = int(self.ctl["mark"]), int(self.ctl["end"])
        return [
            self._read(index)
            for index, (seq, live) in enumerate(zip(*self.columns()))
            if live and mark < seq <= end
        ]

    def _read(self, index: int) -> Page:
        first, step, seq, live = self._columns
        entry = self.ram.words[first + index * step : first + (index + 1) * step].tolist()
        proc, (alloc, taken), (free, freed) = self._stacks
        return Page(
            RAM_BASE + index * PAGE,
            entry[seq],
            entry[live] == 1,
            entry[proc],
            tuple(entry[alloc : alloc + taken]),
            tuple(entry[free : free + freed]),
        )


def _set(words: memoryview) -> bytes:
    """Return a byte for each doubleword: 1 if it is not 0.

    By numbers as long as all of them: one by one they would take a hundred times as long.
    """
    bits = int.from_bytes(words.tobytes(), "little")
    for half in (32, 16, 8):  # after each, the lower half has what both had; the upper is no matter
        bits |= bits >> half
    return bits.to_bytes(8 * len(words), "little")[::8].translate(NOT_ZERO)


def by_stack(pages: Iterable[Page]) -> dict[tuple[int, ...], list[Page]]:
    """Group pages by the stack that allocated them, the largest group first."""
    groups: dict[tuple[int, ...], list[Page]] = {}
    for page in pages:
        groups.setdefault(page.alloc, []).append(page)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def responsible(places: list[Where]) -> list[Where]:
    """Return a call path without the allocator and the shim at its inner end."""
    for index, place in enumerate(places):
        shim = place.file is not None and place.file.startswith("faults/")
        if place.function not in ALLOCATOR and not shim:
            return places[index:]
    return []


def event_findings(ledger: Ledger, harts: tuple[Hart, ...]) -> list[Finding]:
    """Return what the control block and the ledger know to be wrong, causes first."""
    if not ledger.ready:
        return []
    findings: list[Finding] = []
    for hart in harts:
        findings += _stack_freed(ledger, hart)
    findings += _freed_wrongly(ledger)
    refused = ledger.event("refused")
    if refused.count and ledger.total and refused.live < ledger.total:
        asked = responsible(call_path(ledger.elf, refused.stack))
        findings.append(
            KALLOC_REFUSED.finding(
                f"kalloc() returned 0 although {ledger.total - refused.live} of "
                f"{ledger.total} pages were free.",
                where=ledger.elf.function_place("kalloc") or Where(function="kalloc"),
                evidence=f"{_times(refused.count)}. The page was asked for by\n"
                + path_text(asked),
            )
        )
    return findings


def _freed_wrongly(ledger: Ledger) -> Iterator[Finding]:
    double = ledger.event("double_free")
    if double.count:
        places = responsible(call_path(ledger.elf, double.stack))
        page = ledger.page(double.pa)
        before = responsible(call_path(ledger.elf, page.free)) if page else []
        taken = responsible(call_path(ledger.elf, page.alloc)) if page else []
        yield DOUBLE_FREE.finding(
            f"The page at 0x{double.pa:x} was freed twice.",
            where=places[0] if places else Where(),
            evidence=f"{_times(double.count)}. Freed the first time by\n{path_text(before)}\n"
            f"and again by\n{path_text(places)}\n"
            f"It had been allocated by\n{path_text(taken)}",
        )
    wild = ledger.event("wild_free")
    if wild.count:
        places = responsible(call_path(ledger.elf, wild.stack))
        yield WILD_FREE.finding(
            f"kfree() was called with 0x{wild.pa:x}, which kalloc() never returned: "
            f"{_what_lies_at(ledger, wild.pa)}.",
            where=places[0] if places else Where(),
            evidence=f"{_times(wild.count)}. Freed by\n{path_text(places)}\n"
            + _owner_text(ledger, wild.pa),
        )


def _what_lies_at(ledger: Ledger, pa: int) -> str:
    if pa == 0:
        return "a null pointer"
    if not ledger.ram.holds(pa):
        return "no memory is there; a device, or nothing"
    if pa % PAGE:
        return "it is inside a page, not the start of one"
    end = ledger.elf.address("end") or 0
    if pa < end:
        return "the kernel's own text or data"
    return "a page that was never handed out"


def _owner_text(ledger: Ledger, pa: int) -> str:
    """Return who last took and freed the page that an address lies in, as far as is known."""
    page = ledger.page(pa - pa % PAGE)
    if page is None:
        return "No kalloc() and no kfree() of that page came before."
    taken = responsible(call_path(ledger.elf, page.alloc))
    text = f"The page that it lies in had been allocated by\n{path_text(taken)}"
    if page.live:
        return text + "\nand is in use"
    return text + f"\nand freed by\n{path_text(responsible(call_path(ledger.elf, page.free)))}"


def _stack_freed(ledger: Ledger, hart: Hart) -> Iterator[Finding]:
    # One below: a full descending stack's pointer may be at the page's upper end.
    page_pa = translate(ledger.ram, hart["satp"], hart["sp"] - 1)
    if page_pa is None or not ledger.is_free(page_pa):
        return
    page = ledger.page(page_pa - page_pa % PAGE)
    assert page is not None
    places = responsible(call_path(ledger.elf, page.free))
    yield STACK_FREED.finding(
        f"Hart {hart.number} runs on a stack whose page, 0x{page.pa:x}, has been freed.",
        where=places[0] if places else Where(),
        evidence=f"sp is 0x{hart['sp']:x}. The page was freed by\n{path_text(places)}\n"
        f"It had been allocated by\n{path_text(responsible(call_path(ledger.elf, page.alloc)))}",
    )


def _times(count: int) -> str:
    return "Once" if count == 1 else f"{count} times; the first was this"
