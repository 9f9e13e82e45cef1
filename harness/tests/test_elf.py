"""Symbols, lines, inlined calls and types of a small ELF."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import FLAGS, TOOLCHAINS, Compile, FakeRam

from faultline.dwarftypes import unit_start
from faultline.elf import ElfImage
from faultline.errors import HarnessError
from faultline.hart import Hart
from faultline.ram import RAM_BASE
from faultline.unwind import call_path, return_addresses

SOURCE = """\
typedef unsigned long word;
enum mood { IDLE, BUSY };
struct inner { char name[8]; int number; };
struct outer { word first; struct inner items[3]; enum mood mood; struct outer *next; };
extern struct outer things[];
struct outer things[2] = {{1}};
volatile word sink;
static inline __attribute__((always_inline)) void
inlined(word value)
{
  sink = value;
}
__attribute__((noinline)) void
leaf(word value)
{
  inlined(value);
}
__attribute__((noinline)) void
recursive(word depth)
{
  if (depth)
    recursive(depth - 1);
  leaf(depth);
}
void
kernelvec(void)
{
  leaf(1);
  leaf(2);
}
void
_start(void)
{
  recursive(3);
  for (;;)
    sink = things[0].first;
}
"""


@pytest.fixture
def elf(compile_guest: Compile) -> ElfImage:
    return ElfImage(compile_guest(SOURCE, "c"))


def line_of(text: str) -> int:
    return SOURCE.splitlines().index(text) + 1


def test_an_inlined_call_has_two_frames(elf: ElfImage) -> None:
    start, size = elf.symbols["leaf"]
    both = [f for f in (elf.frames(a) for a in range(start, start + size, 2)) if len(f) == 2]
    assert both
    inner, outer = both[0]
    assert (inner.function, inner.line) == ("inlined", line_of("  sink = value;"))
    assert (outer.function, outer.line) == ("leaf", line_of("  inlined(value);"))
    assert inner.file is not None and inner.file.endswith(".c")


def test_addresses_that_are_no_code(elf: ElfImage) -> None:
    assert elf.frames(0x1000) == []
    assert elf.frames(elf.symbols["things"][0]) == []
    assert not elf.in_text(0)


def test_places_and_calls_of_functions(elf: ElfImage) -> None:
    place = elf.function_place("recursive")
    assert place is not None and place.line == line_of("recursive(word depth)") + 1
    assert elf.callees("recursive") == {"recursive", "leaf"}
    assert elf.function_place("absent") is None and elf.callees("absent") == set()


def test_a_variable_is_read_by_its_type(elf: ElfImage, fake_ram: FakeRam) -> None:
    address, size = elf.symbols["things"]
    assert size == 2 * 56
    second = address + 56
    fake_ram.put(second, 7)
    fake_ram.write(second + 8 + 12, b"middle\0x")
    fake_ram.put(second + 8 + 12 + 8, -5, 4)
    fake_ram.put(second + 44, 1, 4)
    fake_ram.put(second + 48, second)
    things = elf.variable(fake_ram.ram(), "things")
    assert things is not None and len(things) == 2
    thing = things[1]
    assert int(thing["first"]) == 7
    assert thing["items"][1]["name"].text() == "middle"
    assert int(thing["items"][1]["number"]) == -5
    assert thing["mood"].enumerator() == "BUSY"
    assert int(thing["next"]) == second
    assert "mood" in thing and "absent" not in thing
    with pytest.raises(KeyError, match="struct outer has no member absent"):
        thing["absent"]
    with pytest.raises(IndexError):
        things[2]


def test_the_stack_is_unwound_by_frame_pointers(elf: ElfImage, fake_ram: FakeRam) -> None:
    call = elf.symbols["recursive"][0] + 20
    start = elf.symbols["_start"][0] + 12
    stack = RAM_BASE + 0x10000
    fake_ram.put(stack + 0x100 - 8, call)
    fake_ram.put(stack + 0x100 - 16, stack + 0x200)
    fake_ram.put(stack + 0x200 - 8, start)
    fake_ram.put(stack + 0x200 - 16, 0)
    hart = Hart(0, {"s0": stack + 0x100, "satp": 0})
    found = return_addresses(fake_ram.ram(), elf, hart)
    assert found == [call, start]
    assert [place.function for place in call_path(elf, found)] == ["recursive", "_start"]
    leaf = Hart(0, {"s0": stack + 0x80, "satp": 0, "ra": call})
    fake_ram.put(stack + 0x80 - 8, stack + 0x200)
    assert return_addresses(fake_ram.ram(), elf, leaf) == [call, start]


def test_a_trap_in_a_function_that_calls_nobody(elf: ElfImage, fake_ram: FakeRam) -> None:
    call = elf.symbols["recursive"][0] + 20
    start = elf.symbols["_start"][0] + 12
    handler = elf.symbols["kernelvec"][0] + 12
    stack = RAM_BASE + 0x10000
    hart = Hart(0, {"s0": stack + 0x100, "satp": 0})
    fake_ram.put(stack + 0x100 - 8, handler)  # the frame of what the handler calls
    fake_ram.put(stack + 0x100 - 16, stack + 0x210)
    fake_ram.put(stack + 0x100, call)  # what the handler has saved: ra
    fake_ram.put(stack + 0x210 - 8, stack + 0x300)  # the frame that was interrupted
    fake_ram.put(stack + 0x300 - 8, start)
    fake_ram.put(stack + 0x300 - 16, 0)
    assert return_addresses(fake_ram.ram(), elf, hart) == [handler, call, start]
    fake_ram.put(stack + 0x100 - 8, start)  # no handler: garbage
    assert return_addresses(fake_ram.ram(), elf, hart) == [start]


@pytest.mark.parametrize("fp", [0, 3, RAM_BASE - 64, 1 << 63])
def test_unwinding_garbage_gives_nothing(elf: ElfImage, fake_ram: FakeRam, fp: int) -> None:
    assert return_addresses(fake_ram.ram(), elf, Hart(0, {"s0": fp, "satp": 0})) == []


def test_a_file_that_is_no_elf(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_text("not an ELF file")
    with pytest.raises(HarnessError, match="not a readable ELF"):
        ElfImage(path)


def test_the_unit_that_holds_an_offset() -> None:
    short = (6).to_bytes(4, "little") + bytes(6)
    long = b"\xff" * 4 + (20).to_bytes(8, "little") + bytes(20)
    text = short + long + short
    starts = [unit_start(text, offset) for offset in (0, 9, 10, 41, 42, 51)]
    assert starts == [0, 0, 10, 10, 42, 42]


def test_a_label_in_assembly_does_not_hide_the_symbol_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "first.S").write_text(".globl _start\n_start: j end\nend: j end\n")
    (tmp_path / "other.c").write_text("extern char end[]; char *where(void) { return end; }\n")
    compiler = next(tool for tool in TOOLCHAINS if shutil.which(tool))
    words = [compiler, *FLAGS, "-o", "both.elf", "first.S", "other.c"]
    subprocess.run(words, cwd=tmp_path, check=True)
    elf = ElfImage(tmp_path / "both.elf")
    first, last = elf.address("_start"), elf.address("end")
    assert first is not None and last is not None
    assert last > first + 8  # the linker's: behind everything
