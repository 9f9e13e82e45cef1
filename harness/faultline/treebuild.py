"""Building a stranger's tree, untouched, in the sandbox, with the shim in its kernel."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from . import sparse
from .archive import shown
from .board import board_of, qemu_words
from .build import Build
from .elf import ElfImage
from .elfcheck import outside, problem
from .errors import HarnessError
from .finding import Finding, Rule, Where
from .sandbox import JOB, Bounds, Ended, Sandbox, size_words
from .treesource import makefile

CROSS = ("riscv64-unknown-elf-", "riscv64-linux-gnu-")
# Every prefix that xv6's Makefiles try, for those that do not ask TOOLPREFIX.
CALLED = (*CROSS, "riscv64-unknown-linux-gnu-", "riscv64-elf-")
TOOLS = ("gcc", "cc", "ld", "as", "gas", "ar", "nm", "objcopy", "objdump", "ranlib", "readelf",
         "size", "strip", "cpp", "addr2line", "strings")  # fmt: skip
TOOLS_PLACE = "/faultline/bin"
SOURCES = Path(__file__).resolve().parents[2]  # of the shim and the wrapper
SHIM_ABIS = {"lp64d": "rv64imafdc_zicsr_zifencei", "lp64": "rv64imac_zicsr_zifencei"}
SHIM_FLAGS = (
    "-mcmodel=medany", "-mno-relax", "-O1", "-g", "-std=gnu11", "-ffreestanding", "-fno-common",
    "-nostdlib", "-fno-pie", "-fno-omit-frame-pointer", "-fno-stack-protector",
)  # fmt: skip
# For the tree's own sources; those after the first are errors since gcc 14.
WANTED_FLAGS = (
    "-Wno-error", "-Wno-error=implicit-function-declaration", "-Wno-error=implicit-int",
    "-Wno-error=int-conversion", "-Wno-error=incompatible-pointer-types",
    "-g", "-gdwarf-5", "-fno-omit-frame-pointer",
)  # fmt: skip
# For the kernel's files, so that walk() has no loop: each round costs what a piece of code costs.
KERNEL_FLAGS = ("-fpeel-loops",)
# For the file with memset(), memmove() and others that go byte by byte. Of 32 copies forktest
# takes a quarter less time than of the usual eight.
STRING_FLAGS = ("-funroll-loops", "--param=max-unroll-times=32", "--param=max-unrolled-insns=400")
# For the file with acquire() and release(), so that they call nobody. What is wrong in C, and
# works with the tree's own options, must go on working.
SPINLOCK_FLAGS = (
    "-O2", "-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-fwrapv",
    "-finline-functions", "--param=max-inline-insns-auto=400",
    "--param=early-inlining-insns=400", "-fno-partial-inlining", "-fno-shrink-wrap",
)  # fmt: skip

# What a build leaves behind. An object without a source is kept: some labs hand those out.
STALE = (
    "*/*.o", "*/*.d", "*/*.asm", "*/*.sym", "kernel/kernel", "kernel/kernel.elf", "user/_*",
    "user/initcode", "user/initcode.out", "mkfs/mkfs", "*.img",
)  # fmt: skip
SOURCE_ENDS = (".c", ".S", ".s", ".pl")
LINE_ENDS = ("*akefile", "*.mk", "*.pl", "*.ld", "*.sh", "*.S", "*.py")  # what \r breaks
KERNEL = "kernel/kernel"
KERNEL_AT_MOST, DISK_AT_MOST = 64 << 20, 256 << 20  # bytes
EVIDENCE_LINES = 12
ASK_SECONDS = 60.0  # for make to say what it would do

DOES_NOT_BUILD = Rule(
    "does-not-build",
    "error",
    "The tree cannot be compiled, so nothing else can be looked at. It is built as its own "
    "Makefile says, on a copy from which all that earlier builds left was removed, with a "
    "current compiler whose warnings are no errors. What is wrong is therefore in the tree: "
    "a file that was never committed, a declaration that is missing, a Makefile for another "
    "machine. The first error is shown; those after it often follow from it.",
    "Clone your own repository into an empty folder and run `make` there.",
)
RULES = (DOES_NOT_BUILD,)

_PLACE = r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+)"
_COMPILER = re.compile(_PLACE + r"(?::\d+)?: (?:fatal )?error: (?P<words>.+)$", re.M)
_ASSEMBLER = re.compile(_PLACE + r": Error: (?P<words>.+)$", re.M)
_LINKER = re.compile(
    r"^(?:[^\s:]*ld: )?(?:[^\s:]+: in function `(?P<function>\w+)':\n)?"
    r"(?:[^\s:]*ld: )?(?P<file>[^\s:]+):(?:(?P<line>\d+)|\([^)]*\)): "
    r"(?P<words>(?:undefined reference|multiple definition|first defined).+)$",
    re.M,
)
_NO_RULE = re.compile(
    r"No rule to make target ['`](?P<file>[^']+)'(?:, needed by ['`](?P<by>[^']+)')?"
)
_MAKE = re.compile(
    r"^(?P<file>[^\s:]*[Mm]akefile|[^\s:]+\.mk):(?P<line>\d+): \*\*\* (?P<words>.+?)\.? +Stop\.",
    re.M,
)
_LIBRARY = re.compile(
    r" (?:assert|ctype|errno|math|signal|stdio|stdlib|string|time|unistd)\.h: No such file"
)
LIBRARY_HINT = (
    "That is a header of the C library, which a kernel does not have: leave the #include out. "
    "Some toolchains have it all the same."
)
_QUOTED = re.compile(r"^(?:[ \t]| *\d+ \|).*$", re.M)  # source lines that a compiler shows
# How a program, or make for it, says that it met a limit of the sandbox.
_FILE_LIMIT = re.compile(r"File size limit exceeded|: File too large$", re.M)
_TIME_LIMIT = re.compile(r"CPU time limit exceeded")
_MEMORY_LIMIT = re.compile(r"(?i)cannot allocate memory|out of memory|memory exhausted")
_PROCESS_LIMIT = re.compile(r"fork: (?:retry: )?Resource temporarily unavailable")
_MKFS = re.compile(r"^(?P<words>(?:mkfs: .*|.*Assertion .* failed.*|mkfs/mkfs: .*))$", re.M)


class DoesNotBuild(Exception):
    """The tree cannot be built; carries what is to be said of it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True)
class Tools:
    """The wrapper under all its names, its settings, and the shim: a folder of their own."""

    folder: Path
    cross: str  # the real toolchain's prefix


def make_tools(folder: Path, *, plain: bool = False) -> Tools:
    """Fill an empty folder with the tools that trees are built with.

    With `plain` a kernel becomes what its own Makefile makes of it: no shim, and its own options.

    Raises HarnessError if there is no cross compiler, or the shim cannot be compiled.
    """
    cross = next((prefix for prefix in CROSS if shutil.which(f"{prefix}gcc")), "")
    if not cross:
        raise HarnessError("no RISC-V compiler; `faultline doctor` tells what to install")
    compiler = shutil.which(f"{cross}gcc")
    assert compiler is not None
    real = os.path.join(os.path.dirname(os.path.realpath(compiler)), cross)
    flags: dict[str, tuple[str, ...]] = {"GCC": WANTED_FLAGS}
    if not plain:
        flags |= {"KERNEL": KERNEL_FLAGS, "STRING": STRING_FLAGS, "SPINLOCK": SPINLOCK_FLAGS}
    settings = f"CROSS='{real}'\n"
    for name in ("GCC", "KERNEL", "STRING", "SPINLOCK"):
        settings += f"{name}='{' '.join(_known(compiler, flags.get(name, ())))}'\n"
    (folder / "settings").write_text(settings)
    wrapper = folder / "cross.sh"
    for name in (wrapper.name, "inside.h", "fill.h", "walk.h", "inside.py"):
        shutil.copyfile(SOURCES / "harness/cross" / name, folder / name)
    wrapper.chmod(0o755)
    for name in ("gcc", "cc", "inside-as", *(prefix + tool for prefix in CALLED for tool in TOOLS)):
        (folder / name).symlink_to(wrapper.name)
    for abi, arch in () if plain else SHIM_ABIS.items():
        words = [compiler, f"-march={arch}", f"-mabi={abi}", *SHIM_FLAGS, "-I.", "-c"]
        words += ["-o", str(folder / f"shim-{abi}.o"), "faults/shim.c"]
        done = subprocess.run(words, cwd=SOURCES, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HarnessError(f"the shim cannot be compiled:\n{done.stderr[-2000:]}")
    folder.chmod(0o755)
    return Tools(folder, cross)


def _known(compiler: str, flags: tuple[str, ...]) -> list[str]:
    """Return those options that a compiler knows."""
    if _knows(compiler, *flags):
        return list(flags)
    return [flag for flag in flags if _knows(compiler, flag)]


def _knows(compiler: str, *flags: str) -> bool:
    words = [compiler, "-Werror", *flags, "-fsyntax-only", "-x", "c", os.devnull]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def build_tree(
    tree: Path, job: Path, out: Path, tools: Tools, bounds: Bounds = Bounds()
) -> Build:
    """Build the tree that lies in the folder `job`; put what is needed of it into `out`.

    Raises DoesNotBuild, or SandboxUnusable. Build.notes says what had to be done to it.
    """
    notes = [*clean(tree), *convert_line_ends(tree)]
    below = tree.relative_to(job)
    sandbox = Sandbox(
        job,
        {TOOLS_PLACE: tools.folder, **_toolchain_place(tools)},
        {"PATH": f"{TOOLS_PLACE}:/usr/bin:/bin"},
        bounds,
    )
    done = _make(sandbox, below, tools, ["-j2", KERNEL, "fs.img"])
    if done.stopped:
        raise DoesNotBuild(failure(done, KERNEL, str(below), tree, bounds))
    if done.status:  # once more, one thing after the other: then the first error comes first
        clean(tree)  # what a failing command has written would count as made
        for goal in (KERNEL, "fs.img"):
            done = _make(sandbox, below, tools, [goal])
            if done.status:
                raise DoesNotBuild(failure(done, goal, str(below), tree, bounds))
    kernel = _take(tree, KERNEL, out / "kernel", KERNEL_AT_MOST)
    elf = _riscv_elf(kernel)  # from here on it can be read
    asking = replace(sandbox, bounds=replace(bounds, seconds=min(bounds.seconds, ASK_SECONDS)))
    words = qemu_words(_make(asking, below, tools, ["-n", "qemu"]).text)
    board = board_of(elf, words)
    if why := outside(elf, board.memory):
        raise DoesNotBuild(_unusable(KERNEL, why))
    disk = _take(tree, board.disk, out / "fs.img", DISK_AT_MOST)
    programs = out / "user"
    programs.mkdir()
    for path in sorted((tree / "user").glob("_*")):
        name = re.sub(r"[^\w.-]", "?", path.name[1:])
        _take(tree, f"user/{path.name}", programs / f"{name}.elf", KERNEL_AT_MOST)
    if not words:
        notes.append("its Makefile has no QEMU command: a machine of the usual kind was taken")
    return Build(kernel, disk, programs, board=board, notes=tuple(notes), tree=True)


def _toolchain_place(tools: Tools) -> dict[str, Path]:
    """Return what must be seen besides the system for the real compiler to be found."""
    found = shutil.which(f"{tools.cross}gcc")
    place = Path(os.path.realpath(found or "")).parent.parent
    return {} if place.is_relative_to("/usr") else {str(place): place}


def _make(sandbox: Sandbox, below: Path, tools: Tools, words: list[str]) -> Ended:
    return sandbox.run(["make", "-C", f"{JOB}/{below}", f"TOOLPREFIX={tools.cross}", *words])


def clean(tree: Path) -> list[str]:
    """Remove what earlier builds left in a tree; return in words what that was."""
    removed = []
    for pattern in STALE:
        for path in sorted(tree.glob(pattern)):
            made = path.suffix != ".o" or any(
                path.with_suffix(end).exists() for end in SOURCE_ENDS
            )
            if made and (path.is_file() or path.is_symlink()):
                path.unlink()
                removed.append(str(path.relative_to(tree)))
    generated = tree / "user/usys.S"
    if generated.exists() and (tree / "user/usys.pl").exists():
        generated.unlink()
    if not removed:
        return []
    return [f"{len(removed)} files of an earlier build were removed, such as {shown(removed[0])}"]


def convert_line_ends(tree: Path) -> list[str]:
    """Take the carriage returns out of the files that tools stumble over because of them."""
    changed = []
    for place, _, files in os.walk(tree):
        for name in files:
            path = Path(place, name)
            if path.is_symlink() or not any(fnmatch.fnmatch(name, kind) for kind in LINE_ENDS):
                continue
            content = path.read_bytes()
            if b"\r\n" in content:
                path.write_bytes(content.replace(b"\r\n", b"\n"))
                changed.append(str(path.relative_to(tree)))
    if not changed:
        return []
    return [f"lines ended in CR LF in {', '.join(map(shown, sorted(changed)[:5]))}"]


def _take(tree: Path, name: str, into: Path, limit: int) -> Path:
    """Copy a file that the build made; it may be anything, and anywhere.

    Raises DoesNotBuild if it is no file of the tree's own.
    """
    top = os.path.realpath(tree)
    path = os.path.realpath(tree / name)
    try:
        if os.path.commonpath([top, path]) != top:
            raise OSError("it is a link that leads out of the tree")
        with open(path, "rb", opener=_opener) as source:
            found = os.fstat(source.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it is no ordinary file")
            if found.st_size > limit:
                raise OSError(
                    f"it has {size_words(found.st_size)}, the most is {size_words(limit)}"
                )
            sparse.copy(source, into)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DoesNotBuild(_unusable(name, words)) from error
    return into


def _unusable(name: str, why: str) -> Finding:
    return DOES_NOT_BUILD.finding(f"The build went through, but {name} cannot be used: {why}.")


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _riscv_elf(kernel: Path) -> ElfImage:
    head = kernel.read_bytes()[:20]
    if head[:6] != b"\x7fELF\x02\x01" or head[18:20] != b"\xf3\x00":
        raise DoesNotBuild(
            DOES_NOT_BUILD.finding(
                f"The build went through, but {KERNEL} is no program for 64-bit RISC-V."
            )
        )
    if why := problem(kernel):
        raise DoesNotBuild(_unusable(KERNEL, why))
    return ElfImage(kernel)


# What went wrong ----------------------------------------------------------------------------


def failure(
    done: Ended, goal: str, below: str, tree: Path, bounds: Bounds = Bounds()
) -> Finding:
    """Return what is to be said of a build that failed."""
    text = done.text.replace("\r", "")
    text = text.replace(f"{JOB}/{below}/".replace("/./", "/"), "")
    evidence = "\n".join(text.strip().splitlines()[-EVIDENCE_LINES:])
    if done.stopped:
        words = f"The build was stopped: {done.stopped}."
        return DOES_NOT_BUILD.finding(words, evidence=f"The last output:\n{evidence}")
    if met := limit_met(text, bounds):
        return DOES_NOT_BUILD.finding(
            f"`make {goal}` failed: {met}.", evidence=f"The last output:\n{evidence}"
        )
    for message, where, at in _problems(text, goal, tree):
        first = text.count("\n", 0, at)
        lines = text.splitlines()[first : first + EVIDENCE_LINES]
        hint = LIBRARY_HINT if _LIBRARY.search(message) else ""
        return DOES_NOT_BUILD.finding(
            message, where=where, evidence="\n".join(lines), hint=hint
        )
    return DOES_NOT_BUILD.finding(
        f"`make {goal}` failed, with exit status {done.status}.",
        evidence=f"The last output:\n{evidence}",
    )


def limit_met(text: str, bounds: Bounds) -> str:
    """Return in words which of the sandbox's limits a program complains of; mostly none."""
    text = _QUOTED.sub("", text)
    for pattern, words in (
        (_FILE_LIMIT, f"a file may have {size_words(bounds.file_size)} here, one became larger"),
        (_TIME_LIMIT, f"a program may compute for {bounds.seconds:g} s here, one took longer"),
        (_MEMORY_LIMIT, f"a program may use {size_words(bounds.memory)} of memory, one took more"),
        (_PROCESS_LIMIT, f"there may be {bounds.processes} processes here, there were more"),
    ):
        if pattern.search(text):
            return words
    return ""


def _problems(text: str, goal: str, tree: Path) -> Iterator[tuple[str, Where, int]]:
    """Yield message, place, and where in the output it is: what most likely is the cause first."""
    errors = [match for kind in (_COMPILER, _ASSEMBLER) for match in kind.finditer(text)]
    for match in sorted(errors, key=re.Match.start):
        where = Where(match["file"], int(match["line"]))
        yield f"{match['file']} does not compile: {match['words']}", where, match.start()
    for match in _LINKER.finditer(text):
        line = int(match["line"]) if match["line"] else None
        where = Where(match["file"], line, match["function"])
        yield f"`{goal}` cannot be linked: {match['words']}", where, match.start()
    for match in _NO_RULE.finditer(text):
        file, by = match["file"], match["by"]
        if goal == file:
            words = f"The Makefile does not say how to make {goal}."
        else:
            words = f"{file} is missing" + (f", which {by} needs." if by else ".")
        top = makefile(tree)
        yield words, Where(top.name if top else None), match.start()
    for match in _MAKE.finditer(text):
        where = Where(match["file"], int(match["line"]))
        yield f"make stops: {match['words']}", where, match.start()
    for match in _MKFS.finditer(text):
        words = f"The file system image cannot be made: {match['words']}"
        yield words, Where("mkfs/mkfs.c"), match.start()
