"""When a guest counts as stuck."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from faultline.console import ConsoleLog
from faultline.progress import (
    CIRCLE_CPU, DISK_REQUESTS, IDLE_CPU_RATE, LOOKS, SILENT_CPU, STUCK_ASLEEP, STUCK_CPU, Progress,
    Sample, processor_state,
)  # fmt: skip

START = Sample(wall=0, guest=1, cpu=1, asleep=False, output=10)


def after(
    silence: float, *samples: Sample, paced: bool = False, waits: bool = True
) -> str | None:
    progress = Progress(silence, paced=paced, disk_waits=lambda sample: waits)
    progress.observe(START)
    reason = None
    for sample in samples:
        reason = progress.observe(sample)
    return reason


@pytest.mark.parametrize(
    ("change", "waits", "words"),
    [
        ({"wall": 9, "guest": 29, "cpu": 2}, True, None),
        ({"wall": 9, "guest": 32, "cpu": 2}, True, "no output for more than 30 s"),
        ({"wall": 1, "guest": 500, "cpu": 2}, True, None),  # the host may be at its request
        ({"wall": 9, "guest": 500, "cpu": 2, "output": 11}, True, None),
        ({"wall": 9, "guest": 500, "cpu": 2, "disk": 1}, True, None),
        ({"wall": 39, "guest": 5000, "cpu": 2}, True, None),  # idle: the host may be very slow
        ({"wall": 41, "guest": 5000, "cpu": 2}, True, "no output"),
        ({"wall": 6, "guest": 5000, "cpu": 2}, False, "no output"),
        ({"wall": 4, "guest": 5000, "cpu": 2}, False, None),
        ({"wall": 9, "guest": 2, "cpu": 1 + SILENT_CPU}, True, "of computing"),
        ({"wall": 500, "guest": 1, "cpu": 1.5}, True, None),  # a host that has no time for QEMU
        ({"wall": 9, "guest": 1, "cpu": 1 + STUCK_CPU}, True, "complete no instruction"),
    ],
)
def test_some_looks_later(change: dict[str, float], waits: bool, words: str | None) -> None:
    looks = [replace(START, **change)] * LOOKS
    reason = after(30, *looks, waits=waits)
    assert reason is None if words is None else reason is not None and words in reason


def test_a_guest_that_was_hardly_looked_at_may_go_on() -> None:
    late = replace(START, wall=9, guest=500, cpu=2)
    assert after(30, *[late] * (LOOKS - 1), waits=False) is None
    assert after(30, *[late] * LOOKS, waits=False) is not None


# One hart that fills its disk next to six busy programs: wall, guest, processor seconds,
# requests done, and whether one was under way. 13000 requests later it was done.
DISK_FULL = (
    (0.00, 753.78, 0.89, 122, False), (0.69, 1728.60, 1.22, 172, True),
    (1.29, 2128.40, 1.52, 791, False), (1.66, 2135.20, 1.54, 794, False),
    (2.01, 2135.20, 1.55, 794, False), (2.25, 2135.30, 1.55, 795, False),
    (2.46, 2135.30, 1.55, 795, False), (2.71, 2135.30, 1.56, 795, False),
    (3.73, 2171.00, 1.56, 881, True), (4.31, 3635.30, 1.85, 998, False),
    (5.04, 3741.60, 1.98, 1882, False),
)  # fmt: skip


def test_a_silent_guest_gets_somewhere_as_long_as_its_disk_does() -> None:
    waits = {wall: waiting for wall, _, _, _, waiting in DISK_FULL}
    progress = Progress(120, paced=False, disk_waits=lambda sample: waits[sample.wall])
    for wall, guest, cpu, disk, _ in DISK_FULL:
        sample = Sample(wall, guest, cpu, asleep=False, output=647, disk=disk)
        assert progress.observe(sample) is None, sample


def test_a_request_that_the_host_leaves_undone_late_in_a_silence() -> None:
    done = replace(START, wall=60, guest=90_000, cpu=30, disk=5000)
    later = replace(done, wall=62, guest=93_000, cpu=31)
    assert after(30, done, *[later] * LOOKS) is None
    assert after(30, done, *[replace(later, wall=101)] * LOOKS) is not None


def test_disk_requests_without_an_end_are_a_hang() -> None:
    at_work = replace(START, disk=30 * DISK_REQUESTS - 1, guest=2)
    assert after(30, at_work) is None
    reason = after(30, replace(at_work, disk=30 * DISK_REQUESTS))
    assert reason is not None and "disk requests" in reason


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
    assert after(30, first, replace(later, disk=1)) is None  # it waits for its disk so
    idle = replace(later, guest=later.guest * IDLE_CPU_RATE)  # in a wfi, from tick to tick
    assert after(3000, first, idle) is None


@pytest.mark.parametrize(
    ("states", "stuck"),
    [
        ([(n,) for n in range(40)], False),  # it clears memory: an address that grows
        ([(n % 4,) for n in range(40)], True),
        ([(n % 4, n % 5) for n in range(40)], True),
        ([(n % 4, n) for n in range(40)], False),  # one hart of two gets somewhere
    ],
)
def test_a_circle_comes_back_to_where_it_was(
    states: list[tuple[int, ...]], stuck: bool
) -> None:
    first = replace(START, deaf=HERE * len(states[0]), guest=2)
    looks = [
        replace(first, states=state, cpu=1 + 0.2 * n, guest=2 + 0.5 * n)
        for n, state in enumerate(states)
    ]
    assert (after(30, *looks) is not None) == stuck


# A handler that cannot be fetched, on one hart: guest, processor seconds, a number for the
# registers, one for all of the machine. The clock is late by what had run until the first stop.
CANNOT_FETCH = (
    (9.2398398, 0.79, 7, 3), (9.2398398, 0.99, 7, 3), (9.2406787, 1.03, 7, 3),
    (9.2406787, 1.06, 7, 3), (9.2406787, 1.09, 7, 3), (9.2406787, 1.14, 7, 3),
    (9.2406787, 1.17, 7, 3), (9.2406787, 1.22, 7, 3), (9.2406787, 1.26, 7, 3),
    (9.2406787, 1.31, 7, 3),
)  # fmt: skip
# It asks for a lock that is never released.
SPINS = tuple((2 + 0.3 * n, 1 + 0.04 * n, n % 2 + 5, n % 2 + 5) for n in range(9))


def returning(*looks: tuple[float, float, int, int], fault: str = "") -> str | None:
    held = iter([0])
    progress = Progress(30, paced=False, whole=lambda: next(held))
    reason = progress.observe(START)
    for guest, cpu, closed, whole in looks:
        held = iter([whole])
        sample = replace(START, guest=guest, cpu=cpu, closed=closed, fault=fault)
        reason = reason or progress.observe(sample)
    return reason


@pytest.mark.parametrize(
    ("looks", "stuck"),
    [
        (CANNOT_FETCH, True),
        (CANNOT_FETCH[:-2], False),  # not yet long enough
        (SPINS, True),
        (SPINS[:6], False),
        ([(*look[:3], n) for n, look in enumerate(SPINS)], False),  # it counts in memory
        ([(*look[:2], n, n) for n, look in enumerate(SPINS)], False),  # or in a register
        ([(*look[:3], 0) for look in SPINS], False),  # a disk request is not done
        ([(*look[:2], 0 if n % 3 == 2 else 5, 5) for n, look in enumerate(SPINS)], False),
        ([(2 + 0.01 * n, 1 + 0.04 * n, 5, 5) for n in range(30)], False),  # a slow device
    ],
)
def test_a_machine_that_is_again_as_it_was_is_so_for_ever(
    looks: tuple[tuple[float, float, int, int], ...], stuck: bool
) -> None:
    reason = returning(*looks)
    assert (reason is not None) == stuck
    assert not stuck or reason is not None and "in circles" in reason
    words = "instruction page fault at 0x80006870, in the trap handler itself"
    assert not stuck or words in (returning(*looks, fault=words) or "")


def test_what_memory_holds_is_not_asked_while_registers_never_return() -> None:
    asked: list[int] = []

    def whole() -> int:
        asked.append(1)
        return 7

    progress = Progress(30, paced=False, whole=whole)
    for n in range(9):
        progress.observe(replace(START, guest=2 + n, closed=n + 1))
    assert not asked and not progress.returns
    progress.observe(replace(START, guest=20, closed=4))
    assert asked and progress.returns


def test_the_same_machine_fault_again_and_again() -> None:
    fault = replace(START, fault="illegal instruction at 0x0", guest=2)
    later = replace(fault, cpu=1 + STUCK_CPU, guest=3)
    reason = after(30, fault, later)
    assert reason is not None and "illegal instruction at 0x0" in reason
    assert after(30, fault, replace(later, fault="")) is None


def test_without_icount_a_starved_qemu_is_not_silent() -> None:
    starved = replace(START, wall=100, guest=101, cpu=2)
    assert after(30, *[starved] * LOOKS, paced=True) is None
    assert after(30, *[replace(starved, cpu=20)] * LOOKS, paced=True) is not None
    assert after(30, *[replace(starved, asleep=True)] * LOOKS, paced=True) is not None


def test_a_thread_that_ends_while_its_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = Path("/proc/self/task").iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: [path / "0", *tasks()])
    seconds, asleep = processor_state(os.getpid())
    assert seconds > 0 and not asleep
    with pytest.raises(OSError):
        processor_state(0)


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
