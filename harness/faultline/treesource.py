"""Finding a tree where the user says it is, and getting a copy of it to work on."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import archive
from .errors import HarnessError, UsageError
from .sandbox import Bounds, Sandbox

MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
# What a RISC-V xv6 keeps in kernel/; whoever moves or renames one keeps the others.
KERNEL_FILES = ("main.c", "proc.c", "vm.c", "kalloc.c", "entry.S", "trap.c", "syscall.c")
FILES_NEEDED = 4  # of those
SEARCH_DEPTH = 4  # folders below the one given
NAMED = 6  # folders that a message names
GIT_SECONDS = 120.0
GIT_OUTPUT = 600 << 20  # bytes of a whole tree as a tar file
REFS_BYTES = 1 << 20  # that one file with references may have


@dataclass(frozen=True)
class Source:
    """Where a tree is to be had: a folder, an archive, or a git repository and a `ref`."""

    path: Path
    ref: str = ""
    name: str = ""  # if another has the same that follows from the path

    @property
    def id(self) -> str:
        """The name that reports use."""
        if self.name:
            return self.name
        name = self.path.resolve().name
        for end in (*archive.TAR_ENDS, ".zip", ".git"):
            name = name.removesuffix(end) or name
        return printable(f"{name}@{self.ref}" if self.ref else name)


def sources_of(paths: Sequence[str], ref: str = "") -> list[Source]:
    """Return the sources of these paths, each once and with a name of its own."""
    return named(Source(Path(path), ref) for path in paths)


def named(sources: Iterable[Source]) -> list[Source]:
    """Return sources, each once, those that would have the same name under their paths."""
    found = list(dict.fromkeys(sources))
    count = Counter(source.id for source in found)
    return [
        replace(source, name=printable(f"{source.path}{'@' * bool(source.ref)}{source.ref}"))
        if count[source.id] > 1
        else source
        for source in found
    ]


def printable(name: str) -> str:
    """Return a name, whatever bytes it has, as reports and terminals can stand it."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fetch(
    source: Source, into: Path, room: archive.Room = archive.Room()
) -> tuple[Path, list[str]]:
    """Copy a tree into an empty folder; return where in it the tree is, and what was left out.

    Raises UsageError if there is no xv6 tree, or none that can be copied.
    """
    path = source.path
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if source.ref:
        notes = _check_out(path, source.ref, into, room)
    elif path.is_dir():
        top = find_tree(path, str(path))  # first: what is beside the tree is not copied
        notes = archive.copy_folder(top, into, room)
        return into, notes
    elif archive.is_archive(path):
        notes = archive.unpack(path, into, room)
    else:
        raise UsageError(
            f"{path}: expected a folder, a git repository, or an archive whose name ends in "
            f"{', '.join(archive.TAR_ENDS)} or .zip"
        )
    return find_tree(into, f"{path}{' at ' + source.ref if source.ref else ''}"), notes


def find_tree(folder: Path, name: str) -> Path:
    """Return the xv6 tree in a folder, or below it; the uppermost if there are several.

    Raises UsageError if there is none, or more than one equally deep. `name` is what the
    message calls the folder.
    """
    level, seen = [folder], 0
    for _ in range(SEARCH_DEPTH + 1):
        trees = [path for path in level if is_tree(path)]
        if len(trees) == 1:
            return trees[0]
        if trees:
            names = ", ".join(archive.shown(str(path.relative_to(folder))) for path in trees)
            raise UsageError(f"{name}: there are {len(trees)} xv6 trees; name one of {names}")
        seen += len(level)
        level = [below for path in level for below in _folders(path)]
    raise UsageError(
        f"{name}: no xv6 tree for RISC-V. Looked, {SEARCH_DEPTH} folders deep, for a folder "
        f"with a Makefile and at least {FILES_NEEDED} of kernel/{', '.join(KERNEL_FILES)}; "
        f"found {_what_is_there(folder, seen)}"
    )


def is_tree(folder: Path) -> bool:
    """Tell whether a folder is the top of an xv6 tree for RISC-V."""
    return bool(makefile(folder)) and len(_kernel_files(folder)) >= FILES_NEEDED


def makefile(folder: Path) -> Path | None:
    """Return a folder's Makefile, or None."""
    return next((folder / name for name in MAKEFILES if (folder / name).is_file()), None)


def _kernel_files(folder: Path) -> list[str]:
    return [name for name in KERNEL_FILES if (folder / "kernel" / name).is_file()]


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(
            Path(entry.path)
            for entry in os.scandir(path)
            if entry.is_dir(follow_symlinks=False)
            and not entry.name.startswith(".")
            and entry.name != "__MACOSX"
        )
    except OSError:
        return []


def _what_is_there(folder: Path, seen: int) -> str:
    near = [folder, *_folders(folder)]
    part = next((path for path in near if _kernel_files(path)), None)
    if part is not None:
        have = ", ".join(_kernel_files(part))
        lacks = "" if makefile(part) else " and no Makefile"
        return f"only kernel/{have}{lacks}"
    if any((path / "vm.c").is_file() and (path / "bootasm.S").is_file() for path in near):
        return "the x86 xv6, which has no kernel/ folder"
    if (folder / "objects").is_dir() and (folder / "HEAD").is_file():
        return "a bare git repository: say with --ref which branch or commit is meant"
    names = sorted(path.name for path in folder.iterdir())[:NAMED] if folder.is_dir() else []
    what = ", ".join(archive.shown(name) for name in names) or "nothing"
    return f"{what} (in {seen} folder{'s' if seen != 1 else ''})"


# Git --------------------------------------------------------------------------------------


def _check_out(path: Path, ref: str, into: Path, room: archive.Room) -> list[str]:
    """Unpack a commit of somebody's repository into an empty folder.

    The repository's settings, hooks and attributes are never read: a new repository gets
    its references, and looks for objects in its object store.
    """
    if not re.fullmatch(r"[\w./@^~+-]{1,200}", ref) or ref.startswith("-"):
        raise UsageError(f"--ref {ref!r}: expected the name of a branch, a tag or a commit")
    if shutil.which("git") is None:
        raise HarnessError("--ref needs git; install it with `apt-get install git`")
    repository = _git_folder(path)
    store = repository / "objects"
    if not store.is_dir():
        raise UsageError(f"{path}: {repository} is no git repository: it has no objects/")
    if (repository / "reftable").exists():
        raise UsageError(f"{path}: git repositories with reftables cannot be read")
    work = into.with_name(into.name + "-git")
    work.mkdir()
    try:
        _make_repository(repository, work / "repository.git")
        commit = _resolve(path, work, store, ref)
        tar = work / "tree.tar"
        done = _git(work, store, ["archive", "--format=tar", f"--output={tar.name}", commit])
        if done[0]:
            raise UsageError(f"{path}: git cannot unpack {ref}: {done[1]}")
        return archive.unpack(tar, into, room)
    finally:
        archive.remove(work)


def _git_folder(path: Path) -> Path:
    inside = path / ".git"
    if inside.is_file():  # of a work tree or a submodule: one line that says where
        words = inside.read_bytes()[:4096].decode("utf-8", "replace").strip()
        folder = path / words.removeprefix("gitdir:").strip()
        common = folder / "commondir"
        if common.is_file():
            folder = folder / common.read_bytes()[:4096].decode("utf-8", "replace").strip()
        return folder
    if inside.is_dir():
        return inside
    if (path / "HEAD").is_file():
        return path
    raise UsageError(f"{path}: --ref needs a git repository, and there is no .git and no HEAD")


def _make_repository(theirs: Path, ours: Path) -> None:
    """Make a bare repository with another's references and nothing else of it."""
    (ours / "objects/info").mkdir(parents=True)
    (ours / "objects/info/alternates").write_text("/objects\n")
    (ours / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
    (ours / "refs").mkdir()
    for name in ("HEAD", "packed-refs"):
        _copy_reference(theirs / name, ours / name)
    for place, _, files in os.walk(theirs / "refs"):
        below = ours / "refs" / os.path.relpath(place, theirs / "refs")
        below.mkdir(parents=True, exist_ok=True)
        for name in files:
            _copy_reference(Path(place) / name, below / name)


def _copy_reference(source: Path, into: Path) -> None:
    if source.is_file() and not source.is_symlink() and source.stat().st_size <= REFS_BYTES:
        into.write_bytes(source.read_bytes())


def _resolve(path: Path, work: Path, store: Path, ref: str) -> str:
    for name in (ref, f"origin/{ref}"):
        words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        status, said = _git(work, store, words)
        if status == 0 and re.fullmatch(r"[0-9a-f]{40,64}", said):
            return said
    _, said = _git(work, store, ["for-each-ref", "--format=%(refname:short)"])
    there = ", ".join(said.split()) or "none at all"
    raise UsageError(f"{path}: there is no branch, tag or commit {ref!r}; there is {there}")


def _git(work: Path, store: Path, words: list[str]) -> tuple[int, str]:
    """Run git on our repository; return its status and what it said."""
    sandbox = Sandbox(
        work,
        {"/objects": store},
        {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_DIR": "repository.git"},
        Bounds(seconds=GIT_SECONDS, file_size=GIT_OUTPUT, room=GIT_OUTPUT),
    )
    done = sandbox.run(["git", *words])
    return done.status if not done.stopped else -1, done.stopped or done.text.strip()
