"""Child processes that do not outlive the harness, and signals that end it cleanly."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from types import FrameType

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, process `parent`, dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before the call above


def child_setup(*, new_group: bool = False) -> Callable[[], None]:
    """Return a preexec function for a child that must die with this process."""
    parent = os.getpid()

    def setup() -> None:
        if new_group:
            os.setpgid(0, 0)
        die_with(parent)

    return setup


class Interrupted(BaseException):
    """A signal asked the harness to stop. Not an Exception, so that nothing eats it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status a shell expects of a program ended by this signal."""
        return 128 + self.number


def interrupt_on_signals() -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into Interrupted; ignore those after it."""

    def stop(number: int, frame: FrameType | None) -> None:
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
