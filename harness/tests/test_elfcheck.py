"""Kernels that can be read, and files that were made to confuse whoever reads them."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import pytest
from hostile.kernels import base

from faultline import elfcheck
from faultline.elf import ElfImage
from faultline.elfcheck import outside, problem


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_an_honest_kernel_can_be_read(tmp_path: Path) -> None:
    kernel = write(tmp_path / "kernel", base())
    assert problem(kernel) == ""
    assert outside(ElfImage(kernel), 128) == ""


def test_what_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(path: Path) -> object:
        while True:
            time.sleep(1)

    monkeypatch.setattr(elfcheck, "SECONDS", 0.5)
    monkeypatch.setattr(elfcheck, "_problems", for_ever)
    assert problem(tmp_path) == "it cannot be read within 0.5 s and 2048 MiB of memory"


def test_what_takes_too_much_memory_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of_it(path: Path) -> object:
        return iter([bytes(1 << 40).decode()])

    monkeypatch.setattr(elfcheck, "_problems", all_of_it)
    assert "cannot be read within" in problem(tmp_path)


def test_a_table_that_nobody_can_go_through_is_told(tmp_path: Path) -> None:
    kernel = base("struct k { int x; } kmem[1 << 17];\n")
    assert problem(write(tmp_path / "kernel", kernel)) == (
        "its variable kmem has more entries than any kernel"
    )


@pytest.mark.parametrize("seed", range(12))
def test_noise_is_told_or_can_be_read(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the bytes are: once they pass, they can be read here as well."""
    monkeypatch.setattr(elfcheck, "SECONDS", 20.0)
    numbers, content = random.Random(seed), bytearray(base())
    for _ in range(1 + seed * 4):
        content[numbers.randrange(64, len(content))] = numbers.randrange(256)
    kernel = write(tmp_path / "kernel", content)
    if not problem(kernel):
        elf = ElfImage(kernel)
        assert isinstance(outside(elf, 128), str)
        assert isinstance(elf.symbols, dict)
        elf.type_of("proc")
        elf.function_place("kalloc")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (24, 0x1000, "wants to be loaded at 0x1000 to "),
        (40, 1 << 60, "its machine has memory from 0x80000000 to 0x88000000"),
        (40, 129 << 20, "0x80000000 to 0x88100000"),
    ],
)
def test_what_lies_outside_of_memory_is_said(
    tmp_path: Path, field: int, value: int, words: str
) -> None:
    content = bytearray(base())
    start = struct.unpack_from("<Q", content, 32)[0]
    while struct.unpack_from("<I", content, start)[0] != 1:
        start += 56
    struct.pack_into("<Q", content, start + field, value)
    assert words in outside(ElfImage(write(tmp_path / "kernel", content)), 128)
