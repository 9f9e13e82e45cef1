"""A file system image in xv6's format (kernel/fs.h), read and repaired.

Works on a copy in memory. Nothing read from the image is trusted: what cannot be read gives
ImageError. What must hold in an image is in fsck.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

BLOCK = 1024  # bytes
ROOT = 1  # inode of /
MAGIC = 0x1020_3040
LOG_ENTRIES = 30  # that the log's header has room for
DIRECT = 12  # blocks an inode lists itself
INDIRECT = BLOCK // 4  # blocks its indirect block lists
MAX_FILE = (DIRECT + INDIRECT) * BLOCK  # bytes

FREE, DIRECTORY, FILE, DEVICE = range(4)

_SUPER = struct.Struct("<8I")
_INODE = struct.Struct("<4hI13I")
ENTRY = struct.Struct("<H14s")
_LOG = struct.Struct(f"<{1 + LOG_ENTRIES}i")
INODES_PER_BLOCK = BLOCK // _INODE.size
BITS_PER_BLOCK = BLOCK * 8


class ImageError(Exception):
    """The image cannot be read any further; says why."""


@dataclass(frozen=True)
class SuperBlock:
    """Where everything is, in blocks."""

    magic: int
    size: int
    nblocks: int
    ninodes: int
    nlog: int
    logstart: int
    inodestart: int
    bmapstart: int

    @property
    def datastart(self) -> int:
        """The first block that files may have."""
        return self.size - self.nblocks

    @property
    def log_capacity(self) -> int:
        """How many blocks one transaction can hold."""
        return min(LOG_ENTRIES, self.nlog - 1)


@dataclass(frozen=True)
class Inode:
    """An inode as it lies on disk."""

    number: int
    type: int
    major: int
    minor: int
    nlink: int
    size: int
    direct: tuple[int, ...]
    indirect: int

    @property
    def blocks(self) -> int:
        """How many data blocks its size takes."""
        return -(-self.size // BLOCK)


@dataclass(frozen=True)
class Entry:
    """A used directory entry."""

    name: str
    inode: int


class Image:
    """An image's bytes, and the parts they have."""

    def __init__(self, data: bytes) -> None:
        """Take a copy of `data`; raises ImageError unless it begins with a super block."""
        self.data = bytearray(data)
        if len(self.data) < 2 * BLOCK:
            raise ImageError(f"{len(self.data)} bytes are too few for a super block")
        self.super = SuperBlock(*_SUPER.unpack_from(self.data, BLOCK))
        if self.super.magic != MAGIC:
            raise ImageError(
                f"the super block's magic number is 0x{self.super.magic:x}, not 0x{MAGIC:x}"
            )

    @classmethod
    def load(cls, path: Path) -> Image:
        """Read an image; raises ImageError or OSError."""
        return cls(path.read_bytes())

    def block(self, number: int) -> bytes:
        """Return a block's bytes; raises ImageError if there is no such block."""
        if not 0 <= number < min(self.super.size, len(self.data) // BLOCK):
            raise ImageError(f"there is no block {number}")
        return bytes(self.data[number * BLOCK : (number + 1) * BLOCK])

    def write_block(self, number: int, content: bytes) -> None:
        """Replace a block; raises ImageError if there is no such block."""
        self.block(number)
        self.data[number * BLOCK : (number + 1) * BLOCK] = content.ljust(BLOCK, b"\0")

    def inode(self, number: int) -> Inode:
        """Return an inode; raises ImageError if there is no such inode."""
        if not 0 <= number < self.super.ninodes:
            raise ImageError(f"there is no inode {number}")
        block = self.block(self.super.inodestart + number // INODES_PER_BLOCK)
        fields = _INODE.unpack_from(block, number % INODES_PER_BLOCK * _INODE.size)
        kind, major, minor, nlink, size, *direct, indirect = fields
        return Inode(number, kind, major, minor, nlink, size, tuple(direct), indirect)

    def write_inode(self, inode: Inode) -> None:
        """Replace an inode; raises ImageError if there is no such inode."""
        self.inode(inode.number)
        at = self.super.inodestart * BLOCK + inode.number * _INODE.size
        fields = astuple(inode)
        _INODE.pack_into(self.data, at, *fields[1:6], *inode.direct, inode.indirect)

    def addresses(self, inode: Inode) -> tuple[int, ...]:
        """Return all the inode lists as data blocks, zeros too.

        An indirect block that does not exist lists none.
        """
        if not self.super.datastart <= inode.indirect < self.super.size:
            return inode.direct
        more: tuple[int, ...] = struct.unpack(f"<{INDIRECT}I", self.block(inode.indirect))
        return inode.direct + more

    def content(self, inode: Inode) -> bytes:
        """Return a file's or directory's bytes; raises ImageError if a block is missing."""
        addresses = self.addresses(inode)
        if inode.blocks > len(addresses) or 0 in addresses[: inode.blocks]:
            raise ImageError(f"inode {inode.number} has fewer blocks than its size says")
        parts = [self.block(address) for address in addresses[: inode.blocks]]
        return b"".join(parts)[: inode.size]

    def entries(self, directory: Inode) -> Iterator[Entry]:
        """Yield a directory's used entries; raises ImageError if a block is missing."""
        content = self.content(directory)
        for number, name in ENTRY.iter_unpack(content[: len(content) // 16 * 16]):
            if number:
                yield Entry(name.split(b"\0")[0].decode("latin-1"), number)

    def marked(self, number: int) -> bool:
        """Tell whether the bitmap has a block as used."""
        bits = self.block(self.super.bmapstart + number // BITS_PER_BLOCK)
        number %= BITS_PER_BLOCK
        return bool(bits[number // 8] >> number % 8 & 1)

    def free_blocks(self) -> Iterator[int]:
        """Yield the data blocks that are free, the first one first."""
        blocks = range(self.super.datastart, self.super.size)
        return (number for number in blocks if not self.marked(number))

    def mark(self, number: int, used: bool) -> None:
        """Set or clear a block's bit in the bitmap."""
        at = self.super.bmapstart * BLOCK + number // 8
        bit = 1 << number % 8
        self.data[at] = self.data[at] | bit if used else self.data[at] & ~bit

    def log(self) -> tuple[int, tuple[int, ...]]:
        """Return the log header's count, and all its places, used or not."""
        count, *homes = _LOG.unpack_from(self.block(self.super.logstart))
        return count, tuple(homes)

    def find(self, path: str) -> Inode:
        """Return what a path from / stands for; raises ImageError if there is nothing."""
        inode = self.inode(ROOT)
        for name in filter(None, path.split("/")):
            if inode.type != DIRECTORY:
                raise ImageError(f"{path}: what is before {name} is no directory")
            named = [e.inode for e in self.entries(inode) if e.name == name]
            if not named:
                raise ImageError(f"{path}: there is no {name}")
            inode = self.inode(named[0])
        return inode

    def read_file(self, path: str) -> bytes:
        """Return a file's bytes; raises ImageError if there is none of that path."""
        return self.content(self.find(path))


def replay(image: Image) -> int:
    """Bring home what the log has committed, as the kernel does when it boots.

    Returns how many blocks that were. Raises ImageError for a log that no kernel wrote.
    """
    problems = log_problems(image)
    if problems:
        raise ImageError("; ".join(problems))
    count, homes = image.log()
    for index, home in enumerate(homes[:count]):
        image.write_block(home, image.block(image.super.logstart + 1 + index))
    if count:
        image.write_block(image.super.logstart, b"")
    return count


def log_problems(image: Image) -> list[str]:
    """Return what is wrong with the log's header, in sentences."""
    sb = image.super
    count, homes = image.log()
    if not 0 <= count <= sb.log_capacity:
        return [f"the log's header says {count} blocks, there is room for {sb.log_capacity}"]
    problems = []
    for index, home in enumerate(homes[:count]):
        if not sb.inodestart <= home < sb.size:
            problems.append(f"log entry {index} is for block {home}, which is never logged")
        elif home in homes[:index]:
            problems.append(f"log entry {index} is for block {home}, which is there twice")
    return problems
