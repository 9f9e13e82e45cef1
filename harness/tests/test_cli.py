"""The command line: exit statuses and what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT
from test_explain import NOT_RUN

from faultline import doctor
from faultline.checks import all_checks, all_rules
from faultline.jobs import Finished, run_jobs
from faultline.lifeline import Interrupted

COMMAND = str(ROOT / "faultline")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 2, "COMMAND"),
        (["nonsense"], 2, "invalid choice"),
        (["matrix", "no-such-fault"], 2, "there is no fault 'no-such-fault'"),
        (["matrix", "--jobs", "0"], 2, "expected at least 1"),
        (["leaks", "somewhere"], 2, "there is no such file or folder"),
        (["grade", "docs"], 2, "no xv6 tree for RISC-V"),
        (["grade"], 2, "TREE"),
        (["grade", "docs", "--ref", "main"], 2, "--ref needs a git repository"),
        (["leaks", "docs", "--fault", "interior-leak"], 2, "--fault is for the reference kernel"),
        (["audit", "--ref", "main"], 2, "--ref needs a TREE"),
        (["explain", "no-such-rule"], 2, "there is no rule 'no-such-rule'"),
        (["list", "nonsense"], 2, "invalid choice"),
        (["list", "faults"], 0, "kstack-not-freed"),
        (["list", "checks"], 0, "every page is free again"),
        (["list", "rules"], 0, "page-leaked"),
        (["explain", "page-leaked"], 0, "found by leaks"),
        (["bench", "--matrix", "0"], 2, "expected at least 1"),
        (["bench", "docs"], 2, "TREE goes with --only grade"),
        (["bench", "--ref", "main"], 2, "--ref needs a TREE"),
        (["doctor"], 0, "python module rich               installed"),
    ],
)
def test_status_and_words(words: list[str], status: int, says: str) -> None:
    done = run(*words)
    assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stderr


def test_without_qemu_it_is_the_harness_that_fails() -> None:
    done = run("vmprint", FAULTLINE_QEMU="/nonexistent/qemu")
    assert done.returncode == 3
    assert "faultline doctor" in done.stderr


def test_doctor_names_what_to_install() -> None:
    done = run("doctor", FAULTLINE_QEMU="/nonexistent/qemu")
    assert done.returncode == 3
    assert "apt-get install qemu-system-misc" in done.stdout


@pytest.mark.parametrize("command", ["doctor", "matrix"])
def test_doctor_speaks_before_anything_is_installed(command: str) -> None:
    done = subprocess.run(  # -S: without what distributions add to Python
        ["/usr/bin/python3", "-S", COMMAND, command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3
    assert "apt-get install python3-pyelftools python3-jinja2" in done.stdout
    assert "Traceback" not in done.stderr


def test_what_is_optional_does_not_fail_the_doctor() -> None:
    needs = [doctor.Need("a", "", "a", required=False), doctor.Need("b", "1.0", "b")]
    assert doctor.missing(needs) == []
    assert "apt-get install a" in doctor.report(needs)


def test_every_rule_and_check_explains_itself() -> None:
    for name, (rule, checks) in all_rules().items():
        assert len(rule.meaning.split()) > 20, name
        assert checks
    assert all(check.title for check in all_checks().values())


def test_every_rule_says_what_to_type_in_a_debugger() -> None:
    for name, (rule, _) in all_rules().items():
        if name in NOT_RUN:
            continue  # there is no kernel yet to debug
        commands = [line.split("#")[0].strip() for line in rule.debug.splitlines()]
        assert len(commands) >= 2 and all(commands), name
        assert all(len(line) <= 80 for line in rule.debug.splitlines()), name


def test_explain_says_all_there_is() -> None:
    said = run("explain", "double-free").stdout
    rule = all_rules()["double-free"][0]
    words = " ".join(said.split())
    for part in (rule.meaning, rule.hint, "make qemu-gdb", *rule.debug.splitlines()):
        assert " ".join(part.split()) in words


def test_checks_come_after_those_they_need() -> None:
    names = list(all_checks())
    for check in all_checks().values():
        assert all(names.index(need) < names.index(check.name) for need in check.needs)


def double(number: int, say: object) -> int:
    if number == 3:
        os._exit(9)
    if number == 4:
        raise ValueError("four")
    return 2 * number


def test_a_job_that_crashes_harms_no_other() -> None:
    events = [e for e in run_jobs([1, 2, 3, 4], double, 2) if isinstance(e, Finished)]
    results = {event.job: event.result for event in events}
    problems = {event.job: event.problem for event in events if event.problem}
    assert results == {1: 2, 2: 4, 3: None, 4: None}
    assert "exit status 9" in problems[3] and "ValueError: four" in problems[4]


def processes_with(words: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if words in line and state != "Z":
                found.append(int(entry.name))
    return found


def wait_until(what: str, seconds: float, holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.mark.live
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_killed_while_machines_run_it_leaves_nothing(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    process = subprocess.Popen(
        [COMMAND, "matrix", "kalloc-nth", "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    machine = f"{tmp_path}/faultline-"
    try:
        wait_until("a machine runs", 300, lambda: processes_with(f"mem-path={machine}"))
        assert list(tmp_path.iterdir())
        process.send_signal(number)
        assert process.wait(30) == status
        wait_until("every process is gone", 30, lambda: not processes_with(str(tmp_path)))
        wait_until("the directory is empty", 30, lambda: not list(tmp_path.iterdir()))
    finally:
        process.kill()
        process.wait()


@pytest.mark.live
def test_the_clean_kernel_prints_its_table_as_it_is(tmp_path: Path) -> None:
    done = run("vmprint", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out.json").exists()


@pytest.mark.live
def test_a_variant_is_caught_or_not_and_the_status_says_so(tmp_path: Path) -> None:
    caught = run("vmprint", "--fault", "vmprint-wrong-pa")
    assert caught.returncode == 0, caught.stdout + caught.stderr
    assert "vmprint-pa" in caught.stdout
    missed = run("vmprint", "--fault", "kstack-not-freed")
    assert missed.returncode == 1, missed.stdout + missed.stderr
    assert "missed" in missed.stdout


def test_signals_become_statuses() -> None:
    assert Interrupted(signal.SIGINT).status == 130
    assert Interrupted(signal.SIGTERM).status == 143
