"""Has the guest stopped getting anywhere? Decided by its own clock, not by the host's.

A slow or busy host must not change a verdict. So the limits are in guest seconds and, for
a guest whose clock stands still, in processor seconds that QEMU was really given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SILENT_CPU = 90.0  # processor seconds of QEMU without output, however little guest time they
# are: a hart in a wfi that never sleeps makes the clock creep
STUCK_CPU = 3.0  # processor seconds of QEMU while the guest's clock stands still
DISK_REQUESTS = 10000  # done without output, for each second of silence allowed: while the guest
# waits for its disk the clock jumps from tick to tick, so guest seconds say nothing
SILENT_WALL = 5.0  # wall seconds that nothing happens at least: an idle guest's clock runs
# ahead while the host still works on its disk request
LOOKS = 10  # of which each is an answer of QEMU's: so many in SILENT_WALL at least
IDLE_RATE = 50.0  # guest seconds a wall second above which the guest must be idle: a busy
# one does not reach ten
IDLE_PATIENCE = 8  # times SILENT_WALL, for an idle guest with a disk request not yet done: a
# host with no time may leave it undone that long
CIRCLE_CPU = 4.0  # processor seconds that every hart goes round in one place with interrupts off
CIRCLE = 64  # bytes of code that are one place
ROUNDS = 2  # times that each state of the registers has come back: who copies or clears memory is
# in one place, too, but with other addresses at each look
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
    deaf: tuple[int, ...] = ()  # where the harts are, if all are there with interrupts off
    states: tuple[int, ...] = ()  # of each hart, the same if its registers are
    fault: str = ""  # the exception last taken to machine mode, or by a trap handler


class Progress:
    """Samples since the guest last said something."""

    def __init__(
        self,
        silence: float,
        *,
        paced: bool,
        minimum: float = SILENT_WALL,
        disk_waits: Callable[[Sample], bool] = lambda sample: True,
    ) -> None:
        """Allow `silence` guest seconds without output, but at least `minimum` wall seconds.

        `paced` says that the guest's clock follows the wall clock (no -icount): then it
        also runs while QEMU gets no processor, which must not count as silence.
        `disk_waits` tells whether a disk request may not have been done at a sample.
        """
        self.silence = silence
        self.minimum = minimum
        self.paced = paced
        self.disk_waits = disk_waits
        self._spoke: Sample | None = None  # the last sample with new output

    def observe(self, sample: Sample) -> str | None:
        """Return why the guest will not get any further, or None if it still may."""
        if self._spoke is None or sample.output != self._spoke.output:
            self._spoke = sample
            self._moved = sample  # the last one whose clock had moved
            self._asleep = 0
            self._faulted = sample  # the first one with the present fault
            self._at_work(sample)
            return None
        if sample.disk != self._worked.disk:
            self._at_work(sample)
        self._looks += 1
        stuck = self._trapped(sample) or self._circles(sample) or self._stands(sample)
        return stuck or self._silent(sample, self._spoke)

    def _at_work(self, sample: Sample) -> None:
        self._worked = sample  # the last one with new output or a new disk request
        self._looks = 0  # since then
        self._circle(sample)

    def _circle(self, sample: Sample) -> None:
        self._circled = sample  # the first one in the present place
        self._states = [{state} for state in sample.states]
        self._seen = 1  # samples there

    def _trapped(self, sample: Sample) -> str | None:
        if sample.fault != self._faulted.fault:
            self._faulted = sample
        elif sample.fault and sample.cpu - self._faulted.cpu >= STUCK_CPU:
            return f"the kernel takes the same exception again and again: {sample.fault}"
        return None

    def _circles(self, sample: Sample) -> str | None:
        if not _same_place(sample.deaf, self._circled.deaf):
            self._circle(sample)
            return None
        for states, state in zip(self._states, sample.states):
            states.add(state)
        self._seen += 1
        spent = sample.cpu - self._circled.cpu
        if spent < CIRCLE_CPU or any(self._seen < ROUNDS * len(one) for one in self._states):
            return None
        if sample.guest - self._circled.guest >= IDLE_CPU_RATE * spent:
            return None
        return "every hart goes round in circles with interrupts off"

    def _stands(self, sample: Sample) -> str | None:
        if sample.guest != self._moved.guest:
            self._moved = sample
            self._asleep = 0
            return None
        self._asleep = self._asleep + 1 if sample.asleep else 0
        if self._asleep >= STUCK_ASLEEP:
            return "every hart sleeps and no interrupt can come"
        if sample.cpu - self._moved.cpu >= STUCK_CPU:
            return "the harts complete no instruction any more"
        return None

    def _silent(self, sample: Sample, spoke: Sample) -> str | None:
        requests = sample.disk - spoke.disk
        if requests >= DISK_REQUESTS * self.silence:
            return f"no output in {requests} disk requests"
        spent = sample.cpu - self._worked.cpu
        if spent >= SILENT_CPU:
            return f"no output in {SILENT_CPU:.0f} s of computing"
        idle = sample.guest - self._worked.guest
        wall = sample.wall - self._worked.wall
        if idle < self.silence or wall < self.minimum:
            return None
        if self._looks < LOOKS * self.minimum / SILENT_WALL:
            return None
        if idle > IDLE_RATE * wall and wall < IDLE_PATIENCE * self.minimum:
            if self.disk_waits(sample):
                return None
        if self.paced and not sample.asleep and spent < self.silence / 4:
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
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has just ended
        asleep = asleep and state in "SI"
    return (int(fields[11]) + int(fields[12])) / ticks_per_second, asleep
