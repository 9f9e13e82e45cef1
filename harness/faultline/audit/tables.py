"""Page tables read fast: by whole pages, and only where they differ from a model.

A kernel page table has some 32,000 leaves, and with KPT=copy each process has as many. So
a table's lowest pages are compared with the model's as one number each, and only what
differs becomes a Leaf.
"""

from __future__ import annotations

import bisect
import functools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..ram import PAGE, Ram
from ..sv39 import LEVELS, A, D, G, R, U, V, W, X, is_leaf, pte_pa

ENTRIES = 512
SOFTWARE = 0x300  # bits that the hart leaves to the kernel
RESERVED = -1 << 54 & (1 << 64) - 1  # bits 63 to 54: 0 without Svnapot and Svpbmt
# What may differ between two entries that mean the same: A and D are the hart's, and G
# has no effect as long as no ASIDs are used.
PPN = (1 << 44) - 1
COMPARED = (1 << 64) - 1 & ~(A | D | G | SOFTWARE)
ALL_COMPARED = int.from_bytes(struct.pack("<Q", COMPARED) * ENTRIES, "little")
TABLES_AT_MOST = 4096  # in one tree; a sound one of 128 MiB has about 70

# Where QEMU's virt machine has devices (hw/riscv/virt.c).
DEVICES = (
    (0x0010_0000, 0x0010_1000),  # test device
    (0x0010_1000, 0x0010_2000),  # clock
    (0x0200_0000, 0x0201_0000),  # CLINT
    (0x0300_0000, 0x0301_0000),  # PCIe
    (0x0C00_0000, 0x1000_0000),  # PLIC
    (0x1000_0000, 0x1000_9000),  # UART and virtio
    (0x1010_0000, 0x1010_1000),  # fw_cfg
    (0x3000_0000, 0x8000_0000),  # PCIe
)
_FIRSTS = [first for first, _ in DEVICES]  # in order


def is_device(pa: int) -> bool:
    """Tell whether a device answers at a physical address."""
    place = bisect.bisect(_FIRSTS, pa) - 1
    return place >= 0 and pa < DEVICES[place][1]


def span(level: int) -> int:
    """Return how many bytes one entry of a table at that level translates."""
    return PAGE << 9 * level


class Leaf(NamedTuple):
    """A valid entry that maps memory, or sits at the lowest level."""

    va: int
    pte: int
    table: int  # physical address of the table page that holds it
    level: int
    model: int  # the model's entry for this address, 0 if it has none

    @property
    def pa(self) -> int:
        """Physical address of the memory."""
        return (self.pte >> 10 & PPN) << 12  # as pte_pa() has it, but asked for very often


class Missing(NamedTuple):
    """Addresses that the model maps and this table does not."""

    va: int
    pages: int
    table: int  # the table page in which the way to them ends


class TablePage(NamedTuple):
    """A page of a table, and the entry that points to it."""

    pa: int
    level: int
    va: int  # first address that it translates
    parent: int  # physical address of the table page with that entry; 0 for a root


class Odd(NamedTuple):
    """An entry that no hart may meet."""

    va: int
    pte: int
    table: int
    words: str


class Sheet:
    """The content of one table page."""

    def __init__(self, content: bytes) -> None:
        self.words: tuple[int, ...] = struct.unpack("<512Q", content)
        self.meaning = int.from_bytes(content, "little") & ALL_COMPARED

    @functools.cached_property
    def valid(self) -> list[tuple[int, int]]:
        """Index and entry of each valid entry."""
        return [(index, pte) for index, pte in enumerate(self.words) if pte & V]


@functools.lru_cache(maxsize=1024)
def sheet_of(content: bytes) -> Sheet:
    """Return the sheet with that content; the same one for the same content."""
    return Sheet(content)


class Model:
    """What a table is compared with: lowest tables by the address they begin at, and
    for each entry above them, by (level, address), the leaf or pointer that is there."""

    def __init__(self) -> None:
        self.sheets: dict[int, Sheet] = {}
        self.upper: dict[tuple[int, int], int] = {}
        self.own = 0  # below this address nothing is the model's

    @functools.cached_property
    def within(self) -> dict[tuple[int, int], list[int]]:
        """Which entries of each table above the lowest have something here, by its level and
        address. Only for a model that changes no more."""
        found: dict[tuple[int, int], list[int]] = {}
        for (level, va), pte in self.upper.items():
            if pte:
                index = va // span(level) % ENTRIES
                found.setdefault((level, va - index * span(level)), []).append(index)
        return found

    def add_pages(self, pages: Iterable[tuple[int, int]]) -> None:
        """Add (va, pte) pairs of single pages, in order of their addresses."""
        lowest: dict[int, list[int]] = {}
        for va, pte in pages:
            base = va - va % span(1)
            lowest.setdefault(base, [0] * ENTRIES)[va // PAGE % ENTRIES] = pte
        for base, words in lowest.items():
            self.sheets[base] = Sheet(struct.pack("<512Q", *words))
            for level in range(1, LEVELS):
                self.upper[level, base - base % span(level)] = V

    def without(self, end: int) -> Model:
        """Return the model for a table that shares nothing of the addresses below `end`."""
        less = Model()
        less.own = end
        less.sheets = {va: sheet for va, sheet in self.sheets.items() if va >= end}
        less.upper = {
            (level, va): pte
            for (level, va), pte in self.upper.items()
            if va >= end or (not is_leaf(pte) and va + span(level) > end)
        }
        return less

    def below(self, level: int, va: int) -> Iterator[tuple[int, int]]:
        """Yield (first address, pages) of what an entry of a table of that level maps."""
        pte = self.upper.get((level, va), 0)
        if is_leaf(pte):
            yield va, span(level) // PAGE
        elif pte & V and level > 1:
            for index in range(ENTRIES):
                yield from self.below(level - 1, va + index * span(level - 1))
        elif va in self.sheets:
            for index, _ in self.sheets[va].valid:
                yield va + index * PAGE, 1


EMPTY = Model()


@dataclass
class Space:
    """A page table as it differs from a model. Where a pointer is the model's own, what it
    leads to is not looked at again."""

    root: int
    tables: list[TablePage] = field(default_factory=list)
    again: list[TablePage] = field(default_factory=list)  # reached before in this space
    leaves: list[Leaf] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)
    sheets: dict[int, tuple[int, Sheet]] = field(default_factory=dict)  # lowest, by address
    pointers: dict[tuple[int, int], int] = field(default_factory=dict)  # entries above

    @functools.cached_property
    def by_va(self) -> dict[int, Leaf]:
        """The leaves by address."""
        return {leaf.va: leaf for leaf in self.leaves}

    def lookup(self, ram: Ram, va: int) -> Leaf | None:
        """Return the leaf that translates `va`, or None, wherever in the table it is."""
        table, level = self.root, LEVELS - 1
        while ram.holds(table, PAGE):
            pte = ram.u64(table + 8 * (va // span(level) % ENTRIES))
            if not pte & V:
                return None
            if is_leaf(pte) or level == 0:
                return Leaf(va - va % span(level), pte, table, level, 0)
            table, level = pte_pa(pte), level - 1
        return None

    def holder(self, ram: Ram, va: int) -> int:
        """Return the table page in which the way to `va` ends."""
        table, level = self.root, LEVELS - 1
        while level > 0 and ram.holds(table, PAGE):
            pte = ram.u64(table + 8 * (va // span(level) % ENTRIES))
            below = pte_pa(pte)
            if not pte & V or is_leaf(pte) or not ram.holds(below, PAGE):
                break
            table, level = below, level - 1
        return table

    def model(self) -> Model:
        """Return this table as a model for others; all of it must have been looked at."""
        found = Model()
        found.sheets = {va: sheet for va, (_, sheet) in self.sheets.items()}
        found.upper = self.pointers
        return found


def canonical(va: int) -> int:
    """Return an address of the upper half sign-extended, as Sv39 wants it."""
    return va - (1 << 39) + (1 << 64) if va & 1 << 38 else va


def read_space(ram: Ram, root: int, model: Model = EMPTY) -> Space:
    """Return the table at `root` as it differs from `model`."""
    space = Space(root)
    if ram.holds(root, PAGE) and root % PAGE == 0:
        _Reader(ram, space, model).table(TablePage(root, LEVELS - 1, 0, 0))
    else:
        space.odd.append(Odd(0, 0, root, "the root lies outside RAM"))
    return space


class _Reader:
    def __init__(self, ram: Ram, space: Space, model: Model) -> None:
        self.ram, self.space, self.model = ram, space, model
        self.memory = range(ram.base, ram.base + ram.size)
        self.seen: set[int] = set()

    def table(self, page: TablePage) -> None:
        if page.pa in self.seen or len(self.seen) >= TABLES_AT_MOST:
            self.space.again.append(page)
            return
        self.seen.add(page.pa)
        self.space.tables.append(page)
        content = self.ram.read(page.pa, PAGE)
        if page.level == 0:
            self.lowest(page, sheet_of(content))
        else:
            self.above(page, content)

    def lowest(self, page: TablePage, sheet: Sheet) -> None:
        space, model = self.space, self.model.sheets.get(page.va)
        space.sheets[page.va] = page.pa, sheet
        if model is not None and sheet.meaning == model.meaning:
            return
        leaves, odd, missing = _lowest(self.memory, page.pa, page.va, sheet, model)
        space.leaves += leaves
        space.odd += odd
        space.missing += missing

    def above(self, page: TablePage, content: bytes) -> None:
        upper, size, words = self.model.upper, span(page.level), sheet_of(content)
        modelled = self.model.within.get((page.level, page.va), ())
        for index in sorted({index for index, _ in words.valid}.union(modelled)):
            va, pte = page.va + index * size, words.words[index]
            other = upper.get((page.level, va), 0)
            if not pte & V:
                if other:
                    self.gone(page, va)
                continue
            self.space.pointers[page.level, va] = pte
            if is_leaf(pte):
                if (pte ^ other) & COMPARED:
                    self.leaf(page, index, pte, other)
                continue
            self.point(page, va, pte)
            below = pte_pa(pte)
            if not self.ram.holds(below, PAGE):
                if other:
                    self.gone(page, va)
            elif other != pte or va < self.model.own:  # else it is the model's own
                self.table(TablePage(below, page.level - 1, va, page.pa))

    def gone(self, page: TablePage, va: int) -> None:
        parts = list(self.model.below(page.level, va))
        if parts:
            pages = sum(pages for _, pages in parts)
            self.space.missing.append(Missing(parts[0][0], pages, page.pa))

    def point(self, page: TablePage, va: int, pte: int) -> None:
        """Look at an entry that points to a table."""
        if not self.ram.holds(pte_pa(pte), PAGE):
            self.note(page, va, pte, "it points to a table outside RAM")
        elif pte & RESERVED:
            self.note(page, va, pte, "bits 63 to 54, which are reserved, are not 0")
        elif pte & (A | D | U):
            self.note(page, va, pte, "it points to a table, and A, D or U, reserved there, is set")

    def leaf(self, page: TablePage, index: int, pte: int, other: int) -> None:
        va = page.va + index * span(page.level)
        words = leaf_fault(self.memory, pte, page.level)
        if words:
            self.note(page, va, pte, words)
        self.space.leaves.append(Leaf(va, pte, page.pa, page.level, other))

    def note(self, page: TablePage, va: int, pte: int, words: str) -> None:
        self.space.odd.append(Odd(va, pte, page.pa, words))


Lowest = tuple[list[Leaf], list[Odd], list[Missing]]


# Of two moments in a row most tables are the same, byte by byte.
@functools.lru_cache(maxsize=1024)
def _lowest(memory: range, table: int, va: int, sheet: Sheet, model: Sheet | None) -> Lowest:
    """Return how a table of the lowest level differs from the model's."""
    leaves: list[Leaf] = []
    odd: list[Odd] = []
    theirs = model.words if model else (0,) * ENTRIES
    for index, pte in sheet.valid:
        other = theirs[index] if theirs[index] & V else 0
        if not other or (pte ^ other) & COMPARED:
            at = va + index * PAGE
            if words := leaf_fault(memory, pte, 0):
                odd.append(Odd(at, pte, table, words))
            if is_leaf(pte):
                leaves.append(Leaf(at, pte, table, 0, other))
    missing = [
        Missing(va + index * PAGE, 1, table)
        for index, _ in (model.valid if model else ())
        if not sheet.words[index] & V
    ]
    return leaves, odd, missing


def leaf_fault(memory: range, pte: int, level: int) -> str:
    """Return what is wrong with a leaf's encoding (Privileged Architecture, 4.3.1, 4.4.1)."""
    if not is_leaf(pte):
        return "it points to another table, but is at the lowest level"
    if pte & (R | W) == W:
        return "it is writable and not readable: that encoding is reserved"
    if pte & RESERVED:
        return "bits 63 to 54, which are reserved, are not 0"
    if pte_pa(pte) % span(level):
        return f"it maps {span(level):#x} bytes from an address that is no multiple of that"
    pa = pte_pa(pte)
    if not (pa in memory and pa + span(level) <= memory.stop) and not is_device(pa):
        return "it maps an address at which there is neither RAM nor a device"
    return ""


def permissions(pte: int) -> str:
    """Return R, W, X and U as they are set, each missing one as a dash."""
    return "".join(
        name if pte & bit else "-" for bit, name in ((R, "R"), (W, "W"), (X, "X"), (U, "U"))
    )
