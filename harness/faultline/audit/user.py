"""User page tables: user memory from 0 to the process's size, trapframe and trampoline."""

from __future__ import annotations

from collections.abc import Iterator

from ..elf import TRAMPOLINE
from ..finding import Finding, Rule, Where
from ..ram import PAGE
from ..sv39 import R, U, W, X
from .gdb import AT_POSE
from .moment import TRAPFRAME, Moment, Owner, count_words, sentence
from .tables import Leaf, is_device, permissions

USER_MAP = Rule(
    "user-map",
    "error",
    "A user page table must map TRAPFRAME to the process's trapframe and TRAMPOLINE to the "
    "trampoline, both closed to the user, and besides nothing but user memory below the "
    "process's size, open to the user. The trampoline saves registers into whatever is "
    "mapped at TRAPFRAME; if the user can write there he chooses the kernel's stack and "
    "page table. It happens when flags are swapped, exec maps the wrong trapframe, or a "
    "page stays mapped beyond the end after the memory shrank.",
    "`pgdump PID` in the guest's shell prints the table; the last two pages are these.",
    AT_POSE + "print/x *walk($p->pagetable, ADDRESS, 0)",
)
USER_GUARD = Rule(
    "user-guard",
    "error",
    "The page under a program's stack page must be closed to the user, and the stack page "
    "itself open. Without the guard a stack that grows too far runs into the program's data "
    "without a fault, and the program goes wrong much later. exec() forgets uvmclear(), or "
    "clears PTE_U of the wrong page.",
    "The stack page is the uppermost of the image; the one below it is the guard.",
    AT_POSE + "print/x *walk($p->pagetable, ADDRESS, 0)  # bit 4 is PTE_U",
)
USER_SIZE = Rule(
    "user-size",
    "error",
    "A page below the process's size is not mapped. The program faults on memory that it "
    "was given, and uvmunmap() or uvmcopy() panic over the hole in the next exit or fork. "
    "It happens when sbrk frees one page too many, sets the size before it knows that the "
    "allocation worked, or when fork copies one page short.",
    "Compare p->sz and the last page of `pgdump PID`; mind sizes in the middle of a page.",
    AT_POSE
    + "print/x $p->sz\n"
    "print/x *walk($p->pagetable, $p->sz - 1, 0)   # the last byte's: mapped\n"
    "print/x *walk($p->pagetable, $p->sz + 4095, 0)  # the next page's: 0",
)
RULES = (USER_MAP, USER_GUARD, USER_SIZE)
USYSCALL = TRAPFRAME - PAGE


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield what is wrong with user page tables."""
    # Somebody's may share pages without W, and give pages that are used late other flags.
    separate = moment.reference and any(
        leaf.pte & U and leaf.pte & (W | X) != W | X
        for owner in moment.owners
        for leaf in owner.memory
    )
    for owner in moment.owners:
        yield from _top(moment, owner)
        yield from _beyond(moment, owner)
        yield from _stack(moment, owner)
        yield from _closed(moment, owner)
        yield from _holes(moment, owner)
        yield from _kernel_pages(moment, owner)
        if separate:
            yield from _heap(moment, owner)


def stack_page(moment: Moment, owner: Owner) -> int | None:
    """Return the page of the program's stack, as its saved stack pointer has it."""
    trapframe = owner.process.trapframe
    if not moment.ram.holds(trapframe, PAGE):
        return None
    sp = moment.ram.u64(trapframe + 48)  # where every xv6's uservec saves it
    return (sp - 1) // PAGE * PAGE if 0 < sp <= owner.pages else None


def guard_page(moment: Moment, owner: Owner, stack: int) -> int:
    """Return the page that has to be closed to the user: under the stack's, or, in somebody's
    kernel that gives programs several pages of stack, the next one that is."""
    closed = [leaf.va for leaf in owner.memory if leaf.va < stack and not leaf.pte & U]
    return max(closed, default=stack - PAGE) if not moment.reference else stack - PAGE


def _top(moment: Moment, owner: Owner) -> Iterator[Finding]:
    layout = moment.layout
    wanted = [("TRAPFRAME", TRAPFRAME, owner.process.trapframe, R | W)]
    if layout is not None:
        wanted.append(("TRAMPOLINE", TRAMPOLINE, layout.trampoline, R | X))
    for name, va, pa, flags in wanted:
        leaf = owner.user.by_va.get(va)
        if leaf is not None and leaf.pa == pa and leaf.pte & (R | W | X | U) == flags:
            continue
        what = f"to 0x{leaf.pa:x}, {permissions(leaf.pte)}" if leaf else "not at all"
        table = owner.user.holder(moment.ram, va)
        yield moment.finding(
            USER_MAP,
            f"The user page table of {owner} should map {name} to 0x{pa:x}, "
            f"{permissions(flags)}, and maps it {what}.",
            moment.blame.asked(table),
            moment.blame.story(table),
        )


def _beyond(moment: Moment, owner: Owner) -> Iterator[Finding]:
    beyond = [
        leaf for leaf in owner.memory if leaf.va >= owner.pages and not _usyscall(moment, leaf)
    ]
    groups: dict[Where, list[Leaf]] = {}
    for leaf in beyond:
        free = moment.blame.is_free(leaf.pa)
        place = moment.blame.freed(leaf.pa) if free else moment.blame.asked(leaf.pa, leaf.table)
        groups.setdefault(place, []).append(leaf)
    for place, leaves in groups.items():
        first = leaves[0]
        yield moment.finding(
            USER_MAP,
            f"The user page table of {owner} maps 0x{first.va:x}{count_words(len(leaves))}, "
            f"beyond the process's size, 0x{owner.process.sz:x}.",
            place,
            moment.blame.story(first.pa),
        )


def _usyscall(moment: Moment, leaf: Leaf) -> bool:
    """Tell whether this is the page that the labs since 2021 have a kernel share with the user,
    who may read there what he would have to ask for."""
    return (
        not moment.reference and leaf.va == USYSCALL and leaf.pte & (R | W | X | U) == R | U
    )


def _stack(moment: Moment, owner: Owner) -> Iterator[Finding]:
    page = stack_page(moment, owner)
    leaf = owner.user.by_va.get(page) if page is not None else None
    if page is None or leaf is None:
        return
    guard = owner.user.by_va.get(guard_page(moment, owner, page))
    wrong = None
    if not leaf.pte & U:
        wrong, words = leaf, "has its stack pointer in a page that is closed to the user"
    elif guard is not None and guard.pte & U:
        wrong, words = guard, "has no guard page: the page under its stack is the user's"
    if wrong is not None:
        yield moment.finding(
            USER_GUARD,
            sentence(f"{owner} {words} (0x{wrong.va:x}, {permissions(wrong.pte)})."),
            moment.blame.asked(wrong.pa, wrong.table),
            moment.blame.story(wrong.pa),
        )


def _closed(moment: Moment, owner: Owner) -> Iterator[Finding]:
    """Pages below the size that the user may not use, but for the guard."""
    page = stack_page(moment, owner)
    around = {page, guard_page(moment, owner, page)} if page is not None else set()
    closed = [
        leaf
        for leaf in owner.memory
        if leaf.va < owner.pages and leaf.pte & (U | R) != U | R and leaf.va not in around
    ]
    if page is None:
        closed = closed[1:]  # one of them is the guard
    if closed:
        first = closed[0]
        yield moment.finding(
            USER_MAP,
            sentence(
                f"{owner} may not use its page at 0x{first.va:x}{count_words(len(closed))}, "
                f"which is mapped {permissions(first.pte)}."
            ),
            moment.blame.asked(first.pa, first.table),
            moment.blame.story(first.pa),
        )


def _heap(moment: Moment, owner: Owner) -> Iterator[Finding]:
    """Stack and heap are RW- in a kernel that tells text from data."""
    page = stack_page(moment, owner)
    if page is None or page == 0:  # the first process, before its exec, is a single page
        return
    for leaf in owner.memory:
        if page <= leaf.va < owner.pages and leaf.pte & U and leaf.pte & (R | W | X) != R | W:
            what = "stack" if leaf.va == page else "heap"
            yield moment.finding(
                USER_MAP,
                f"The {what} of {owner} is mapped {permissions(leaf.pte)} at 0x{leaf.va:x}; it "
                "should be RW-U.",
                moment.blame.asked(leaf.pa, leaf.table),
                moment.blame.story(leaf.pa),
            )
            return


def _kernel_pages(moment: Moment, owner: Owner) -> Iterator[Finding]:
    """Pages of user memory that are the kernel's."""
    for leaf in owner.memory:
        stack = moment.stacks.get(leaf.pa)
        use = f"the kernel stack of {stack[0]}" if stack else moment.kernel_use(leaf.pa)
        if use or is_device(leaf.pa):
            yield moment.finding(
                USER_MAP,
                f"The user page table of {owner} maps 0x{leaf.va:x} to 0x{leaf.pa:x}, which is "
                f"{use or 'a device'}.",
                moment.blame.asked(leaf.table),
                moment.blame.story(leaf.pa),
            )
            return


def _holes(moment: Moment, owner: Owner) -> Iterator[Finding]:
    mapped = {leaf.va + n * PAGE for leaf in owner.memory for n in range(512**leaf.level)}
    # Somebody's kernel may allocate the heap when it is used.
    end = owner.pages if moment.reference else min(owner.pages, _heap_start(moment, owner))
    holes = [va for va in range(0, min(end, TRAPFRAME), PAGE) if va not in mapped]
    if not holes:
        return
    table = owner.user.holder(moment.ram, holes[0])
    yield moment.finding(
        USER_SIZE,
        sentence(
            f"{owner} has 0x{owner.process.sz:x} bytes of memory, but 0x{holes[0]:x}"
            f"{count_words(len(holes))} is not mapped."
        ),
        _who_left_a_hole(moment, owner, table),
        moment.blame.story(table),
    )


def _heap_start(moment: Moment, owner: Owner) -> int:
    """Return where the heap begins: behind the stack, as far as that is known."""
    page = stack_page(moment, owner)
    return owner.pages if page is None else page + PAGE


def _who_left_a_hole(moment: Moment, owner: Owner, table: int) -> Where:
    """Return who freed user memory last, if the process is older than that; else who asked
    for its table."""
    last = moment.blame.unmapped_last()
    root = moment.blame.page(owner.process.pagetable)
    if last is not None and (root is None or last.seq > root.seq):
        return moment.blame.freed(last.pa)
    return moment.blame.asked(table)
