"""The TLB checker on real machines: tiny guests, good and bad, each in exactly one way."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT, Compile
from tlb_guest import DATA, guest

from faultline.elf import ElfImage
from faultline.machine import Machine
from faultline.qemu import Config, Limits
from faultline.build import build_plugin
from faultline.tlb import Violation, look, plugin_words, require_qemu

pytestmark = pytest.mark.live
LIMITS = Limits(boot=30.0, silence=30.0, output=100_000)

TOUCH = "  jal touch\n"
WRITE = "  jal write\n"
FENCE = "  sfence.vma\n"
FENCE_VA = "  sfence.vma s1\n"
FENCE_OTHER_VA = "  li t0, DATA + 4096\n  sfence.vma t0\n"
FENCE_ASID_1 = "  li t0, 1\n  sfence.vma zero, t0\n"
OTHER = "  load_satp other\n"
OTHER_ASID_1 = "  load_satp other, 1\n"
FREE_A = "  la a0, page_a\n  jal kfree\n"
ALLOC_A = "  la a0, page_a\n  jal kalloc\n"
FREE_ROOT = "  la a0, root\n  jal kfree\n"


def change(page: str, flags: str, table: str = "last", index: int = 0) -> str:
    return f"  pte a1, {page}, {flags}\n  la a0, {table} + {index * 8}\n  jal change\n"


def clear(table: str = "last", index: int = 0) -> str:
    return f"  li a1, 0\n  la a0, {table} + {index * 8}\n  jal change\n"


BARE = "  csrw satp, zero\n"
MAKE_OTHER = change("page_b", "RW", "other_last", 1)  # a store to a table that is not loaded


REMAP = change("page_b", "RW")
GOOD = {
    "nothing_changes": TOUCH + WRITE,
    "remap_fence": TOUCH + REMAP + FENCE + TOUCH,
    "remap_fence_va": TOUCH + REMAP + FENCE_VA + TOUCH,
    "remap_unused": TOUCH + REMAP,
    "unmap_fence_free_reuse": TOUCH + clear() + FENCE + FREE_A + ALLOC_A,
    "middle_changes_fence": TOUCH + change("other_last", "V", "middle") + FENCE + TOUCH,
    "valid_fence": change("page_b", "RW", "last", 1) + FENCE + "  li s1, DATA + 4096\n" + TOUCH,
    "read_only_fence": WRITE + change("page_a", "V|R|AD") + FENCE + WRITE,
    "read_only_then_read": WRITE + change("page_a", "V|R|AD") + TOUCH,
    "switch_fence": TOUCH + OTHER + FENCE + TOUCH,
    "switch_asid": TOUCH + OTHER_ASID_1 + TOUCH,
    # Wrong, but no fence would help: the kernel maps all of memory, free pages too.
    "free_reuse_while_mapped": TOUCH + FREE_A + ALLOC_A,
    "switch_free_root": TOUCH + OTHER + FENCE + FREE_ROOT,
    "turn_on_fence_before": BARE + MAKE_OTHER + FENCE + OTHER + TOUCH,
    "turn_on_fence_after": BARE + FENCE + MAKE_OTHER + OTHER + FENCE + TOUCH,
    "turn_on_unchanged": BARE + FENCE + OTHER + TOUCH,
}
BAD = {
    "remap": ("tlb-stale-use", TOUCH + REMAP + TOUCH),
    "remap_fence_other_va": ("tlb-stale-use", TOUCH + REMAP + FENCE_OTHER_VA + TOUCH),
    "remap_fence_other_asid": ("tlb-stale-use", TOUCH + REMAP + FENCE_ASID_1 + TOUCH),
    "remap_fence_before": ("tlb-stale-use", TOUCH + FENCE + REMAP + TOUCH),
    "unmap": ("tlb-stale-use", TOUCH + clear() + TOUCH),
    "middle_changes": (
        "tlb-stale-use",
        TOUCH + change("other_last", "V", "middle") + TOUCH,
    ),
    "middle_changes_fence_va_of_other": (
        "tlb-stale-use",
        TOUCH + change("other_last", "V", "middle") + FENCE_OTHER_VA + TOUCH,
    ),
    "switch": ("tlb-stale-asid", TOUCH + OTHER + TOUCH),
    "unmap_free_reuse": ("tlb-freed-reachable", TOUCH + clear() + FREE_A + ALLOC_A),
    "free_root": ("tlb-satp-freed", FREE_ROOT),
    "valid": (
        "tlb-unfenced-valid",
        change("page_b", "RW", "last", 1) + "  li s1, DATA + 4096\n" + TOUCH,
    ),
    "read_only": ("tlb-stale-permission", WRITE + change("page_a", "V|R|AD") + WRITE),
    "turn_on": ("tlb-unfenced-table", BARE + FENCE + MAKE_OTHER + OTHER + TOUCH),
    "write_only": ("tlb-reserved", change("page_b", "V|W|AD", "last", 1)),
}


def violations(body: str, compile_guest: Compile, tmp_path: Path) -> list[Violation]:
    require_qemu()
    kernel = compile_guest(guest(body), "S")
    words = plugin_words(build_plugin(ROOT), ElfImage(kernel))
    config = Config(kernel, limits=LIMITS, plugin=words)
    with Machine(config, tmp_path) as machine:
        machine.wait_prompt()
        report = look(machine)
    assert report.paging
    return list(report.violations)


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str, compile_guest: Compile, tmp_path: Path) -> None:
    assert violations(GOOD[name], compile_guest, tmp_path) == []


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str, compile_guest: Compile, tmp_path: Path) -> None:
    rule, body = BAD[name]
    found = violations(body, compile_guest, tmp_path)
    assert [one.rule for one in found] == [rule]


def test_both_ends_are_named(compile_guest: Compile, tmp_path: Path) -> None:
    elf = ElfImage(compile_guest(guest(BAD["remap"][1]), "S"))
    (found,) = violations(BAD["remap"][1], compile_guest, tmp_path)
    assert found.change and elf.function(found.change.pc) == "change"
    assert found.use and elf.function(found.use.pc) == "touch"
    assert (found.va, found.level, found.access) == (DATA, 0, "load")
    page_a, page_b = elf.symbols["page_a"][0], elf.symbols["page_b"][0]
    assert (found.old >> 10 << 12, found.new >> 10 << 12) == (page_a, page_b)
    assert found.fence == "sfence.vma va, asid"


def test_without_symbols_the_allocator_is_not_watched(
    compile_guest: Compile, tmp_path: Path
) -> None:
    kernel = compile_guest(guest(BAD["free_root"][1]), "S")
    config = Config(kernel, limits=LIMITS, plugin=plugin_words(build_plugin(ROOT)))
    with Machine(config, tmp_path) as machine:
        machine.wait_prompt()
        assert look(machine).violations == ()
