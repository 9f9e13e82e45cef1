"""Reading one table of a lab file strictly: each error says file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .checks import Check
from .errors import UsageError
from .labtoml import Path as Keys
from .labtoml import line_of


class LabError(UsageError):
    """A lab file cannot be used; names the file, the line and the key."""


@dataclass
class Entry:
    """One table of a lab file. Every key must be asked for before end()."""

    file: Path
    table: Mapping[str, Any]
    checks: Mapping[str, Check]  # that there are
    lines: Mapping[Keys, int]
    keys: Keys = ()  # that lead to the table
    asked: set[str] = field(default_factory=set)

    def error(self, key: str, what: str) -> LabError:
        """Return the error that a key of this table has."""
        line = line_of((*self.keys, key), dict(self.lines))
        names = [str(name) for name in (*self.keys, key) if isinstance(name, str) and name]
        return LabError(f"{self.file}:{line}: {'.'.join(names)}: {what}")

    def get(self, key: str, kind: type | tuple[type, ...], words: str, *, required: bool) -> Any:
        """Return a key's value, or None; `words` says what it must be."""
        self.asked.add(key)
        if key not in self.table:
            if required:
                raise self.error(key, f"missing: {words} is expected")
            return None
        value = self.table[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"expected {words}, found {_words(value)}")
        return value

    def text(self, key: str, *, required: bool = True) -> str:
        """Return a text; empty only if it is not required."""
        value: str = self.get(key, str, "a text", required=required) or ""
        if not value.strip() and key in self.table:
            raise self.error(key, "must not be empty")
        return value

    def texts(self, key: str, *, required: bool = True) -> list[str]:
        """Return a list of texts, with at least one if the key is there."""
        words = "a list of texts"
        value: list[Any] = self.get(key, list, words, required=required) or []
        if not value and key in self.table:
            raise self.error(key, "must not be empty")
        for one in value:
            if not isinstance(one, str) or not one:
                raise self.error(key, f"expected {words}, found {_words(one)} in it")
        if len(set(value)) != len(value):
            raise self.error(key, "has something twice")
        return value

    def points(self, key: str, *, required: bool = True) -> float:
        """Return a number above 0; 0 only if it is not required and not there."""
        value: float = self.get(key, (int, float), "a number", required=required) or 0
        if key in self.table and not 0 < value < 1e6:
            raise self.error(key, f"is {value}, expected more than 0")
        return value

    def whole(self, key: str, *, required: bool = True) -> int:
        """Return a whole number that is not negative; 0 if it is not there."""
        value: int = self.get(key, int, "a whole number", required=required) or 0
        if value < 0:
            raise self.error(key, f"is {value}, expected at least 0")
        return value

    def yes(self, key: str) -> bool:
        """Return true or false; false if it is not there."""
        self.asked.add(key)
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"expected true or false, found {_words(value)}")
        return value

    def numbers(self, key: str) -> dict[str, int]:
        """Return a table of whole numbers by name, at least one."""
        value: dict[str, Any] = self.get(key, dict, "a table of whole numbers", required=True)
        if not value:
            raise self.error(key, "must not be empty")
        for name, one in value.items():
            if not isinstance(one, int) or isinstance(one, bool):
                raise self.error(key, f"{name}: expected a whole number, found {_words(one)}")
        return value

    def path_inside(self, key: str) -> str:
        """Return the name of a file in the tree."""
        name = self.text(key)
        self.check_inside(key, name)
        return name

    def check_inside(self, key: str, name: str) -> None:
        """Raise LabError for a name that is not one of a file in the tree."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name == ".":
            raise self.error(key, f"{name!r} is no path inside the tree, such as kernel/vm.c")

    def tables(self, key: str) -> list[Entry]:
        """Return the tables [[key]] below this one, at least one."""
        words = f"tables [[{'.'.join([*(str(k) for k in self.keys if isinstance(k, str)), key])}]]"
        value: list[Any] = self.get(key, list, words, required=True)
        found = []
        for index, table in enumerate(value):
            if not isinstance(table, dict):
                raise self.error(key, f"expected {words}, found {_words(table)}")
            keys = (*self.keys, key, index)
            found.append(Entry(self.file, table, self.checks, self.lines, keys))
        if not found:
            raise self.error(key, f"expected {words}, found none")
        return found

    def end(self) -> None:
        """Raise LabError if there is a key that nobody has asked for."""
        for key in self.table:
            if key not in self.asked:
                known = ", ".join(sorted(self.asked))
                raise self.error(key, f"unknown key; known here: {known}")


def _words(value: object) -> str:
    """Return a TOML value in words."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return f"true or false ({value})".lower() if isinstance(value, bool) else repr(value)
