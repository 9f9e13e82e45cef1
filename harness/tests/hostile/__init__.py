"""Trees and archives that were made to do harm, each with what must be said of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from test_grade import MAIN_C
from test_tree import MAKEFILE, TREE

TOKEN = f"hostile-{secrets.token_hex(6)}"  # in the name of all that must never be seen
Make = Callable[[Path], Path]  # makes it below or beside that path; returns where it is

# How a tree is run: with ordinary bounds, with so few seconds that it pays to wait for their
# end, or as far as the check `leaks`.
USUAL, ENDLESS, LEAKS = "usual", "endless", "leaks"


@dataclass(frozen=True)
class Case:
    """One hostile tree. `says` is a regular expression for what is said of it: why it cannot
    be used, or its first finding, or the reasons of its checks."""

    id: str
    make: Make
    verdict: str
    says: str
    rule: str = ""  # of its first finding
    run: str = USUAL


def tree(changes: Mapping[str, str | bytes] | None = None) -> Make:
    """Return what makes a small tree, with some of its files changed or added."""

    def make(path: Path) -> Path:
        files: dict[str, str | bytes] = {**TREE, "kernel/main.c": MAIN_C, **(changes or {})}
        for name, content in files.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def with_makefile(before: str = "", after: str = "") -> Make:
    """Return what makes a small tree whose Makefile has more lines."""
    return tree({"Makefile": f"all: kernel/kernel fs.img\n{before}\n{MAKEFILE}{after}\n"})


def recipe(*commands: str) -> Make:
    """Return what makes a tree whose Makefile makes kernel and image by these commands."""
    lines = "".join(f"\t{command}\n" for command in commands)
    return tree({"Makefile": f"kernel/kernel fs.img:\n{lines}"})
