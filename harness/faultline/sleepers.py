"""Why nothing goes on although no hart is stuck: what each process waits for."""

from __future__ import annotations

from .elf import ElfImage
from .errors import HarnessError
from .finding import Where
from .hart import Hart
from .processes import Process, kernel_root, processes
from .ram import Ram
from .sv39 import MODE_SV39
from .unwind import call_path, return_addresses

ASLEEP, ENDED = "SLEEPING", "ZOMBIE"
# What every process that waits is in.
WAITING = frozenset({"swtch", "sched", "sleep", "yield", "acquire", "release"})


def sleepers(ram: Ram, elf: ElfImage) -> list[tuple[Process, list[Where]]]:
    """Return the processes and where in the kernel each waits, innermost first; nothing if one
    could go on, or if that cannot be known."""
    try:
        found = processes(ram, elf)
        root = kernel_root(ram, elf)
    except HarnessError:
        return []
    if any(process.state not in (ASLEEP, ENDED) for process in found):
        return []
    asleep = [process for process in found if process.state == ASLEEP]
    return [(process, _path(ram, elf, process, root)) for process in asleep]


def _path(ram: Ram, elf: ElfImage, process: Process, root: int) -> list[Where]:
    places = elf.frames(process.ra, call=True) if elf.in_text(process.ra) else []
    places += call_path(elf, return_addresses(ram, elf, saved(process, root)))
    while places and places[0].function in WAITING:
        places.pop(0)
    return places


def saved(process: Process, root: int) -> Hart:
    """Return the registers with which a process gave its hart away; `root` is that of the global
    kernel page table."""
    satp = MODE_SV39 << 60 | (process.kpagetable or root) >> 12
    kept = {"ra": process.ra, "s0": process.s0, "sp": process.sp, "satp": satp}
    return Hart(0, kept)


def words(waiting: list[tuple[Process, list[Where]]]) -> str:
    """Return a line for each process."""
    lines = []
    for process, places in waiting:
        at = " called from ".join(str(place) for place in places[:2]) or "an unknown place"
        lines.append(f"{process} waits at {at}")
    return "\n".join(lines)
