"""What the probe says during a sweep, line by line.

    @NONCE sweep fork calls=31            what follows is a sweep of so many kallocs
    @NONCE sweep fork cannot=wait         or the workload fails although nothing is refused
    @NONCE stop n=7 after                 it waits, right after the call
    @NONCE n=7 fired=1 result=failed lost=0 sane=1
    @NONCE stop n=7 end                   it waits, when all is undone
    @NONCE stop n=0 end                   likewise, after a run in which nothing has failed
    @NONCE sweep fork done n=32

Not every n has a line of its own: those between two lines were as they should be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MODES = ("nth", "from")
GOOD = ("ok", "failed")  # results that a correct kernel may have


@dataclass(frozen=True)
class Begun:
    """The workload works, and makes so many kallocs."""

    calls: int


@dataclass(frozen=True)
class CannotRun:
    """The workload does not work although no allocation fails."""

    what: str


@dataclass(frozen=True)
class Stopped:
    """The probe waits for a line. `after`: right after the call; else when all is undone."""

    n: int
    after: bool


@dataclass(frozen=True)
class Ran:
    """How the workload ended with its n-th kalloc refused."""

    n: int
    fired: int  # kallocs that were refused; 0 if there were not as many as n
    result: str  # ok, failed, false-success, false-failure or changed
    what: str  # of the last three: what was not as it should be
    lost: int  # pages in use more than before; may be negative
    sane: bool  # a run with nothing refused succeeded afterwards
    insane: str  # what failed in it

    @property
    def bad(self) -> bool:
        """Whether a correct kernel never does this; then the probe waits at the end."""
        return self.result not in GOOD or self.lost != 0 or not self.sane

    @property
    def words(self) -> str:
        """What was bad."""
        said = []
        if self.result not in GOOD:
            said.append(f"{self.result}:{self.what}")
        if self.lost:
            said.append(f"it loses {self.lost} page{'s' * (self.lost != 1)} each time (see `leaks`)")
        if not self.sane:
            said.append(f"it does not work again afterwards: {self.insane or 'it fails'}")
        return "; ".join(said) or f"it ends with {self.result}"


@dataclass(frozen=True)
class Done:
    """The sweep has ended; `n` is the last one that was tried."""

    n: int


Event = Begun | CannotRun | Stopped | Ran | Done

# A guest has at most half a million pages; whoever says a larger number cannot be understood.
_SWEEP = re.compile(r"sweep \S+ (?:calls=(\d{1,6})|cannot=(\S+)|done n=(\d{1,6}))")
_STOP = re.compile(r"stop n=(\d{1,6}) (after|end)")
_RAN = re.compile(
    r"n=(\d{1,6}) fired=(\d{1,6}) result=(ok|failed|(?:false-success|false-failure|changed):\S+) "
    r"lost=(-?\d{1,6}) sane=([01])(?: insane=(\S+))?"
)


def line_pattern(nonce: str) -> str:
    """Return a pattern for any line of the probe's; its first group is what it says."""
    return rf"@{nonce} ([^\r\n]*)\r?\n"


def parse(words: str) -> Event | None:
    """Return what a line says after the nonce, or None if it cannot be understood.

    That happens if a message of the kernel's lies in the middle of it.
    """
    if match := _STOP.fullmatch(words):
        return Stopped(int(match[1]), match[2] == "after")
    if match := _RAN.fullmatch(words):
        result, _, what = match[3].partition(":")
        numbers = int(match[1]), int(match[2])
        return Ran(*numbers, result, what, int(match[4]), match[5] == "1", match[6] or "")
    if match := _SWEEP.fullmatch(words):
        if match[1]:
            return Begun(int(match[1]))
        return CannotRun(match[2]) if match[2] else Done(int(match[3]))
    return None


def workloads(said: str, nonce: str) -> list[str]:
    """Return the workloads that the probe lists, or nothing if it does not."""
    match = re.search(rf"@{nonce} workloads (\S[^\r\n]*)", said)
    return match[1].split() if match else []


@dataclass(frozen=True)
class Choice:
    """What of the sweep to do."""

    workload: str = ""  # the only one; empty: all
    mode: str = ""  # one of MODES; empty: both
    exhaustive: bool = False  # leave nothing out, however many boots it takes
    first: str = ""  # the workload to begin with: its findings are told before the next

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes to sweep in."""
        return (self.mode,) if self.mode else MODES
