"""A file added to an image: the image stays sound, and other layouts are met."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from image_world import BIG, SMALL_BYTES, add_entry, change, set_super

from faultline import fsck
from faultline.fsimage import BLOCK, DIRECT, FILE, INDIRECT, ROOT, Image, ImageError, Inode
from faultline.fsinject import NoRoom, add_file, direct_addresses

@pytest.mark.parametrize("blocks", [0, 0.5, 1, DIRECT, DIRECT + 1, 40])
def test_the_file_is_there_and_the_image_is_sound(image: Image, blocks: float) -> None:
    content = random.Random(1).randbytes(int(blocks * BLOCK))
    add_file(image, "probe", content)
    assert image.read_file("/probe") == content
    assert image.read_file("/small") == SMALL_BYTES
    assert fsck.check(image) == []


def test_the_directory_grows_when_it_is_full(image: Image) -> None:
    for number in range(BLOCK // 16 + 2):
        add_file(image, f"f{number}", b"x")
    assert image.read_file(f"/f{BLOCK // 16 + 1}") == b"x"
    assert fsck.check(image) == []


def test_a_slot_that_was_freed_is_used_again(image: Image) -> None:
    size = image.inode(ROOT).size
    add_entry(image, ROOT, "gone", 3)
    at = image.inode(ROOT).direct[0] * BLOCK + size
    struct.pack_into("<H", image.data, at, 0)
    before = image.inode(ROOT).size
    add_file(image, "probe", b"x")
    assert image.inode(ROOT).size == before


def with_eleven_direct(image: Image) -> int:
    """Change the big file as the file system lab has it; return how many blocks it has."""
    big = image.inode(BIG)
    all_blocks = [block for block in image.addresses(big) if block]
    table = all_blocks[DIRECT - 1 :]
    image.write_block(big.indirect, struct.pack(f"<{len(table)}I", *table))
    direct = (*all_blocks[: DIRECT - 1], big.indirect)
    change(image, BIG, direct=direct, indirect=0)
    return len(all_blocks)


def test_the_layout_of_the_file_system_lab_is_met(image: Image) -> None:
    assert direct_addresses(image) == DIRECT
    with_eleven_direct(image)
    assert direct_addresses(image) == DIRECT - 1
    content = random.Random(2).randbytes(20 * BLOCK)
    add_file(image, "probe", content)
    made = image.find("/probe")
    assert made.indirect == 0  # nothing doubly indirect
    table = struct.unpack(f"<{INDIRECT}I", image.block(made.direct[DIRECT - 1]))
    blocks = (*made.direct[: DIRECT - 1], *table[: 20 - (DIRECT - 1)])
    assert b"".join(image.block(block) for block in blocks) == content


def no_blocks(image: Image) -> None:
    for number in range(image.super.datastart, image.super.size):
        image.mark(number, True)


def no_inodes(image: Image) -> None:
    for number in range(ROOT + 1, image.super.ninodes):
        image.write_inode(Inode(number, FILE, 0, 0, 1, 0, (0,) * DIRECT, 0))


def no_root(image: Image) -> None:
    change(image, ROOT, type=FILE)


def absurd_super_block(image: Image) -> None:
    set_super(image, 3, 1 << 31)  # ninodes
    no_blocks(image)


@pytest.mark.parametrize(
    ("spoil", "name", "error", "words"),
    [
        (no_blocks, "probe", NoRoom, "blocks are in use"),
        (no_inodes, "probe", NoRoom, "inodes are in use"),
        (no_root, "probe", ImageError, "not the directory"),
        (absurd_super_block, "probe", ImageError, ""),
        (lambda image: None, "small", ImageError, "there is a /small already"),
        (lambda image: None, "a/b", ImageError, "no name for a file"),
        (lambda image: None, "x" * 15, ImageError, "no name for a file"),
    ],
)
def test_what_cannot_be_done_is_said(
    image: Image,
    spoil: Callable[[Image], None],
    name: str,
    error: type[Exception],
    words: str,
) -> None:
    spoil(image)
    with pytest.raises(error, match=words):
        add_file(image, name, b"content")


def test_a_file_that_is_too_large_is_refused(image: Image) -> None:
    with pytest.raises(NoRoom, match="direct"):
        add_file(image, "probe", bytes((DIRECT + INDIRECT + 1) * BLOCK))
