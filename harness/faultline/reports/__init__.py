"""The reports: each is a module in this folder, found by being there.

A report that is written to a file has `OPTION` (the command line's option without its
dashes), `DEFAULT` (the file's name in reports/out, or nothing) and `write(run, path)`.
The terminal's, which is no file, is `terminal`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..verdict import Run


@dataclass(frozen=True)
class FileReport:
    """A report that is a file."""

    option: str
    default: str
    title: str
    write: Callable[[Run, Path], None]


@functools.cache
def file_reports() -> tuple[FileReport, ...]:
    """Return every report that is written to a file."""
    found = []
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        if hasattr(module, "OPTION"):
            title = (module.__doc__ or "").strip().split("\n")[0]
            found.append(FileReport(module.OPTION, module.DEFAULT, title, module.write))
    return tuple(found)
