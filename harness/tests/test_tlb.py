"""The TLB checker's report: lines of JSON made findings that name both ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Compile
from fakes import SOURCE

from faultline import doctor, tlb
from faultline.build import BuildFailed, build_plugin
from faultline.checks import Unchecked
from faultline.elf import ElfImage
from faultline.errors import HarnessError
from faultline.tlb import findings, plugin_words, read_report, require_plugin, require_qemu
from faultline.tlbrules import RULES

BEGIN = '{"faultline-tlb": 1, "harts": 1}\n'


def line(elf: ElfImage, change: str, use: str, **other: Any) -> str:
    """Return the report's line about a change in one function and a use in another."""

    def place(function: str) -> dict[str, Any]:
        return {"pc": hex(elf.symbols[function][0]), "path": [hex(elf.symbols["grow"][0] + 4)]}

    said = {
        "rule": "tlb-stale-use", "severity": "error", "hart": 1, "va": "0x4000", "asid": 0,
        "change_hart": 0, "use_hart": 1, "level": 0, "entry": "0x80003020", "old": "0x20001007",
        "new": "0x0", "page": "0x80004000", "was_freed": False, "was_reused": False, "left": False,
        "access": "load", "fence": "sfence.vma va, asid",
        "change": place(change), "use": place(use),
    }  # fmt: skip
    return json.dumps(said | other) + "\n"


def test_a_finding_names_both_ends(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    (found,) = findings(read_report(BEGIN + line(elf, "grow", "_start")), elf)
    assert (found.rule, found.severity, found.where.function) == ("tlb-stale-use", "error", "grow")
    for words in ("grow()", "_start()", "0x4000", "hart 1", "sfence.vma va, asid", "VRW"):
        assert words in found.message, words
    assert "Changed by hart 0" in found.evidence and "Used by a load" in found.evidence


def test_uses_of_one_change_are_one_finding(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    text = BEGIN + line(elf, "grow", "_start") + line(elf, "grow", "kalloc")
    (found,) = findings(read_report(text), elf)
    assert "Also used at" in found.evidence and "kalloc()" in found.evidence


def test_the_allocator_is_not_to_blame(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    (found,) = findings(read_report(BEGIN + line(elf, "kfree", "_start")), elf)
    assert found.where.function == "grow"


def test_code_that_is_not_the_kernels_has_an_address(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    said = json.loads(line(elf, "grow", "grow"))
    said["use"] = {"pc": "0x1a4", "path": []}
    (found,) = findings(read_report(f"{BEGIN}{json.dumps(said)}\n"), elf)
    assert "0x1a4, which is no code of the kernel's" in found.message


def test_the_models_severity_counts(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    text = BEGIN + line(elf, "grow", "_start", severity="warning")
    assert [one.severity for one in findings(read_report(text), elf)] == ["warning"]


def test_a_table_that_was_not_fenced_is_where_translation_was_turned_on(
    compile_guest: Compile,
) -> None:
    elf = ElfImage(compile_guest(SWITCHING, "c"))
    said = line(elf, "kvmswitch", "run", rule="tlb-unfenced-table", severity="warning", new="0x20001001")
    (found,) = findings(read_report(BEGIN + said), elf)
    assert (found.severity, found.where.function) == ("warning", "grow")
    assert "Translation was turned on at" in found.message
    assert "page 0x80004000, which was stored to since hart 1 last fenced" in found.message
    assert "after the stores and before satp is written" in found.message
    assert "Turned on by hart 0 at" in found.evidence
    assert "->" not in found.evidence  # what was there before is not known


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_words(rule: str, compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    (found,) = findings(read_report(BEGIN + line(elf, "grow", "_start", rule=rule)), elf)
    assert found.rule == rule and found.where.function == "grow" and found.hint


def test_a_line_being_written_is_left_for_later(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    whole = BEGIN + '{"paging": true}\n' + line(elf, "grow", "_start")
    report = read_report(whole[:-20])
    assert report.begun and report.paging and not report.violations


@pytest.mark.parametrize("text", ["guest output\n", '{"rule": "tlb-stale-use"}\n', "[]\n"])
def test_what_is_no_report_is_said(text: str) -> None:
    with pytest.raises(HarnessError, match="report has the line"):
        read_report(BEGIN + text)


def test_the_allocator_is_named_to_the_plugin(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SOURCE, "c"))
    words = plugin_words(Path("/a,b/tlb.so"), elf).replace(",,", "").split(",")
    address, size = elf.symbols["kalloc"]
    assert f"kalloc={address:#x}:{size:#x}" in words
    assert words[0] == "/ab/tlb.so"


def test_an_old_qemu_leaves_the_target_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\necho QEMU emulator version 7.2.0\n")
    qemu.chmod(0o700)
    monkeypatch.setenv("FAULTLINE_QEMU", str(qemu))
    with pytest.raises(Unchecked, match=r"7\.2.*bookworm-backports"):
        require_qemu()


def path(elf: ElfImage, *functions: str) -> dict[str, Any]:
    """Return a place of the report: in the first function, called by the others."""
    first, *callers = (elf.symbols[name][0] for name in functions)
    return {"pc": hex(first), "path": [hex(address + 4) for address in callers]}


def freed_reachable(elf: ElfImage, change: list[str], freed: list[str], left: bool) -> str:
    said = json.loads(line(elf, "grow", "kalloc", rule="tlb-freed-reachable", access="none"))
    said |= {"change": path(elf, *change), "freed": path(elf, *freed), "left": left}
    return json.dumps(said) + "\n"


SWITCHING = SOURCE + """
__attribute__((noinline)) void unmap(void) { asm volatile("nop; nop; nop"); }
__attribute__((noinline)) void dealloc(void) { asm volatile("nop; nop; nop"); }
__attribute__((noinline)) void kvmswitch(void) { asm volatile("nop; nop; nop"); }
__attribute__((noinline)) void run(void) { asm volatile("nop; nop; nop"); }
__attribute__((noinline)) void syscall(void) { asm volatile("nop; nop; nop"); }
"""


def test_what_was_freed_before_the_fence_is_where_both_were_called_from(
    compile_guest: Compile,
) -> None:
    elf = ElfImage(compile_guest(SWITCHING, "c"))
    text = freed_reachable(elf, ["unmap", "grow"], ["kfree", "dealloc", "grow"], left=False)
    (found,) = findings(read_report(BEGIN + text), elf)
    assert found.where.function == "grow"
    assert found.path[0].function == "unmap"  # the whole path is still told


def test_two_calls_of_one_function_are_not_the_same(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SWITCHING, "c"))
    text = freed_reachable(
        elf, ["unmap", "run", "grow"], ["kfree", "unmap", "dealloc", "grow"], left=False
    )
    (found,) = findings(read_report(BEGIN + text), elf)
    assert found.where.function == "grow"


def test_what_another_path_freed_is_where_it_was_changed(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SWITCHING, "c"))
    text = freed_reachable(elf, ["unmap", "grow"], ["kfree", "dealloc", "run"], left=False)
    (found,) = findings(read_report(BEGIN + text), elf)
    assert found.where.function == "unmap"


def test_two_system_calls_are_not_one(compile_guest: Compile) -> None:
    """The page was unmapped and freed, given to somebody else, and freed by another call."""
    elf = ElfImage(compile_guest(SWITCHING, "c"))
    text = freed_reachable(
        elf, ["unmap", "grow", "syscall"], ["kfree", "run", "syscall"], left=False
    )
    (found,) = findings(read_report(BEGIN + text), elf)
    assert found.where.function == "unmap"


def test_a_table_that_was_left_is_where_satp_was_written_for(compile_guest: Compile) -> None:
    elf = ElfImage(compile_guest(SWITCHING, "c"))
    text = freed_reachable(elf, ["kvmswitch", "run"], ["kfree", "run"], left=True)
    (found,) = findings(read_report(BEGIN + text), elf)
    assert found.where.function == "run"
    assert "left at" in found.message and "without a fence" in found.message
    assert "Left by hart 0 at" in found.evidence


@pytest.mark.parametrize(
    ("loads", "said"), [("exit 0", ""), ("echo no plugins >&2; exit 1", "no plugins")]
)
def test_whether_qemu_loads_the_plugin(
    loads: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo QEMU emulator version 10.0.2 && exit\n{loads}\n'
    )
    qemu.chmod(0o700)
    monkeypatch.setenv("FAULTLINE_QEMU", str(qemu))
    if said:
        with pytest.raises(Unchecked, match=said):
            require_plugin()
        assert doctor_row() == ""
    else:
        assert require_plugin().name == "faultline-tlb.so"
        assert "loads" in doctor_row()


def test_a_plugin_that_cannot_be_built_says_what_make_said(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("tlb-plugin:\n\t@echo plugin.c:1: no such thing; exit 1\n")
    with pytest.raises(BuildFailed, match=r"(?s)make tlb-plugin failed.*plugin\.c:1: no such thing"):
        build_plugin(tmp_path)


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlb, "require_qemu", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(Unchecked, match="install gcc"):
        require_plugin()
    assert doctor_row() == ""


def doctor_row() -> str:
    return next(need.found for need in doctor.needs() if "TLB" in need.name)
