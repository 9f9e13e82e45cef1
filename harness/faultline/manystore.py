"""Results of trees that were graded before, kept under all that they depend on.

A key is a hash of the tree's content, of this harness, of the tools, and of what was asked
for: if any of it changes, the tree is graded again. An entry is a JSON file of its own, put in
place in one step, so that whoever is interrupted leaves whole entries only. An entry that
cannot be read is none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import tempfile
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .archive import LEFT_OUT, MAX_DEPTH, Room, shown
from .errors import UsageError
from .verdict import TargetResult

SCHEMA = 1  # of an entry
# What a verdict depends on besides the tree, the tools and what is asked for, of which the lab
# is a part: patterns below the project's root.
SOURCES = (
    "harness/faultline/**/*.py", "harness/cross/*", "harness/tlb/*.[ch]", "faults/*.[ch]",
    "user/*", "kernel/*.h", "Makefile", "kernel/*.mk", "harness/*/*.mk",
)  # fmt: skip
CHUNK = 1 << 20


class Store:
    """A folder with a file for each result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, id: str) -> TargetResult | None:
        """Return the result that was kept under a key, for a tree that is now called `id`."""
        try:
            found = decode(TargetResult, json.loads(self._path(key).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        assert isinstance(found, TargetResult)
        return dataclasses.replace(found, id=id)

    def put(self, key: str, result: TargetResult) -> None:
        """Keep a result. That it cannot be kept is no reason to stop."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as new:
                entry = Path(new) / "entry"
                entry.write_text(json.dumps(encode(result)), "utf-8")
                os.replace(entry, self._path(key))
        except OSError:
            return

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def encode(value: Any) -> Any:
    """Return a value of dataclasses, tuples and plain values as JSON has them."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: encode(getattr(value, field.name)) for field in fields}
    if isinstance(value, (tuple, list, frozenset)):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): encode(item) for name, item in value.items()}
    return value


def decode(wanted: Any, value: Any) -> Any:
    """Return what `encode` was given, which was of the type `wanted`.

    Raises ValueError, TypeError or KeyError if it was not.
    """
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        names = {field.name for field in dataclasses.fields(wanted)}
        if not isinstance(value, dict) or set(value) != names:
            raise ValueError(f"expected the members of {wanted.__name__}")
        hints = typing.get_type_hints(wanted)
        return wanted(**{name: decode(hints[name], item) for name, item in value.items()})
    if origin in (typing.Union, types.UnionType):
        return _decode_one_of(parts, value)
    if origin is tuple and isinstance(value, list):
        kinds = [parts[0]] * len(value) if parts[1:] == (...,) else list(parts)
        if len(kinds) != len(value):
            raise ValueError(f"expected {len(kinds)} items")
        return tuple(decode(kind, item) for kind, item in zip(kinds, value))
    if origin in (list, frozenset) and isinstance(value, list):
        return origin(decode(parts[0], item) for item in value)
    if origin is dict and isinstance(value, dict):
        return {name: decode(parts[1], item) for name, item in value.items()}
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is Any or wanted is not None and type(value) is wanted:
        return value
    if wanted in (None, type(None)) and value is None:
        return None
    raise ValueError(f"expected {wanted}, found {type(value).__name__}")


def _decode_one_of(kinds: Iterable[Any], value: Any) -> Any:
    for kind in kinds:
        try:
            return decode(kind, value)
        except (ValueError, TypeError, KeyError):
            continue
    raise ValueError(f"expected another type than {type(value).__name__}")


# Keys ---------------------------------------------------------------------------------------


def key_of(*parts: str) -> str:
    """Return a key that depends on each of these texts."""
    digest = hashlib.sha256(str(SCHEMA).encode())
    for part in parts:
        content = part.encode("utf-8", "surrogateescape")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def harness_hash(root: Path) -> str:
    """Return a hash of this harness's own sources."""
    digest = hashlib.sha256()
    for path in sources(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def sources(root: Path) -> list[Path]:
    """Return the files of this harness that a tree's result depends on."""
    found = {path for pattern in SOURCES for path in root.glob(pattern) if path.is_file()}
    return sorted(path for path in found if "__pycache__" not in path.parts)


def content_hash(path: Path, room: Room = Room()) -> str:
    """Return a hash of a file, or of a folder's files, links and modes, without history.

    Follows no links below `path`. Raises UsageError for what cannot be read or is too much.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            _add_file(digest, os.fspath(path), follow=True)
            return digest.hexdigest()
        size = 0
        for number, (name, entry) in enumerate(_below(path, "")):
            found = entry.stat(follow_symlinks=False)
            if number >= room.files:
                raise UsageError(f"{path}: more than {room.files} files")
            digest.update(os.fsencode(name) + b"\0%o\0" % found.st_mode)
            if stat.S_ISLNK(found.st_mode):
                digest.update(os.fsencode(os.readlink(entry.path)) + b"\0")
            elif stat.S_ISREG(found.st_mode):
                size += found.st_size
                if size > room.size:
                    raise UsageError(f"{path}: more than {room.size >> 20} MiB of files")
                _add_file(digest, entry.path)
    except OSError as error:
        name = shown(str(error.filename or path))
        raise UsageError(f"{path}: cannot be read: {name}: {error.strerror}") from error
    return digest.hexdigest()


def _add_file(digest: Any, path: str, *, follow: bool = False) -> None:
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as source:
        own = hashlib.sha256()
        while chunk := source.read(CHUNK):
            own.update(chunk)
    digest.update(own.digest())


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        if entry.name in LEFT_OUT:
            continue
        yield prefix + entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            if prefix.count("/") >= MAX_DEPTH:
                raise UsageError(f"more than {MAX_DEPTH} folders deep")
            yield from _below(Path(entry.path), f"{prefix}{entry.name}/")
