"""Has the guest stopped getting anywhere? Decided by its own clock, not by the host's.

A slow or busy host must not change a verdict. So the limits are in guest seconds and, for
a guest whose clock stands still, in processor seconds that QEMU was really given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SILENT_CPU = 90.0  # processor seconds of QEMU without output, however little guest time they
# are: a hart in a wfi that never sleeps makes the clock creep
STUCK_CPU = 3.0  # processor seconds of QEMU while the guest's clock stands still
DISK_PATIENCE = 20  # times the silence allowed, as long as the guest uses its disk: it sleeps
# while the host works, and its clock jumps from tick to tick
SILENT_WALL = 5.0  # wall seconds that a silence lasts at least: an idle guest's clock runs
# ahead while the host still works on its disk request
IDLE_RATE = 50.0  # guest seconds a wall second above which the guest must be idle: a busy
# one does not reach ten
IDLE_WALL = 40.0  # wall seconds that the silence of an idle guest that may wait for its disk
# lasts at least: a host with no time may leave the request undone that long
CIRCLE_CPU = 4.0  # processor seconds that every hart goes round in one place with interrupts off
CIRCLE = 64  # bytes of code that are one place
IDLE_CPU_RATE = 20.0  # guest seconds a processor second above which it is no circle but a wfi
STUCK_ASLEEP = 12  # samples in a row that show QEMU asleep and the guest's clock still


@dataclass(frozen=True)
class Sample:
    """One look at a running machine."""

    wall: float  # seconds, from any origin
    guest: float  # guest seconds since power-on
    cpu: float  # processor seconds QEMU has used
    asleep: bool  # no thread of QEMU wants a processor
    output: int  # characters of console output so far
    disk: int = 0  # disk requests completed so far
    waiting: bool = True  # a disk request may not be done yet
    deaf: tuple[int, ...] = ()  # where the harts are, if all are there with interrupts off
    fault: str = ""  # the exception last taken to machine mode, or by a trap handler


class Progress:
    """Samples since the guest last said something."""

    def __init__(self, silence: float, *, paced: bool, minimum: float = SILENT_WALL) -> None:
        """Allow `silence` guest seconds without output, but at least `minimum` wall seconds.

        `paced` says that the guest's clock follows the wall clock (no -icount): then it
        also runs while QEMU gets no processor, which must not count as silence.
        """
        self.silence = silence
        self.minimum = minimum
        self.idle_minimum = max(minimum, IDLE_WALL if minimum >= SILENT_WALL else minimum)
        self.paced = paced
        self._spoke: Sample | None = None  # the last sample with new output
        self._asleep = 0

    def observe(self, sample: Sample) -> str | None:
        """Return why the guest will not get any further, or None if it still may."""
        if self._spoke is None or sample.output != self._spoke.output:
            self._spoke = sample
            self._moved = sample  # the last one whose clock had moved
            self._faulted = sample  # the first one with the present fault
            self._circled = sample  # the first one in the present place
            self._worked = sample  # the last one with a new disk request
            self._asleep = 0
            return None
        if sample.fault != self._faulted.fault:
            self._faulted = sample
        elif sample.fault and sample.cpu - self._faulted.cpu >= STUCK_CPU:
            return f"the kernel takes the same exception again and again: {sample.fault}"
        if not _same_place(sample.deaf, self._circled.deaf):
            self._circled = sample
        elif (spent := sample.cpu - self._circled.cpu) >= CIRCLE_CPU:
            if sample.guest - self._circled.guest < IDLE_CPU_RATE * spent:
                return "every hart goes round in circles with interrupts off"
        if sample.guest != self._moved.guest:
            self._moved = sample
            self._asleep = 0
        else:
            self._asleep = self._asleep + 1 if sample.asleep else 0
            if self._asleep >= STUCK_ASLEEP:
                return "every hart sleeps and no interrupt can come"
            if sample.cpu - self._moved.cpu >= STUCK_CPU:
                return "the harts complete no instruction any more"
        if sample.disk != self._worked.disk:
            self._worked = sample
        if sample.cpu - self._worked.cpu >= SILENT_CPU:
            return f"no output in {SILENT_CPU:.0f} s of computing"
        quiet = sample.guest - self._spoke.guest
        idle = sample.guest - self._worked.guest
        if quiet < self.silence * DISK_PATIENCE and idle < self.silence:
            return None
        wall = sample.wall - self._spoke.wall
        if wall < self.minimum:
            return None
        if sample.waiting and quiet > IDLE_RATE * wall and wall < self.idle_minimum:
            return None
        if self.paced and not sample.asleep and sample.cpu - self._spoke.cpu < self.silence / 4:
            return None  # it was QEMU that had no time, not the guest that was silent
        return f"no output for more than {self.silence:.0f} s of guest time"


def _same_place(here: tuple[int, ...], there: tuple[int, ...]) -> bool:
    near = [abs(a - b) <= CIRCLE for a, b in zip(here, there)]
    return len(here) == len(there) == len(near) > 0 and all(near)


def processor_state(pid: int) -> tuple[float, bool]:
    """Return the processor seconds that a process has used, and whether all of it sleeps.

    Raises OSError if there is no such process.
    """
    ticks_per_second = 100  # USER_HZ, which Linux fixes for all programs
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    asleep = True
    for task in Path(f"/proc/{pid}/task").iterdir():
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        asleep = asleep and state in "SI"
    return (int(fields[11]) + int(fields[12])) / ticks_per_second, asleep
