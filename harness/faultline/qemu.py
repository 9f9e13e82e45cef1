"""What machine to build, and the QEMU command that builds it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from .console import OUTPUT_LIMIT
from .errors import HarnessError
from .sandbox import JOB, command

# 32 ns of guest time an instruction, whatever the host does; an idle guest's clock jumps to
# its next timer. A timer tick of 100 ms is then three million instructions, which QEMU runs
# in about 30 ms: sleeping costs nothing, and a busy guest is neither hurried nor slowed.
ICOUNT = "shift=5,sleep=off"
DISK = "disk.img"  # in the folder of a contained QEMU
CONTROL_SOCKET = "qmp"  # in the machine's folder; a socket's path may be 107 bytes at most


@dataclass(frozen=True)
class Limits:
    """How long to wait for a guest."""

    boot: float = 60.0  # guest seconds without output until the first prompt
    silence: float = 120.0  # guest seconds without output after that
    output: int = OUTPUT_LIMIT  # characters until it says what is waited for
    wall: float = 900.0  # wall seconds for any one thing; beyond, the host is too slow


@dataclass(frozen=True)
class Config:
    """What machine to build."""

    kernel: Path
    disk: Path | None = None  # written to by the guest: give it a copy
    harts: int = 1
    icount: bool = True
    legacy_virtio: bool = False
    pmp: bool = True
    memory: int = 128  # MiB
    limits: Limits = field(default_factory=Limits)
    plugin: str = ""  # a TCG plugin and its arguments, as -plugin takes them
    contained: bool = False  # in a sandbox of its own: the guest is not trusted


def find_qemu() -> str:
    """Return QEMU's path: $FAULTLINE_QEMU, or what PATH has."""
    asked = os.environ.get("FAULTLINE_QEMU")
    found = shutil.which(asked or "qemu-system-riscv64")
    if found is None:
        raise HarnessError(
            f"no QEMU: {asked or 'qemu-system-riscv64'} not found; `faultline doctor` "
            "tells what to install"
        )
    return found


def contained_command(config: Config, folder: Path) -> list[str]:
    """Return the command that runs such a QEMU in bubblewrap.

    It has no network, sees only the system's programs, its kernel and its plugin, and can
    write to its own folder only; so a link to its disk is made there.
    """
    readable = {"/faultline/kernel": config.kernel}
    inside = replace(config, kernel=Path("/faultline/kernel"))
    if config.disk:
        os.link(config.disk, folder / DISK)
        inside = replace(inside, disk=Path(JOB) / DISK)
    for name in (find_qemu(), config.plugin.split(",")[0]):
        if name and not name.startswith("/usr/"):
            readable[name] = Path(name)
    return [*command(folder, readable), *command_line(inside, Path(JOB))]


def command_line(config: Config, folder: Path) -> list[str]:
    """Return the QEMU command for `config`, its RAM and socket in `folder`."""
    size = f"{config.memory}M"
    cpu = "rv64" if config.pmp else "rv64,pmp=false"
    words = [
        find_qemu(),
        *("-machine", "virt,memory-backend=ram", "-cpu", cpu, "-smp", str(config.harts)),
        *("-m", size, "-object"),
        f"memory-backend-file,id=ram,size={size},mem-path={folder / 'ram'},share=on",
        *("-bios", "none", "-kernel", str(config.kernel.absolute()), "-nodefaults"),
        *("-display", "none", "-monitor", "none", "-serial", "stdio"),
        *("-qmp", f"unix:{CONTROL_SOCKET}", "-S", "-action", "reboot=shutdown,shutdown=pause"),
        *("-seed", "1", "-rtc", "base=2020-01-01,clock=vm"),
    ]
    if config.disk:
        words += ["-drive", f"file={config.disk.absolute()},if=none,format=raw,id=x0"]
        words += ["-device", "virtio-blk-device,drive=x0,bus=virtio-mmio-bus.0"]
    if not config.legacy_virtio:
        words += ["-global", "virtio-mmio.force-legacy=false"]
    if config.icount:
        words += ["-icount", ICOUNT]
    if config.plugin:
        words += ["-plugin", config.plugin]
    return words
