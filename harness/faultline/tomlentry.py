"""Reading one table of a TOML file strictly: each error says file, line and key."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from .errors import HarnessError
from .tomllines import Path as Keys
from .tomllines import key_lines, line_of


@dataclass
class TomlEntry:
    """One table of a file. Every key must be asked for before end()."""

    file: Path
    table: Mapping[str, Any]
    lines: Mapping[Keys, int]
    keys: Keys = ()  # that lead to the table
    asked: set[str] = field(default_factory=set, kw_only=True)

    Error: ClassVar[type[Exception]] = HarnessError  # what is raised

    def error(self, key: str, what: str) -> Exception:
        """Return the error that a key of this table has."""
        line = line_of((*self.keys, key), dict(self.lines))
        names = [str(name) for name in (*self.keys, key) if isinstance(name, str) and name]
        return self.Error(f"{self.file}:{line}: {'.'.join(names)}: {what}")

    def get(
        self, key: str, kind: type | tuple[type, ...], words: str, *, required: bool = True
    ) -> Any:
        """Return a key's value, or None; `words` says what it must be."""
        self.asked.add(key)
        if key not in self.table:
            if required:
                raise self.error(key, f"missing: {words} is expected")
            return None
        value = self.table[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"expected {words}, found {in_words(value)}")
        return value

    def text(self, key: str, *, required: bool = True) -> str:
        """Return a text; empty only if it is not there, which it need not be if not required."""
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
                raise self.error(key, f"expected {words}, found {in_words(one)} in it")
        if len(set(value)) != len(value):
            raise self.error(key, "has something twice")
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
            raise self.error(key, f"expected true or false, found {in_words(value)}")
        return value

    def choice(self, key: str, choices: Mapping[Any, Any], default: Any = None) -> Any:
        """Return what `choices` has for the value; for `default` if the key is not there."""
        self.asked.add(key)
        value = self.table.get(key, default)
        if isinstance(value, (dict, list)) or value not in choices:
            known = ", ".join(str(one) for one in choices)
            found = "missing" if value is None else f"is {in_words(value)}"
            raise self.error(key, f"{found}, expected one of {known}")
        return choices[value]

    def numbers(self, key: str, *, required: bool = True) -> dict[str, int]:
        """Return a table of whole numbers by name, with at least one if the key is there."""
        words = "a table of whole numbers"
        value: dict[str, Any] = self.get(key, dict, words, required=required) or {}
        if not value and key in self.table:
            raise self.error(key, "must not be empty")
        for name, one in value.items():
            if not isinstance(one, int) or isinstance(one, bool):
                raise self.error(key, f"{name}: expected a whole number, found {in_words(one)}")
        return value

    def below(self, key: str, *, required: bool = True) -> Self:
        """Return the table [key]; an empty one if it is not there and need not be."""
        table = self.get(key, dict, f"a table [{key}]", required=required) or {}
        return self._at(table, (*self.keys, key))

    def tables(self, key: str, *, required: bool = True) -> list[Self]:
        """Return the tables [[key]] below this one, at least one if required."""
        words = f"tables [[{'.'.join([*(str(k) for k in self.keys if isinstance(k, str)), key])}]]"
        value: list[Any] = self.get(key, list, words, required=required) or []
        for table in value:
            if not isinstance(table, dict):
                raise self.error(key, f"expected {words}, found {in_words(table)}")
        if required and not value:
            raise self.error(key, f"expected {words}, found none")
        return [self._at(table, (*self.keys, key, index)) for index, table in enumerate(value)]

    def end(self) -> None:
        """Raise the error of a key that nobody has asked for, if there is one."""
        for key in self.table:
            if key not in self.asked:
                known = ", ".join(sorted(self.asked))
                raise self.error(key, f"unknown key; known here: {known}")

    def _at(self, table: Mapping[str, Any], keys: Keys) -> Self:
        return dataclasses.replace(self, table=table, keys=keys, asked=set())


def read_toml(path: Path, error: type[Exception]) -> tuple[dict[str, Any], dict[Keys, int]]:
    """Return what a TOML file holds, and the lines of its keys; raises `error`.

    The file is read as UTF-8; where it is not valid, the error names file and line.
    """
    try:
        text = path.read_text("utf-8")
        return tomllib.loads(text), key_lines(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: {problem}") from problem
    except tomllib.TOMLDecodeError as problem:
        at = re.search(r" \(at line (\d+), column \d+\)$", str(problem))
        place, words = (f":{at[1]}", str(problem)[: at.start()]) if at else ("", str(problem))
        raise error(f"{path}{place}: {words}") from problem


def in_words(value: object) -> str:
    """Return a TOML value in words."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return f"true or false ({value})".lower() if isinstance(value, bool) else repr(value)
