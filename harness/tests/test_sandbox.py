"""What a job in the sandbox can reach, and what it can use up."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from faultline import sandbox
from faultline.sandbox import Bounds, Ended, Sandbox, SandboxUnusable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def sh(folder: Path, script: str, **bounds: float) -> Ended:
    limits = replace(Bounds(seconds=30), **bounds)
    return Sandbox(folder, bounds=limits).run(["bash", "-c", script])


def test_it_works_in_the_folder_and_what_it_makes_is_ours(folder: Path) -> None:
    (folder / "given").write_text("read me")
    done = sh(folder, "cat given; echo made > made; exit 7")
    assert (done.status, done.text, done.stopped) == (7, "read me", "")
    assert (folder / "made").read_text() == "made\n"
    assert (folder / "made").stat().st_uid == os.getuid()


@pytest.mark.parametrize(
    "place", ["/usr/x", "/tmp/x", "/x", "/dev/x", "/dev/shm/x", "/etc/x", "/proc/sys/kernel/x"]
)
def test_nothing_else_can_be_written(folder: Path, place: str) -> None:
    assert sh(folder, f"echo x > {place}").status != 0
    assert not Path(place).exists()


def test_neither_home_nor_the_folder_next_door_can_be_seen(folder: Path) -> None:
    (folder.parent / "next").mkdir()
    (folder.parent / "next/secret").write_text("secret")
    script = f"ls {Path.home()} {folder.parent} ../next /job/../next; echo $HOME; whoami"
    done = sh(folder, script)
    assert "secret" not in done.text
    assert "/job\n" in done.text


def test_the_environment_is_cleared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTLINE_SECRET", "secret")
    assert "secret" not in sh(folder, "env; cat /proc/*/environ").text


def test_there_is_no_network(folder: Path) -> None:
    done = sh(folder, "exec 3<>/dev/tcp/1.1.1.1/80 || echo none; cat /proc/net/dev")
    assert "none" in done.text
    assert "eth" not in done.text


def test_it_is_root_of_nothing(folder: Path) -> None:
    done = sh(folder, "id -u; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status")
    user, capabilities, no_new = done.text.split("\n")[:3]
    assert user != "0"
    assert int(capabilities.split()[1], 16) == 0
    assert no_new.split()[1] == "1"


def test_other_processes_can_neither_be_seen_nor_killed(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        done = sh(folder, f"kill -9 {other.pid} {os.getpid()} {os.getppid()}; ls -d /proc/[0-9]*")
        assert other.poll() is None
        other.kill()
    assert len(done.text.split("/proc/")) < 10


def test_a_fork_bomb_ends(folder: Path) -> None:
    start = time.monotonic()
    done = sh(folder, "b() { b | b & }; b; sleep 60", seconds=3)
    assert "not done after 3 s" in done.stopped
    assert "Resource temporarily unavailable" in done.text
    assert time.monotonic() - start < 30


def test_nothing_survives_it(folder: Path) -> None:
    sh(folder, "setsid nohup sh -c 'sleep 1; echo alive > late' >/dev/null 2>&1 & exit 0")
    time.sleep(1.5)
    assert not (folder / "late").exists()


@pytest.mark.parametrize(
    ("script", "bounds", "words"),
    [
        ("sleep 60", {"seconds": 1.0}, "not done after 1 s"),
        ("exec >&- 2>&-; sleep 60", {"seconds": 1.0}, "not done after 1 s"),
        ("yes", {"output": 1 << 20}, "printed more than 1 MiB"),
        (
            "for n in $(seq 100); do head -c 1000000 /dev/zero > $n; sleep 0.05; done; sleep 60",
            {"room": 8 << 20},
            "files took more than 8 MiB",
        ),
        ("seq 300 | xargs touch; sleep 60", {"entries": 200}, "made more than 200 files"),
        ("head -c 9000000 /dev/zero > late", {"room": 8 << 20}, "files took more than 8 MiB"),
    ],
)
def test_what_it_uses_is_bounded(
    folder: Path, script: str, bounds: dict[str, float], words: str
) -> None:
    assert words in sh(folder, script, **bounds).stopped


def test_a_file_and_memory_are_bounded(folder: Path) -> None:
    sh(folder, "head -c 3000000 /dev/zero > big", file_size=1 << 20)
    assert (folder / "big").stat().st_size == 1 << 20
    done = sh(folder, "perl -e '$x = \"a\" x (1 << 30); print length $x'", memory=256 << 20)
    assert done.status != 0


def test_setuid_files_that_it_makes_are_no_such_files(folder: Path) -> None:
    sh(folder, "cp /bin/true su; chmod 6755 su")
    mode = (folder / "su").stat().st_mode
    assert os.getuid() != 0 or not mode & (stat.S_ISUID | stat.S_ISGID)


def test_what_is_readable_can_only_be_read(folder: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "word").write_text("tool")
    (tools / "word").chmod(0o666)
    done = Sandbox(folder, {"/some/where": tools}).run(
        ["sh", "-c", "cat /some/where/word; echo x > /some/where/word"]
    )
    assert done.text.startswith("tool")
    assert done.status != 0 and (tools / "word").read_text() == "tool"


def test_without_bubblewrap_nothing_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    sandbox.require.cache_clear()
    try:
        with pytest.raises(SandboxUnusable, match="apt-get install bubblewrap"):
            Sandbox(folder).run(["touch", "made"])
    finally:
        sandbox.require.cache_clear()
    assert not (folder / "made").exists()


def test_bubblewrap_that_does_not_work_is_said_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/bwrap").write_text("#!/bin/sh\necho 'no permissions' >&2\nexit 1\n")
    (tmp_path / "bin/bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    sandbox.require.cache_clear()
    try:
        with pytest.raises(SandboxUnusable, match=r"no permissions.*user namespaces"):
            Sandbox(folder).run(["touch", "made"])
    finally:
        sandbox.require.cache_clear()
