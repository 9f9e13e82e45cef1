"""The reference kernel, clean or with one fault, as an ordinary xv6-style tree.

What is written builds with plain make and knows nothing of this project: the hooks are resolved,
the fault's into the mistake itself; the kernel has no control block and the disk no probe. A
*style* says how the tree is laid out and spelled: trees of different years and authors. The
texts and styles are in harness/export/.
"""

from __future__ import annotations

import argparse
import os
import re
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import jinja2

from . import catalogue, hooks
from .build import KPTS
from .catalogue import Fault
from .errors import HarnessError, UsageError
from .exportstyle import Edit, Style, load_base, load_styles

ROOT = Path(__file__).resolve().parents[2]
DATA = "harness/export"
DEFAULT_STYLE = "2022"
SOURCES = ("kernel/*.[chS]", "kernel/kernel.ld", "user/*.[chS]", "user/user.ld")
AIDS = "kernel/dbg.c"  # where a fault's functions of faults/inject.c go
STALE = {
    # The beginning of a program of another system, and of an object with nothing in it.
    "mach-o": struct.pack("<8I", 0xFEEDFACF, 0x01000007, 3, 2, 0, 0, 0x85, 0).ljust(4096, b"\0"),
    "elf-object": struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 1, 243, 1, 0, 0, 0, 5, 64, 0, 0, 0, 0, 0
    ),
}

Texts = dict[str, str]  # by path in the tree


class ExportError(HarnessError):
    """A style does not fit the kernel's sources (any more); names the style and the file."""


@dataclass(frozen=True)
class File:
    """A file of an exported tree."""

    path: str
    content: bytes
    mode: int
    time: int  # of its last change, seconds since the epoch


def files(root: Path, fault: Fault | None, style: Style, kpt: str = KPTS[0]) -> list[File]:
    """Return an exported tree, ordered by path; the same for the same sources.

    Raises ExportError if the style's edits do not fit the sources.
    """
    base = load_base(root / DATA / "tree.toml")
    style = replace(
        style, edits=base.edits + style.edits, leave_out=base.leave_out + style.leave_out
    )
    tree = _sources(root, fault, style)
    for target, added in style.merge.items():
        tree[target] = _merged(tree, [target, *added], style)
    for old, new in style.move.items():
        tree[new] = _taken(tree, old, style)
    _rename(tree, style)
    tree["mkfs/mkfs.c"] = (root / "user/mkfs.c").read_text("utf-8")
    tree["LICENSE"] = (root / "LICENSE").read_text("utf-8")
    parts = _parts(tree, base.parts, base.library, style)
    tree |= _rendered(root / DATA, tree, parts, base.library, style, kpt)
    for edit in style.edits:
        tree[edit.file] = _edited(tree, edit, style)
    tree |= style.texts

    made = [_file(path, text, style) for path, text in tree.items()]
    later = style.time + 24 * 3600
    made += [File(path, STALE[kind], 0o644, later) for path, kind in style.stale.items()]
    if style.folder:
        made = [replace(one, path=f"{style.folder}/{one.path}") for one in made]
    made += [_file(path, text, style) for path, text in style.beside.items()]
    return sorted(made, key=lambda one: one.path)


def write(made: Sequence[File], out: Path) -> None:
    """Write an exported tree into a folder that does not exist yet or is empty.

    Raises UsageError if something is there, HarnessError if it cannot be written.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out}: expected a new or empty folder; remove what is there first")
        for one in made:
            path = out / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.content)
            path.chmod(one.mode)
            os.utime(path, (one.time, one.time))
    except OSError as error:
        raise HarnessError(f"cannot write {error.filename}: {error.strerror}") from error


def exported_name(style: Style, name: str) -> str:
    """Return what a function or field of the reference kernel is called in a style's trees."""
    return style.rename.get(name, name)


def exported_path(style: Style, path: str) -> str:
    """Return where, below a style's tree, what is in a source of the reference kernel has gone."""
    for target, parts in style.merge.items():
        if path in parts:
            path = target
    return style.move.get(path, path)


def _sources(root: Path, fault: Fault | None, style: Style) -> Texts:
    """The kernel's and the programs' sources, hooks resolved, without what is left out."""
    tree: Texts = {}
    for pattern in SOURCES:
        for source in root.glob(pattern):
            path = source.relative_to(root).as_posix()
            left_out = any(fnmatch(source.stem, name) for name in style.leave_out)
            if path.startswith("kernel/") or not left_out:
                tree[path] = source.read_text("utf-8")
    numbers = dict(fault.defines) if fault else {}
    for path, text in tree.items():
        if path.startswith("kernel/") and not path.endswith(".h"):
            text = hooks.resolve(text, fault.hook if fault else "")
            tree[path] = re.sub(r"\bFAULT_[A-Z]+\b", lambda m: numbers.get(m[0], "0"), text)
    _add_aids(tree, (root / "faults/inject.c").read_text("utf-8"))
    return tree


_FUNCTION = re.compile(
    r"^(?://.*\n)*(?P<type>(?:static )?[\w *]+)\n(?P<call>(?P<name>\w+)\(.*\))\n\{\n(?:.*\n)*?\}\n",
    re.MULTILINE,
)


def _add_aids(tree: Texts, inject: str) -> None:
    """Give the tree those functions of faults/inject.c that it calls, as its own."""
    functions = {match["name"]: match for match in _FUNCTION.finditer(inject)}
    public = [name for name in functions if name.startswith("fault_")]
    called = "".join(text for path, text in tree.items() if path.startswith("kernel/"))
    wanted = [name for name in public if re.search(rf"\b{name}\b", called)]
    if not wanted:
        return
    for name in wanted:  # grows: what they call in turn
        wanted += [
            other for other in functions
            if other not in wanted and re.search(rf"\b{other}\(", functions[name][0])
        ]  # fmt: skip
    includes = re.findall(r'^#include "\.\./kernel/(.+)"\n', inject, re.MULTILINE)
    tree[AIDS] = "// Aids for debugging.\n\n" + "".join(f'#include "{name}"\n' for name in includes)
    tree[AIDS] += "".join(f"\n{functions[name][0]}" for name in functions if name in wanted)
    tree["kernel/defs.h"] += "\n// dbg.c\n" + "".join(
        f"{functions[name]['type']} {functions[name]['call']};\n"
        for name in public if name in wanted
    )  # fmt: skip
    for path in tree:
        if path.startswith("kernel/"):
            tree[path] = re.sub(
                r"\bfault_(\w+)\b",
                lambda m: f"dbg_{m[1]}" if m[0] in public else m[0],
                tree[path],
            )


def _taken(tree: Texts, path: str, style: Style) -> str:
    """Take a file out of the tree."""
    if path not in tree:
        raise ExportError(f"style {style.name}: there is no {path} to merge, move or edit")
    return tree.pop(path)


_INCLUDE = re.compile(r"^#include .*\n", re.MULTILINE)


def _merged(tree: Texts, parts: Sequence[str], style: Style) -> str:
    """Several sources as one: their includes first, each once."""
    first, *others = [_taken(tree, path, style) for path in parts]
    includes = _INCLUDE.findall(first)
    end = [match.end() for match in _INCLUDE.finditer(first)][-1]
    more: list[str] = []
    for text in others:
        more += [line for line in _INCLUDE.findall(text) if line not in includes + more]
    bodies = [re.sub(r"\n{3,}", "\n\n", _INCLUDE.sub("", text)) for text in others]
    return first[:end] + "".join(more) + "\n".join([first[end:], *bodies])


def _rename(tree: Texts, style: Style) -> None:
    """Spell words of the kernel otherwise."""
    kernel = [path for path in tree if path.startswith("kernel/")]
    words = set(re.findall(r"\w+", "\n".join(tree[path] for path in kernel)))
    for old, new in style.rename.items():
        if old not in words:
            raise ExportError(f"style {style.name}: rename: the kernel has no {old}")
        if new in words:
            raise ExportError(f"style {style.name}: rename: the kernel already has a {new}")
    for path in kernel:
        tree[path] = re.sub(r"\w+", lambda word: exported_name(style, word[0]), tree[path])


def _parts(
    tree: Texts, known: Mapping[str, Sequence[str]], library: Sequence[str], style: Style
) -> dict[str, list[str]]:
    """The programs, each with the objects besides its own and the library's."""
    sources = {PurePosixPath(p).stem: t for p, t in tree.items() if re.match(r"user/.*\.[cS]$", p)}
    programs = [name for name, text in sources.items() if re.search(r"^main\(", text, re.M)]
    found: dict[str, list[str]] = {name: [] for name in sorted(programs)}
    for name in sorted(set(sources) - set(found) - set(library)):
        owners = [
            program for program, patterns in known.items()
            if any(fnmatch(name, pattern) for pattern in patterns)
        ]  # fmt: skip
        if len(owners) != 1 or owners[0] not in found:
            raise ExportError(
                f"style {style.name}: user/{name} is no program and part of none: name it in "
                f"{DATA}/tree.toml"
            )
        found[owners[0]].append(name)
    return found


def _rendered(
    data: Path,
    tree: Texts,
    parts: Mapping[str, Sequence[str]],
    library: Sequence[str],
    style: Style,
    kpt: str,
) -> Texts:
    """The files that are made from templates."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined, autoescape=False,
    )  # fmt: skip
    values = {
        "objects": sorted(PurePosixPath(path).stem for path in tree if _is_kernel_source(path)),
        "library": library,
        "programs": sorted(parts),
        "parts": [(program, objects) for program, objects in parts.items() if objects],
        "lab": style.lab,
        "segments": style.segments,
        "virtio": style.virtio,
        "kpt": kpt,
    }
    names = {"Makefile": "Makefile.in", "README": "README.in", style.grader: "grade.in"}
    return {
        name: environment.from_string((data / template).read_text("utf-8")).render(values)
        for name, template in names.items()
    }


def _is_kernel_source(path: str) -> bool:
    return re.match(r"kernel/.*\.[cS]$", path) is not None


def _edited(tree: Texts, edit: Edit, style: Style) -> str:
    if edit.file not in tree:
        raise ExportError(f"style {style.name}: there is no {edit.file} to edit")
    text, times = edit.pattern.subn(lambda _: edit.to, tree[edit.file])
    if times == 0 or (times > 1 and not edit.every):
        raise ExportError(
            f"style {style.name}: {edit.file}: {edit.pattern.pattern!r} matches {times} times, "
            f"expected {'at least once' if edit.every else 'once'}"
        )
    return text


def _file(path: str, text: str, style: Style) -> File:
    lines = text.replace("\n", style.newline).splitlines(keepends=True)
    content = b"".join(_encoded(line, style.encoding) for line in lines)
    mode = style.grader_mode if path == style.grader else 0o644
    return File(path, content, mode, style.time)


def _encoded(line: str, encoding: str) -> bytes:
    """A line in an encoding or, as in files that many have edited, in UTF-8 if it must be."""
    try:
        return line.encode(encoding)
    except UnicodeEncodeError:
        return line.encode("utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """The command behind `make export-tree`; returns its exit status."""
    styles = load_styles(ROOT / DATA / "styles")
    parser = argparse.ArgumentParser(
        prog="make export-tree",
        description="Write the reference kernel as a stand-alone xv6-style tree.",
        epilog="Styles: " + "; ".join(f"{one.name}: {one.summary}" for one in styles.values()),
    )
    parser.add_argument("--fault", default="", help="by its id; without: the clean kernel")
    parser.add_argument("--style", default=DEFAULT_STYLE)
    parser.add_argument("--kpt", choices=KPTS, default=KPTS[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    options = parser.parse_args(words)
    try:
        if options.style not in styles:
            raise UsageError(f"there is no style {options.style!r}; there are {', '.join(styles)}")
        fault = _chosen(options.fault) if options.fault else None
        write(files(ROOT, fault, styles[options.style], options.kpt), options.out)
    except UsageError as error:
        print(f"export-tree: {error}", file=sys.stderr)
        return 2
    except HarnessError as error:
        print(f"export-tree: {error}", file=sys.stderr)
        return 3
    what = fault.id if fault else "the clean kernel"
    print(f"{options.out}: {what}, style {options.style}")
    return 0


def _chosen(identity: str) -> Fault:
    faults = {one.id: one for one in catalogue.load(ROOT / "faults/catalogue", ROOT / "kernel")}
    if identity not in faults:
        raise UsageError(
            f"there is no fault {identity!r}; `faultline list faults` shows which there are"
        )
    return faults[identity]


if __name__ == "__main__":
    sys.exit(main())
