"""The styles of exported trees (export.py): TOML files, strictly read."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import HarnessError
from .tomlentry import TomlEntry, read_toml

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


class _Entry(TomlEntry):
    """One table of a style."""

    Error = StyleError

    def by_name(self, key: str) -> dict[str, str]:
        """Return a table of texts, without the newline that a text may begin with."""
        table = self.below(key, required=False)
        return {name: str(table.get(name, str, "a text")).removeprefix("\n") for name in table.table}

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return a table of lists of texts."""
        table = self.below(key, required=False)
        return {name: tuple(table.texts(name)) for name in table.table}

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, or an empty one."""
        return tuple(self.texts(key, required=False))

    def edits(self) -> tuple[Edit, ...]:
        """Return what [[edit]] says is to be replaced."""
        return tuple(_edit(entry) for entry in self.tables("edit", required=False))


def _edit(entry: _Entry) -> Edit:
    try:
        pattern = re.compile(entry.text("pattern"), re.MULTILINE)
    except re.error as error:
        raise entry.error("pattern", str(error)) from error
    to = str(entry.get("to", str, "a text"))
    edit = Edit(entry.text("file"), pattern, to, entry.yes("every"))
    entry.end()
    return edit


def _read(path: Path) -> _Entry:
    return _Entry(path, *read_toml(path, StyleError))


def load_base(path: Path) -> Base:
    """Read what all styles have in common; raises StyleError."""
    entry = _read(path)
    base = Base(
        entry.words("leave_out"), entry.words("library"), entry.lists("parts"), entry.edits()
    )
    entry.end()
    return base


def load_styles(folder: Path) -> dict[str, Style]:
    """Read all styles, by name, which is the file's; raises StyleError.

    A style that is `like` another has all that the other has, but for what it says itself.
    """
    read = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
    styles: dict[str, Style] = {}
    for name, entry in read.items():
        like = entry.text("like", required=False)
        if like and ("like" in read[like].table if like in read else True):
            raise entry.error("like", f"is {like!r}, expected a style that is like no other")
        if like:
            entry = dataclasses.replace(entry, table={**read[like].table, **entry.table})
        styles[name] = _style(name, entry)
    return styles


def _style(name: str, entry: _Entry) -> Style:
    time: datetime.datetime = entry.get("time", datetime.datetime, "a time")
    if time.tzinfo is None:
        raise entry.error("time", "expected a zone, such as the Z of 2020-10-20T12:00:00Z")
    kinds = {kind: kind for kind in STALE_KINDS}
    stale = entry.below("stale", required=False)
    style = Style(
        name,
        entry.text("summary"),
        int(time.timestamp()),
        virtio=entry.choice("virtio", {1: 1, 2: 2}, 2),
        segments=entry.choice("segments", {1: 1, 2: 2}, 2),
        lab=entry.text("lab", required=False),
        grader_mode=entry.whole("grader_mode", required=False) or 0o755,
        folder=entry.text("folder", required=False),
        newline=entry.choice("newline", NEWLINES, "lf"),
        encoding=entry.choice("encoding", {one: one for one in ENCODINGS}, "utf-8"),
        leave_out=entry.words("leave_out"),
        texts=entry.by_name("texts"),
        beside=entry.by_name("beside"),
        stale={path: stale.choice(path, kinds) for path in stale.table},
        merge=entry.lists("merge"),
        move=entry.by_name("move"),
        rename=entry.by_name("rename"),
        edits=entry.edits(),
    )
    entry.end()
    return style
