"""Tiny guests that die in every way there is, on real machines."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import Compile

from faultline.bench import Bench
from faultline.board import Board
from faultline.build import Build
from faultline.elf import ElfImage
from faultline.emulator import WINDOW
from faultline.errors import HarnessError
from faultline.machine import GuestDied, Machine
from faultline.postmortem import death_finding
from faultline.progress import Sample
from faultline.qemu import Config, Limits

pytestmark = pytest.mark.live

START = """
.globl _start
_start:
  csrr t0, mhartid
1: bnez t0, 1b
  li s1, 0x10000000
"""
PRINT = """
print:
  lbu t0, 0(a0)
  beqz t0, 1f
2: lbu t1, 5(s1)
  andi t1, t1, 0x20  # ready for another: else some would be lost on a busy host
  beqz t1, 2b
  sb t0, 0(s1)
  addi a0, a0, 1
  j print
1: ret
"""
PMP = """
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0xf
  csrw pmpcfg0, t0
  li t0, 0xffff
  csrw medeleg, t0
"""
MRET = """
  la t0, main
  csrw mepc, t0
  li t0, 0x800
  csrs mstatus, t0
  mret
main:
"""


def printing(text: str) -> str:
    return f"""
  la a0, 3f
  jal print
  j 4f
3: .asciz "{text}"
.balign 4
4:
"""


SPIN = "5: addi t1, t1, 1\n  j 5b\n"
OFF = "  li t0, 0x100000\n  li t1, {code}\n  sw t1, 0(t0)\n" + SPIN
PANIC = r"panic: out of cheese\n  hart 0, no process\nbacktrace:\n  0x0000000080000010\n"
LIMITS = Limits(boot=5.0, silence=5.0, output=100_000)


def death(source: str, compile_guest: Compile, tmp_path: Path) -> GuestDied:
    kernel = compile_guest(source + PRINT, "S")
    with pytest.raises(GuestDied) as died:
        with Machine(Config(kernel, limits=LIMITS), tmp_path) as machine:
            machine.wait_prompt()
    assert not list(tmp_path.iterdir())
    return died.value


@pytest.mark.parametrize(
    ("guest", "kind", "rule", "words"),
    [
        (SPIN, "silent", "silent-guest", "no output for|in circles"),
        (printing("booting\\n") + SPIN, "hang", "kernel-hang", "no output for|in circles"),
        (printing("booting\\n") + "5: wfi\n  j 5b\n", "hang", "kernel-hang", "every hart sleeps"),
        (MRET + SPIN, "silent", "silent-guest", "No PMP entry"),
        (PMP + MRET + "  li t0, 0x40\n  csrw stvec, t0\n  li t0, 0\n  jr t0\n", "silent",
         "silent-guest", "the trap handler itself traps: instruction access fault at 0x40"),
        (printing(PANIC) + SPIN, "panic", "kernel-panic", "out of cheese"),
        (printing("booting\\nhart 1\\n") + "  j _start\n", "reboot-loop", "reboot-loop",
         "booting"),
        (printing("booting\\n") + OFF.format(code=0x7777), "reboot-loop", "reboot-loop",
         "resets the machine"),
        (printing("hello\\n") + "  j _start\n", "endless-output", "endless-output",
         "more than 100000 characters"),
        (printing("bye\\n") + OFF.format(code=0x5555), "exited", "early-exit", "turned"),
        (printing(PANIC) + OFF.format(code=0x5555), "panic", "kernel-panic", "out of cheese"),
    ],
    ids=["silent", "hang", "asleep", "no-pmp", "trap-loop", "panic", "reboot-jump",
         "reboot-reset", "endless", "power-off", "panic-then-off"],
)  # fmt: skip
def test_every_death_has_its_rule(
    compile_guest: Compile, tmp_path: Path, guest: str, kind: str, rule: str, words: str
) -> None:
    died = death(START + guest, compile_guest, tmp_path)
    assert died.death.kind == kind
    finding = death_finding(died, ElfImage(died.machine.config.kernel))
    assert finding.rule == rule
    assert re.search(words, finding.message)
    assert "hart 0: at 0x" in finding.evidence


def test_a_failing_power_off_tells_its_code(compile_guest: Compile, tmp_path: Path) -> None:
    died = death(START + OFF.format(code=7 << 16 | 0x3333), compile_guest, tmp_path)
    assert (died.death.kind, died.death.status) == ("exited", 7)


def test_panic_addresses_become_source_lines(compile_guest: Compile, tmp_path: Path) -> None:
    died = death(START + printing(PANIC) + SPIN, compile_guest, tmp_path)
    finding = death_finding(died, ElfImage(died.machine.config.kernel))
    assert finding.where.file is not None and finding.where.file.endswith(".S")
    assert finding.where.function == "_start" and finding.where.line


ECHO = (
    START
    + printing("\\n$ ")
    + """
6: lbu t0, 5(s1)
  andi t0, t0, 1
  beqz t0, 6b
  lbu t0, 0(s1)
  sb t0, 0(s1)
  la t2, cell
  sd t0, 0(t2)
  li t1, 10
  bne t0, t1, 6b
  j _start
.balign 8
cell: .dword 0
"""
)


@pytest.mark.parametrize(("harts", "icount"), [(1, True), (3, False)])
def test_a_shell_s_answer_and_its_ram(
    compile_guest: Compile, tmp_path: Path, harts: int, icount: bool
) -> None:
    kernel = compile_guest(ECHO + PRINT, "S")
    with Machine(Config(kernel, harts=harts, icount=icount), tmp_path) as machine:
        machine.wait_prompt()
        assert machine.shell("echo") == ""
        registers = machine.stop()
        address = ElfImage(kernel).address("cell")
        assert len(registers) == harts and address is not None
        assert machine.ram.u64(address) == ord("\n")
        machine.resume()
        assert machine.shell("again") == ""
        pid = machine.pid
    assert not Path(f"/proc/{pid}").exists()
    assert machine.ram.u64(address) == ord("\n")  # readable after the end
    assert not list(tmp_path.iterdir())


def test_a_prompt_in_the_middle_of_other_output_is_one(
    compile_guest: Compile, tmp_path: Path
) -> None:
    garbled = ECHO.replace("  j _start\n", printing("page tab$le 0x87\\n leak ok\\n ") + SPIN)
    kernel = compile_guest(garbled + PRINT, "S")
    with Machine(Config(kernel, limits=LIMITS), tmp_path) as machine:
        machine.wait_prompt()
        machine.start("load")
        assert machine.said().split("load &")[1].strip().startswith("page tab$")


def test_a_prompt_after_more_than_is_searched(compile_guest: Compile, tmp_path: Path) -> None:
    lines = printing("0123456789" * 10 + "\\n")
    many = f"  li s2, {2 * WINDOW // 100}\n8:\n{lines}  addi s2, s2, -1\n  bnez s2, 8b\n"
    kernel = compile_guest(START + many + printing("$ ") + SPIN + PRINT, "S")
    with Machine(Config(kernel, limits=LIMITS), tmp_path) as machine:
        assert machine.wait_prompt().count("0123456789" * 10) == 2 * WINDOW // 100


def test_a_kernel_that_has_panicked_is_not_listened_to_for_ever(
    compile_guest: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faultline.machine.AFTERMATH", 3.0)
    pause = "  li t0, 200000\n9: addi t0, t0, -1\n  bnez t0, 9b\n"
    talks_on = f"8:\n{printing('.')}{pause}  j 8b\n"
    died = death(START + printing(PANIC) + talks_on, compile_guest, tmp_path)
    assert died.death.kind == "panic" and died.death.console.endswith(".")


def test_the_last_words_are_heard_to_their_end(
    compile_guest: Compile, tmp_path: Path
) -> None:
    pause = "  li t0, 150000\n9: addi t0, t0, -1\n  bnez t0, 9b\n"
    line = printing("more and more\\n")
    more = f"  li s2, 20\n8:{pause}{line}  addi s2, s2, -1\n  bnez s2, 8b\n"
    guest = START + printing(PANIC) + more + printing("the end\\n") + SPIN
    died = death(guest, compile_guest, tmp_path)
    assert died.death.console.count("more and more\n") == 20
    assert died.death.console.endswith("the end\n")


COARSELY = """
  li s2, 0x0200bff8
6: ld t0, 0(s2)
  srli t0, t0, 22  # changes every 0.4 s
  li t1, 8
  bltu t0, t1, 6b
"""
IN_MEMORY = """
  la s2, count
  li s3, 12000000
6: ld t0, 0(s2)
  addi t0, t0, 1
  sd t0, 0(s2)
  bltu t0, s3, 7f
  j 8f
7: li t0, 0
  j 6b
.balign 8
count: .dword 0
8:
"""


@pytest.mark.parametrize("wait", [COARSELY, IN_MEMORY], ids=["clock", "count"])
def test_a_kernel_that_waits_with_interrupts_off_is_waited_for(
    compile_guest: Compile, tmp_path: Path, wait: str
) -> None:
    kernel = compile_guest(START + wait + printing("$ ") + SPIN + PRINT, "S")
    with Machine(Config(kernel, limits=LIMITS), tmp_path) as machine:
        machine.wait_prompt()


def test_who_spins_for_ever_is_known_soon(
    compile_guest: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faultline.progress.CIRCLE_CPU", 1e6)
    monkeypatch.setattr(Machine, "disk_waits", lambda machine: False)  # it has none
    lock = "  la a0, lock\n5: lw t0, 0(a0)\n  bnez t0, 5b\n  j 5b\n"
    guest = START + printing("booting\\n") + lock + ".balign 8\nlock: .dword 1\n"
    limits = Limits(boot=1e6)
    kernel = compile_guest(guest + PRINT, "S")
    with pytest.raises(GuestDied, match="hang: every hart goes round in circles"):
        with Machine(Config(kernel, limits=limits), tmp_path) as machine:
            machine.wait_prompt()


def test_output_is_read_in_pieces(
    compile_guest: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    read = os.read

    def counted(file: int, size: int) -> bytes:
        piece = read(file, size)
        pieces.append(len(piece))
        return piece

    lines = printing("0123456789" * 10 + "\\n")
    many = f"  li s2, 500\n8:\n{lines}  addi s2, s2, -1\n  bnez s2, 8b\n"
    kernel = compile_guest(START + many + printing("$ ") + SPIN + PRINT, "S")
    with Machine(Config(kernel, limits=LIMITS), tmp_path) as machine:
        monkeypatch.setattr("faultline.emulator.os.read", counted)
        said = machine.wait_prompt()
    assert len(said) > 50_000 and len(pieces) < len(said) // 50


def test_a_request_done_since_the_look_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(Config(tmp_path / "kernel"), tmp_path)
    sample = Sample(wall=0, guest=0, cpu=0, asleep=False, output=0, disk=7)
    for waits, done, may in ((True, 7, True), (False, 8, True), (False, 7, False)):
        monkeypatch.setattr(machine, "disk_waits", lambda waits=waits: waits)
        monkeypatch.setattr(machine, "disk_requests", lambda done=done: done)
        assert machine._may_wait_for_disk(sample) == may


FILL = """
  li t0, 0x80100000
  li t1, {end}
7: sb t1, 0(t0)
  addi t0, t0, 1
  mv t2, t0
  bltu t2, t1, 7b
"""


def test_a_kernel_may_fill_much_memory_first(compile_guest: Compile, tmp_path: Path) -> None:
    memory = 192  # MiB, in more guest seconds than 128 may take
    fill = printing("booting\\n") + FILL.format(end=0x8000_0000 + (memory << 20))
    kernel = compile_guest(START + fill + printing("\\n$ ") + SPIN + PRINT, "S")
    (tmp_path / "disk").write_bytes(bytes(512))
    build = Build(kernel, tmp_path / "disk", tmp_path, board=Board(memory=memory))
    with Bench(build, tmp_path, limits=Limits(boot=20.0)).machine() as machine:
        machine.wait_prompt()


def test_a_qemu_that_does_not_start_is_no_finding(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="QEMU does not start: .*nosuch"):
        with Machine(Config(tmp_path / "nosuch"), tmp_path):
            pass


def test_a_host_that_is_too_slow_is_no_finding(compile_guest: Compile, tmp_path: Path) -> None:
    kernel = compile_guest(START + SPIN + PRINT, "S")
    limits = Limits(boot=1e6, wall=1.0)
    with pytest.raises(HarnessError, match="too slow"):
        with Machine(Config(kernel, limits=limits), tmp_path) as machine:
            machine.wait_prompt()
