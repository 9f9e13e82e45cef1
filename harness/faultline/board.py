"""Which machine a kernel was made for, as its Makefile and its ELF tell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .elf import ElfImage

PMPADDR0 = 0x3B0
MEMORY = 128  # MiB, of every xv6 whose Makefile does not say otherwise
MEMORY_AT_MOST = 2048  # MiB that a guest gets here
HARTS_AT_MOST = 8  # of QEMU's virt machine and xv6's cpus[]


@dataclass(frozen=True)
class Board:
    """What a kernel must find: see qemu.Config. `harts` is how many it can stand, `asked` how
    many its Makefile asks for, and `least` how many it needs."""

    pmp: bool = True
    legacy_virtio: bool = False
    memory: int = MEMORY
    harts: int = HARTS_AT_MOST
    disk: str = "fs.img"  # the image's name in the tree
    asked: int = 1
    least: int = 1


def qemu_words(said: str) -> list[str]:
    """Return the words of the QEMU command among what make would do; none if it has none."""
    for line in said.replace("\\\n", " ").splitlines():
        if "-machine" in line and "-kernel" in line:
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                words = line.split()
            return words
    return []


def board_of(elf: ElfImage, words: Sequence[str]) -> Board:
    """Return the board for a kernel that is started with this QEMU command.

    A kernel that writes no PMP entry needs a hart that has none; one that does needs one.
    """
    options = dict(zip(words, words[1:]))
    disk = re.search(r"(?:^|,)file=([^,]+)", options.get("-drive", ""))
    return Board(
        pmp=elf.uses_csr(PMPADDR0),
        legacy_virtio=bool(words) and "virtio-mmio.force-legacy=false" not in words,
        memory=_memory(options.get("-m", "")),
        harts=_harts(elf, options.get("-smp", "")),
        disk=disk[1] if disk else "fs.img",
        asked=_asked(options.get("-smp", "")),
    )


def _memory(word: str) -> int:
    match = re.fullmatch(r"(?:size=)?(\d+)([MG]?)B?", word, re.IGNORECASE)
    if match is None:
        return MEMORY
    size = int(match[1][:9]) * (1024 if match[2].upper() == "G" else 1)
    return min(max(size, 1), MEMORY_AT_MOST)


def _harts(elf: ElfImage, word: str) -> int:
    """Return how many harts the kernel has room for; one if its Makefile wants only one."""
    table = elf.type_of("cpus")
    room = getattr(table, "count", 0) or HARTS_AT_MOST
    if re.match(r"(?:cpus=)?1(?!\d)", word):
        return 1
    return min(room, HARTS_AT_MOST)


def _asked(word: str) -> int:
    match = re.match(r"(?:cpus=)?(\d{1,4})", word)
    return min(max(int(match[1]), 1), HARTS_AT_MOST) if match else 1
