"""Who holds a page, and who should have freed it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .elf import ElfImage
from .errors import HarnessError
from .finding import Where
from .processes import kernel_root, processes
from .ram import PAGE, Ram
from .sv39 import LEVELS, R, V, W, X, pte_pa

INDEX_BITS, PAGE_BITS = 9, 12


def holders(ram: Ram, elf: ElfImage, wanted: set[int]) -> dict[int, str]:
    """Return, for those of some pages that any page table refers to, which one and how.

    A mapping of a page at its own physical address, as the kernel has of all RAM, does not
    count.
    """
    search = _Search(ram, wanted)
    found: dict[int, str] = {}
    for process in processes(ram, elf):
        for kind, root in (("user", process.pagetable), ("kernel", process.kpagetable)):
            table = f"the {kind} page table of {process}"
            if root in wanted:
                found.setdefault(root, f"the root of {table}")
            for page, how in search.in_table(root):
                found.setdefault(page, f"{how} in {table}")
    try:
        root = kernel_root(ram, elf)
    except HarnessError:  # this kernel calls it something else
        root = 0
    for page, how in search.in_table(root):
        found.setdefault(page, f"{how} in the global kernel page table")
    return found


class _Search:
    """Looks for pages in page tables, in each table page once a level: processes share many."""

    def __init__(self, ram: Ram, wanted: set[int]) -> None:
        self.ram, self.wanted = ram, wanted
        self._seen: dict[tuple[int, int], dict[int, list[_Reference]]] = {}

    def in_table(self, root: int) -> Iterator[tuple[int, str]]:
        """Yield the pages that a page table refers to, and how."""
        for page, references in self.below(root, LEVELS - 1).items():
            for reference in references:
                if not reference.leaf:
                    yield page, f"the table for 0x{reference.va:x}"
                elif reference.va != page:
                    yield page, f"mapped at 0x{reference.va:x}"

    def below(self, table: int, level: int) -> dict[int, list[_Reference]]:
        """Return what a table and those below it refer to, by page.

        Addresses count from the first that the table translates. Two of each page are kept:
        one of them may turn out to be the page's own address.
        """
        key = table, level
        if key not in self._seen:
            found: dict[int, list[_Reference]] = {}
            self._seen[key] = found
            if table and table % PAGE == 0 and self.ram.holds(table, PAGE):
                for page, reference in self._look(table, level):
                    kept = found.setdefault(page, [])
                    if len(kept) < 2:
                        kept.append(reference)
        return self._seen[key]

    def _look(self, table: int, level: int) -> Iterator[tuple[int, _Reference]]:
        shift = PAGE_BITS + INDEX_BITS * level
        for index, pte in enumerate(self.ram.table(table)):
            if not pte & V:
                continue
            pa, va, leaf = pte_pa(pte), index << shift, bool(pte & (R | W | X))
            if pa in self.wanted and (level == 0 or not leaf):
                yield pa, _Reference(va, leaf)
            if level and not leaf:
                for page, references in self.below(pa, level - 1).items():
                    for one in references:
                        yield page, _Reference(va + one.va, one.leaf)


@dataclass(frozen=True)
class _Reference:
    """A way in which a table refers to a page: from which address, as a leaf or a table."""

    va: int
    leaf: bool


@dataclass(frozen=True)
class Kind:
    """What a page is for, told by who allocated it, and who frees such pages.

    `innermost` fits the function that asked for the page, `path` any function of the call
    path; the first kind that fits is it. Of `freers`, those that a kernel has are named.
    """

    what: str
    innermost: str
    path: str
    freers: tuple[str, ...]


_TABLE = r"table_alloc|walk\w*|mappages|\w*create|kvmmake|\w*_pagetable"
_KERNELS = r"\w*(kpage|kpt|kvm|kernel|mirror|u2k)\w*"
KINDS = (
    Kind("a pipe", r"pipealloc", r".*", ("pipeclose",)),
    Kind("a table page of a mirror of user memory", _TABLE, r"\w*(mirror|u2k)\w*",
         ("mirror_free", "kvmfree", "proc_freekpagetable", "freeproc")),
    Kind("a table page of the process's kernel page table", _TABLE, _KERNELS,
         ("kvmfree", "proc_freekpagetable", "freeproc")),
    Kind("a table page of the process's user page table", _TABLE, r".*",
         ("uvmfree", "proc_freepagetable", "freewalk")),
    Kind("the process's kernel stack", r"\w*(kstack|kpagetable|kpt|kvm)\w*", r".*",
         ("freeproc",)),
    Kind("a page of the process's own, such as its trapframe or kernel stack", r"allocproc",
         r".*", ("freeproc",)),
    Kind("user memory", r"uvm\w+|growproc|copy_page\w*", r".*", ("uvmfree", "uvmdealloc")),
)  # fmt: skip
NAMED = 2  # functions that a sentence names


def who_should_free(elf: ElfImage, path: Sequence[Where]) -> str:
    """Return in a sentence who probably should have freed a page, and what it was.

    `path` is the call path that allocated it, innermost first, without the allocator.
    Nothing if the path is empty.
    """
    names = [place.function for place in path if place.function]
    if not names:
        return ""
    for kind in KINDS:
        fits = any(re.fullmatch(kind.path, name) for name in names)
        if fits and re.fullmatch(kind.innermost, names[0]):
            there = [name for name in kind.freers if elf.function_place(name)]
            freers = there[:NAMED] or [kind.freers[-1]]
            words = " or ".join(f"{name}()" for name in freers)
            return f"Probably {words} should free it: {kind.what}."
    call = next((name for name in names if name.startswith("sys_")), names[-1])
    return f"Probably {call}(), or what it calls, should free it on one of its ways out."
