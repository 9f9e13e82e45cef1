"""Sv39 page tables in guest RAM (RISC-V Privileged Architecture, section 4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .ram import PAGE, Ram

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
LEVELS = 3
MODE_SV39 = 8
FLAG_NAMES = ((V, "V"), (R, "R"), (W, "W"), (X, "X"), (U, "U"), (G, "G"), (A, "A"), (D, "D"))


def pte_pa(pte: int) -> int:
    """Return the physical address that an entry holds."""
    return (pte >> 10 & (1 << 44) - 1) << 12


def is_leaf(pte: int) -> bool:
    """Tell whether a valid entry maps memory, rather than pointing to a table."""
    return bool(pte & (R | W | X))


def flag_words(pte: int) -> str:
    """Return the flags that are set, as letters."""
    return "".join(name for bit, name in FLAG_NAMES if pte & bit) or "none"


@dataclass(frozen=True)
class Entry:
    """A valid entry: the indices that lead to it, from the root, and itself."""

    path: tuple[int, ...]
    pte: int
    table: int  # physical address of the table page that holds it

    @property
    def pa(self) -> int:
        """Physical address it points to."""
        return pte_pa(self.pte)

    @property
    def leaf(self) -> bool:
        """Whether it maps memory."""
        return is_leaf(self.pte)

    @property
    def va(self) -> int:
        """First virtual address it translates, sign-extended as Sv39 wants it."""
        address = 0
        for index in self.path:
            address = address << 9 | index
        address <<= 12 + 9 * (LEVELS - len(self.path))
        return address - (1 << 39) + (1 << 64) if address & 1 << 38 else address


def walk(ram: Ram, root: int) -> Iterator[Entry]:
    """Yield every valid entry, depth first, in the order of the indices.

    An entry that points outside RAM is yielded and not followed.
    """
    yield from _walk(ram, root, ())


def _walk(ram: Ram, table: int, path: tuple[int, ...]) -> Iterator[Entry]:
    if not ram.holds(table, PAGE) or table % PAGE:
        return
    for index, pte in enumerate(ram.table(table)):
        if pte & V:
            entry = Entry((*path, index), pte, table)
            yield entry
            if not entry.leaf and len(entry.path) < LEVELS:
                yield from _walk(ram, entry.pa, entry.path)


def satp_root(satp: int) -> int | None:
    """Return the root table's physical address, or None if translation is off."""
    return (satp & (1 << 44) - 1) << 12 if satp >> 60 == MODE_SV39 else None


def lookup(ram: Ram, root: int, va: int) -> Entry | None:
    """Return the leaf that translates `va`, or None."""
    table, path = root, ()  # type: int, tuple[int, ...]
    for level in reversed(range(LEVELS)):
        if not ram.holds(table, PAGE):
            return None
        index = va >> (12 + 9 * level) & 0x1FF
        pte = ram.u64(table + 8 * index)
        path = (*path, index)
        if not pte & V:
            return None
        if is_leaf(pte):
            return Entry(path, pte, table)
        table = pte_pa(pte)
    return None


def translate(ram: Ram, satp: int, va: int) -> int | None:
    """Return the physical address of `va` under `satp`, or None if it has none."""
    root = satp_root(satp)
    if root is None:
        return va
    entry = lookup(ram, root, va)
    if entry is None:
        return None
    span = PAGE << 9 * (LEVELS - len(entry.path))
    return entry.pa & -span | va & span - 1
