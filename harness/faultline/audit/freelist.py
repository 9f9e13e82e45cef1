"""The kernel's lists of free pages, walked in RAM."""

from __future__ import annotations

from dataclasses import dataclass

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
