"""Whether a stranger's kernel can be looked at, found out where that can do no harm.

An ELF file made for it takes its reader for ever, or all memory: tables that are longer than
the file, compressed sections of gigabytes, types that contain themselves. So it is read once
in a process of its own, with bounded time and memory: all that the checks will ask it for. What
that process survives can then be read here.
"""

from __future__ import annotations

import os
import resource
import select
import signal
from collections.abc import Iterator
from pathlib import Path

from .board import PMPADDR0
from .ctype import Array, CType, Struct
from .elf import ElfImage
from .lifeline import die_with
from .ram import RAM_BASE

SECONDS = 60.0  # of the wall's clock, and of the processor
MEMORY = 2 << 30  # bytes of address space
WORDS_AT_MOST = 1000  # bytes of the answer
ENTRIES_AT_MOST = 1 << 16  # of a table in the kernel that is read entry by entry
# What the checks read of a kernel, as far as it has it.
ASKED = ("proc", "cpus", "kmem", "kernel_pagetable", "faultline_ctl", "faultline_ledger")
HEADERS = 1 << 16  # bytes below memory that may be loaded: where linkers put the ELF's own headers
SHIM = ("faultline_ctl", "faultline_ledger")


def problem(path: Path) -> str:
    """Return in words why a kernel's file cannot be read, or nothing if it can."""
    reader, writer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(writer, path, parent)
    os.close(writer)
    try:
        ready = select.select([reader], [], [], SECONDS + 1)[0]
        said = os.read(reader, WORDS_AT_MOST).decode("utf-8", "replace") if ready else ""
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
    if said:
        return said.removeprefix("ok")
    return f"it cannot be read within {SECONDS:g} s and {MEMORY >> 20} MiB of memory"


def outside(elf: ElfImage, memory: int) -> str:
    """Return in words what of a kernel lies where its machine has no memory, or nothing.

    `memory` is how many MiB of RAM the machine has.
    """
    end = RAM_BASE + (memory << 20)
    segments = [(start, size) for start, size in elf.segments() if size]
    for start, size in segments:
        if not RAM_BASE - HEADERS <= start < start + size <= end:
            return (
                f"it wants to be loaded at 0x{start:x} to 0x{start + size:x}, and its machine "
                f"has memory from 0x{RAM_BASE:x} to 0x{end:x}"
            )
    if not any(start <= elf.entry < start + size for start, size in segments):
        return f"its entry, 0x{elf.entry:x}, is in nothing that is loaded"
    for name in SHIM:
        at, size = elf.symbols.get(name, (RAM_BASE, 0))
        if not RAM_BASE <= at <= at + size <= end:
            return f"its symbol {name} lies outside of memory, at 0x{at:x}"
    return ""


def _answer(writer: int, path: Path, parent: int) -> None:
    """Say what is wrong, or ok, and end this process."""
    try:
        die_with(parent)
        limit = int(SECONDS) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        said = next(_problems(path), "ok")
    except MemoryError:
        os._exit(1)
    except Exception as error:  # whatever pyelftools says of a file made to confuse it
        said = f"its tables or debug information cannot be read ({type(error).__name__})"
    os.write(writer, said.encode("utf-8", "replace")[:WORDS_AT_MOST])
    os._exit(0)


def _problems(path: Path) -> Iterator[str]:
    elf = ElfImage(path)
    outside(elf, 0)
    elf.uses_csr(PMPADDR0)
    for name in ASKED:
        if _too_long(elf.type_of(name)):
            yield f"its variable {name} has more entries than any kernel"
    elf.type_of("no such variable")  # all units' entries are read in vain
    elf.function_place("no such function")
    for address in sorted(elf.function_starts()):
        if elf.in_text(address):
            elf.frames(address)


def _too_long(ctype: CType | None) -> bool:
    """Tell whether a table in a variable is too long to be gone through."""
    if isinstance(ctype, Array):
        return ctype.count > ENTRIES_AT_MOST or _too_long(ctype.element)
    return isinstance(ctype, Struct) and any(_too_long(one) for _, _, one in ctype.members)
