"""Files whose zeros take no room: a file system image is copied for every machine, into memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO

CHUNK = 1 << 16  # bytes that become a hole if all of them are zero


def write(path: Path, content: bytes | bytearray) -> None:
    """Make a file of these bytes."""
    with path.open("wb") as out:
        for at in range(0, len(content), CHUNK):
            put(out, at, content[at : at + CHUNK])
        out.truncate(len(content))


def copy(source: IO[bytes], path: Path) -> None:
    """Make a file of what an ordinary file holds; of its holes nothing is read."""
    size = os.fstat(source.fileno()).st_size
    with path.open("wb") as out:
        at = 0
        while (at := _data_from(source, at, size)) < size:
            chunk = os.pread(source.fileno(), CHUNK, at)
            put(out, at, chunk)
            at += max(len(chunk), 1)
        out.truncate(size)


def _data_from(source: IO[bytes], at: int, size: int) -> int:
    """Return where a file's next data begin: its size if only a hole follows."""
    try:
        return os.lseek(source.fileno(), at, os.SEEK_DATA) if at < size else size
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def put(out: IO[bytes], at: int, chunk: bytes | bytearray) -> None:
    """Write bytes at a place of a new file, unless all of them are zero. At the end the file must
    be given its size."""
    if chunk != bytes(len(chunk)):
        out.seek(at)
        out.write(chunk)
