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
RETURNS = 3  # times that a machine is seen, registers and memory, as it was before: then it will
RETURN_GUEST = 1.0  # be so for ever, unless it looks at the clock, which has gone on so long in
# guest seconds meanwhile,
RETURN_CPU = 0.3  # or, in so many processor seconds of QEMU,
CREEP = 0.01  # by fewer guest seconds in each: the hart completes hardly an instruction
RETURN_POLL = 0.03  # wall seconds between two looks at such a machine
STUCK_ASLEEP = 12  # samples in a row that show QEMU asleep and the guest's clock still

CIRCLES = "every hart goes round in circles with interrupts off"


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
    closed: int = 0  # the same if all registers of the only hart are, which has interrupts off
    fault: str = ""  # the exception last taken to machine mode, or by a trap handler


class Progress:
    """Samples since the guest last said something."""

    def __init__(
        self,
        silence: float,
        *,
        paced: bool,
        minimum: float = SILENT_WALL,
        looks: int = LOOKS,
        disk_waits: Callable[[Sample], bool] = lambda sample: True,
        whole: Callable[[], int] = lambda: 0,
    ) -> None:
        """Allow `silence` guest seconds without output, but at least `minimum` wall seconds, and
        as many `looks`.

        `paced` says that the guest's clock follows the wall clock (no -icount): then it
        also runs while QEMU gets no processor, which must not count as silence.
        `disk_waits` tells whether a disk request may not have been done at a sample. `whole`
        returns a number for all that the machine holds, 0 if something from outside may change
        it.
        """
        self.silence = silence
        self.minimum = minimum
        self.paced = paced
        self.looks = looks
        self.disk_waits = disk_waits
        self.whole = whole
        self.returns = False  # its registers have come back to what they were, interrupts off
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
        stuck = stuck or self._returns(sample)
        return stuck or self._silent(sample, self._spoke)

    def _at_work(self, sample: Sample) -> None:
        self._worked = sample  # the last one with new output or a new disk request
        self._looks = 0  # since then
        self._circle(sample)
        self._open(sample)

    def _circle(self, sample: Sample) -> None:
        self._circled = sample  # the first one in the present place
        self._states = [{state} for state in sample.states]
        self._seen = 1  # samples there

    def _trapped(self, sample: Sample) -> str | None:
        if sample.fault != self._faulted.fault:
            self._faulted = sample
        elif sample.fault and sample.cpu - self._faulted.cpu >= STUCK_CPU:
            return _trapping(sample)
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
        return CIRCLES

    def _open(self, sample: Sample) -> None:
        self._closed = {sample.closed}
        self._wholes: dict[int, tuple[Sample, int]] = {}  # first seen, and how often since
        self.returns = False

    def _returns(self, sample: Sample) -> str | None:
        if not sample.closed:
            self._open(sample)
            return None
        self.returns = self.returns or sample.closed in self._closed
        self._closed.add(sample.closed)
        whole = self.whole() if self.returns else 0
        if not whole:
            self._wholes.clear()
            return None
        first, times = self._wholes.get(whole, (sample, 0))
        self._wholes[whole] = first, times + 1
        guest, spent = sample.guest - first.guest, sample.cpu - first.cpu
        stands = spent >= RETURN_CPU and guest <= CREEP * spent
        if times < RETURNS or not (guest >= RETURN_GUEST or stands):
            return None
        return _trapping(sample) if sample.fault else CIRCLES

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
        if self._looks < self.looks:
            return None
        if idle > IDLE_RATE * wall and wall < IDLE_PATIENCE * self.minimum:
            if self.disk_waits(sample):
                return None
        if self.paced and not sample.asleep and spent < self.silence / 4:
            return None  # it was QEMU that had no time, not the guest that was silent
        return f"no output for more than {self.silence:.0f} s of guest time"


def _trapping(sample: Sample) -> str:
    return f"the kernel takes the same exception again and again: {sample.fault}"


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
