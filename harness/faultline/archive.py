"""Unpacking what a stranger packed, and copying a stranger's folder: nothing leads out.

Only regular files, folders, and links that stay inside come across; modes lose everything
but the permission bits. What is left out is told to the caller. Size and number of files
are bounded, and so is the memory that unpacking takes: the archive says how large it is, so
that is not believed.
"""

from __future__ import annotations

import lzma
import os
import resource
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from . import sparse
from .errors import UsageError

MAX_FILES = 20_000
MAX_BYTES = 512 << 20  # unpacked
MAX_DEPTH = 40  # folders in folders
MAX_MEMORY = 1 << 30  # bytes, more than before
CHUNK = 1 << 20
LEFT_OUT = frozenset({".git", ".hg", ".svn"})  # history is no part of what is built
TAR_ENDS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def is_archive(path: Path) -> bool:
    """Tell whether a file's name is that of an archive that can be unpacked."""
    return path.name.lower().endswith((*TAR_ENDS, ".zip"))


@dataclass(frozen=True)
class Room:
    """How much may come across."""

    files: int = MAX_FILES  # and folders
    size: int = MAX_BYTES


@dataclass
class Target:
    """The folder that is filled. `notes` says what did not come across, in words."""

    root: Path
    room: Room = Room()
    notes: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0
    links: list[tuple[Path, str]] = field(default_factory=list)

    def place(self, name: str) -> Path | None:
        """Return where a member of that name goes; None if its name is the root's own.

        Raises UsageError for a name that leads out.
        """
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise UsageError(f"the name {shown(name)} leads out of the archive")
        if len(parts) > MAX_DEPTH:
            raise UsageError(f"the name {shown(name)} is more than {MAX_DEPTH} folders deep")
        return self.root.joinpath(*parts) if parts else None

    def count(self, name: str) -> None:
        """Count one more file or folder; raises UsageError if there are too many."""
        self.files += 1
        if self.files > self.room.files:
            raise UsageError(f"more than {self.room.files} files; the last was {shown(name)}")

    def fits(self, size: int) -> None:
        """Raise UsageError if so many bytes more would be too many."""
        if self.size + size > self.room.size:
            raise UsageError(f"more than {self.room.size >> 20} MiB of files")

    def write(self, path: Path, source: IO[bytes], mode: int) -> None:
        """Write a file; raises UsageError beyond the allowed size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():  # named twice: the last one counts
            path.unlink()
        size = 0
        with path.open("xb") as out:
            while chunk := source.read(CHUNK):
                self.fits(len(chunk))
                self.size += len(chunk)
                sparse.put(out, size, chunk)
                size += len(chunk)
            out.truncate(size)
        path.chmod(mode & 0o777 | 0o600)

    def finish_links(self) -> None:
        """Make the links, now that nothing is written any more; those that lead out not."""
        root = os.path.realpath(self.root)
        made = []
        for path, target in self.links:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target)
                made.append((path, target))
            except (OSError, ValueError):
                self.notes.append(f"the link {shown(path.name)} could not be made")
        for path, target in made:
            end = os.path.realpath(path)
            if os.path.isabs(target) or os.path.commonpath([root, end]) != root:
                path.unlink()
                self.notes.append(
                    f"the link {shown(str(path.relative_to(self.root)))} was left out: it leads "
                    f"to {shown(target)}"
                )


def shown(name: str) -> str:
    """Return a name as it can be printed, whatever bytes it has."""
    return repr(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def unpack(archive: Path, into: Path, room: Room = Room()) -> list[str]:
    """Unpack a tar or zip file into an empty folder; return what was left out.

    Raises UsageError for an archive that cannot be read, leads out or is too large.
    """
    target = Target(into, room)
    try:
        with _bounded_memory():
            _unpack(archive, target)
    except UsageError as error:
        raise UsageError(f"{archive}: {error}") from error
    except MemoryError as error:
        raise UsageError(f"{archive}: cannot be unpacked: it takes too much memory") from error
    except tarfile.ReadError as error:  # its words are a line for each way of packing
        words = "it is no tar archive, or a broken one"
        raise UsageError(f"{archive}: cannot be unpacked: {words}") from error
    except (
        OSError, EOFError, ValueError, RuntimeError, NotImplementedError, lzma.LZMAError,
        tarfile.TarError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise UsageError(f"{archive}: cannot be unpacked: {error}") from error
    target.finish_links()
    return target.notes


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Have what takes too much memory end in MemoryError: a header may be gigabytes long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MAX_MEMORY
    if soft != resource.RLIM_INFINITY:
        most = min(most, soft)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _unpack(archive: Path, target: Target) -> None:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            _unzip(packed, target)
    else:
        with tarfile.open(archive, "r:*") as packed_tar:
            _untar(packed_tar, target)


def _untar(packed: tarfile.TarFile, target: Target) -> None:
    for member in packed:
        # What is skipped is unpacked, too: the member says where the next one begins.
        if packed.offset > 2 * target.room.size + (1 << 20):
            raise UsageError(f"more than {target.room.size >> 20} MiB of files")
        path = target.place(member.name)
        if path is None:
            continue
        target.count(member.name)
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            source = packed.extractfile(member)
            assert source is not None
            target.write(path, source, member.mode)
        elif member.issym():
            target.links.append((path, member.linkname))
        elif member.islnk():
            other = target.place(member.linkname)
            if other is None or other.is_symlink() or not other.is_file():
                target.notes.append(f"{shown(member.name)} is a hard link to nothing")
                continue
            with other.open("rb") as source:
                target.write(path, source, member.mode)
        else:
            target.notes.append(f"{shown(member.name)} was left out: it is no ordinary file")


def _unzip(packed: zipfile.ZipFile, target: Target) -> None:
    for member in packed.infolist():
        path = target.place(member.filename.replace("\\", "/"))
        if path is None:
            continue
        target.count(member.filename)
        mode = member.external_attr >> 16
        if member.is_dir():
            path.mkdir(parents=True, exist_ok=True)
        elif stat.S_ISLNK(mode):
            if member.file_size > 4096:
                raise UsageError(f"the link {shown(member.filename)} is too long")
            target.links.append((path, packed.read(member).decode("utf-8", "surrogateescape")))
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            target.notes.append(f"{shown(member.filename)} was left out: it is no ordinary file")
        else:
            with packed.open(member) as source:
                target.write(path, source, mode or 0o644)


def copy_folder(source: Path, into: Path, room: Room = Room()) -> list[str]:
    """Copy a folder into an empty one; return what was left out.

    Follows no links. Raises UsageError for what cannot be read or is too large.
    """
    target = Target(into, room)
    try:
        for path, entry in _walk(source, into, 0):
            target.count(entry.path)
            if entry.is_symlink():
                target.links.append((path, os.readlink(entry.path)))
            elif entry.is_dir():
                path.mkdir()
            elif entry.is_file():
                found = entry.stat(follow_symlinks=False)
                target.fits(found.st_size)
                with open(entry.path, "rb", opener=_no_follow) as content:
                    target.write(path, content, found.st_mode)
            else:
                target.notes.append(f"{shown(entry.name)} was left out: it is no ordinary file")
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    except OSError as error:
        raise UsageError(f"{source}: cannot be copied: {error}") from error
    target.finish_links()
    return target.notes


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _walk(source: Path, into: Path, depth: int) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    if depth > MAX_DEPTH:
        raise UsageError(f"more than {MAX_DEPTH} folders deep")
    with os.scandir(source) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name in LEFT_OUT:
            continue
        yield into / entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), into / entry.name, depth + 1)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, whatever its modes are."""

    def again(function: object, path: str, _: object) -> None:
        try:
            os.chmod(os.path.dirname(path), 0o700)
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
        except OSError:
            pass

    shutil.rmtree(folder, onerror=again)
