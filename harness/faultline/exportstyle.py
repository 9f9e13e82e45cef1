"""The styles of exported trees (export.py): TOML files, strictly read."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import HarnessError

NEWLINES = {"lf": "\n", "crlf": "\r\n"}
ENCODINGS = ("utf-8", "latin-1")
STALE_KINDS = ("mach-o", "elf-object")


class StyleError(HarnessError):
    """A style file is wrong; names the file and the key."""


@dataclass(frozen=True)
class Edit:
    """A text to be replaced in one file: what a pattern matches, once or everywhere."""

    file: str
    pattern: re.Pattern[str]
    to: str
    every: bool = False


@dataclass(frozen=True)
class Base:
    """What all styles have in common."""

    leave_out: tuple[str, ...]
    library: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Style:
    """How a tree is laid out and spelled."""

    name: str
    summary: str
    time: int  # when the files were last changed, seconds since the epoch
    virtio: int = 2  # the version of virtio-mmio that the Makefile asks QEMU for
    segments: int = 2  # of a program: 1 for everything, or 2 for text and data
    lab: str = ""  # the course's name for the lab; empty: none
    grader_mode: int = 0o755
    folder: str = ""  # where in the exported folder the tree is
    newline: str = "\n"
    encoding: str = "utf-8"
    leave_out: tuple[str, ...] = ()  # programs
    texts: Mapping[str, str] = field(default_factory=dict)  # more files, by path
    beside: Mapping[str, str] = field(default_factory=dict)  # more files, outside `folder`
    stale: Mapping[str, str] = field(default_factory=dict)  # path: what kind of old binary
    merge: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # target: what is added
    move: Mapping[str, str] = field(default_factory=dict)  # after merging; old path: new path
    rename: Mapping[str, str] = field(default_factory=dict)  # words of the kernel
    edits: tuple[Edit, ...] = ()

    @property
    def grader(self) -> str:
        """The path of the tree's own grader."""
        return f"grade-lab-{self.lab}" if self.lab else "grade-xv6"


class _Table:
    """Strict access to a file's table: every key must be asked for."""

    def __init__(self, path: Path, table: dict[str, Any], prefix: str = "") -> None:
        self.path, self.table, self.prefix = path, dict(table), prefix

    def error(self, key: str, what: str) -> StyleError:
        return StyleError(f"{self.path}: {self.prefix}{key}: {what}")

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.table.pop(key, default)
        if value is None:
            raise self.error(key, "missing")
        if type(value) is not kind:
            raise self.error(
                key, f"expected {kind.__name__}, found {type(value).__name__}: {value!r}"
            )
        return value

    def choice(self, key: str, choices: Mapping[Any, Any], default: Any) -> Any:
        value = self.table.pop(key, default)
        if value not in choices:
            known = ", ".join(str(one) for one in choices)
            raise self.error(key, f"is {value!r}, expected one of {known}")
        return choices[value]

    def words(self, key: str) -> tuple[str, ...]:
        return self.checked_words(key, self.take(key, list, []))

    def checked_words(self, key: str, value: Any) -> tuple[str, ...]:
        if type(value) is not list or not all(type(word) is str for word in value):
            raise self.error(key, f"expected a list of strings, found {value!r}")
        return tuple(value)

    def texts(self, key: str) -> dict[str, str]:
        table = self.take(key, dict, {})
        for name, value in table.items():
            if type(value) is not str:
                raise self.error(f"{key}.{name}", f"expected str, found {value!r}")
        return {name: value.removeprefix("\n") for name, value in table.items()}

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        table = self.take(key, dict, {})
        return {name: self.checked_words(f"{key}.{name}", table[name]) for name in table}

    def edits(self) -> tuple[Edit, ...]:
        found = []
        for number, each in enumerate(self.take("edit", list, []), 1):
            table = _Table(self.path, each, f"edit {number}: ")
            try:
                pattern = re.compile(table.take("pattern", str), re.MULTILINE)
            except re.error as error:
                raise table.error("pattern", str(error)) from error
            file, to = table.take("file", str), table.take("to", str)
            found.append(Edit(file, pattern, to, table.take("every", bool, False)))
            table.end()
        return tuple(found)

    def end(self) -> None:
        for key in self.table:
            raise self.error(key, "unknown key")


def _read(path: Path) -> _Table:
    try:
        return _Table(path, tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StyleError(f"{path}: {error}") from error


def load_base(path: Path) -> Base:
    """Read what all styles have in common; raises StyleError."""
    table = _read(path)
    base = Base(
        table.words("leave_out"), table.words("library"), table.lists("parts"), table.edits()
    )
    table.end()
    return base


def load_styles(folder: Path) -> dict[str, Style]:
    """Read all styles, by name, which is the file's; raises StyleError.

    A style that is `like` another has all that the other has, but for what it says itself.
    """
    read = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
    styles: dict[str, Style] = {}
    for name, own in read.items():
        table = _Table(own.path, own.table)
        like = table.take("like", str, "")
        if like and ("like" in read[like].table if like in read else True):
            raise own.error("like", f"is {like!r}, expected a style that is like no other")
        if like:
            table.table = {**read[like].table, **table.table}
        styles[name] = _style(name, table)
    return styles


def _style(name: str, table: _Table) -> Style:
    time: datetime.datetime = table.take("time", datetime.datetime)
    if time.tzinfo is None:
        raise table.error("time", "expected a zone, such as the Z of 2020-10-20T12:00:00Z")
    kinds = {kind: kind for kind in STALE_KINDS}
    stale = _Table(table.path, table.take("stale", dict, {}), "stale.")
    style = Style(
        name,
        table.take("summary", str),
        int(time.timestamp()),
        virtio=table.choice("virtio", {1: 1, 2: 2}, 2),
        segments=table.choice("segments", {1: 1, 2: 2}, 2),
        lab=table.take("lab", str, ""),
        grader_mode=table.take("grader_mode", int, 0o755),
        folder=table.take("folder", str, ""),
        newline=table.choice("newline", NEWLINES, "lf"),
        encoding=table.choice("encoding", {one: one for one in ENCODINGS}, "utf-8"),
        leave_out=table.words("leave_out"),
        texts=table.texts("texts"),
        beside=table.texts("beside"),
        stale={path: stale.choice(path, kinds, None) for path in list(stale.table)},
        merge=table.lists("merge"),
        move=table.texts("move"),
        rename=table.texts("rename"),
        edits=table.edits(),
    )
    table.end()
    return style
