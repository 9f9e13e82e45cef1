"""When a guest counts as stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faultline.console import ConsoleLog
from faultline.progress import (
    CIRCLE_CPU, DISK_PATIENCE, IDLE_CPU_RATE, SILENT_CPU, STUCK_ASLEEP, STUCK_CPU, Progress, Sample,
)  # fmt: skip

START = Sample(wall=0, guest=1, cpu=1, asleep=False, output=10)


def after(silence: float, *samples: Sample, paced: bool = False) -> str | None:
    progress = Progress(silence, paced=paced)
    progress.observe(START)
    reason = None
    for sample in samples:
        reason = progress.observe(sample)
    return reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wall": 9, "guest": 29, "cpu": 2}, None),
        ({"wall": 9, "guest": 32, "cpu": 2}, "no output for more than 30 s"),
        ({"wall": 1, "guest": 500, "cpu": 2}, None),  # the host may be at its disk request
        ({"wall": 9, "guest": 500, "cpu": 2, "output": 11}, None),
        ({"wall": 9, "guest": 500, "cpu": 2, "disk": 1}, None),
        ({"wall": 49, "guest": 30 * DISK_PATIENCE + 2, "cpu": 2, "disk": 1}, "no output"),
        ({"wall": 39, "guest": 5000, "cpu": 2}, None),  # idle: the host may be very slow
        ({"wall": 41, "guest": 5000, "cpu": 2}, "no output"),
        ({"wall": 6, "guest": 5000, "cpu": 2, "waiting": False}, "no output"),
        ({"wall": 4, "guest": 5000, "cpu": 2, "waiting": False}, None),
        ({"wall": 9, "guest": 2, "cpu": 1 + SILENT_CPU}, "of computing"),
        ({"wall": 500, "guest": 1, "cpu": 1.5}, None),  # a host that has no time for QEMU
        ({"wall": 9, "guest": 1, "cpu": 1 + STUCK_CPU}, "complete no instruction"),
    ],
)
def test_one_sample_later(change: dict[str, float], words: str | None) -> None:
    reason = after(30, replace(START, **change))
    assert reason is None if words is None else reason is not None and words in reason


def test_a_sleeping_guest_without_a_timer_never_wakes() -> None:
    asleep = replace(START, asleep=True)
    assert after(30, *[asleep] * (STUCK_ASLEEP - 1)) is None
    reason = after(30, *[asleep] * STUCK_ASLEEP)
    assert reason is not None and "sleeps" in reason
    interrupted = [asleep] * (STUCK_ASLEEP - 1) + [START] + [asleep] * (STUCK_ASLEEP - 1)
    assert after(30, *interrupted) is None


HERE, NEAR, FAR = (0x80001000,), (0x80001040,), (0x80002000,)


def test_every_hart_in_one_place_with_interrupts_off_is_stuck() -> None:
    first = replace(START, deaf=HERE, wall=2, guest=2)
    later = replace(first, deaf=NEAR, wall=9, guest=20, cpu=1 + CIRCLE_CPU)
    reason = after(30, first, later)
    assert reason is not None and "in circles" in reason
    assert after(30, first, replace(later, deaf=FAR)) is None  # it gets somewhere
    assert after(30, first, replace(later, deaf=FAR), later) is None
    assert after(30, first, replace(later, deaf=())) is None  # an interrupt may help it
    assert after(30, replace(first, deaf=()), replace(later, deaf=())) is None
    assert after(30, first, replace(later, deaf=NEAR + FAR)) is None
    idle = replace(later, guest=later.guest * IDLE_CPU_RATE)  # in a wfi, from tick to tick
    assert after(3000, first, idle) is None


def test_the_same_machine_fault_again_and_again() -> None:
    fault = replace(START, fault="illegal instruction at 0x0", guest=2)
    later = replace(fault, cpu=1 + STUCK_CPU, guest=3)
    reason = after(30, fault, later)
    assert reason is not None and "illegal instruction at 0x0" in reason
    assert after(30, fault, replace(later, fault="")) is None


def test_without_icount_a_starved_qemu_is_not_silent() -> None:
    starved = replace(START, wall=100, guest=101, cpu=2)
    assert after(30, starved, paced=True) is None
    assert after(30, replace(starved, cpu=20), paced=True) is not None
    assert after(30, replace(starved, asleep=True), paced=True) is not None


def said(*lines: str, limit: int = 1000) -> ConsoleLog:
    log = ConsoleLog(limit)
    for line in lines:
        log.write(line + "\r\n")
    return log


def test_a_first_line_that_returns_is_a_reboot_loop() -> None:
    boot = ["", "xv6 kernel is booting", "hart 1 starting"]
    assert not said(*boot * 3).rebooting
    assert said(*boot * 4).rebooting


def test_one_line_over_and_over_is_no_reboot_loop() -> None:
    log = said(*["hello"] * 200)
    assert not log.rebooting
    assert log.endless


def test_the_log_is_bounded_and_its_tail_starts_with_a_line() -> None:
    log = said(*[f"line {n}" for n in range(1000)], limit=500)
    assert log.endless and len(log.text()) <= 500 + 10
    assert log.tail(30).startswith("line ")
    assert not said("short").endless
