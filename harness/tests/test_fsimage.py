"""Images that are broken in exactly one way, and the one sentence that says so."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from image_world import (
    BIG, BIG_BYTES, EMPTY, INNER, SMALL, SMALL_BYTES, SUB, add_directory, add_entry, change, direct,
    first_block, free_block, set_indirect, set_log, set_slot, set_super, slot_of,
)  # fmt: skip

from faultline import fsck
from faultline.fsimage import (
    BLOCK,
    DEVICE,
    DIRECT,
    FILE,
    ROOT,
    Image,
    ImageError,
    Inode,
    replay,
)


def test_images_of_mkfs_are_sound(made: bytes) -> None:
    assert fsck.check(Image(made)) == []


def test_image_with_directories_is_sound(image: Image) -> None:
    assert fsck.check(image) == []


def test_a_device_and_a_second_name_are_sound(image: Image) -> None:
    image.write_inode(Inode(9, DEVICE, 1, 0, 1, 0, (0,) * DIRECT, 0))
    add_entry(image, SUB, "console", 9)
    add_entry(image, INNER, "other", SMALL)
    change(image, SMALL, nlink=2)
    assert fsck.check(image) == []


def no_file(image: Image, number: int = 9) -> None:
    """An inode in use that has no name."""
    image.write_inode(Inode(number, FILE, 0, 0, 1, 0, (0,) * DIRECT, 0))


def share_block(image: Image) -> None:
    image.mark(first_block(image, SMALL), False)
    direct(image, SMALL, 0, first_block(image, BIG))


def block_twice(image: Image) -> None:
    image.mark(image.inode(BIG).direct[5], False)
    direct(image, BIG, 5, first_block(image, BIG))


def lose_indirect(image: Image) -> None:
    inode = image.inode(BIG)
    for block in (*image.addresses(inode)[DIRECT:], inode.indirect):
        image.mark(block, False) if block else None
    change(image, BIG, indirect=0)


def wrong_indirect(image: Image) -> None:
    lose_indirect(image)
    change(image, BIG, indirect=image.super.size)


def block_past_end(image: Image) -> None:
    block = free_block(image)
    image.mark(block, True)
    direct(image, SMALL, 1, block)


def indirect_past_end(image: Image) -> None:
    block = free_block(image)
    image.mark(block, True)
    set_indirect(image, BIG, 200, block)


def move_inner(image: Image) -> None:
    set_slot(image, INNER, 1, "..", ROOT)


def second_name_of_directory(image: Image) -> None:
    add_entry(image, ROOT, "again", INNER)
    change(image, ROOT, nlink=image.inode(ROOT).nlink + 1)
    change(image, INNER, nlink=2)


def loop(image: Image) -> None:
    """A directory that only names itself."""
    add_directory(image, INNER, "deep", 9)
    set_slot(image, INNER, slot_of(image, INNER, "deep"), "", 0)
    change(image, INNER, nlink=1)
    add_entry(image, 9, "self", 9)
    set_slot(image, 9, 1, "..", 9)
    change(image, 9, nlink=2)


def remove_dot(image: Image) -> None:
    set_slot(image, INNER, 0, "", 0)


def remove_dotdot(image: Image) -> None:
    set_slot(image, INNER, 1, "", 0)


def name_free_inode(image: Image) -> None:
    add_entry(image, SUB, "ghost", 77)


def name_no_inode(image: Image) -> None:
    add_entry(image, SUB, "ghost", 60000)


def two_entries(image: Image) -> None:
    add_entry(image, ROOT, "small", SMALL)


def root_is_file(image: Image) -> None:
    """Nothing but a file as /."""
    for number in range(1, 10):
        inode = image.inode(number)
        for block in (*image.addresses(inode), inode.indirect):
            image.mark(block, False) if block else None
        image.write_inode(Inode(number, 0, 0, 0, 0, 0, (0,) * DIRECT, 0))
    image.write_inode(Inode(ROOT, FILE, 0, 0, 1, 0, (0,) * DIRECT, 0))


Break = Callable[[Image], object]

CASES: list[tuple[str, Break, str]] = [
    ("size", lambda i: set_super(i, 1, 5000), "super block says 5000 blocks, the image has 2000"),
    ("no-inodes", lambda i: set_super(i, 3, 1), "super block says 1 inodes: there is none for /"),
    ("no-log", lambda i: set_super(i, 4, 1), "super block says 1 blocks of log: too few"),
    ("log-start", lambda i: set_super(i, 5, 1), "super block in blocks 0 to 1, but the log from"),
    ("log-length", lambda i: set_super(i, 4, 40), "log in blocks 2 to 41, but the inodes from"),
    ("inodes", lambda i: set_super(i, 3, 400), "inodes in blocks 33 to 57, but the bitmap from"),
    ("bitmap", lambda i: set_super(i, 7, 47), "bitmap in blocks 47 to 47, but the data from"),
    ("log-count", lambda i: set_log(i, 31), "log's header says 31 blocks, there is room for 30"),
    ("log-negative", lambda i: set_log(i, -1), "log's header says -1 blocks"),
    ("log-home", lambda i: set_log(i, 1, 2), "log entry 0 is for block 2, which is never logged"),
    ("log-end", lambda i: set_log(i, 1, 2000), "log entry 0 is for block 2000"),
    ("log-twice", lambda i: set_log(i, 2, 40, 40), "log entry 1 is for block 40, which is there"),
    ("log-full", lambda i: set_log(i, 1, 40), "log holds 1 committed blocks that are not yet home"),
    ("type", lambda i: change(i, EMPTY, type=7), "inode 4 has type 7, which does not exist"),
    ("inode-0", lambda i: change(i, 0, type=FILE), "inode 0 has type 2, but it must stay free"),
    ("size-max", lambda i: change(i, BIG, size=275000), "275000 bytes, more than the 274432 of any"),
    ("too-big", lambda i: change(i, SMALL, size=1025), "inode 2 has 1025 bytes, but no block for those from 1024 on"),
    ("no-indirect", lose_indirect, "inode 3 has 15460 bytes, but no block for those from 12288 on"),
    ("extra", block_past_end, "inode 2 has 12 bytes, but block 68 for those from 1024 on"),
    ("extra-indirect", indirect_past_end, "inode 3 has 15460 bytes, but block 68 for those from 217088 on"),
    ("metadata", lambda i: direct(i, EMPTY, 0, 46), "inode 4 has block 46, which is no data block"),
    ("beyond", lambda i: direct(i, EMPTY, 0, 2000), "inode 4 has block 2000, which is no data block"),
    ("indirect-beyond", wrong_indirect, "inode 3 has block 2000, which is no data block"),
    ("shared", share_block, "inode 3 has block 49 and so has inode 2"),
    ("twice", block_twice, "inode 3 has block 49 twice"),
    ("leaked", lambda i: i.mark(900, True), "block 900 belongs to no inode, but the bitmap has it as used"),
    ("lost", lambda i: i.mark(first_block(i, SMALL), False), "block 48 belongs to inode 2, but the bitmap has it as free"),
    ("lost-metadata", lambda i: i.mark(1, False), "block 1 has a fixed use, but the bitmap has it as free"),
    ("free-inode", name_free_inode, "directory inode 5: ghost is inode 77, which is free"),
    ("no-inode", name_no_inode, "directory inode 5: ghost is inode 60000, which does not exist"),
    ("two-entries", two_entries, "directory inode 1 has two entries small"),
    ("slash", lambda i: add_entry(i, SUB, "a/b", SMALL), "directory inode 5 has an entry for inode 2 named 'a/b'"),
    ("no-name", lambda i: add_entry(i, SUB, "", SMALL), "directory inode 5 has an entry for inode 2 named ''"),
    ("half-entry", lambda i: change(i, SUB, size=50), "directory inode 5 has 50 bytes, which is no whole entry"),
    ("dot", lambda i: set_slot(i, INNER, 0, ".", SUB), "directory inode 6: . is inode 5"),
    ("no-dot", remove_dot, "directory inode 6 has no entry ."),
    ("no-dotdot", remove_dotdot, "directory inode 6 has no entry .."),
    ("dotdot", move_inner, "directory inode 6: .. is inode 1, but inode 5 has it"),
    ("root-dotdot", lambda i: set_slot(i, ROOT, 1, "..", SUB), "directory inode 1: .. is inode 5, but inode 1 has it"),
    ("two-parents", second_name_of_directory, "directory inode 6 has 2 names"),
    ("nlink", lambda i: change(i, SMALL, nlink=2), "inode 2 says 2 links, but there are 1"),
    ("nlink-directory", lambda i: change(i, SUB, nlink=1), "inode 5 says 1 links, but there are 2"),
    ("unreachable", no_file, "inode 9 is in use, but no path from / leads to it"),
    ("loop", loop, "inode 9 is in use, but no path from / leads to it"),
    ("root", root_is_file, "inode 1 is not the directory /"),
]  # fmt: skip


@pytest.mark.parametrize(("breaks", "sentence"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_one_thing_broken(image: Image, breaks: Break, sentence: str) -> None:
    breaks(image)
    problems = fsck.check(image)
    assert len(problems) == 1, problems
    assert sentence in problems[0]


def test_orphan_is_allowed_only_before_recovery(image: Image) -> None:
    no_file(image)
    change(image, 9, nlink=0)
    assert fsck.check(image, orphans=True) == []
    assert fsck.check(image) == ["inode 9 is in use, but no path from / leads to it"]


def test_inode_with_links_is_no_orphan(image: Image) -> None:
    no_file(image)
    assert len(fsck.check(image, orphans=True)) == 1


def test_replay_brings_committed_blocks_home(image: Image) -> None:
    home = first_block(image, SMALL)
    log = image.super.logstart
    image.write_block(log + 1, b"from the log")
    image.write_block(log + 2, b"not committed")
    set_log(image, 1, home, first_block(image, BIG))
    assert replay(image) == 1
    assert image.read_file("/small") == b"from the log"
    assert image.read_file("/big") == BIG_BYTES
    assert image.log()[0] == 0
    assert fsck.check(image) == []
    assert replay(image) == 0


@pytest.mark.parametrize("header", [(31,), (-1,), (1, 0), (1, 2000)])
def test_replay_refuses_a_log_that_no_kernel_wrote(image: Image, header: tuple[int, ...]) -> None:
    set_log(image, *header)
    before = bytes(image.data)
    with pytest.raises(ImageError, match="log"):
        replay(image)
    assert image.data == before


def test_files_are_read(image: Image) -> None:
    assert image.read_file("small") == SMALL_BYTES
    assert image.read_file("/big") == BIG_BYTES
    assert image.read_file("/empty") == b""
    add_entry(image, INNER, "linked", SMALL)
    assert image.read_file("/sub/inner/../inner/linked") == SMALL_BYTES


@pytest.mark.parametrize(
    ("path", "words"),
    [("/none", "there is no none"), ("/small/x", "before x is no directory")],
)
def test_no_such_file(image: Image, path: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        image.read_file(path)


def test_not_an_image() -> None:
    with pytest.raises(ImageError, match="too few"):
        Image(b"short")
    with pytest.raises(ImageError, match="magic number is 0x0"):
        Image(bytes(4 * BLOCK))


def test_random_damage_gives_sentences_only(image: Image) -> None:
    """Whatever the bytes, check neither raises nor hangs."""
    numbers = random.Random(2)
    whole = bytes(image.data)
    start, end = image.super.logstart * BLOCK, (first_block(image, SMALL) + 1) * BLOCK
    for _ in range(40):
        damaged = Image(whole)
        for _ in range(numbers.randrange(1, 200)):
            damaged.data[numbers.randrange(start, end)] = numbers.randrange(256)
        fsck.check(damaged, orphans=numbers.random() < 0.5)
