"""Where in a TOML text each key stands. tomllib reads values, but does not say from which line.

Only texts that tomllib accepts are looked at, so nothing is checked here again.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]  # keys; in an array of tables, the index of the table

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')"""
_DOTTED = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
# What a value consists of, besides brackets: strings of all four kinds, comments, the rest.
_TOKEN = re.compile(
    r'"""(?:\\[\s\S]|(?!""")[\s\S])*"{3,5}'
    r"|'''(?:(?!''')[\s\S])*'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\s\S]"
)


def key_lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of each key and table header of a valid TOML text.

    What stands in an inline table or an array of values has no entry of its own: see
    line_of().
    """
    found: dict[Path, int] = {}
    tables: dict[Path, int] = {}  # how many tables each array of tables has so far
    table: Path = ()
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        line = text.count("\n", 0, at) + 1
        opening = len(text[at : at + 2]) - len(text[at : at + 2].lstrip("["))
        key = _DOTTED.search(text, at + opening)
        assert key is not None  # tomllib has accepted the text
        names = _names(key[0])
        if opening:
            table = _within(names[:-1], tables) + names[-1:]
            if opening == 2:
                tables[table] = tables.get(table, -1) + 1
                found.setdefault(table, line)
                table += (tables[table],)
            found[table] = line
            at = key.end() + opening
        else:
            for length in range(1, len(names) + 1):
                found.setdefault(table + names[:length], line)
            at = _value_end(text, text.index("=", key.end()) + 1)
    return found


def line_of(path: Path, lines: dict[Path, int]) -> int:
    """Return the line of a key, or of the nearest thing around it that has one."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _names(dotted: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, without their quotes."""
    names: list[str] = []
    below = tomllib.loads(f"{dotted} = 0")
    while isinstance(below, dict):
        ((name, below),) = below.items()
        names.append(name)
    return tuple(names)


def _within(names: Path, tables: dict[Path, int]) -> Path:
    """Return the path of these keys, each array of tables standing for its last table."""
    path: Path = ()
    for name in names:
        path += (name,)
        if path in tables:
            path += (tables[path],)
    return path


def _value_end(text: str, at: int) -> int:
    """Return where the value that begins at `at` ends: at its line's end, outside brackets."""
    depth = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None
        if token[0] == "\n" and depth == 0:
            return at
        depth += (token[0] in ("[", "{")) - (token[0] in ("]", "}"))
        at = token.end()
    return at
