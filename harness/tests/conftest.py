"""What several tests need: compilers, synthetic RAM, tiny guests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from image_world import image, made  # noqa: F401  (fixtures)

from faultline.ram import PAGE, RAM_BASE, Ram

ROOT = Path(__file__).resolve().parents[2]
TOOLCHAINS = ("riscv64-unknown-elf-gcc", "riscv64-linux-gnu-gcc")
FLAGS = (
    "-march=rv64imac_zicsr_zifencei", "-mabi=lp64", "-mcmodel=medany", "-mno-relax", "-ffreestanding",
    "-nostdlib", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector", "-g", "-O1",
    "-fno-omit-frame-pointer", "-Wl,--build-id=none", "-Wl,-Ttext=0x80000000",
)  # fmt: skip

Compile = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def compile_guest(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Return a function that compiles a source text into an ELF at the start of RAM.

    Its arguments are the source and the file's suffix, c or S.
    """
    compiler = next((tool for tool in TOOLCHAINS if shutil.which(tool)), None)
    assert compiler, f"none of {', '.join(TOOLCHAINS)} is installed; run ci/setup"
    folder = tmp_path_factory.mktemp("guests")
    made: dict[str, Path] = {}

    def build(source: str, suffix: str) -> Path:
        if source not in made:
            path = folder / f"guest{len(made)}.{suffix}"
            path.write_text(source)
            elf = path.with_suffix(".elf")
            subprocess.run(
                [str(compiler), *FLAGS, f"-I{ROOT}", "-o", elf.name, path.name],
                cwd=folder,
                check=True,
            )
            made[source] = elf
        return made[source]

    return build


class FakeRam:
    """RAM to be filled by a test."""

    def __init__(self, path: Path, pages: int) -> None:
        self.path = path
        self.memory = bytearray(pages * PAGE)

    def put(self, address: int, value: int, size: int = 8) -> None:
        start = address - RAM_BASE
        value &= (1 << 8 * size) - 1
        self.memory[start : start + size] = value.to_bytes(size, "little")

    def write(self, address: int, content: bytes) -> None:
        start = address - RAM_BASE
        self.memory[start : start + len(content)] = content

    def ram(self) -> Ram:
        self.path.write_bytes(self.memory)
        return Ram(self.path)


@pytest.fixture
def fake_ram(tmp_path: Path) -> FakeRam:
    """Return four MiB of empty RAM."""
    return FakeRam(tmp_path / "ram", 1024)
