"""What a lab does with a tree's files before the tree is built.

The tree is a stranger's: a name in it may be a link, a folder, or not there.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from .errors import UsageError
from .treesource import find_tree

READ_AT_MOST = 1 << 20  # bytes of a file that is looked at


class Unreadable(Exception):
    """A file of the tree cannot be read; says why, in words that follow its name."""


def read_text(tree: Path, name: str) -> str:
    """Return a file's text; raises Unreadable."""
    top, path = os.path.realpath(tree), os.path.realpath(tree / name)
    try:
        if os.path.commonpath([top, path]) != top:
            raise Unreadable("leads out of the tree")
        with open(path, "rb", opener=_opener) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("is no ordinary file")
            return file.read(READ_AT_MOST).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unreadable("is missing") from error
    except (OSError, ValueError) as error:
        raise Unreadable("cannot be read") from error


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def pristine_tree(folder: Path, names: Sequence[str]) -> Path:
    """Return the handout in or below a folder; raises UsageError if it lacks one of the files."""
    tree = find_tree(folder, f"--pristine {folder}")
    for name in names:
        if not (tree / name).is_file():
            raise UsageError(
                f"--pristine {folder}: expected the course's handout, found no {name} in it"
            )
    return tree


def restore(tree: Path, handout: Path | None, names: Sequence[str]) -> str:
    """Put the files that may not be changed back as they were handed out.

    Returns in words what was done; without a handout nothing is.
    """
    if not names:
        return ""
    if handout is None:
        return (
            "not checked whether these were changed, for --pristine DIR did not name the course's "
            f"handout: {', '.join(names)}"
        )
    changed = []
    for name in names:
        content = (handout / name).read_bytes()
        if not _is_same(tree / name, content):
            changed.append(name)
            _replace(tree, name, content)
    if not changed:
        return "the files that may not be changed are as they were handed out"
    were = "were" if len(changed) > 1 else "was"
    return f"{', '.join(changed)} {were} changed; restored from the course's handout"


def _is_same(path: Path, content: bytes) -> bool:
    """Tell whether a file has that content, but for the kind of its line ends."""
    if path.is_symlink() or not path.is_file():
        return False
    found = path.read_bytes() if path.stat().st_size <= READ_AT_MOST else b""
    return found.replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n")


def _replace(tree: Path, name: str, content: bytes) -> None:
    """Write a file of the tree, whatever is in the way; a link is replaced, not followed."""
    place = tree
    for part in Path(name).parts[:-1]:
        place /= part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)
    path = tree / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()
    path.write_bytes(content)
