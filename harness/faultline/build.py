"""Making a target's kernel and file system image. Knows make, and nothing of QEMU."""

from __future__ import annotations

import fcntl
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import lifeline
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

    @functools.cached_property
    def elf(self) -> ElfImage:
        """The kernel's ELF."""
        return ElfImage(self.kernel)

    def program(self, name: str) -> ElfImage | None:
        """Return a user program's ELF with debug information, or None."""
        path = self.programs / f"{name}.elf"
        return ElfImage(path) if path.exists() else None


def build_clean(root: Path, kpt: str) -> Build:
    """Build the reference kernel in build/KPT and the file system; raises BuildFailed."""
    _make(root, ["kernel", f"O=build/{kpt}", f"KPT={kpt}"])
    _make(root, ["fs", "O=build/share"])
    return _build(root, f"build/{kpt}")


def build_variant(root: Path, kpt: str, fault: Fault) -> Build:
    """Build the reference kernel with one fault; raises BuildFailed.

    The clean kernel's objects are used where the fault has no hook.
    """
    out = f"build/variants/{kpt}/{fault.id}"
    words = ["kernel", f"O={out}", f"KPT={kpt}", f"FAULT={fault.id}", f"BASE=build/{kpt}"]
    if fault.options:
        words.append(f"FAULT_DEFINES={fault.options}")
    _make(root, words)
    return _build(root, out)


def _build(root: Path, out: str) -> Build:
    shared = root / "build/share"
    return Build(root / out / "kernel-shim.elf", shared / "fs.img", shared / "user")


def _make(root: Path, words: list[str]) -> None:
    """Run make, one at a time: variants share objects."""
    folder = root / "build"
    try:
        folder.mkdir(exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
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
