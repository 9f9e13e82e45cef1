"""Is the page table that the kernel prints the one in memory?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..bench import Bench
from ..elf import ElfImage
from ..finding import Finding, Rule, Where
from ..processes import processes
from ..ram import Ram
from ..sv39 import A, D, Entry, flag_words, walk
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
    "level in `..`, separated by single blanks, its index, `: pte 0x…` and ` pa 0x…`, with "
    "16 hexadecimal digits each. Whoever reads the output, person or program, counts on it, "
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

_HEADER = re.compile(r"page table (\S*)")
# As the course's grader has it, there may be blanks, or none, before the first `..` and after
# the last. (It also accepts none between them, which nobody can read.)
_LINE = re.compile(r"\s*((?:\.\.\s*)+)(\d{1,9}): pte (\S+) pa (\S+)")
_STRICT = re.compile(r"\s*\.\.(?:\s+\.\.)*\s*\d{1,9}: pte 0x[0-9a-f]{16} pa 0x[0-9a-f]{16}")
_LOOSE = re.compile(r"\s*\.\.")


@dataclass(frozen=True)
class Printed:
    """One printed line."""

    text: str
    depth: int
    index: int
    pte: int | None
    pa: int | None


@dataclass(frozen=True)
class Listing:
    """A printed table: its root, its entries, and the lines that are in no known format."""

    root: int | None
    header: str
    lines: tuple[Printed, ...]
    malformed: tuple[str, ...]


@check(
    *(MISSING, FORMAT, DEPTH, ORDER, ENTRY_MISSING, ENTRY_EXTRA, FLAGS, PA),
    needs=("boot",),
    quick=True,
)
def vmprint(bench: Bench) -> Iterator[Finding]:
    """The first process's page table is printed as it is in memory"""
    if bench.elf.address("vmprint") is None:
        raise Unchecked("not done yet: there is no vmprint() in this kernel")
    if by_system_call_only(bench.elf):
        raise Unchecked(
            "vmprint() is only called by a system call, as in the labs since 2024: this looks at "
            "what is printed for the first process as exec() returns"
        )
    with bench.machine() as machine:
        console = machine.wait_prompt()
        machine.stop()
        root = next((p.pagetable for p in processes(machine.ram, bench.elf) if p.pid == 1), 0)
        where = _printer(bench)
        listing = parse(console)
        if listing is None or not root:
            yield MISSING.finding(
                "No page table was printed before the shell's prompt.",
                where=where,
                evidence=f"Printed until then:\n{console[-1500:]}",
            )
            return
        yield from compare(listing, machine.ram, root, where)


def by_system_call_only(elf: ElfImage) -> bool:
    """Tell whether a system call prints page tables, and exec(), by either of its names, does
    not."""

    def calls(name: str) -> bool:
        return "vmprint" in elf.callees(name)

    return not any(map(calls, ("exec", "kexec"))) and any(
        calls(name) for name in elf.symbols if name.startswith("sys_")
    )


def _printer(bench: Bench) -> Where:
    """Return the function that prints the entries: the recursive one that vmprint calls."""
    elf = bench.elf
    for name in sorted(elf.callees("vmprint")):
        if name in elf.callees(name):
            return elf.function_place(name) or Where(function=name)
    return elf.function_place("vmprint") or Where(function="vmprint")


def _number(word: str) -> int | None:
    match = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{1,16})", word)
    return int(match[1], 16) if match else None


def parse(console: str) -> Listing | None:
    """Return the first page table in console output, or None."""
    lines = console.replace("\r", "").split("\n")
    start = next((n for n, line in enumerate(lines) if _HEADER.match(line)), None)
    if start is None:
        return None
    header = _HEADER.match(lines[start])
    assert header is not None
    printed, malformed = [], []
    if not re.fullmatch(r"page table 0x[0-9a-f]{16}", lines[start]):
        malformed.append(lines[start])
    for line in lines[start + 1 :]:
        if not _LOOSE.match(line):
            break
        match = _LINE.fullmatch(line)
        if not _STRICT.fullmatch(line):
            malformed.append(line)
        if match:
            depth = match[1].count("..")
            pte, pa = _number(match[3]), _number(match[4])
            printed.append(Printed(line, depth, int(match[2]), pte, pa))
    return Listing(_number(header[1]), lines[start], tuple(printed), tuple(malformed))


def compare(listing: Listing, ram: Ram, root: int, where: Where) -> Iterator[Finding]:
    """Yield one finding for each way in which a printed table differs from memory.

    Entries are matched by what identifies them whatever else is wrong with their lines:
    the pte, for its address; then, among those equal, by order.
    """
    if listing.malformed:
        yield FORMAT.finding(
            f"{_lines(len(listing.malformed))} not in the format asked for.",
            where=where,
            evidence="\n".join(f"found: {line!r}" for line in listing.malformed[:5])
            + "\nexpected, for example: '.. ..0: pte 0x0000000021fda401 pa 0x0000000087f69000'",
        )
    if listing.root is not None and listing.root != root:
        yield PA.finding(
            "The first line's address is not where the table is.",
            where=where,
            evidence=f"found: {listing.header!r}\nthe table of process 1 is at 0x{root:016x}",
        )
    entries = list(walk(ram, root))
    pairs, extra, missing = match_entries(listing.lines, entries)
    yield from _unmatched(extra, missing, where)
    yield from _mismatches(pairs, where)
    order = [entries.index(entry) for _, entry in pairs]
    if order != sorted(order):
        first = next(n for n in range(1, len(order)) if order[n] < order[n - 1])
        yield ORDER.finding(
            "The entries are not in the order of a walk.",
            where=where,
            evidence=f"printed after {pairs[first - 1][0].text!r},\nbut lies before it: "
            f"{pairs[first][0].text!r}",
        )


def match_entries(
    lines: tuple[Printed, ...], entries: list[Entry]
) -> tuple[list[tuple[Printed, Entry]], list[Printed], list[Entry]]:
    """Pair printed lines with entries; return the pairs, and what is left of each."""
    left = list(entries)
    paired: dict[int, Entry] = {}
    tests: tuple[Callable[[Printed, Entry], bool], ...] = (
        lambda line, entry: _same_pte(line, entry) and line.index == entry.path[-1],
        lambda line, entry: line.index == entry.path[-1] and line.depth == len(entry.path),
        _same_pte,
    )
    for same in tests:
        for number, line in enumerate(lines):
            if number not in paired:
                found = next((entry for entry in left if same(line, entry)), None)
                if found is not None:
                    paired[number] = found
                    left.remove(found)
    pairs = [(line, paired[n]) for n, line in enumerate(lines) if n in paired]
    return pairs, [line for n, line in enumerate(lines) if n not in paired], left


def _same_pte(line: Printed, entry: Entry) -> bool:
    return line.pte is not None and (line.pte ^ entry.pte) & ~(A | D) == 0


def _unmatched(extra: list[Printed], missing: list[Entry], where: Where) -> Iterator[Finding]:
    if missing:
        yield ENTRY_MISSING.finding(
            f"{len(missing)} valid {_entries(len(missing))} of the table not printed.",
            where=where,
            evidence="\n".join(f"not printed: {expected(entry)}" for entry in missing[:5]),
        )
    if extra:
        yield ENTRY_EXTRA.finding(
            f"{len(extra)} {_entries(len(extra))} printed that the table does not have.",
            where=where,
            evidence="\n".join(f"printed: {line.text!r}" for line in extra[:5]),
        )


def _mismatches(pairs: list[tuple[Printed, Entry]], where: Where) -> Iterator[Finding]:
    tests: tuple[tuple[Rule, str, Callable[[Printed, Entry], bool]], ...] = (
        (DEPTH, "at the wrong level", lambda line, entry: line.depth == len(entry.path)),
        (FLAGS, "with another pte than in memory", _same_pte),
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
                    f"printed:  {line.text!r}\nin memory: {expected(entry)!r} "
                    f"({flag_words(entry.pte)})"
                    for line, entry in wrong[:4]
                ),
            )


def expected(entry: Entry) -> str:
    """Return the line that belongs to an entry."""
    dots = " ".join([".."] * len(entry.path))
    return f"{dots}{entry.path[-1]}: pte 0x{entry.pte:016x} pa 0x{entry.pa:016x}"


def _entries(count: int) -> str:
    return "entry is" if count == 1 else "entries are"


def _lines(count: int) -> str:
    return "One line is" if count == 1 else f"{count} lines are"
