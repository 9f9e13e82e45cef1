"""A guest that is not trusted has its QEMU in a sandbox, and nothing is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Compile

from faultline.machine import Config, GuestDied, Machine

# They are the first instructions that the machine runs: there is no stack.
SPEAKING = """\
.globl _start
_start:
  li s1, 0x10000000
  li s0, 10
  sb s0, (s1)
  li s0, '$'
  sb s0, (s1)
  li s0, ' '
  sb s0, (s1)
1: j 1b
"""
POWER_OFF = """\
.globl _start
_start:
  li s1, 0x100000
  li s0, 0x5555
  sw s0, (s1)
1: j 1b
"""
KILLED = """\
import sys, time
from pathlib import Path
from faultline.machine import Config, Machine
with Machine(Config(Path(sys.argv[1]), contained=True), Path(sys.argv[2])) as machine:
    machine.wait_prompt()
    print(machine.pid, flush=True)
    time.sleep(600)
"""


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    """Wait until a process is gone, for as long as a busy host may take."""
    for _ in range(300):
        if not is_there(pid):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.live
def test_it_sees_and_writes_only_its_own(compile_guest: Compile, tmp_path: Path) -> None:
    disk = tmp_path / "copy.img"
    disk.write_bytes(bytes(1 << 16))
    config = Config(compile_guest(SPEAKING, "S"), disk, contained=True)
    with Machine(config, tmp_path) as machine:
        machine.wait_prompt()
        pid = machine.pid
        assert "qemu-system" in Path(f"/proc/{pid}/cmdline").read_text()
        inside = Path(f"/proc/{pid}/root")
        assert not (inside / str(ROOT).lstrip("/")).exists()
        assert not (inside / "home").exists() and not (inside / "root").exists()
        devices = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
        mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
        writable = {words[1] for words in mounts if "rw" in words[3].split(",")}
        assert {name for name in writable if not name.startswith("/dev/")} <= {"/job", "/proc"}
        assert machine.ram.size == config.memory << 20
        assert machine.registers() and machine.processor_seconds() > 0
    assert gone(pid)


@pytest.mark.live
def test_a_guest_that_ends_is_told_from_a_qemu_that_fails(
    compile_guest: Compile, tmp_path: Path
) -> None:
    with pytest.raises(GuestDied) as died:
        with Machine(Config(compile_guest(POWER_OFF, "S"), contained=True), tmp_path) as machine:
            machine.wait_prompt()
    assert died.value.death.kind == "exited"


@pytest.mark.live
def test_nothing_is_left_when_the_harness_is_killed(
    compile_guest: Compile, tmp_path: Path
) -> None:
    kernel = compile_guest(SPEAKING, "S")
    harness = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(kernel), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "harness")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert harness.stdout is not None
    pid = int(harness.stdout.readline())
    assert is_there(pid)
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    harness.stdout.close()
    assert gone(pid)
