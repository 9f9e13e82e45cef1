"""The tests of somebody's usertests, as the program's own ELF has them.

xv6's test program keeps its tests in a table of pairs, a function and the name that it is
asked for by, which ends with a pair of zeros. Whatever the table, its type and the functions
are called, and wherever the compiler has put it, it is the place where a function's address
stands beside that of a word, several times in a row.

To run some of the tests only, a copy of the program gets tables with only these: asked for
one by one by their names, each would have all memory counted before and after it.

That counting takes all pages that the kernel will give, one by one, and as long as many tests. In
the copy it asks the shim instead, which knows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass

from .elf import ElfImage, Loaded

FEWEST = 3  # pairs, one after the other, that are a table
PAIR = 16  # bytes of one
WORD = re.compile(rb"[A-Za-z_]\w{0,30}")
COUNTS = "countfree"  # xv6's name for the function that counts the free pages
MAGIC = 0x464C_5550_544D_4531  # FAULTLINE_UPTIME in faults/ctl.h; its command 2 is FL_END
# int countfree(void), by asking the shim. It only has to give less when more pages are in use. What
# died last may still be on its way out, so it sleeps first.
ASKS = struct.pack(
    "<13I",
    0x00500513,  # li a0, 5 ticks
    0x00D00893,  # li a7, 13: sleep
    0x00000073,  # ecall
    0x00000517,  # auipc a0, 0
    0x02053503,  # ld a0, 32(a0): what follows
    0x00200593,  # li a1, FL_END: returns how many pages are live
    0x00E00893,  # li a7, 14: uptime
    0x00000073,  # ecall
    0x000087B7,  # lui a5, 0x8: as many as 128 MiB have
    0x40A7853B,  # subw a0, a5, a0
    0x00008067,  # ret
    MAGIC & 0xFFFF_FFFF, MAGIC >> 32,
)  # fmt: skip


@dataclass(frozen=True)
class TestTable:
    """A table: where in the file it is, and its pairs by the tests' names."""

    __test__ = False  # this is no test itself

    offset: int
    pairs: tuple[tuple[str, bytes], ...]

    @property
    def names(self) -> list[str]:
        """The tests' names, in their order."""
        return [name for name, _ in self.pairs]


def find_tables(program: ElfImage) -> list[TestTable]:
    """Return the tables of tests that a program has; perhaps none."""
    functions, parts = program.function_starts(), program.data()
    return [table for part in parts for table in _tables(part, functions, parts)]


def with_only(content: bytes, tables: list[TestTable], chosen: Collection[str]) -> bytes:
    """Return a program's file with only the chosen tests in its tables.

    A table of which none is chosen keeps its first: a compiler that sees that a table has
    tests leaves out the question whether it has.
    """
    changed = bytearray(content)
    for table in tables:
        kept = [pair for name, pair in table.pairs if name in chosen]
        kept = kept or [table.pairs[0][1]]
        text = b"".join(kept).ljust(PAIR * len(table.pairs), b"\0")
        changed[table.offset : table.offset + len(text)] = text
    return bytes(changed)


def with_shim_asked(content: bytes, program: ElfImage) -> bytes:
    """Return a program's file with its free pages counted by the shim.

    It is as it was if it has no function for that, or none with room for the new one.
    """
    address, size = program.symbols.get(COUNTS, (0, 0))
    for part in program.data():
        if size >= len(ASKS) and part.address <= address < part.address + len(part.content):
            at = part.offset + address - part.address
            return content[:at] + ASKS + content[at + len(ASKS) :]
    return content


def _tables(part: Loaded, functions: set[int], parts: list[Loaded]) -> list[TestTable]:
    """Return the tables in one section."""
    found: list[TestTable] = []
    run: list[tuple[str, bytes]] = []
    at = -part.address % 8
    while at + PAIR <= len(part.content):
        pair = part.content[at : at + PAIR]
        name = _name(struct.unpack("<2Q", pair), functions, parts)
        if name:
            run.append((name, pair))
            at += PAIR
            continue
        if len(run) >= FEWEST:
            found.append(TestTable(part.offset + at - PAIR * len(run), tuple(run)))
        at += 8 if not run else 0
        run = []
    if len(run) >= FEWEST:
        found.append(TestTable(part.offset + at - PAIR * len(run), tuple(run)))
    return found


def _name(words: tuple[int, ...], functions: set[int], parts: list[Loaded]) -> str:
    """Return the name in a pair of a function and a name, in either order, or nothing."""
    for function, name in (words, words[::-1]):
        if function in functions and name:
            return _word(name, parts)
    return ""


def _word(address: int, parts: list[Loaded]) -> str:
    for part in parts:
        if part.address <= address < part.address + len(part.content):
            match = WORD.match(part.content, address - part.address)
            if match and part.content[match.end() : match.end() + 1] == b"\0":
                return match[0].decode()
    return ""
