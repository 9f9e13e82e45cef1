"""Kernel stacks: each process's own, and no other, is mapped."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding, Rule
from ..ram import PAGE
from ..sv39 import R, W
from .blame import TABLE_MAKERS, defined
from .gdb import AT_POSE, MAPPED
from .moment import USERTOP, Moment, Owner
from .tables import Leaf, Space, permissions

KSTACK_MISSING = Rule(
    "kstack-missing",
    "error",
    "A process's kernel stack is not mapped, readable and writable, where its stack pointer "
    "needs it. The first push after the switch to that process faults, and so does the "
    "attempt to save registers for that fault: the hart hangs without a word. People map "
    "the stack only in the global table, before the process's own is made, or at another "
    "address than they put into p->context.sp or p->trapframe->kernel_sp.",
    "In gdb: `p/x p->context.sp`, then walk the process's kernel table for that address less "
    "one; `pgdump -k PID` in the guest's shell prints it.",
    AT_POSE
    + "print/x $p->context.sp\n"
    "print/x $p->trapframe->kernel_sp\n"
    "print/x *walk($p->kpagetable, $p->context.sp - 1, 0)  # 0: not mapped",
)
KSTACK_FOREIGN = Rule(
    "kstack-foreign",
    "error",
    "A kernel page table maps the kernel stack of another process, outside the direct map "
    "of RAM. That is what tables of the processes' own are there to prevent: a wild pointer "
    "or an overflow now reaches the return addresses of somebody else. The usual reason is "
    "that all stacks are mapped into every table, as the global one has them.",
    "Map the one stack that belongs to the process whose table it is.",
    MAPPED
    + "backtrace    # who maps another's stack there\n"
    "print/x pa   # which stack",
)
KSTACK_GUARD_MAPPED = Rule(
    "kstack-guard-mapped",
    "error",
    "The page just below a kernel stack is mapped. It has to be a hole, so that a stack that "
    "grows too far faults at once; with something mapped there it overwrites that instead, "
    "and the crash comes later and elsewhere. It happens when two pages are mapped for the "
    "stack, or the stacks are placed side by side.",
    "Map one page at the stack's address, and leave the page below unmapped.",
    MAPPED + "backtrace    # who maps something below the stack",
)
RULES = (KSTACK_MISSING, KSTACK_FOREIGN, KSTACK_GUARD_MAPPED)


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield what is wrong with the kernel stacks."""
    for owner in moment.owners:
        yield from _own(moment, owner)
    for pa, owners in moment.stacks.items():
        if len(owners) > 1:
            names = " and ".join(map(str, owners))
            yield moment.finding(
                KSTACK_FOREIGN,
                f"{names} have the same page, 0x{pa:x}, for their kernel stack.",
                moment.blame.asked(pa),
                moment.blame.story(pa),
            )
    for space, holder in kernel_spaces(moment):
        for leaf in space.leaves:
            if foreign(moment, holder, leaf):
                yield _foreign(moment, holder, leaf)
                break


def kernel_spaces(moment: Moment) -> list[tuple[Space, Owner | None]]:
    """Return every kernel page table and whose it is, the global one first."""
    own = [(owner.kernel, owner) for owner in moment.owners if owner.kernel]
    return [(moment.whole, None), *own]


def table_words(owner: Owner | None) -> str:
    """Return which kernel page table it is, in words."""
    return f"the kernel page table of {owner}" if owner else "kernel_pagetable"


def foreign(moment: Moment, owner: Owner | None, leaf: Leaf) -> bool:
    """Tell whether a leaf maps another process's kernel stack; not as part of a mirror."""
    if owner is not None and leaf.va < USERTOP:
        return False
    if owner is None and not moment.reference:
        return False  # every xv6 without tables of the processes' own has them all there
    others = [other for other in moment.stacks.get(leaf.pa, []) if other is not owner]
    return bool(others) and leaf.va != leaf.pa and not is_own(moment, owner, leaf)


def is_own(moment: Moment, owner: Owner | None, leaf: Leaf) -> bool:
    """Tell whether a leaf lies where the process has its kernel stack."""
    if owner is None or not owner.process.sp:
        return False
    return moment.stack_bottom(owner) <= leaf.va <= moment.stack_page(owner)


def is_guard(moment: Moment, owner: Owner | None, leaf: Leaf) -> bool:
    """Tell whether a leaf lies in the page below the process's kernel stack."""
    if owner is None or not owner.process.sp:
        return False
    return leaf.va == moment.stack_bottom(owner) - PAGE


def _own(moment: Moment, owner: Owner) -> Iterator[Finding]:
    process, space = owner.process, owner.kernel or moment.whole
    if not process.sp:
        return
    va, leaf = moment.stack_page(owner), moment.stack_leaf(owner)
    maker = moment.blame.asked(space.root, skip=TABLE_MAKERS)
    if leaf is None or leaf.pte & (R | W) != R | W or not moment.ram.holds(leaf.pa, PAGE):
        how = f"as {permissions(leaf.pte)} to 0x{leaf.pa:x}" if leaf else "not at all"
        yield moment.finding(
            KSTACK_MISSING,
            f"The kernel stack of {owner} should be mapped RW- at 0x{va:x}, where its stack "
            f"pointer is, and is mapped {how}.",
            maker,
            f"p->context.sp is 0x{process.sp:x}; the table's root is 0x{space.root:x}",
        )
    elif moment.kernel_use(leaf.pa) or leaf.pa in moment.user_pages:
        use = moment.kernel_use(leaf.pa) or "a page of user memory"
        yield moment.finding(
            KSTACK_MISSING,
            f"What is mapped at 0x{va:x} for the kernel stack of {owner} is page "
            f"0x{leaf.pa:x}, which is {use}.",
            maker,
            moment.blame.story(leaf.pa),
        )
    top = kernel_sp(moment, owner)
    if process.state == "SLEEPING" and top and (top - 1) // PAGE * PAGE != va:
        if space.lookup(moment.ram, top - 1) is None:
            yield moment.finding(
                KSTACK_MISSING,
                f"The next trap of {owner} will use a kernel stack below 0x{top:x}, where its "
                "kernel page table maps nothing.",
                defined(moment.elf, "usertrapret"),
                f"p->trapframe->kernel_sp is 0x{top:x}, p->context.sp is 0x{process.sp:x}",
            )
    guard = space.lookup(moment.ram, moment.stack_bottom(owner) - PAGE)
    if guard is not None:
        yield moment.finding(
            KSTACK_GUARD_MAPPED,
            f"The page below the kernel stack of {owner}, 0x{guard.va:x}, is mapped "
            f"({permissions(guard.pte)}, to 0x{guard.pa:x}).",
            moment.blame.asked(guard.table, guard.pa, skip=TABLE_MAKERS),
            moment.blame.story(guard.pa),
        )


def kernel_sp(moment: Moment, owner: Owner) -> int:
    """Return p->trapframe->kernel_sp, or 0 if that cannot be read."""
    trapframe = owner.process.trapframe
    # uservec knows its offset: the layout of the trapframe's beginning is everyone's.
    return moment.ram.u64(trapframe + 8) if moment.ram.holds(trapframe, PAGE) else 0


def _foreign(moment: Moment, owner: Owner | None, leaf: Leaf) -> Finding:
    whose = " and ".join(str(o) for o in moment.stacks[leaf.pa] if o is not owner)
    return moment.finding(
        KSTACK_FOREIGN,
        f"At 0x{leaf.va:x}, {table_words(owner)} maps the kernel stack of {whose}.",
        moment.blame.asked(leaf.table, leaf.pa, skip=TABLE_MAKERS),
        moment.blame.story(leaf.pa),
    )
