"""The TLB plugin's decoder, against what the assembler makes of each instruction."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, Compile

from faultline.elf import ElfImage

OTHER, LOAD, STORE, AMO, SATP, SFENCE, RETURN = range(7)


class Insn(ctypes.Structure):
    """struct insn of plugin_decode.h."""

    _fields_ = [
        ("kind", ctypes.c_int),
        ("rs1", ctypes.c_uint8),
        ("rs2", ctypes.c_uint8),
        ("size", ctypes.c_uint8),
        ("offset", ctypes.c_int16),
    ]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("decode") / "decode.so"
    source = ROOT / "harness/tlb/plugin_decode.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.decode.argtypes, loaded.decode.restype = [ctypes.c_uint32], Insn
    return loaded


CASES = {
    "lb a0, -1(s1)": (LOAD, 9, 0, -1),
    "lhu a0, 2(s1)": (LOAD, 9, 1, 2),
    "lwu a0, 4(t0)": (LOAD, 5, 2, 4),
    "lbu a0, 2047(t0)": (LOAD, 5, 0, 2047),
    "ld t0, -2048(t1)": (LOAD, 6, 3, -2048),
    "c.lw a0, 4(a1)": (LOAD, 11, 2, 4),
    "c.lw a0, 64(s0)": (LOAD, 8, 2, 64),
    "c.ld a0, 248(a5)": (LOAD, 15, 3, 248),
    "c.lwsp a0, 252(sp)": (LOAD, 2, 2, 252),
    "c.ldsp a0, 504(sp)": (LOAD, 2, 3, 504),
    "c.ldsp s3, 32(sp)": (LOAD, 2, 3, 32),
    "sb a0, -1(s1)": (STORE, 9, 0, -1),
    "sh a0, 2(s1)": (STORE, 9, 1, 2),
    "sw a0, 2047(t0)": (STORE, 5, 2, 2047),
    "sd t0, -2048(t1)": (STORE, 6, 3, -2048),
    "c.sw a0, 68(a1)": (STORE, 11, 2, 68),
    "c.sd a0, 192(a5)": (STORE, 15, 3, 192),
    "c.swsp a0, 132(sp)": (STORE, 2, 2, 132),
    "c.sdsp ra, 328(sp)": (STORE, 2, 3, 328),
    "lr.w a0, (s1)": (LOAD, 9, 2, 0),
    "sc.d a0, a1, (s1)": (AMO, 9, 3, 0),
    "amoswap.w.aq a0, a1, (s1)": (AMO, 9, 2, 0),
    "amoor.d a0, a1, (t0)": (AMO, 5, 3, 0),
    "csrw satp, t0": (SATP, 5, None, None),
    "csrrw a0, satp, zero": (SATP, 0, None, None),
    "csrs satp, t0": (SATP, 5, None, None),
    "csrrc a0, satp, t0": (SATP, 5, None, None),
    "csrwi satp, 0": (SATP, 0, None, None),
    "csrr a0, satp": (OTHER, None, None, None),
    "csrw sscratch, t0": (OTHER, None, None, None),
    "sfence.vma": (SFENCE, 0, None, None),
    "sfence.vma a0": (SFENCE, 10, None, None),
    "sfence.vma zero, a1": (SFENCE, 0, None, None),
    "sfence.vma a0, a1": (SFENCE, 10, None, None),
    "ret": (RETURN, None, None, None),
    "jalr zero, 0(ra)": (RETURN, None, None, None),
    "jr a0": (OTHER, None, None, None),
    "jalr a0": (OTHER, None, None, None),
    "c.addi4spn a0, sp, 16": (OTHER, None, None, None),
    "c.slli a0, 3": (OTHER, None, None, None),
    "c.j .": (OTHER, None, None, None),
    "c.ebreak": (OTHER, None, None, None),
    "ecall": (OTHER, None, None, None),
    "sret": (OTHER, None, None, None),
    "fence": (OTHER, None, None, None),
    "addi a0, a1, 3": (OTHER, None, None, None),
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_decode(text: str, decoder: ctypes.CDLL, compile_guest: Compile) -> None:
    words = code(compile_guest(lines(), "S"))
    found: Insn = decoder.decode(words[list(CASES).index(text)])
    for name, wanted in zip(("kind", "rs1", "size", "offset"), CASES[text], strict=True):
        assert wanted is None or getattr(found, name) == wanted, name


def test_the_fence_names_its_registers(decoder: ctypes.CDLL, compile_guest: Compile) -> None:
    words = code(compile_guest(lines(), "S"))
    found = {
        text: decoder.decode(words[index]) for index, text in enumerate(CASES) if "sfence" in text
    }
    assert [(one.rs1, one.rs2) for one in found.values()] == [(0, 0), (10, 0), (0, 11), (10, 11)]


def lines() -> str:
    """Return all cases as a program, each in a slot of eight bytes."""
    each = "".join(f".balign 8\n{text}\n" for text in CASES)
    return f".globl _start\n.option arch, +c\n.balign 8\n_start:\n{each}.balign 8\n"


def code(path: Path) -> list[int]:
    """Return the first four bytes of each slot."""
    elf = ElfImage(path)
    start = elf.address("_start")
    assert start is not None
    text = path.read_bytes()
    section = subprocess.run(
        ["readelf", "-WS", str(path)], capture_output=True, encoding="utf-8", check=True
    ).stdout
    fields = next(line for line in section.splitlines() if ".text" in line).split(".text")[1]
    offset = int(fields.split()[2], 16)
    return [
        int.from_bytes(text[offset + 8 * index : offset + 8 * index + 4], "little")
        for index in range(len(CASES))
    ]
