"""A printed page table: its lines, and which entries in memory they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .sv39 import A, D, Entry

_HEADER = re.compile(r"page table (\S*)")
_LOOSE = re.compile(r"\s*\.\.")


@dataclass(frozen=True)
class Style:
    """What a lab wants printed of an entry, beside its level, the pte and the address in it.

    As the course's grader has it, there may be blanks, or none, before the first `..` and after
    the last. (It also accepts none between them, which nobody can read.)
    """

    name: str  # of the label that an entry gets
    loose: str  # a pattern of it, as people print it
    strict: str  # and as it should be
    base: int
    label: Callable[[Entry], int]
    shown: str  # how to format the label

    def line(self, text: str) -> Printed | None:
        """Return what a line says, or None if it is none of an entry."""
        marks = r"\s*((?:[^\w\s]{2}\s*)+)"  # of the depth: .. or, wrongly, || and the like
        match = re.fullmatch(rf"{marks}({self.loose}): pte (\S+) pa (\S+)", text)
        if match is None:
            return None
        depth, label = len(re.findall(r"[^\w\s]{2}", match[1])), int(match[2], self.base)
        return Printed(text, depth, label, _number(match[3]), _number(match[4]))

    def labels(self, line: Printed, entry: Entry) -> bool:
        """Tell whether a line has an entry's label."""
        return line.label == self.label(entry)

    def exact(self, text: str) -> bool:
        """Tell whether a line of an entry is just as it should be."""
        word = "0x[0-9a-f]{16}"
        pattern = rf"\s*\.\.(?:\s+\.\.)*\s*{self.strict}: pte {word} pa {word}"
        return re.fullmatch(pattern, text) is not None

    def expected(self, entry: Entry) -> str:
        """Return the line that belongs to an entry."""
        dots = " ".join([".."] * len(entry.path))
        label = self.shown.format(self.label(entry))
        return f"{dots}{label}: pte 0x{entry.pte:016x} pa 0x{entry.pa:016x}"


BY_INDEX = Style("index", r"\d{1,9}", r"\d{1,9}", 10, lambda entry: entry.path[-1], "{}")
BY_ADDRESS = Style(
    *("virtual address", "(?:0x)?[0-9a-fA-F]{1,16}", "0x[0-9a-f]{16}", 16),
    *(lambda entry: entry.va, "0x{:016x}"),
)
EXAMPLE = Entry((0, 0), 0x21FDA401, 0)  # to show a line in the right format


@dataclass(frozen=True)
class Printed:
    """One printed line."""

    text: str
    depth: int
    label: int
    pte: int | None
    pa: int | None


@dataclass(frozen=True)
class Listing:
    """A printed table: its root, its entries, and the lines that are in no known format."""

    root: int | None
    header: str
    lines: tuple[Printed, ...]
    malformed: tuple[str, ...]


def parse(console: str, style: Style = BY_INDEX) -> Listing | None:
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
        entry = style.line(line)
        if entry is None and not _LOOSE.match(line):
            break
        if not style.exact(line):
            malformed.append(line)
        if entry:
            printed.append(entry)
    return Listing(_number(header[1]), lines[start], tuple(printed), tuple(malformed))


def match_entries(
    lines: tuple[Printed, ...], entries: list[Entry], style: Style = BY_INDEX
) -> tuple[list[tuple[Printed, Entry]], list[Printed], list[Entry]]:
    """Pair printed lines with entries; return the pairs, and what is left of each."""
    left = list(entries)
    paired: dict[int, Entry] = {}
    tests: tuple[Callable[[Printed, Entry], bool], ...] = (
        lambda line, entry: same_pte(line, entry) and style.labels(line, entry),
        lambda line, entry: style.labels(line, entry) and line.depth == len(entry.path),
        same_pte,
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


def same_pte(line: Printed, entry: Entry) -> bool:
    """Tell whether a line has an entry's pte, but for the bits that the hart may set."""
    return line.pte is not None and (line.pte ^ entry.pte) & ~(A | D) == 0


def _number(word: str) -> int | None:
    match = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{1,16})", word)
    return int(match[1], 16) if match else None
