"""Adding a file to somebody's file system image, in whichever layout its kernel reads.

The layouts differ in how an inode's 13 addresses are used: xv6 has 12 direct ones and an
indirect block; the file system lab makes them 11, an indirect and a doubly indirect one.
The image tells which, by its larger files.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from .fsimage import (
    BLOCK,
    DIRECT,
    DIRECTORY,
    ENTRY,
    FILE,
    FREE,
    INDIRECT,
    ROOT,
    Image,
    ImageError,
    Inode,
)

NAME_LENGTH = 14


class NoRoom(ImageError):
    """The image has no block or no inode left for the file."""


def add_file(image: Image, name: str, content: bytes) -> None:
    """Add a file to the root directory.

    Raises NoRoom if it does not fit, and ImageError if the image cannot be read or has
    something of that name. The image is then as it was, or to be thrown away.
    """
    if not 0 < len(name.encode()) <= NAME_LENGTH or "/" in name:
        raise ImageError(f"{name!r} is no name for a file")
    root = image.inode(ROOT)
    if root.type != DIRECTORY:
        raise ImageError(f"inode {ROOT} is not the directory /")
    if any(entry.name == name for entry in image.entries(root)):
        raise ImageError(f"there is a /{name} already")
    count = -(-len(content) // BLOCK)
    direct = direct_addresses(image)
    if count > direct + INDIRECT:
        raise NoRoom(f"{len(content)} bytes are more than {direct} direct and "
                     f"{INDIRECT} indirect blocks hold")  # fmt: skip
    inode = _free_inode(image)
    blocks = [_take_block(image) for _ in range(count)]
    for number, block in enumerate(blocks):
        image.write_block(block, content[number * BLOCK : (number + 1) * BLOCK])
    addresses = blocks[:direct]
    if count > direct:
        indirect = _take_block(image)
        image.write_block(indirect, struct.pack(f"<{count - direct}I", *blocks[direct:]))
        addresses = [*addresses, indirect]
    addresses += [0] * (DIRECT + 1 - len(addresses))
    image.write_inode(
        Inode(inode, FILE, 0, 0, 1, len(content), tuple(addresses[:DIRECT]), addresses[DIRECT])
    )
    _enter(image, root, name, inode)


def replace_content(image: Image, path: str, content: bytes) -> None:
    """Give a file another content of the same length.

    Raises ImageError if there is no such file, or it has another length.
    """
    inode = image.find(path)
    if inode.type != FILE or inode.size != len(content):
        raise ImageError(f"{path}: no file of {len(content)} bytes")
    image.content(inode)  # raises if a block is missing
    for number, block in enumerate(image.addresses(inode)[: inode.blocks]):
        image.write_block(block, content[number * BLOCK : (number + 1) * BLOCK])


def direct_addresses(image: Image) -> int:
    """Return how many of an inode's addresses are direct: 12, or 11 with the file system lab.

    A file of 13 blocks or more has its indirect block at the last address in the one layout,
    and nothing there in the other as long as it has no more than 11 + 256.
    """
    for number in range(1, image.super.ninodes):
        inode = image.inode(number)
        if inode.type == FILE and DIRECT < inode.blocks < DIRECT + INDIRECT - 1:
            return DIRECT if inode.indirect else DIRECT - 1
    return DIRECT


def _free_inode(image: Image) -> int:
    for number in range(ROOT + 1, image.super.ninodes):
        if image.inode(number).type == FREE:
            return number
    raise NoRoom(f"all {image.super.ninodes} inodes are in use")


def _take_block(image: Image) -> int:
    number = next(image.free_blocks(), None)
    if number is None:
        raise NoRoom(f"all {image.super.size} blocks are in use")
    image.mark(number, True)
    image.write_block(number, b"")
    return number


def _enter(image: Image, root: Inode, name: str, number: int) -> None:
    """Put a name into the root directory, in the first slot that is free."""
    entry = ENTRY.pack(number, name.encode())
    blocks = root.direct[: direct_addresses(image)]
    for index, block in enumerate(blocks):
        if block == 0:  # all slots before are used: the directory gets one more block
            block = _take_block(image)
            addresses = [*root.direct]
            addresses[index] = block
            root = replace(root, direct=tuple(addresses))
        content = bytearray(image.block(block))
        used = min(max(root.size - index * BLOCK, 0), BLOCK)
        for at in range(0, BLOCK, ENTRY.size):
            if at >= used or content[at : at + 2] == b"\0\0":
                content[at : at + ENTRY.size] = entry
                image.write_block(block, bytes(content))
                end = index * BLOCK + at + ENTRY.size
                image.write_inode(replace(root, size=max(root.size, end)))
                return
    raise NoRoom("the root directory is full")
