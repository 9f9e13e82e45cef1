"""The mirror: user memory in the process's kernel page table, page by page."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding, Rule, Where
from ..sv39 import R, U, W, X
from .gdb import AT_POSE
from .moment import USERTOP, Moment, Owner, count_words
from .tables import Leaf, is_device, permissions

MIRROR_MISSING = Rule(
    "mirror-missing",
    "error",
    "The user may use a page that the process's kernel page table does not map. The "
    "kernel's next copyin() or copyout() there fails, or faults and panics: a system call "
    "refuses a good pointer. Each place that gives a process memory has to extend the "
    "mirror: userinit, fork, exec and sbrk. One of them is usually forgotten, or works with "
    "the old size, or rounds it the wrong way.",
    "Which of the four gave the process this page? There the mirror has to follow.",
    AT_POSE
    + "print/x *walk($p->pagetable, ADDRESS, 0)\n"
    "print/x *walk($p->kpagetable, ADDRESS, 0)  # should be the same page",
)
MIRROR_STALE = Rule(
    "mirror-stale",
    "error",
    "The process's kernel page table maps a page of user memory that the user has not any "
    "more. The kernel goes on reading and writing it for the user; once the page belongs to "
    "somebody else, a system call with an old pointer reads or overwrites that one's memory. "
    "It happens when sbrk with a negative argument, or exec, leaves the old entries in the "
    "mirror.",
    "Take the pages out of both tables, fence, and only then free them.",
    AT_POSE
    + "print/x *walk($p->kpagetable, ADDRESS, 0)  # should be 0\n"
    "print/x *walk($p->pagetable, ADDRESS, 0)  # or no memory at 0: no table",
)
MIRROR_GUARD = Rule(
    "mirror-guard",
    "error",
    "The process's kernel page table has a page that the user table closes to the user, "
    "such as the guard page below the stack, which exec makes with uvmclear(). There the kernel "
    "reads and writes for the user what the user may not: write(fd, guard, n) succeeds, though "
    "it must fail. It happens when every entry is copied with PTE_U taken away: the "
    "guard's has none already, and so looks like all others.",
    "Where entries are copied to the mirror, leave out those without PTE_U.",
    AT_POSE
    + "print/x *walk($p->pagetable, ADDRESS, 0)  # V, and not U (0x10)?\n"
    "print/x *walk($p->kpagetable, ADDRESS, 0)  # should be 0",
)
MIRROR_WRONG_PAGE = Rule(
    "mirror-wrong-page",
    "error",
    "At one address the user table and the mirror in the kernel table have different pages. "
    "The kernel reads and writes another memory than the program does: results never "
    "arrive, and somebody else's data change. It happens when exec or fork build the mirror "
    "from the table of before, or of the other process.",
    "Compare `pgdump PID` and `pgdump -k PID` in the guest's shell.",
    AT_POSE
    + "print/x *walk($p->pagetable, ADDRESS, 0)\n"
    "print/x *walk($p->kpagetable, ADDRESS, 0)  # another page",
)
MIRROR_FLAGS = Rule(
    "mirror-flags",
    "error",
    "The mirror has a page with other permissions than the user has. Writable where the "
    "user may only read, the kernel overwrites a program's text on its behalf; read-only "
    "where the user may write, read() into that page fails; executable, the kernel can be "
    "made to run what a program wrote. R and W have to be the user's, X clear.",
    "Copy the page's address, V, R and W from the user's entry, and nothing else.",
    AT_POSE
    + "print/x *walk($p->pagetable, ADDRESS, 0)\n"
    "print/x *walk($p->kpagetable, ADDRESS, 0)  # compare R, W and X",
)
MIRROR_EXECUTABLE = Rule(
    "mirror-executable",
    "note",
    "The mirror has a page that the kernel may execute. User entries were copied with all "
    "flags but PTE_U, which the lab asks for and no more, so this is no mistake; but a wild "
    "jump of the kernel's then runs what a program has put there. A hart checks PTE_X in "
    "supervisor mode just like PTE_R and PTE_W.",
    "Copy the page's address, V, R and W from the user's entry, and leave X out.",
    AT_POSE + "print/x *walk($p->kpagetable, ADDRESS, 0)  # bit 3 is X",
)
RULES = (
    MIRROR_MISSING, MIRROR_STALE, MIRROR_GUARD, MIRROR_WRONG_PAGE, MIRROR_FLAGS,
    MIRROR_EXECUTABLE,
)  # fmt: skip

Found = tuple[Rule, Where, str]  # the words go on after the address


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield where mirrors and user memory differ: one finding a process, rule and place."""
    if not moment.mirrored:
        return
    for owner in moment.owners:
        if owner.kernel is None:
            continue
        groups: dict[tuple[Rule, Where], list[tuple[int, str, int]]] = {}
        for va, pa, (rule, where, words) in _differences(moment, owner):
            groups.setdefault((rule, where), []).append((va, words, pa))
        stale = {group: some for group, some in groups.items() if group[0] is MIRROR_STALE}
        free = any(moment.blame.is_free(pa) for some in stale.values() for _, _, pa in some)
        if free and not moment.reference:  # one mistake: pages.py tells of it
            groups = {group: some for group, some in groups.items() if group not in stale}
        notes_last = sorted(groups.items(), key=lambda group: group[0][0].severity == "note")
        for (rule, where), some in notes_last:
            va, words, pa = some[0]
            yield moment.finding(
                rule,
                f"User address 0x{va:x}{count_words(len(some))} of {owner} {words}.",
                where,
                moment.blame.story(pa),
            )


def _differences(moment: Moment, owner: Owner) -> Iterator[tuple[int, int, Found]]:
    """Yield address, page concerned, and what is wrong there."""
    assert owner.kernel is not None
    user, mirror = owner.user.by_va, owner.kernel.by_va
    for leaf in owner.memory:
        if leaf.pte & U and leaf.va < USERTOP:
            found = _wrong(moment, leaf, mirror.get(leaf.va))
            if found:
                yield leaf.va, leaf.pa, found
    for leaf in owner.kernel.leaves:
        theirs = user.get(leaf.va)
        if leaf.pte & U and not moment.reference:
            continue  # not to be read by the kernel either: see kernelmap.py
        if leaf.va < USERTOP and not is_device(leaf.pa) and not (theirs and theirs.pte & U):
            yield leaf.va, leaf.pa, _stale(moment, leaf, theirs)


def _wrong(moment: Moment, user: Leaf, mirror: Leaf | None) -> Found | None:
    asked = moment.blame.asked
    if mirror is None:
        words = "is not mirrored in its kernel page table"
        return MIRROR_MISSING, asked(user.pa, user.table), words
    if is_device(mirror.pa):
        return None  # see kernelmap.py
    if mirror.pa != user.pa or mirror.level != user.level:
        words = f"is page 0x{user.pa:x} for the user and page 0x{mirror.pa:x} in the mirror"
        if moment.blame.is_free(mirror.pa):
            words += ", which is free"
            if moment.blame.newest((user.pa, mirror.pa)) == mirror.pa:
                # Of an image that was given up again: who freed it left the mirror so.
                return MIRROR_WRONG_PAGE, moment.blame.freed(mirror.pa), words
        return MIRROR_WRONG_PAGE, asked(user.pa, user.table), words
    if mirror.pte & X and moment.reference:
        words = f"is executable ({permissions(mirror.pte)}) in the mirror"
        return MIRROR_FLAGS, asked(user.pa, user.table), words
    differ = (mirror.pte ^ user.pte) & (R | W)
    if not moment.reference and mirror.pte & R and not mirror.pte & W:
        differ = 0  # enough for a kernel that writes to user memory by another way
    if differ:
        words = (
            f"is {permissions(user.pte)} for the user and {permissions(mirror.pte)} in the "
            "mirror: R and W have to be the same"
        )
        return MIRROR_FLAGS, asked(user.pa, user.table), words
    if mirror.pte & X:
        words = f"is executable ({permissions(mirror.pte)}) in the mirror"
        return MIRROR_EXECUTABLE, asked(user.pa, user.table), words
    return None


def _stale(moment: Moment, mirror: Leaf, user: Leaf | None) -> Found:
    """Return who is to blame for a mirrored page that the user has not.

    A page that the user table has closed to the user: who allocated it. Else who freed it,
    as the ledger knows it; else who asked for the mirror's table.
    """
    blame = moment.blame
    if user is not None and user.pa == mirror.pa:
        words = (
            f"is closed to the user, as the guard page below a stack has to be "
            f"({permissions(user.pte)}, without U), and mirrored all the same"
        )
        return MIRROR_GUARD, blame.asked(mirror.pa, mirror.table), words
    state = "free" if blame.is_free(mirror.pa) else "in use"
    words = (
        f"is not the user's, and the mirror maps it to page 0x{mirror.pa:x}, which is {state}"
    )
    place = blame.freed(mirror.pa)
    return MIRROR_STALE, place if place != Where() else blame.asked(mirror.table), words
