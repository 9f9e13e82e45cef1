"""What kernel page tables map besides stacks and user memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..elf import TRAMPOLINE
from ..finding import Finding, Rule, Where
from ..ram import PAGE
from ..sv39 import R, U, W, X, pte_pa
from .gdb import AT_POSE, MAPPED
from .moment import CLINT, CLINT_END, TRAPFRAME, USERTOP, Moment, Owner, count_words
from .stacks import foreign, is_guard, is_own, kernel_spaces, table_words
from .tables import Leaf, Missing, Space, is_device, permissions

KERNEL_PTE_USER = Rule(
    "kernel-pte-user",
    "error",
    "A leaf in a kernel page table has PTE_U set. In supervisor mode the hart refuses such "
    "pages as long as sstatus.SUM is clear, and never fetches from them: the kernel faults "
    "on its first use. And should a hart come to user mode with that table, the page is the "
    "program's. It happens when user entries are copied into the mirror as they are.",
    "Clear PTE_U in the copy. In gdb: `p/x *walk(cpus[0].proc->kpagetable, VA, 0)`, bit 4.",
    AT_POSE + "print/x *walk($p->kpagetable, ADDRESS, 0)  # bit 4 is PTE_U",
)
KERNEL_WX = Rule(
    "kernel-wx",
    "error",
    "A kernel page table maps a page writable and executable, or the kernel's text "
    "writable. Every wild store then may change what the kernel runs, and whoever can make "
    "it write somewhere can make it run anything. It happens when one mapping with R, W and "
    "X is made for all of RAM, or when text ends in the middle of a page.",
    "Map [KERNBASE, etext) R-X and what follows RW-; etext has to be page-aligned.",
    AT_POSE + "print/x *walk($p->kpagetable, ADDRESS, 0)  # bit 2 is W, bit 3 is X",
)
KERNEL_MAP_MISSING = Rule(
    "kernel-map-missing",
    "error",
    "A kernel page table lacks something that the kernel needs whoever runs: a device, its "
    "text, part of RAM, or the trampoline. Interrupts come at any moment and use the table "
    "that is loaded; the process whose table has the hole then panics, and only if the "
    "interrupt comes while it runs. People forget a mapping when they write the function "
    "that makes the processes' tables, or are off by a page at its end.",
    "Compare the function that makes a process's table with kvminit(), line by line.",
    AT_POSE
    + "print/x *walk($p->kpagetable, ADDRESS, 0)  # 0: not mapped\n"
    "print/x *walk(kernel_pagetable, ADDRESS, 0)  # in the table all others follow",
)
KERNEL_MAP_EXTRA = Rule(
    "kernel-map-extra",
    "error",
    "A kernel page table maps something that has no business there: the CLINT, which "
    "belongs to machine mode and lies where user memory is mirrored, another's trapframe, "
    "pages behind the end of a region. What is mapped can be overwritten by any wild "
    "pointer; and the next mapping there panics with `remap`.",
    "Who maps that address? In gdb: `break mappages if va == ADDRESS`.",
    MAPPED + "backtrace    # who maps it",
)
KERNEL_MAP_DIFFERS = Rule(
    "kernel-map-differs",
    "error",
    "A kernel page table maps an address that all kernel tables map, but to another page "
    "or with other permissions than it must. The kernel then reads and writes somewhere "
    "else, or faults, depending on which process runs. It happens when arguments of "
    "mappages() are swapped or the permissions of one region are used for the next.",
    "Kernel memory and devices are mapped at their physical addresses, text R-X, all else "
    "RW-, and TRAMPOLINE to the page of uservec and userret, R-X.",
    AT_POSE
    + "print/x *walk($p->kpagetable, ADDRESS, 0)\n"
    "print/x *walk(kernel_pagetable, ADDRESS, 0)  # in the table all others follow",
)
KERNEL_MAP_COPIED = Rule(
    "kernel-map-copied",
    "warning",
    "A process's kernel table has page-table pages of its own for what all kernel tables map "
    "alike. It is correct, and it costs: some 70 pages a process on a machine with 128 MiB, and "
    "the time to fill and free them in every fork and exit. The entries of the upper levels can "
    "point to the global table's pages instead. Asked only of kernels that mean to share.",
    "Copy the root's entries; make tables anew only on the way to what differs.",
    AT_POSE + "print $p->kpagetable[2] == kernel_pagetable[2]  # 1: shared, as RAM should be",
)
RULES = (
    KERNEL_PTE_USER, KERNEL_WX, KERNEL_MAP_MISSING, KERNEL_MAP_EXTRA, KERNEL_MAP_DIFFERS,
    KERNEL_MAP_COPIED,
)  # fmt: skip


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield what is wrong with the kernel tables' leaves."""
    if not moment.kernel_root:
        return
    for space, owner in kernel_spaces(moment):
        wrong: dict[Rule, list[Leaf]] = {}
        for leaf in space.leaves:
            rule = _broken(moment, owner, leaf)
            if rule:
                wrong.setdefault(rule, []).append(leaf)
        for rule, leaves in wrong.items():
            by_place: dict[Where, list[Leaf]] = {}
            for leaf in leaves:
                by_place.setdefault(_place(moment, rule, leaf), []).append(leaf)
            for place, some in by_place.items():
                yield _finding(moment, owner, rule, some, place)
        yield from _missing(moment, space, owner)
        if owner is not None and moment.shares:
            yield from _copied(moment, space, owner)


def _broken(moment: Moment, owner: Owner | None, leaf: Leaf) -> Rule | None:
    """Return the rule of this module that a leaf breaks."""
    if leaf.pte & U:
        return KERNEL_PTE_USER
    mirror = owner is not None and leaf.va < USERTOP
    if mirror:
        if not is_device(leaf.pa):
            return None  # see mirror.py
        # In nobody's way as long as user memory is not mirrored there.
        harmless = not moment.mirrored and _harmless(leaf)
        return None if harmless else KERNEL_MAP_EXTRA
    layout = moment.layout
    text = layout is not None and layout.base <= leaf.va < layout.etext
    if leaf.pte & W and (leaf.pte & X or text):
        return KERNEL_WX
    if is_own(moment, owner, leaf) or is_guard(moment, owner, leaf):
        return None  # see stacks.py
    if foreign(moment, owner, leaf):
        return None
    if owner is not None and not moment.reference and _own_trapframe(owner, leaf):
        return None
    if leaf.model:
        return KERNEL_MAP_DIFFERS
    if not moment.reference and _other_ram(moment, leaf):
        return None
    if owner is None and (layout is None or _harmless(leaf)):
        return None
    if owner is None and not moment.reference and _kept_apart(moment, leaf):
        return None
    return KERNEL_MAP_EXTRA


def _harmless(leaf: Leaf) -> bool:
    """Tell whether the global table maps a device that a kernel may drive; some do."""
    return leaf.va == leaf.pa and is_device(leaf.pa) and not leaf.pte & X


def _own_trapframe(owner: Owner, leaf: Leaf) -> bool:
    """Tell whether a leaf maps the process's trapframe as its user table does, but for it."""
    mapped = leaf.va == TRAPFRAME and leaf.pa == owner.process.trapframe
    return mapped and not leaf.pte & X


def _other_ram(moment: Moment, leaf: Leaf) -> bool:
    """Tell whether somebody's kernel maps RAM that is none of its allocator's at its own address:
    it may keep some for other uses, such as superpages."""
    size = PAGE * 512**leaf.level
    return (
        leaf.va == leaf.pa
        and leaf.pa >= moment.top
        and moment.ram.holds(leaf.pa, size)
        and leaf.pte & (R | W | X) == R | W
    )


def _kept_apart(moment: Moment, leaf: Leaf) -> bool:
    """Tell whether the global table maps an allocated page at an address of its own, as xv6
    does with all kernel stacks, those of no process too."""
    return (
        leaf.level == 0
        and leaf.va >= moment.ram.base + moment.ram.size
        and leaf.pte & (W | X) == W
        and not moment.blame.is_free(leaf.pa)
        and moment.ram.holds(leaf.pa)
        and not moment.kernel_use(leaf.pa)
    )


def _place(moment: Moment, rule: Rule, leaf: Leaf) -> Where:
    """Return who asked for the mirrored page, or who asked for the table with the entry."""
    if rule is KERNEL_PTE_USER and leaf.va < USERTOP:
        return moment.blame.asked(leaf.pa, leaf.table)
    return moment.blame.asked(leaf.table)


def _finding(
    moment: Moment, owner: Owner | None, rule: Rule, leaves: list[Leaf], place: Where
) -> Finding:
    first, more = leaves[0], count_words(len(leaves))
    say = _WORDS[rule]
    return moment.finding(
        rule,
        f"In {table_words(owner)}, 0x{first.va:x}{more} {say(first)}.",
        place,
        f"the entry is 0x{first.pte:x}, in the table page 0x{first.table:x}",
        moment.blame.story(first.table),
    )


def _in_the_way(leaf: Leaf) -> str:
    """Return why a device must not be mapped there, if it lies among user memory."""
    if leaf.va >= USERTOP or not is_device(leaf.pa):
        return ""
    if CLINT <= leaf.pa < CLINT_END:
        return ": user memory is mirrored up to the PLIC, and the CLINT is machine mode's alone"
    return ": user memory is mirrored up to the PLIC"


_WORDS: dict[Rule, Callable[[Leaf], str]] = {
    KERNEL_PTE_USER: lambda leaf: f"has PTE_U set ({permissions(leaf.pte)})",
    KERNEL_WX: lambda leaf: f"is mapped {permissions(leaf.pte)}"
    + ("" if leaf.pte & X else ", and is the kernel's text"),
    KERNEL_MAP_EXTRA: lambda leaf: f"is mapped to 0x{leaf.pa:x} ({permissions(leaf.pte)}), and "
    f"should not be mapped{_in_the_way(leaf)}",
    KERNEL_MAP_DIFFERS: lambda leaf: f"is mapped to 0x{leaf.pa:x} ({permissions(leaf.pte)}), and "
    f"should be to 0x{pte_pa(leaf.model):x} ({permissions(leaf.model)})",
}


def _copied(moment: Moment, space: Space, owner: Owner) -> Iterator[Finding]:
    common = moment.common.sheets
    pages = [
        page
        for va, (page, sheet) in space.sheets.items()
        if va in common and sheet.meaning == common[va].meaning
    ]
    if pages:
        yield moment.finding(
            KERNEL_MAP_COPIED,
            f"{table_words(owner)[:1].upper()}{table_words(owner)[1:]} has {len(pages)} "
            "page-table pages that say the same as kernel_pagetable's.",
            moment.blame.asked(pages[0]),
            moment.blame.story(pages[0]),
        )


def _only_global(moment: Moment, va: int) -> bool:
    """Tell whether what the global table has at an address is no business of a process's
    table: all kernel stacks lie there in many kernels."""
    leaf = moment.whole.lookup(moment.ram, va)
    return leaf is not None and leaf.va != leaf.pa and leaf.va != TRAMPOLINE


def _missing(moment: Moment, space: Space, owner: Owner | None) -> Iterator[Finding]:
    gaps: dict[Where, list[Missing]] = {}
    for gap in space.missing:
        if owner is not None and CLINT <= gap.va < CLINT_END:
            continue  # machine mode's own business
        if owner is None or moment.reference or not _only_global(moment, gap.va):
            gaps.setdefault(moment.blame.asked(gap.table), []).append(gap)
    for place, some in gaps.items():
        first, pages = some[0], sum(gap.pages for gap in some)
        yield moment.finding(
            KERNEL_MAP_MISSING,
            f"0x{first.va:x}{count_words(pages)} is not mapped in {table_words(owner)}.",
            place,
            f"The way there ends in the table page 0x{first.table:x}",
            moment.blame.story(first.table),
        )
