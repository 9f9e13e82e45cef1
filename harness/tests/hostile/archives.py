"""Archives and folders that lead out, or are larger than they look."""

from __future__ import annotations

import gzip
import io
import os
import socket
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from test_archive import special, tar_of, zip_of
from test_tree import MAKEFILE

from . import TOKEN, Case, Make, tree

Member = tarfile.TarInfo | tuple[str, bytes]
LINK = stat.S_IFLNK | 0o777
MIB = 1 << 20


def tarred(*members: Member, end: str = ".tar") -> Make:
    """A whole tree, and these members after it."""

    def make(path: Path) -> Path:
        tree()(path)
        files: list[Member] = [
            (str(file.relative_to(path)), file.read_bytes())
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ]
        return tar_of(_moved(path, end), files + list(members))

    return make


def zipped(*members: tuple[str, bytes, int]) -> Make:
    """A whole tree, and these members after it."""

    def make(path: Path) -> Path:
        tree()(path)
        files = [
            (str(file.relative_to(path)), file.read_bytes(), 0o644)
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ]
        return zip_of(_moved(path, ".zip"), files + list(members))

    return make


def _moved(path: Path, end: str) -> Path:
    """Make room: only the archive is to be handed in."""
    path.rename(path.parent.parent / f"packed-{path.name}")
    return path.parent / (path.name + end)


def raw(end: str, content: Callable[[], bytes]) -> Make:
    """A file with that content."""

    def make(path: Path) -> Path:
        file = path.parent / (path.name + end)
        file.write_bytes(content())
        return file

    return make


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("kernel/main.c", bytes(200 * MIB))
    return out.getvalue()


def many_files() -> bytes:
    """A million empty files: the header of one, a million times."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        header = special("f", tarfile.REGTYPE).tobuf()
        for _ in range(1000):
            packed.write(header * 1000)
    return out.getvalue()


def long_header() -> bytes:
    """A name that is said to be, and is, gigabytes long."""
    info = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 3 << 30
    zeros = gzip.compress(bytes(64 * MIB), 1)  # members of a gzip file follow one another
    return gzip.compress(info.tobuf()) + zeros * (info.size // (64 * MIB))


def skipped_member() -> bytes:
    """A member of an unknown kind, a terabyte long, that would be skipped by unpacking it."""
    info = special("x", b"Z")
    info.size = 1 << 40
    return gzip.compress(info.tobuf() + bytes(MIB), 1)


def sparse_member() -> bytes:
    """A file of 100 GB with one byte in it, as GNU tar packs it."""
    file = tarfile.TarInfo("kernel/huge")
    file.size = 512
    file.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(100 << 30),
        "GNU.sparse.numblocks": "1", "GNU.sparse.map": f"{(100 << 30) - 512},512",
        "GNU.sparse.name": "kernel/huge",
    }  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(file, io.BytesIO(bytes(512)))
    return out.getvalue()


# Folders ------------------------------------------------------------------------------------


def odd_files(path: Path) -> Path:
    """A FIFO, a socket, a setuid file, a device if we may, and links to all over the place."""
    tree()(path)
    os.mkfifo(path / "fifo")
    (path / "kernel/su").write_bytes(b"#!/bin/sh\n")
    (path / "kernel/su").chmod(0o6755)
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path, os.O_PATH)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    if os.getuid() == 0:
        os.mknod(path / "kernel/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    (path / "kernel/passwd.h").symlink_to("/etc/passwd")
    (path / "loop").symlink_to("loop")
    (path / "up").symlink_to("../..")
    return path


def huge_sparse_file(path: Path) -> Path:
    tree()(path)
    with (path / "kernel/huge").open("wb") as file:
        file.truncate(100 << 30)
    return path


def deep_folders(path: Path) -> Path:
    tree()(path)
    here = os.open(path, os.O_PATH)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return path


def any_bytes(path: Path) -> Path:
    """Names, a Makefile, sources and the hand-in's own name in no encoding at all."""
    path = path.with_name(path.name + os.fsdecode(b"-\xff\xfe\n\x1b[31m"))
    tree({"Makefile": b"# \xff\xfe\x80\n" + MAKEFILE.encode()})(path)
    (path / "kernel" / os.fsdecode(b"\xe9\xff.h")).write_bytes(b"\xff")
    (path / "kernel/vm.c").write_bytes(b"// \xff\xfe\x00\nint vm;\n")
    return path


def markup(path: Path) -> Path:
    """A name that a terminal library takes for a command of its own."""
    return tree()(path.with_name(path.name + "[bold][blink]"))


LEADS_OUT = "unusable: .*leads out of the archive"
BOOTS = r"(?s)build: .*boot: "  # built and booted, whatever was left out
CASES = [
    Case("tar-parent", tarred((f"../{TOKEN}", b"x")), "error", LEADS_OUT),
    Case("tar-parent-inside", tarred((f"kernel/../../{TOKEN}", b"x")), "error", LEADS_OUT),
    Case("tar-absolute", tarred((f"/tmp/{TOKEN}", b"x")), "error", LEADS_OUT),
    Case(
        "tar-through-link",
        tarred(special("out", tarfile.SYMTYPE, "/tmp"), (f"out/{TOKEN}", b"x")),
        "pass",
        r"the link 'out' could not be made",
    ),
    Case(
        "tar-link-out",
        tarred(special("kernel/passwd.h", tarfile.SYMTYPE, "/etc/passwd")),
        "pass",
        r"the link 'kernel/passwd.h' was left out: it leads to '/etc/passwd'",
    ),
    Case(
        "tar-hard-link-out",
        tarred(special("kernel/passwd.h", tarfile.LNKTYPE, "/etc/passwd")),
        "error",
        LEADS_OUT,
    ),
    Case(
        "tar-hard-link-to-link",
        tarred(
            special("a", tarfile.SYMTYPE, "/etc/passwd"), special("b", tarfile.LNKTYPE, "a")
        ),
        "pass",
        r"'b' is a hard link to nothing",
    ),
    Case(
        "tar-device-fifo-setuid",
        tarred(
            special("null", tarfile.CHRTYPE), special("disk", tarfile.BLKTYPE),
            special("pipe", tarfile.FIFOTYPE), special("su", tarfile.REGTYPE, mode=0o6755),
        ),  # fmt: skip
        "pass",
        r"'disk' was left out: it is no ordinary file; 'pipe' was left out",
    ),
    Case("tar-bytes", tarred((os.fsdecode(b"kernel/\xe9\xff.h"), b"\xff")), "pass", BOOTS),
    Case("tar-long-name", tarred(("n" * 300, b"x")), "error", "File name too long"),
    Case("tar-deep", tarred(("d/" * 300 + "x", b"x")), "error", "more than 40 folders deep"),
    Case("tar-million-files", raw(".tar.gz", many_files), "error", "more than 2000 files"),
    Case("tar-long-header", raw(".tar.gz", long_header), "error", "takes too much memory"),
    Case("tar-skipped-member", raw(".tar.gz", skipped_member), "error", "more than 64 MiB"),
    Case("tar-sparse", raw(".tar", sparse_member), "error", "more than 64 MiB of files"),
    Case("tar-noise", raw(".tar.xz", lambda: b"\xfd7zXZ\0" + b"\xff" * 999), "error", "cannot be"),
    Case("zip-parent", zipped((f"../{TOKEN}", b"x", 0o644)), "error", LEADS_OUT),
    Case("zip-backslash", zipped((f"..\\{TOKEN}", b"x", 0o644)), "error", LEADS_OUT),
    Case("zip-absolute", zipped((f"/tmp/{TOKEN}", b"x", 0o644)), "error", LEADS_OUT),
    Case(
        "zip-link-out",
        zipped(("kernel/up", b"../../..", LINK)),
        "pass",
        r"the link 'kernel/up' was left out",
    ),
    Case("zip-bomb", raw(".zip", zip_bomb), "error", "more than 64 MiB of files"),
    Case("folder-odd-files", odd_files, "pass", r"'fifo' was left out.*'socket' was left out"),
    Case("folder-sparse-100-gb", huge_sparse_file, "error", "more than 64 MiB of files"),
    Case("folder-deep", deep_folders, "error", "more than 40 folders deep"),
    Case("folder-any-bytes", any_bytes, "pass", BOOTS),
    Case("folder-markup", markup, "pass", BOOTS),
]
