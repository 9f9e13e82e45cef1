"""The end of what a guest has printed, as evidence: short, whatever it prints all the time."""

from __future__ import annotations

import re
from itertools import groupby

LINES = 20
WIDTH = 200  # characters of a line
ALIKE = 4  # lines in a row that may be alike
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8,}|\d+")
_INDENT = re.compile(r"^[\s.|]+")


def last_lines(text: str) -> str:
    """Return the last lines of a text. Of lines in a row that differ in their numbers and their
    indentation only, as those of a page table do, the first and the last are there."""
    lines = text.replace("\r", "").strip("\n").split("\n")
    folded: list[str] = []
    for _, group in groupby(lines, _form):
        alike = list(group)
        if len(alike) > ALIKE:
            alike[1:-1] = [f"… {len(alike) - 2} lines like these …"]
        folded += alike
    if len(folded) > LINES:
        folded = ["…", *folded[-LINES:]]
    return "\n".join(line if len(line) <= WIDTH else f"{line[:WIDTH]} …" for line in folded)


def _form(line: str) -> str:
    return _NUMBER.sub("#", _INDENT.sub("", line))
