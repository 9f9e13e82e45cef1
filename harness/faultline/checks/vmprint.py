"""Is the page table that the kernel prints the one in memory?

The labs until 2023 print the first process's as exec() returns, each entry with its index. In
those since 2024 a system call prints the caller's, each entry with its virtual address: the
probe makes that call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from ..bench import Bench
from ..elf import ElfImage
from ..finding import Finding, Rule, Where
from ..listing import (
    BY_ADDRESS, BY_INDEX, EXAMPLE, Listing, Printed, Style, match_entries, parse, same_pte,
)  # fmt: skip
from ..machine import PROMPT, Machine
from ..processes import processes
from ..ram import Ram
from ..sv39 import Entry, flag_words, walk
from . import Unchecked, check

HINT = "Compare line by line with the example in the lab's \"Print a page table\"."

MISSING = Rule(
    "vmprint-missing",
    "error",
    "Nothing that looks like a page table was printed before the shell's prompt. exec() "
    "must print the first process's table as it returns. On hardware there is no harness to "
    "look into memory: what a kernel prints is all that shows what the hart translates. "
    "Usually the call is missing, or stands under a condition that never holds.",
    "In exec(), just before the return, print the table if the process's pid is 1.",
    "tbreak exec\n"
    "continue                   # the first process's\n"
    "tbreak vmprint\n"
    "tbreak usertrapret if cpus[$tp].proc->pid == 1\n"
    "continue                   # vmprint comes first, or nobody calls it",
)
FORMAT = Rule(
    "vmprint-format",
    "error",
    "A line is not in the format asked for: `page table 0x…` first, then for each entry its "
    "level in `..`, separated by single blanks, its index (in labs since 2024 the virtual "
    "address instead, `0x…`), `: pte 0x…` and ` pa 0x…`, with 16 hexadecimal digits each. Whoever reads the output, person or program, counts on it, "
    "and has nothing else on real hardware. %x for %p, a blank too many and a forgotten "
    "colon are the usual ways.",
    HINT,
    "break vmprint\n"
    "continue\n"
    "print table                # the root's address\n"
    "print/x table[0]@512       # its entries, to be printed with 16 digits",
)
DEPTH = Rule(
    "vmprint-depth",
    "error",
    "An entry is printed at another level than the one it lies at: one `..` for the root "
    "table's entries, two and three for those below. The level is how the reader knows "
    "which bits of the address an index stands for: a hart takes nine at each level. It goes "
    "wrong where the depth is a static variable, or is counted up and never down.",
    "The recursion must pass its depth on, plus one, and print one `..` for each level.",
    "break print_table          # or whatever calls itself\n"
    "continue\n"
    "continue\n"
    "info args                  # the depth, and the table it belongs to\n"
    "backtrace                  # as deep as the stack is",
)
ORDER = Rule(
    "vmprint-order",
    "error",
    "The entries are printed in another order than that of a walk: ascending indices, and "
    "right after each entry that points to a table what lies in that table. That is the order "
    "in which addresses rise, so what is printed reads like the map that the hart uses. Two "
    "loops, one for tables and one for leaves, or a loop that counts down, break it.",
    "Print the entry first, then go down into it, then go on to the next index.",
    "break print_table\n"
    "continue\n"
    "print/x table[0]@512       # the lowest index that is not 0 comes first\n"
    "continue                   # the next table is the one of the line printed last\n"
    "info args",
)
ENTRY_MISSING = Rule(
    "vmprint-entry-missing",
    "error",
    "An entry that is valid in memory was not printed. A walk that leaves entries out hides "
    "exactly what one prints a table for: the hart uses such an entry all the same. People "
    "test PTE_U or PTE_R where PTE_V is meant, stop one short of 512, or stop at level two.",
    "Every entry with PTE_V counts: leaves, tables, those without PTE_U, the last index too.",
    "break vmprint\n"
    "continue\n"
    "print/x table[0]@512       # all of the root's; those with bit 0 set count\n"
    "print/x ((unsigned long *)(table[0] >> 10 << 12))[0]@512  # the table below",
)
ENTRY_EXTRA = Rule(
    "vmprint-entry-extra",
    "error",
    "An entry was printed that is not valid in memory. Entries without PTE_V have no "
    "meaning to a hart, whatever their other bits say, and what lies below a leaf is data, "
    "not a table. The test for PTE_V is missing, or the one that ends the walk at a leaf.",
    "Skip entries without PTE_V, and do not go down into entries with R, W or X.",
    "break print_table          # or whatever calls itself\n"
    "continue\n"
    "print/x table[0]@512       # bit 0 clear: not valid; bits 1 to 3 set: a leaf",
)
INDEX = Rule(
    "vmprint-index",
    "error",
    "An entry is printed with another index than its own in its table, 0 to 511 (in labs since "
    "2024 with another virtual address than the first that it translates). The indices of the "
    "levels are the address that a hart splits into them: with a wrong one the reader looks for "
    "the page elsewhere. Counting the entries that are printed, or from one, is enough; and of "
    "an address, a shift by 9 bits for each level too many or too few.",
    HINT,
    "break print_table          # or whatever calls itself\n"
    "continue\n"
    "print/x table[0]@512       # count: at which index is the first that is not 0?\n"
    "next 5                     # and which is printed for it?",
)
FLAGS = Rule(
    "vmprint-flags",
    "error",
    "The pte printed differs from the one in memory, other than in the accessed and dirty "
    "bits, which the hart itself may set. A pte in an int loses its upper half; one whose "
    "flags were masked away shows nothing of what a hart would allow.",
    "Print the entry itself, all 64 bits of it.",
    "break print_table\n"
    "continue\n"
    "print/x table[0]@512       # the entries, to compare with the lines printed next\n"
    "ptype table[0]             # 64 bits wide?",
)
PA = Rule(
    "vmprint-pa",
    "error",
    "The physical address printed is not the entry's: that is bits 10 to 53 of the entry, "
    "times 4096, so (pte >> 10) << 12. The root's address in the first line must be where "
    "the table is. It is the address that the hart puts on the bus, so whoever debugs with a "
    "wrong one looks at the wrong memory. A shift too many or too few is enough.",
    "PTE2PA() in riscv.h does the conversion.",
    "break print_table\n"
    "continue\n"
    "print table                # the root's address, at first\n"
    "print/x table[0]\n"
    "print/x table[0] >> 10 << 12  # what to print for it",
)

CALLS_AT_MOST = 1024  # system calls in the table of a kernel
# Entries that are compared, and lines: no process that is looked at here has more. Tables made
# for it lead to each other, and would take all memory.
ENTRIES_AT_MOST = 2048
_BEGUN = "called"  # the pose in which the probe waits after the call


@check(
    *(MISSING, FORMAT, DEPTH, ORDER, ENTRY_MISSING, ENTRY_EXTRA, INDEX, FLAGS, PA),
    needs=("boot",),
    quick=True,
)
def vmprint(bench: Bench) -> Iterator[Finding]:
    """A page table is printed as it is in memory"""
    if bench.elf.address("vmprint") is None:
        raise Unchecked("not done yet: there is no vmprint() in this kernel")
    call = printing_call(bench.elf)
    with bench.machine() as machine:
        console = machine.wait_prompt()
        if call and parse(console) is None:  # else exec() prints it by way of another function
            if bench.build.probe_missing:
                raise Unchecked(bench.build.probe_missing)
            yield from _called(bench, machine, call)
        else:
            machine.stop()
            root = next((p.pagetable for p in processes(machine.ram, bench.elf) if p.pid == 1), 0)
            yield from judged(bench, machine.ram, console, root, BY_INDEX)


def _called(bench: Bench, machine: Machine, call: str) -> Iterator[Finding]:
    """Judge what a system call prints when the probe makes it."""
    number = call_number(bench.elf, machine.ram, call)
    if number is None:
        raise Unchecked(f"only {call}() calls vmprint(), and no table of system calls has it")
    before = len(machine.said())
    machine.send(f"probe {bench.nonce} call {number}")
    match = machine.expect(rf"@{bench.nonce} pose {_BEGUN}\r?\n|{PROMPT}", f"the end of {call}()")
    if match[0].startswith("@"):
        machine.stop()
        console = machine.said()[before:]
        running = [one for one in processes(machine.ram, bench.elf) if one.name == "probe"]
        root = running[-1].pagetable if running else 0
        yield from judged(bench, machine.ram, console, root, BY_ADDRESS)
    else:
        yield MISSING.finding(
            f"The program that made the system call {number} ({call}) did not come back from it.",
            where=bench.elf.function_place(call) or Where(function=call),
            evidence=f"Printed until then:\n{machine.said()[before:][-1500:]}",
        )


def judged(
    bench: Bench, ram: Ram, console: str, root: int, style: Style
) -> Iterator[Finding]:
    """Judge what was printed until now of the table at `root`; 0: it is not known where that is."""
    where = _printer(bench)
    listing = parse(console, style)
    if listing is not None and not root:
        raise Unchecked("a page table is printed, but the process whose it is was not found")
    if listing is not None:
        yield from compare(listing, ram, root, where, style)
        return
    before = "the shell's prompt" if style is BY_INDEX else "the system call's end"
    yield MISSING.finding(
        f"No page table was printed before {before}.",
        where=where,
        evidence=f"Printed until then:\n{console[-1500:]}",
    )


def printing_call(elf: ElfImage) -> str:
    """Return the function of the system call that prints page tables, if exec(), by either of
    its names, does not; else nothing."""

    def calls(name: str) -> bool:
        return "vmprint" in elf.callees(name)

    if any(map(calls, ("exec", "kexec"))):
        return ""
    return next(filter(calls, sorted(one for one in elf.symbols if one.startswith("sys_"))), "")


def call_number(elf: ElfImage, ram: Ram, call: str) -> int | None:
    """Return a system call's number: its function's place in the table of all of them."""
    function, first = elf.address(call), elf.address("sys_fork")
    for address, size in elf.symbols.values():
        if not 16 <= size <= 8 * CALLS_AT_MOST or not ram.holds(address, size):
            continue
        if ram.u64(address + 8) == first and not elf.in_text(address):
            words = [ram.u64(address + at) for at in range(0, size - 7, 8)]
            if function in words[2:]:
                return words.index(function)
    return None


def _printer(bench: Bench) -> Where:
    """Return the function that prints the entries: the recursive one that vmprint calls."""
    elf = bench.elf
    for name in sorted(elf.callees("vmprint")):
        if name in elf.callees(name):
            return elf.function_place(name) or Where(function=name)
    return elf.function_place("vmprint") or Where(function="vmprint")


def compare(
    listing: Listing, ram: Ram, root: int, where: Where, style: Style = BY_INDEX
) -> Iterator[Finding]:
    """Yield one finding for each way in which a printed table differs from memory.

    Entries are matched by what identifies them whatever else is wrong with their lines:
    the pte, for its address; then, among those equal, by order. Raises Unchecked if there are
    too many.
    """
    entries = list(islice(walk(ram, root), ENTRIES_AT_MOST + 1))
    if len(entries) > ENTRIES_AT_MOST:
        raise Unchecked(f"the page table has more than {ENTRIES_AT_MOST} entries")
    if listing.malformed:
        yield FORMAT.finding(
            f"{_lines(len(listing.malformed))} not in the format asked for.",
            where=where,
            evidence="\n".join(f"found: {line!r}" for line in listing.malformed[:5])
            + f"\nexpected, for example: {style.expected(EXAMPLE)!r}",
        )
    if listing.root is not None and listing.root != root:
        yield PA.finding(
            "The first line's address is not where the table is.",
            where=where,
            evidence=f"found: {listing.header!r}\nthe table is at 0x{root:016x}",
        )
    lines = listing.lines[: ENTRIES_AT_MOST + 1]
    pairs, extra, missing = match_entries(lines, entries, style)
    yield from _unmatched(extra, missing, where, style)
    yield from _mismatches(pairs, where, style)
    order = [entries.index(entry) for _, entry in pairs]
    if order != sorted(order):
        first = next(n for n in range(1, len(order)) if order[n] < order[n - 1])
        yield ORDER.finding(
            "The entries are not in the order of a walk.",
            where=where,
            evidence=f"printed after {pairs[first - 1][0].text!r},\nbut lies before it: "
            f"{pairs[first][0].text!r}",
        )


def _unmatched(
    extra: list[Printed], missing: list[Entry], where: Where, style: Style
) -> Iterator[Finding]:
    if missing:
        yield ENTRY_MISSING.finding(
            f"{len(missing)} valid {_entries(len(missing))} not printed.",
            where=where,
            evidence="\n".join(f"not printed: {style.expected(entry)}" for entry in missing[:5]),
        )
    if extra:
        yield ENTRY_EXTRA.finding(
            f"{len(extra)} {_entries(len(extra))} printed that the table does not have.",
            where=where,
            evidence="\n".join(f"printed: {line.text!r}" for line in extra[:5]),
        )


def _mismatches(
    pairs: list[tuple[Printed, Entry]], where: Where, style: Style
) -> Iterator[Finding]:
    tests: tuple[tuple[Rule, str, Callable[[Printed, Entry], bool]], ...] = (
        (DEPTH, "at the wrong level", lambda line, entry: line.depth == len(entry.path)),
        (INDEX, f"with another {style.name} than its own", style.labels),
        (FLAGS, "with another pte than in memory", same_pte),
        (
            PA,
            "with a physical address that is not the entry's",
            lambda line, entry: line.pa == entry.pa,
        ),
    )
    for rule, what, right in tests:
        wrong = [(line, entry) for line, entry in pairs if not right(line, entry)]
        if wrong:
            yield rule.finding(
                f"{len(wrong)} {_entries(len(wrong))} printed {what}.",
                where=where,
                evidence="\n".join(
                    f"printed:  {line.text!r}\nin memory: {style.expected(entry)!r} "
                    f"({flag_words(entry.pte)})"
                    for line, entry in wrong[:4]
                ),
            )


def _entries(count: int) -> str:
    return "entry is" if count == 1 else "entries are"


def _lines(count: int) -> str:
    return "One line is" if count == 1 else f"{count} lines are"
