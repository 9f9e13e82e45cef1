"""What the TLB checker can say."""

from __future__ import annotations

from .finding import Rule

_FENCES = (
    "break {function}\n"
    "continue\n"
    "print/x $satp              # the table that is loaded now\n"
    "finish                     # is there an sfence.vma before the next use?\n"
    "x/20i $pc"
)

STALE_USE = Rule(
    "tlb-stale-use",
    "error",
    "A page-table entry was changed or cleared, and the hart used the address that it "
    "translates before any sfence.vma that covers it. The store to the entry does not touch "
    "what the hart has cached: the access may go to the page that was mapped before, which "
    "may have a new owner by now. QEMU forgets at once, so nothing is ever wrong there; a "
    "board keeps the old translation for as long as its TLB has room, and then memory "
    "changes that nobody wrote to. People unmap or remap and return, with the fence left "
    "to the next address-space switch, which comes later than the next use.",
    "Fence after the last store to the table and before the page is used or freed.",
    _FENCES.format(function="uvmunmap"),
)
STALE_ASID = Rule(
    "tlb-stale-asid",
    "error",
    "satp was written, and an address that the old and the new table translate differently "
    "was used before a fence. Writing satp fences nothing. Entries are kept by address-space "
    "number, and a kernel that leaves the ASID 0 has told the hart that all its tables are one "
    "space: what was cached from the old table holds in the new one. So a process reads "
    "another's page, or the kernel runs on another process's stack. QEMU drops everything "
    "at each write of satp; boards do not. People forget the sfence.vma in scheduler() or "
    "in one of the two switches of the trampoline.",
    "Follow each write of satp with sfence.vma, or give each table an ASID of its own.",
    _FENCES.format(function="scheduler"),
)
FREED_REACHABLE = Rule(
    "tlb-freed-reachable",
    "error",
    "A page was freed and given out again while a hart could still translate an address to "
    "it, or walk through it as a page table: its mapping was in the hart's reach since the "
    "last fence. That hart reads and writes what belongs to somebody else now, or takes "
    "somebody's data for page-table entries. It does not need to touch the address on "
    "purpose: harts walk ahead speculatively. Each hart has to be fenced for itself: "
    "sfence.vma acts on the hart that executes it only. It is a warning if the hart is just "
    "the one that took the mapping away, and another was given the page: it may yet reach "
    "its fence in time, by luck. People free before they fence, rely on the fence at the "
    "return to the user, or free what another hart has loaded.",
    "Take the entry away, fence each hart that has had the table loaded, and then free.",
    _FENCES.format(function="kfree"),
)
SATP_FREED = Rule(
    "tlb-satp-freed",
    "error",
    "A page was freed while a hart's satp names it as its root page table, or satp was "
    "given a page that is free. From that moment on the hart translates with whatever the "
    "page's next owner writes into it. It works for as long as nobody takes the page. "
    "People free a process's kernel table while the scheduler of some hart still has it "
    "loaded, having kept the last process's table until there is something to run.",
    "Load another table, and fence, before the table is freed.",
    _FENCES.format(function="freeproc"),
)
UNFENCED_VALID = Rule(
    "tlb-unfenced-valid",
    "warning",
    "An entry that was invalid was made valid, and the address was used with no fence in "
    "between. A hart may have cached that there is nothing, or have its store to the table "
    "still under way; then the access faults, although the table is right. The "
    "specification allows it to a kernel that takes the fault, finds the entry valid and "
    "goes on. One that kills the process, or panics, at such a fault needs the fence. "
    "Hardware with Svvptc does without.",
    "Fence after the new entries are in place, or return from a fault whose entry is valid.",
    _FENCES.format(function="mappages"),
)
STALE_PERMISSION = Rule(
    "tlb-stale-permission",
    "error",
    "An entry lost a permission, and the address was used in just that way before a fence: "
    "written after W was cleared, for example, or reached from user mode after U was "
    "cleared. The hart may still allow it. A page that is to be copied on the next write is "
    "then written while it is shared. People clear the flag, in fork() for copy-on-write or "
    "in exec() for the guard page, and do not fence.",
    "Fence after the permission is taken away.",
    _FENCES.format(function="uvmclear"),
)
RESERVED = Rule(
    "tlb-reserved",
    "error",
    "A page-table entry in reach of a loaded table has an encoding that the architecture "
    "reserves: W without R, a pointer to a table with A, D or U set, a superpage whose "
    "address is not aligned to its size, or reserved high bits. Today's hardware faults on it; "
    "tomorrow's may give it a meaning. People pass PTE_W alone to mappages().",
    "Give the entry R with W, and no flags but V to a pointer to a table.",
    "break mappages\n"
    "continue\n"
    "print/x perm               # has it W (4) without R (2)?\n"
    "backtrace",
)
UNFENCED_TABLE = Rule(
    "tlb-unfenced-table",
    "warning",
    "Translation was turned on with a table that had been stored to since the hart's last "
    "sfence.vma, if it had executed any, and the hart used the table. Writing satp takes effect at "
    "once, but it does not wait for stores: the hart may walk the table as memory was before, "
    "and fault at the very next instruction, with no handler that could help; what it reads "
    "then may stay cached. Each hart needs a fence of its own, also the one that only loads "
    "what another has made. QEMU's stores are done at once, so it never shows there. People "
    "write satp in kvminithart() and leave the fence to the first return to the user.",
    "Put an sfence.vma before the write of satp, and one after it.",
    _FENCES.format(function="kvminithart"),
)

RULES = {
    rule.name: rule
    for rule in (
        STALE_USE,
        STALE_ASID,
        FREED_REACHABLE,
        SATP_FREED,
        UNFENCED_VALID,
        STALE_PERMISSION,
        RESERVED,
        UNFENCED_TABLE,
    )
}
