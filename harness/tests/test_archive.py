"""Archives and folders that were made to break out, and what is left of them."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from faultline import archive
from faultline.archive import Room
from faultline.errors import UsageError


def tar_of(path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as packed:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                packed.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                packed.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def zip_of(path: Path, members: list[tuple[str, bytes, int]]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            packed.writestr(info, content)
    return path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "outer/into"
    folder.mkdir(parents=True)
    return folder


def outside(into: Path) -> list[str]:
    """What lies beside the folder that was to be filled."""
    return sorted(path.name for path in into.parent.iterdir() if path != into)


def names(into: Path) -> list[str]:
    return sorted(str(path.relative_to(into)) for path in into.rglob("*"))


@pytest.mark.parametrize("end", ["tar", "tar.gz", "zip"])
def test_what_was_packed_comes_out(tmp_path: Path, into: Path, end: str) -> None:
    path = tmp_path / f"tree.{end}"
    if end == "zip":
        zip_of(path, [("a/b.c", b"text", 0o644), ("a/run", b"#!", 0o755)])
    else:
        with tarfile.open(path, "w:gz" if end == "tar.gz" else "w") as packed:
            for name, content, mode in (("a/b.c", b"text", 0o644), ("a/run", b"#!", 0o755)):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), mode
                packed.addfile(info, io.BytesIO(content))
    assert archive.unpack(path, into) == []
    assert (into / "a/b.c").read_bytes() == b"text"
    assert os.access(into / "a/run", os.X_OK) and not os.access(into / "a/b.c", os.X_OK)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a/b/../../../x", ".."])
@pytest.mark.parametrize("end", ["tar", "zip"])
def test_names_that_lead_out_are_refused(
    tmp_path: Path, into: Path, name: str, end: str
) -> None:
    path = tmp_path / f"evil.{end}"
    if end == "zip":
        zip_of(path, [(name, b"x", 0o644)])
    else:
        tar_of(path, [(name, b"x")])
    with pytest.raises(UsageError, match="leads out"):
        archive.unpack(path, into)
    assert outside(into) == []


@pytest.mark.parametrize(
    ("members", "left", "notes"),
    [
        ([special("l", tarfile.SYMTYPE, "/etc/passwd")], [], 1),
        ([special("l", tarfile.SYMTYPE, "../..")], [], 1),
        ([special("d/l", tarfile.SYMTYPE, "..")], ["d", "d/l"], 0),
        # Written through a link: the link is made last, so this is a folder by then.
        ([special("l", tarfile.SYMTYPE, "/tmp"), ("l/file", b"x")], ["l", "l/file"], 1),
        # Each of the two stays inside by its words; the second goes through the first.
        (
            [
                ("a/b/c/f", b""),
                special("a/b/c/d", tarfile.SYMTYPE, "../../.."),
                special("e", tarfile.SYMTYPE, "a/b/c/d/../x"),
            ],
            ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/f"],
            1,
        ),
        ([special("h", tarfile.LNKTYPE, "nowhere")], [], 1),
        ([("f", b"x"), special("h", tarfile.LNKTYPE, "f")], ["f", "h"], 0),
        ([special("null", tarfile.CHRTYPE)], [], 1),
        ([special("disk", tarfile.BLKTYPE)], [], 1),
        ([special("pipe", tarfile.FIFOTYPE)], [], 1),
    ],
)
def test_links_that_lead_out_and_devices_are_left_out(
    tmp_path: Path,
    into: Path,
    members: list[tarfile.TarInfo | tuple[str, bytes]],
    left: list[str],
    notes: int,
) -> None:
    said = archive.unpack(tar_of(tmp_path / "t.tar", members), into)
    assert names(into) == left
    assert outside(into) == []
    assert len(said) == notes


def test_a_hard_link_to_the_outside_is_refused(tmp_path: Path, into: Path) -> None:
    path = tar_of(tmp_path / "t.tar", [special("h", tarfile.LNKTYPE, "../../etc/passwd")])
    with pytest.raises(UsageError, match="leads out"):
        archive.unpack(path, into)


def test_setuid_bits_are_lost(tmp_path: Path, into: Path) -> None:
    info = tarfile.TarInfo("su")
    info.mode = 0o6755
    archive.unpack(tar_of(tmp_path / "t.tar", [info]), into)
    assert stat.S_IMODE((into / "su").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("room", "words"), [(Room(files=3), "more than 3 files"), (Room(size=3), "MiB of files")]
)
def test_bombs_are_bounded(tmp_path: Path, into: Path, room: Room, words: str) -> None:
    members: list[tarfile.TarInfo | tuple[str, bytes]] = [(f"f{n}", b"four") for n in range(5)]
    with pytest.raises(UsageError, match=words):
        archive.unpack(tar_of(tmp_path / "t.tar", members), into, room)


def test_a_zip_that_lies_about_its_size_is_bounded(tmp_path: Path, into: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(4 << 20))
    with pytest.raises(UsageError, match="MiB of files"):
        archive.unpack(path, into, Room(size=1 << 20))
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip", "x.tgz"])
def test_what_is_no_archive_is_an_error_of_the_user(
    tmp_path: Path, into: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(UsageError, match="cannot be unpacked"):
        archive.unpack(tmp_path / name, into)


def test_names_in_any_encoding_come_across(tmp_path: Path, into: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    odd = os.fsdecode(b"caf\xe9 \xff.c")
    (source / odd).write_bytes(b"x")
    archive.copy_folder(source, into)
    assert [path.name for path in into.iterdir()] == [odd]
    assert "\ufffd" in archive.shown(odd)


def test_copying_a_folder_follows_no_link_and_leaves_the_given_one_alone(
    tmp_path: Path, into: Path
) -> None:
    source = tmp_path / "source"
    (source / "kernel").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / "kernel/main.c").write_text("int x;")
    (source / "inside").symlink_to("kernel/main.c")
    (source / "outside").symlink_to("/etc/passwd")
    (source / "folder").symlink_to("/usr")
    os.mkfifo(source / "pipe")
    before = names(source)
    notes = archive.copy_folder(source, into)
    assert names(into) == ["inside", "kernel", "kernel/main.c"]
    assert len(notes) == 3
    assert names(source) == before
    (into / "kernel/main.c").write_text("changed")
    assert (source / "kernel/main.c").read_text() == "int x;"


def test_a_folder_that_is_closed_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    (folder / "in").mkdir(parents=True)
    (folder / "in/file").write_text("")
    (folder / "in").chmod(0)
    archive.remove(folder)
    assert not folder.exists()


def test_an_image_of_an_earlier_build_takes_no_room_for_its_zeros(
    tmp_path: Path, into: Path
) -> None:
    content = bytes(32 << 20) + b"the end"
    (tmp_path / "given").mkdir()
    (tmp_path / "given/fs.img").write_bytes(content)
    archive.copy_folder(tmp_path / "given", into)
    assert (into / "fs.img").read_bytes() == content
    assert (into / "fs.img").stat().st_blocks * 512 <= 2 << 20
