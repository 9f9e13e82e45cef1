"""What the harness needs, whether it is there, and what to type if it is not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

MODULES = {
    "elftools": "python3-pyelftools",
    "jinja2": "python3-jinja2",
    "junitparser": "python3-junitparser",
    "pexpect": "python3-pexpect",
    "rich": "python3-rich",
}
TOOLCHAINS = ("riscv64-unknown-elf-gcc", "riscv64-linux-gnu-gcc")


@dataclass(frozen=True)
class Need:
    """One thing that is needed, and how it was found."""

    name: str
    found: str  # what was found, or nothing
    package: str  # Debian's and Ubuntu's name for it
    required: bool = True


def needs() -> list[Need]:
    """Look at this machine."""
    found = [
        Need(
            f"python module {module}",
            "installed" if importlib.util.find_spec(module) else "",
            package,
        )
        for module, package in MODULES.items()
    ]
    compiler = next((tool for tool in TOOLCHAINS if shutil.which(tool)), "")
    qemu = os.environ.get("FAULTLINE_QEMU", "qemu-system-riscv64")
    return [
        Need("python >= 3.11", _python(), "python3"),
        *found,
        Need("QEMU for RISC-V", first_line(qemu, "--version"), "qemu-system-misc"),
        Need(
            "RISC-V compiler",
            first_line(compiler, "--version") if compiler else "",
            "gcc-riscv64-unknown-elf",
        ),
        Need("C compiler (for mkfs)", first_line("cc", "--version"), "gcc"),
        Need("make", first_line("make", "--version"), "make"),
        _plugin(),
        Need(
            "bubblewrap (for others' trees)",
            first_line("bwrap", "--version"),
            "bubblewrap",
            required=False,
        ),
        Need(
            "gdb (for `make qemu-gdb`)",
            first_line("gdb-multiarch", "--version"),
            "gdb-multiarch",
            required=False,
        ),
    ]


def _python() -> str:
    return sys.version.split()[0] if sys.version_info >= (3, 11) else ""


def _plugin() -> Need:
    """Look for the TLB checker's plugin.

    What asks for it needs modules that may be missing, so they are imported only here.
    """
    name = "the TLB checker's plugin"
    try:
        from .checks import Unchecked
        from .errors import HarnessError
        from .tlb import require_plugin, require_qemu
    except ModuleNotFoundError as error:
        return Need(name, "", MODULES.get(error.name or "", "python3"), required=False)
    try:
        require_qemu()
    except (Unchecked, HarnessError):
        # of Debian 13, or bookworm-backports on 12
        return Need(name, "", "qemu-system-riscv", required=False)
    try:
        require_plugin()
    except (Unchecked, HarnessError, OSError):
        return Need(name, "", "gcc", required=False)
    return Need(name, "builds, and QEMU loads it", "gcc", required=False)


def first_line(program: str, *words: str) -> str:
    """Return the first line that a program prints, or nothing if it does not run."""
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def missing(found: Iterable[Need]) -> list[Need]:
    """Return what is needed and not there."""
    return [need for need in found if need.required and not need.found]


def report(found: list[Need]) -> str:
    """Return the state of things as text, with the line to type."""
    lines = []
    for need in found:
        state = need.found or ("MISSING" if need.required else "not installed (optional)")
        lines.append(f"{need.name:<32} {state}")
    absent = dict.fromkeys(need.package for need in found if not need.found)
    if absent:
        lines += ["", "To install what is missing:", f"  apt-get install {' '.join(absent)}"]
    else:
        lines += ["", "Everything is there."]
    return "\n".join(lines)


def tools() -> dict[str, str]:
    """Return the versions of the tools that a result depends on."""
    compiler = next((tool for tool in TOOLCHAINS if shutil.which(tool)), "")
    return {
        "qemu": first_line(os.environ.get("FAULTLINE_QEMU", "qemu-system-riscv64"), "--version"),
        "gcc": first_line(compiler, "--version") if compiler else "",
        "ld": first_line(compiler.replace("gcc", "ld"), "--version") if compiler else "",
        "cc": first_line("cc", "--version"),  # of a tree's mkfs, and of the TLB checker
    }
