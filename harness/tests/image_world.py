"""Small file system images to break: what mkfs makes, and ways to change it."""

from __future__ import annotations

import dataclasses
import random
import struct
import subprocess
from pathlib import Path

import pytest

from faultline.fsimage import BLOCK, DIRECT, DIRECTORY, ROOT, Image, Inode

PROJECT = Path(__file__).resolve().parents[2]

# Inodes of the image under test, and the first blocks of what they hold.
SMALL, BIG, EMPTY, SUB, INNER = 2, 3, 4, 5, 6
SMALL_BYTES = b"a few bytes\n"
BIG_BYTES = random.Random(1).randbytes((DIRECT + 3) * BLOCK + 100)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What mkfs makes of three files: small, big (with an indirect block) and empty."""
    folder = tmp_path_factory.mktemp("mkfs")
    tool = folder / "mkfs"
    source = PROJECT / "user/mkfs.c"
    subprocess.run(["cc", "-std=c11", "-o", tool, source], check=True)
    (folder / "_small").write_bytes(SMALL_BYTES)
    (folder / "big").write_bytes(BIG_BYTES)
    (folder / "empty").write_bytes(b"")
    files = [folder / name for name in ("_small", "big", "empty")]
    subprocess.run([tool, folder / "fs.img", *files], check=True)
    return (folder / "fs.img").read_bytes()


@pytest.fixture
def image(made: bytes) -> Image:
    """That image, with a directory sub and a directory inner in it."""
    image = Image(made)
    add_directory(image, ROOT, "sub", SUB)
    add_directory(image, SUB, "inner", INNER)
    return image


def first_block(image: Image, number: int) -> int:
    return image.inode(number).direct[0]


def free_block(image: Image) -> int:
    return next(image.free_blocks())


def change(image: Image, number: int, **fields: object) -> None:
    image.write_inode(dataclasses.replace(image.inode(number), **fields))


def set_slot(image: Image, directory: int, slot: int, name: str, target: int) -> None:
    at = first_block(image, directory) * BLOCK + slot * 16
    struct.pack_into("<H14s", image.data, at, target, name.encode())


def slot_of(image: Image, directory: int, name: str) -> int:
    content = image.content(image.inode(directory))
    names = [content[at + 2 : at + 16].rstrip(b"\0") for at in range(0, len(content), 16)]
    return names.index(name.encode())


def add_entry(image: Image, directory: int, name: str, target: int) -> None:
    """Put a name into the first free slot of a directory's only block."""
    content = image.content(image.inode(directory)).ljust(BLOCK, b"\0")
    slot = next(s for s in range(BLOCK // 16) if content[s * 16 : s * 16 + 2] == b"\0\0")
    set_slot(image, directory, slot, name, target)
    size = max(image.inode(directory).size, (slot + 1) * 16)
    change(image, directory, size=size)


def add_directory(image: Image, parent: int, name: str, number: int) -> None:
    block = free_block(image)
    image.mark(block, True)
    inode = Inode(number, DIRECTORY, 0, 0, 1, 32, (block, *[0] * 11), 0)
    image.write_inode(inode)
    set_slot(image, number, 0, ".", number)
    set_slot(image, number, 1, "..", parent)
    add_entry(image, parent, name, number)
    change(image, parent, nlink=image.inode(parent).nlink + 1)


def set_super(image: Image, field: int, value: int) -> None:
    struct.pack_into("<I", image.data, BLOCK + 4 * field, value)
    image.super = Image(bytes(image.data)).super


def set_log(image: Image, *numbers: int) -> None:
    struct.pack_into(f"<{len(numbers)}i", image.data, image.super.logstart * BLOCK, *numbers)


def set_indirect(image: Image, number: int, slot: int, block: int) -> None:
    at = image.inode(number).indirect * BLOCK + 4 * slot
    struct.pack_into("<I", image.data, at, block)


def direct(image: Image, number: int, slot: int, block: int) -> None:
    blocks = list(image.inode(number).direct)
    blocks[slot] = block
    change(image, number, direct=tuple(blocks))
