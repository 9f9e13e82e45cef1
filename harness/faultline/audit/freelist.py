"""The kernel's lists of free pages, walked in RAM."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..ctype import Value
from ..elf import ElfImage
from ..ram import PAGE, Ram

# struct members that hold the head of the free list in kernels people write
HEADS = ("freelist", "free", "free_list", "head")
NEXT = 0  # the pointer to the next page is a free page's first doubleword


@dataclass(frozen=True)
class FreeList:
    """The pages on the kernel's free lists, and why the walk ended early.

    `listed` has a byte for each page of RAM: 1 if it is on a list.
    """

    pages: int
    listed: bytes
    broken: str = ""
    at: int = 0


def free_lists(ram: Ram, elf: ElfImage) -> FreeList | None:
    """Return the pages on the kernel's free lists, or None if it is not known where those
    are."""
    kmem = elf.variable(ram, "kmem")
    if kmem is None:
        return None
    parts = list(kmem) if len(kmem) else [kmem]
    heads = [part[name] for part in parts for name in HEADS if name in part]
    if not heads:
        return None
    return _sound(ram, heads) or _walked(ram, heads)


def _walked(ram: Ram, heads: list[Value]) -> FreeList:
    """Return the lists, step by step, up to where one is broken."""
    seen, pages = bytearray(ram.size // PAGE), 0
    words, base, end = ram.words, ram.base, ram.base + ram.size
    for head in heads:
        at, page = head.address, int(head)
        while page:
            if page % PAGE or not base <= page < end:
                return FreeList(pages, seen, f"leads to 0x{page:x}, which is no page of RAM", at)
            index = (page - base) // PAGE
            if seen[index]:
                return FreeList(pages, seen, f"comes to page 0x{page:x} a second time", at)
            seen[index] = 1
            pages += 1
            at, page = page, words[index * (PAGE // 8) + NEXT]
    return FreeList(pages, seen)


@dataclass
class _Walk:
    """A list as it was walked the last time. Between two looks at a machine a few pages at its
    beginning have changed, and the rest, thousands of pages, need not be walked again."""

    order: list[int] = field(default_factory=list)  # its pages' numbers, the last one first
    rank: list[int] = field(default_factory=list)  # by number, from 1: where in order it is; or 0
    listed: bytearray = field(default_factory=bytearray)  # likewise: 1 if it is there
    links: bytes = b""  # the first doubleword of all pages of RAM

    def again(self, links: memoryview, base: int, page: int) -> bool:
        """Walk the list that begins with `page`; return whether it is sound."""
        now, count = links.tobytes(), len(links)
        if len(now) != len(self.links):
            self.order, self.rank, self.listed = [], [0] * count, bytearray(count)
        same, front = self._same(now), []  # type: int, list[int]
        while page:
            index, rest = divmod(page - base, PAGE)
            if rest or not 0 <= index < count or len(front) > count:
                self.links = b""
                return False
            if 0 < self.rank[index] <= same:
                break
            front.append(index)
            page = links[index]
        kept = self.rank[index] if page else 0
        for gone in self.order[kept:]:
            self.rank[gone] = self.listed[gone] = 0
        del self.order[kept:]
        for index in reversed(front):
            self.order.append(index)
            self.rank[index] = len(self.order)
            self.listed[index] = 1
        self.links = now if self.listed.count(1) == len(self.order) else b""
        return bool(self.links)

    def _same(self, now: bytes) -> int:
        """Return how many pages at the list's end have the links that they had."""
        if len(now) != len(self.links):
            return 0
        known = bytearray(len(now))
        known[::8] = self.listed
        mask = int.from_bytes(known, "little") * ((1 << 64) - 1)
        other = int.from_bytes(now, "little") ^ int.from_bytes(self.links, "little")
        changed = (other & mask).to_bytes(len(now), "little")
        places = (self.rank[match.start() // 8] for match in re.finditer(rb"[^\0]", changed))
        return min(places, default=len(self.order) + 1) - 1


_last: dict[int, _Walk] = {}  # of the first list, the second …; whatever machine it was


def _sound(ram: Ram, heads: list[Value]) -> FreeList | None:
    """Return the lists if all of them are sound."""
    links, pages, union = ram.words[NEXT :: PAGE // 8], 0, 0
    for number, head in enumerate(heads):
        walk = _last.setdefault(number, _Walk())
        if not walk.again(links, ram.base, int(head)):
            return None
        pages += len(walk.order)
        union |= int.from_bytes(walk.listed, "little")
    listed = union.to_bytes(len(links), "little")
    return FreeList(pages, listed) if listed.count(1) == pages else None
