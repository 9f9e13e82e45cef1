"""Making a target's kernel and file system image. Knows make, and nothing of QEMU."""

from __future__ import annotations

import fcntl
import functools
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import lifeline
from .board import Board
from .catalogue import Fault
from .elf import ElfImage
from .errors import HarnessError

KPTS = ("share", "copy")
BUILD_SECONDS = 900
TAIL_LINES = 30


class BuildFailed(HarnessError):
    """make failed; carries the end of what it printed."""


@dataclass(frozen=True)
class Build:
    """A built target."""

    kernel: Path  # with the shim
    disk: Path  # to be copied, not written to
    programs: Path  # the user programs' ELFs, each NAME.elf
    kpt: str = ""  # how it makes kernel page tables, one of KPTS; empty if not known
    board: Board = Board()  # the machine it was made for
    notes: tuple[str, ...] = ()  # what had to be done to build it, in words
    probe_missing: str = ""  # why the probe is not in its file system
    tree: bool = False  # somebody else's, of which nothing can be taken for granted

    @functools.cached_property
    def elf(self) -> ElfImage:
        """The kernel's ELF."""
        return ElfImage(self.kernel)

    def program(self, name: str) -> ElfImage | None:
        """Return a user program's ELF with debug information, or None."""
        path = self.programs / f"{name}.elf"
        return ElfImage(path) if path.exists() else None


def build_clean(root: Path, kpt: str) -> Build:
    """Build the reference kernel in build/KPT and the file system; raises BuildFailed.

    Also builds what variants link besides the clean kernel's objects.
    """
    out = f"build/{kpt}"
    _make(root, ["kernel", f"{out}/faults/inject.o", f"O={out}", f"KPT={kpt}"])
    _make(root, ["fs", "O=build/share"])
    return _built(root, out, kpt)


def build_variant(root: Path, kpt: str, fault: Fault) -> Build:
    """Build the reference kernel with one fault; raises BuildFailed.

    The clean kernel's objects are used where the fault has no hook. They must have been
    built and are left as they are, so that variants can be built at the same time.
    """
    out, base = variant_folder(kpt, fault), root / "build" / kpt
    words = ["kernel", f"O={out}", f"KPT={kpt}", f"FAULT={fault.id}", f"BASE=build/{kpt}"]
    if fault.options:
        words.append(f"FAULT_DEFINES={fault.options}")
    objects = sorted(base.glob("*/*.o"))
    for path in objects:
        words += ["-o", str(path.relative_to(root))]
    drop_stale(root / out, objects)
    _make(root, words, alone=False)
    return _built(root, out, kpt)


def drop_stale(folder: Path, objects: Sequence[Path]) -> None:
    """Remove a variant's kernels that are older than one of the clean kernel's objects.

    make is told to take these as they are (-o), so it would not link anew on their account.
    """
    newest = max((path.stat().st_mtime_ns for path in objects), default=0)
    for kernel in folder.glob("kernel*.elf"):
        if kernel.stat().st_mtime_ns <= newest:
            kernel.unlink()


def build_apart(root: Path, kpt: str, fault: Fault) -> Build:
    """Build a variant and a file system with nothing shared; raises BuildFailed."""
    out = "build/apart"
    words = ["kernel", "fs", f"O={out}", f"KPT={kpt}", f"FAULT={fault.id}", f"BASE={out}"]
    if fault.options:
        words.append(f"FAULT_DEFINES={fault.options}")
    _make(root, words)
    return Build(root / out / "kernel-shim.elf", root / out / "fs.img", root / out / "user", kpt)


def build_probe(root: Path) -> Path:
    """Build the program that is put into other trees' file systems; raises BuildFailed."""
    return build_program(root, "probe")


def build_program(root: Path, name: str) -> Path:
    """Build a user program; return its file as it goes into file systems, beside NAME.elf with
    debug information. Raises BuildFailed."""
    _make(root, [f"build/share/user/_{name}", "O=build/share"])
    return root / f"build/share/user/_{name}"


def build_plugin(root: Path) -> Path:
    """Build the TLB checker's QEMU plugin with the host's compiler; raises BuildFailed."""
    _make(root, ["tlb-plugin"])
    return root / "build/tlb/faultline-tlb.so"


def variant_folder(kpt: str, fault: Fault) -> str:
    """Return where a variant is built, below the project's root."""
    return f"build/variants/{kpt}/{fault.id}"


def built(root: Path, kpt: str, fault: Fault | None) -> Build:
    """Return what has been built before."""
    return _built(root, variant_folder(kpt, fault) if fault else f"build/{kpt}", kpt)


def sources_changed(root: Path, since: int) -> list[Path]:
    """Return the kernel's sources that were changed after a time (ns since the epoch)."""
    sources = [path for name in ("kernel", "faults") for path in (root / name).glob("*.[chS]")]
    return sorted(path for path in sources if path.stat().st_mtime_ns > since)


def _built(root: Path, out: str, kpt: str) -> Build:
    shared = root / "build/share"
    return Build(root / out / "kernel-shim.elf", shared / "fs.img", shared / "user", kpt)


def _make(root: Path, words: list[str], *, alone: bool = True) -> None:
    """Run make; `alone` if it writes what others read: then nothing else is built."""
    folder = root / "build"
    try:
        folder.mkdir(exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            done = subprocess.run(
                ["make", "-s", "--no-print-directory", "-j2", *words],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=BUILD_SECONDS,
                preexec_fn=lifeline.child_setup(),
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"make {' '.join(words)}: {error}") from error
    if done.returncode != 0:
        output = done.stdout.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        raise BuildFailed(f"make {' '.join(words)} failed:\n" + "\n".join(output))
