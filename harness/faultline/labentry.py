"""Reading one table of a lab file strictly: each error says file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .checks import Check
from .errors import UsageError
from .tomlentry import TomlEntry


class LabError(UsageError):
    """A lab file cannot be used; names the file, the line and the key."""


@dataclass
class Entry(TomlEntry):
    """One table of a lab file. Every key must be asked for before end()."""

    checks: Mapping[str, Check] = field(default_factory=dict)  # that there are

    Error = LabError

    def points(self, key: str, *, required: bool = True) -> float:
        """Return a number above 0; 0 only if it is not required and not there."""
        value: float = self.get(key, (int, float), "a number", required=required) or 0
        if key in self.table and not 0 < value < 1e6:
            raise self.error(key, f"is {value}, expected more than 0")
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
