"""Pages of memory and of tables: each has one owner, and is not free."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding, Rule, Where
from ..sv39 import W
from .gdb import AT_POSE, BEFORE_POSE, MAPPED
from .moment import Moment, Owner, count_words
from .stacks import kernel_spaces, table_words
from .tables import Leaf, Odd, Space, TablePage, permissions

MAPPED_FREE_PAGE = Rule(
    "mapped-free-page",
    "error",
    "A page table of a process maps a page that is on the free list. The next kalloc() "
    "gives it to somebody else, and the process reads and overwrites that one's data. The "
    "page was freed and its entry left behind, in the user table or in the mirror, or freed "
    "although the process goes on using it.",
    "Clear the entry in both tables before the page is freed. In gdb: `break kfree if pa == "
    "PAGE`.",
    BEFORE_POSE
    + "print/x *walk($p->kpagetable, ADDRESS, 0) >> 10 << 12  # is the PAGE\n"
    "break kfree if pa == PAGE\n"
    "continue     # Enter, up to the finding's pose\n"
    "backtrace    # who frees it",
)
PAGE_IN_TWO_SPACES = Rule(
    "page-in-two-spaces",
    "error",
    "One page of memory is mapped for two processes, or twice for one. What one writes the "
    "other reads, and when both end the page is freed twice. It happens when fork maps the "
    "parent's page instead of a copy, or when the free list handed a page out twice. (A "
    "kernel that shares on purpose, such as with copy-on-write, is not meant.)",
    "Does uvmcopy() map the new page, and not the old one?",
    AT_POSE
    + "print/x *walk($p->pagetable, ADDRESS, 0)\n"
    "print/x *walk($p->parent->pagetable, ADDRESS, 0)  # another page?\n"
    "break uvmcopy\n"
    "continue     # what does it map in the child's table?",
)
TABLE_PAGE_SHARED = Rule(
    "table-page-shared",
    "error",
    "A page of a page table is reached twice: from two tables, or from two places in one. "
    "What is mapped through one place shows up at the other, and freeing both frees the "
    "page twice. Only the pages of kernel_pagetable itself may be part of other tables, "
    "each at its own place. It happens when a table is copied with its pointers.",
    "Each process needs pages of its own on the way to everything that is its own: stack "
    "and mirror.",
    AT_POSE
    + "print/x (long)walk($p->kpagetable, ADDRESS, 0) & ~0xfff\n"
    "print/x (long)walk($p->parent->kpagetable, ADDRESS, 0) & ~0xfff  # not the same?",
)
TABLE_PAGE_FREE = Rule(
    "table-page-free",
    "error",
    "A page of a page table that is in use has been freed. As soon as somebody else writes "
    "to it the hart takes that for page-table entries. It happens when one process's table "
    "is freed through another's pointer, or with a page that several tables share.",
    "Who freed it believes that the table is his. In gdb: `break kfree if pa == PAGE`.",
    BEFORE_POSE
    + "print/x (long)walk($p->kpagetable, ADDRESS, 0) & ~0xfff  # is the PAGE\n"
    "break kfree if pa == PAGE\n"
    "continue     # Enter, up to the finding's pose\n"
    "backtrace    # who frees a table in use",
)
PTE_RESERVED = Rule(
    "pte-reserved",
    "error",
    "A page-table entry has an encoding that the architecture reserves, or points where "
    "nothing is: W without R, bits above the page number, A, D or U in a pointer to a "
    "table, a pointer at the lowest level, a superpage at an odd address. The hart faults "
    "on it, and later harts may give it a meaning. Usually a physical address was stored "
    "where (pa >> 12) << 10 belongs, or an entry was overwritten.",
    "Make entries with PA2PTE() and flags, and nothing else. Privileged spec, 4.3.1 and 4.4.1.",
    MAPPED
    + "backtrace    # who maps it\n"
    "print/x pa   # a multiple of 4096, below 2^56?\n"
    "print/x perm # flags only: nothing beyond bit 7?",
)
RULES = (
    MAPPED_FREE_PAGE, PAGE_IN_TWO_SPACES, TABLE_PAGE_SHARED, TABLE_PAGE_FREE, PTE_RESERVED,
)  # fmt: skip

Named = tuple[str, Space]  # a table, and whose it is


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield what is wrong with pages."""
    tables = list(_tables(moment))
    for name, space in tables:
        yield from _reserved(moment, name, space.odd)
        yield from _free_pages(moment, name, space)
    yield from _twice_mapped(moment)
    yield from _shared_tables(moment, tables)


def _tables(moment: Moment) -> Iterator[Named]:
    if moment.kernel_root:
        for space, owner in kernel_spaces(moment):
            yield table_words(owner), space
    for owner in moment.owners:
        yield f"the user page table of {owner}", owner.user


def _reserved(moment: Moment, name: str, odd: list[Odd]) -> Iterator[Finding]:
    groups: dict[Where, list[Odd]] = {}
    for one in odd:
        groups.setdefault(moment.blame.asked(one.table), []).append(one)
    for where, some in groups.items():
        first = some[0]
        yield moment.finding(
            PTE_RESERVED,
            f"In {name}, the entry for 0x{first.va:x}{count_words(len(some))} is "
            f"0x{first.pte:x}: {first.words}.",
            where,
            f"in the table page 0x{first.table:x}",
            moment.blame.story(first.table),
        )


def _free_pages(moment: Moment, name: str, space: Space) -> Iterator[Finding]:
    groups: dict[Where, list[Leaf]] = {}
    for leaf in space.leaves:
        if leaf.va != leaf.pa and moment.blame.is_free(leaf.pa):
            if not moment.reference and moment.blame.freed_in(leaf.pa, moment.under_way):
                continue  # who unmaps it afterwards has not come so far
            groups.setdefault(moment.blame.freed(leaf.pa), []).append(leaf)
    for where, leaves in groups.items():
        first = leaves[0]
        yield moment.finding(
            MAPPED_FREE_PAGE,
            f"At 0x{first.va:x}{count_words(len(leaves))}, {name} maps page 0x{first.pa:x} "
            f"({permissions(first.pte)}), which is free.",
            where,
            moment.blame.story(first.pa),
        )
    for page in space.tables:
        if moment.blame.is_free(page.pa):
            yield moment.finding(
                TABLE_PAGE_FREE,
                f"Page 0x{page.pa:x} is part of {name}, for the addresses from 0x{page.va:x} "
                "on, and is free.",
                moment.blame.freed(page.pa),
                moment.blame.story(page.pa),
            )
            break


def _twice_mapped(moment: Moment) -> Iterator[Finding]:
    seen: dict[int, tuple[Owner, Leaf]] = {}
    pairs: dict[tuple[int, int], list[tuple[Owner, Leaf, Owner, Leaf]]] = {}
    for owner in moment.owners:
        for leaf in owner.memory:
            first = seen.setdefault(leaf.pa, (owner, leaf))
            if first[1] is not leaf and not _copied_on_write(moment, first[1], leaf):
                key = first[0].process.address, owner.process.address
                pairs.setdefault(key, []).append((*first, owner, leaf))
    for some in pairs.values():
        one, leaf, other, second = some[0]
        if one is other:
            where = moment.blame.asked(leaf.pa)
        else:
            where = moment.blame.asked(moment.blame.newest((leaf.table, second.table)))
        yield moment.finding(
            PAGE_IN_TWO_SPACES,
            f"Page 0x{leaf.pa:x}{count_words(len(some))} is mapped by {one} at 0x{leaf.va:x} "
            f"and by {other} at 0x{second.va:x}.",
            where,
            moment.blame.story(leaf.pa),
        )


def _copied_on_write(moment: Moment, one: Leaf, other: Leaf) -> bool:
    """Tell whether somebody's kernel shares a page that neither process may write to."""
    return not moment.reference and not (one.pte | other.pte) & W


def _shared_tables(moment: Moment, tables: list[Named]) -> Iterator[Finding]:
    common: dict[int, TablePage] = {}
    if moment.kernel_root:
        common = {page.pa: page for page in moment.whole.tables}
    seen: dict[int, tuple[str, TablePage]] = {}
    for name, space in tables:
        for page in [*space.tables, *space.again]:
            theirs = common.get(page.pa)
            if theirs is not None and (page.level, page.va) == (theirs.level, theirs.va):
                if page.level < 2 or space is moment.whole:
                    seen.setdefault(page.pa, (name, page))
                    continue
            first = seen.setdefault(page.pa, (name, page))
            if first[1] is not page:
                yield _shared(moment, first, (name, page))
                break  # what hangs off it is shared too


def _shared(moment: Moment, first: tuple[str, TablePage], second: tuple[str, TablePage]) -> Finding:
    page = second[1]
    parents = [one.parent for _, one in (first, second) if one.parent]
    newest = moment.blame.newest(parents) if parents else page.pa
    return moment.finding(
        TABLE_PAGE_SHARED,
        f"Table page 0x{page.pa:x} is part of {first[0]}, for the addresses from "
        f"0x{first[1].va:x} on, and of {second[0]}, from 0x{page.va:x} on.",
        moment.blame.asked(newest),
        moment.blame.story(page.pa),
    )
