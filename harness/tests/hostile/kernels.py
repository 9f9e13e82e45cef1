"""Kernels that lie on the console, and files that are hardly kernels."""

from __future__ import annotations

import functools
import io
import random
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from conftest import FLAGS, TOOLCHAINS
from elftools.elf.elffile import ELFFile
from test_grade import MAIN_C

from . import Case, Make, tree

NO_BUILD = "does-not-build"
GIVEN = "kernel/kernel:\n\tcp given kernel/kernel\nfs.img:\n\techo an image > fs.img\n"
PROMPT_LOOP = MAIN_C.index("  for (;;) {")


def kernel(first: str) -> Make:
    """A tree whose kernel does this before anything else."""
    at = MAIN_C.index("  kfree(kalloc());")
    return tree({"kernel/main.c": MAIN_C[:at] + first + MAIN_C[at:]})


def says(text: str, then: str = "for (;;) ;") -> Make:
    return kernel(f'  say("{text}");\n  {then}\n')


# ELF files ----------------------------------------------------------------------------------


@functools.cache
def base(more: str = "") -> bytes:
    """An honest kernel that does nothing, with debug information."""
    compiler = next(tool for tool in TOOLCHAINS if shutil.which(tool))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.c")
        source.write_text(
            "struct proc { int pid; } proc[4];\n"
            "__attribute__((noinline)) void kalloc(void) { proc[0].pid++; }\n"
            f"void _start(void) {{ for (;;) kalloc(); }}\n{more}"
        )
        words = [compiler, *FLAGS, "-gz=none", "-Wl,-n", "-o", "kernel", source.name]
        subprocess.run(words, cwd=folder, check=True)
        return Path(folder, "kernel").read_bytes()


def elf(change: Callable[[bytearray], None], more: str = "") -> Make:
    """A tree whose Makefile hands out the kernel above, changed."""

    def make(path: Path) -> Path:
        content = bytearray(base(more))
        change(content)
        return tree({"Makefile": GIVEN, "given": bytes(content)})(path)

    return make


def put(form: str, at: int, value: int) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(form, content, at, value)


def cut(size: int) -> Callable[[bytearray], None]:
    return lambda content: content.__delitem__(slice(size, None))


def in_segment(offset: int, value: int) -> Callable[[bytearray], None]:
    """Change a doubleword of the header of the segment that is loaded."""

    def change(content: bytearray) -> None:
        start = struct.unpack_from("<Q", content, 32)[0]
        while struct.unpack_from("<I", content, start)[0] != 1:
            start += 56
        struct.pack_into("<Q", content, start + offset, value)

    return change


def in_section(name: str, offset: int, value: int, form: str = "<Q") -> Callable[
    [bytearray], None
]:
    """Change a number of a section's header."""
    return lambda content: struct.pack_into(form, content, header_of(content, name) + offset, value)


def header_of(content: bytes | bytearray, name: str) -> int:
    image = ELFFile(io.BytesIO(bytes(content)))
    names = [section.name for section in image.iter_sections()]
    return int(image["e_shoff"] + image["e_shentsize"] * names.index(name))


def noise_in(name: str) -> Callable[[bytearray], None]:
    """Fill a section with noise."""

    def change(content: bytearray) -> None:
        start, size = struct.unpack_from("<QQ", content, header_of(content, name) + 24)
        content[start : start + size] = random.Random(1).randbytes(size)

    return change


def compressed_bomb(content: bytearray) -> None:
    """Debug information that is gigabytes when it is unpacked."""
    packer, zeros = zlib.compressobj(1), bytes(1 << 20)
    packed = b"".join(packer.compress(zeros) for _ in range(900)) + packer.flush()
    at = header_of(content, ".debug_info")
    struct.pack_into("<Q", content, at + 8, 0x800)  # SHF_COMPRESSED
    chdr = struct.pack("<IIQQ", 1, 0, 900 << 20, 1)
    struct.pack_into("<QQ", content, at + 24, len(content), len(chdr) + len(packed))
    content += chdr + packed


UNREADABLE = "kernel/kernel cannot be used: its tables or debug information cannot be read"
NO_PROGRAM = "no program for 64-bit RISC-V"
LOADED = "kernel/kernel cannot be used: it wants to be loaded at"
EITHER = f"{UNREADABLE}|{NO_PROGRAM}|cannot be read within|does not say a word|hangs"
CASES = [
    Case("says-all-passed", says("ALL TESTS PASSED\\n"), "fail", "The kernel hangs", "kernel-hang"),
    Case("says-score", says("Score: 66/66\\n$ "), "fail", "hangs|does not run a command"),
    Case("fake-prompt", says("init: starting sh\\n$ ", "for (;;) get();"), "fail",
         "hangs|gives a prompt, but does not run a command"),
    Case("powers-off", says("", "*(volatile uint32_t *)0x100000 = 0x5555;"), "fail",
         "turned off too early"),
    Case("exits-0", says("ALL TESTS PASSED\\n", "*(volatile uint32_t *)0x100000 = 0x5555;"), "fail",
         "turned off too early"),
    Case("resets", says("again\\nx\\n", "*(volatile uint32_t *)0x100000 = 0x7777;"), "fail",
         "starts over and over"),
    Case("console-endless", says("", 'for (;;) say("ALL TESTS PASSED\\n");'), "fail",
         "writes without an end|starts over and over"),
    Case("console-one-line", says("", "for (;;) put('x');"), "fail", "writes without an end"),
    Case("console-bytes", says("\\377\\376\\033[2J\\033]0;owned\\007\\n", ""), "pass", "boot: "),
    Case("console-silent", kernel("  for (;;) ;\n"), "fail", "does not say a word"),
    Case("fake-panic", says("panic: 66/66 points\\n"), "fail", "The kernel panicked: 66/66 points"),
    Case("jumps-away", kernel("  ((void (*)(void))0x10)();\n"), "fail",
         "does not say a word|hangs"),
    Case("spoils-all-memory", kernel(
        "  for (uint64_t *p = (void *)0x87ffff00; ; p--) *p = 0x6666666666666666;\n"), "fail",
        "does not say a word|hangs"),
    Case("elf-truncated", elf(cut(2000)), "fail", EITHER, NO_BUILD),
    Case("elf-header-only", elf(cut(64)), "fail", f"{EITHER}|nothing to be loaded", NO_BUILD),
    Case("elf-huge-segment", elf(in_segment(40, 1 << 60)), "fail", LOADED, NO_BUILD),
    Case("elf-2-gb-segment", elf(in_segment(40, 2 << 30)), "fail", LOADED, NO_BUILD),
    Case("elf-over-devices", elf(in_segment(24, 0x1000)), "fail", LOADED, NO_BUILD),
    Case("elf-entry-outside", elf(put("<Q", 24, 0x10)), "fail", "its entry, 0x10, is in nothing",
         NO_BUILD),
    Case("elf-million-segments", elf(put("<H", 56, 0xFFFE)), "fail", f"{EITHER}|{LOADED}"),
    Case("elf-sections-beyond", elf(put("<Q", 40, 1 << 40)), "fail", EITHER),
    Case("elf-section-lies", elf(in_section(".symtab", 32, 1 << 40)), "fail", EITHER, NO_BUILD),
    Case("elf-no-entry-size", elf(in_section(".symtab", 56, 0)), "fail", EITHER, NO_BUILD),
    Case("elf-names-lie", elf(in_section(".symtab", 40, 0xFFFF, "<I")), "fail", EITHER),
    Case("elf-code-lies", elf(in_section(".text", 32, 1 << 50)), "fail", EITHER),
    Case("dwarf-cut-off", elf(in_section(".debug_info", 32, 30)), "fail", EITHER, NO_BUILD),
    Case("dwarf-noise", elf(noise_in(".debug_info")), "fail", EITHER, NO_BUILD),
    Case("dwarf-abbreviations-noise", elf(noise_in(".debug_abbrev")), "fail", EITHER, NO_BUILD),
    Case("dwarf-lines-noise", elf(noise_in(".debug_line")), "fail", EITHER, NO_BUILD),
    Case("dwarf-bomb", elf(compressed_bomb), "fail", "cannot be read within", NO_BUILD),
    Case("symbols-lie", elf(lambda content: None,
         'asm(".globl faultline_ctl\\n.set faultline_ctl, 0x10");\n'), "fail",
         "its symbol faultline_ctl lies outside of memory, at 0x10", NO_BUILD),
]  # fmt: skip
