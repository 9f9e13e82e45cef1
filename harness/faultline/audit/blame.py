"""Which function is responsible for an entry: what the ledger tells of the pages concerned.

The ledger knows who allocated and who freed a page last, not who wrote an entry. So the
place of a finding is the innermost function of that stack that decided something: the
allocator is left out, and with it what only carries out what others ask for: in the reference
kernel that is known by name, in other people's a function does so that is told in which page
table.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from ..ctype import Scalar
from ..elf import ElfImage
from ..finding import Where
from ..ledger import ALLOCATOR, Ledger, Page
from ..procmembers import TABLE_TYPES
from ..ram import PAGE
from ..unwind import call_path, path_text

# Functions that map what they are told to.
MAPPERS = ALLOCATOR | {
    "table_alloc", "walk", "mappages", "kvmmap", "ukvmmap", "uvmalloc", "uvmcreate", "uvmcopy",
    "uvminit", "uvmfirst", "mirror_map", "mirror_build",
}  # fmt: skip
# Functions that unmap and free what they are told to.
UNMAPPERS = ALLOCATOR | {
    "uvmunmap", "uvmdealloc", "uvmfree", "free_empty", "free_tables", "freewalk", "kvmfree",
    "mirror_free", "proc_freepagetable",
}  # fmt: skip
# What makes a whole kernel table, without what is the process's own.
TABLE_MAKERS = frozenset({"kvmcreate", "proc_kvminit", "map_kernel"})


TABLE_PARAMETERS = 2  # the first of a function's, of which one may be a page table


class Blame:
    """Answers from the ledger."""

    def __init__(self, ledger: Ledger, *, foreign: bool = False) -> None:
        """`foreign` says that it is not the reference kernel, whose functions are known."""
        self.ledger = ledger
        self.foreign = foreign
        self._pages: dict[int, Page | None] = {}

    def page(self, pa: int) -> Page | None:
        """Return the ledger's entry of the page that holds `pa`; None if it has none."""
        pa -= pa % PAGE
        if pa not in self._pages:
            self._pages[pa] = self.ledger.page(pa) if self._ready else None
        return self._pages[pa]

    @functools.cached_property
    def _ready(self) -> bool:
        return self.ledger.ready

    def _allocation(self, pa: int) -> tuple[int, ...] | None:
        """Return the stack that allocated the page that holds `pa`; None if that is not known."""
        return self.ledger.allocation(pa - pa % PAGE) if self._ready else None

    def is_free(self, pa: int) -> bool:
        """Tell whether a page is not allocated: freed, or never allocated at all."""
        return (
            self._end is not None
            and pa >= self._end
            and self.ledger.ram.holds(pa)
            and not self.ledger.is_live(pa)
        )

    @functools.cached_property
    def _end(self) -> int | None:
        """Where the kernel ends; None if there is no ledger, or that is not known."""
        return self.ledger.elf.address("end") if self._ready else None

    def asked(self, *pages: int, skip: frozenset[str] = frozenset()) -> Where:
        """Return who asked for the first of these pages of which that is known."""
        unwanted = MAPPERS | skip if skip else MAPPERS
        for pa in pages:
            stack = self._allocation(pa)
            place = self._innermost(stack, unwanted) if stack is not None else None
            if place is not None:
                return place
        return Where()

    def allocated(self, pa: int) -> Where:
        """Return who called the allocator for a page: what counts for its class."""
        page = self.page(pa)
        return (self._innermost(page.alloc, ALLOCATOR) if page else None) or Where()

    def freed(self, *pages: int) -> Where:
        """Return who freed the first of these pages of which that is known."""
        for pa in pages:
            page = self.page(pa)
            place = self._innermost(page.free, UNMAPPERS) if page else None
            if place:
                return place
        return Where()

    def freed_in(self, pa: int, functions: set[str]) -> bool:
        """Tell whether a page was freed by one of these functions, or on their behalf."""
        page = self.page(pa)
        return page is not None and self._through(page.free, functions)

    def newest(self, pages: Iterable[int]) -> int:
        """Return the page that was allocated last."""
        return max(pages, key=lambda pa: (found.seq if (found := self.page(pa)) else 0, pa))

    def unmapped_last(self) -> Page | None:
        """Return the page of user memory that was freed last."""
        freed = (page for page in self.ledger.freed() if self._through(page.free, {"uvmunmap"}))
        return next(freed, None) if self._ready else None

    def story(self, pa: int) -> str:
        """Return what the ledger has on a page, as text."""
        page = self.page(pa)
        if page is None:
            return f"page 0x{pa:x}: the ledger has never seen it allocated"
        words = f"page 0x{pa:x} was allocated by\n{path_text(self._path(page.alloc))}"
        if not page.live or any(page.free):
            now = "has been freed" if not page.live else "had been freed before"
            words += f"\nand {now} by\n{path_text(self._path(page.free))}"
        return words

    def _through(self, stack: tuple[int, ...], functions: set[str]) -> bool:
        return any(place.function in functions for place in self._path(stack))

    def _path(self, stack: tuple[int, ...]) -> list[Where]:
        return _path(self.ledger.elf, stack)

    def _innermost(self, stack: tuple[int, ...], skip: frozenset[str]) -> Where | None:
        return _innermost(self.ledger.elf, stack, skip, self.foreign)


# What follows says the same of a stack at every moment, and a sweep asks at hundreds.
@functools.lru_cache(maxsize=4096)
def _path(elf: ElfImage, stack: tuple[int, ...]) -> list[Where]:
    places = call_path(elf, stack)
    while places and _shim(places[0]):
        places.pop(0)
    return places


@functools.lru_cache(maxsize=4096)
def _innermost(
    elf: ElfImage, stack: tuple[int, ...], unwanted: frozenset[str], foreign: bool
) -> Where | None:
    places = [place for place in _path(elf, stack) if not _shim(place)]
    decided = [
        place
        for place in places
        if place.function not in unwanted
        and not (foreign and _is_told_where(elf, place.function or ""))
    ]
    return decided[0] if decided else places[-1] if places else None


def _is_told_where(elf: ElfImage, function: str) -> bool:
    """Tell whether somebody's function is told which page table to work on."""
    return any(
        isinstance(ctype, Scalar) and ctype.to in TABLE_TYPES
        for ctype in elf.parameters(function)[:TABLE_PARAMETERS]
    )


def _shim(place: Where) -> bool:
    return place.file is not None and place.file.startswith("faults/")


def defined(elf: ElfImage, *functions: str) -> Where:
    """Return where the first of these functions that the kernel has is defined."""
    for name in functions:
        place = elf.function_place(name)
        if place is not None:
            return place
    return Where(function=functions[0])
