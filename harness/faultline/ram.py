"""Guest RAM as the harness sees it: a file that QEMU maps and so do we."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

RAM_BASE = 0x8000_0000  # of QEMU's virt machine
PAGE = 4096


class Ram:
    """Guest physical memory, read by guest physical address.

    Stays readable after QEMU is gone and the file is removed.
    """

    def __init__(self, path: Path, base: int = RAM_BASE) -> None:
        self.base = base
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size = len(self._map)
        # All of it as doublewords: for walks of many steps.
        self.words = memoryview(self._map).cast("Q")

    def holds(self, address: int, size: int = 1) -> bool:
        """Tell whether all of [address, address + size) is RAM."""
        return self.base <= address and address + size <= self.base + self.size

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at a physical address.

        Raises ValueError if any of them lies outside RAM.
        """
        if not self.holds(address, size):
            raise ValueError(f"0x{address:x}+{size} is not in RAM")
        start = address - self.base
        return self._map[start : start + size]

    def u64(self, address: int) -> int:
        """Return the doubleword at a physical address."""
        return int.from_bytes(self.read(address, 8), "little")

    def table(self, address: int) -> tuple[int, ...]:
        """Return the 512 entries of the page-table page at a physical address."""
        return struct.unpack("<512Q", self.read(address, PAGE))
