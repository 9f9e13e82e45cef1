"""A QEMU process: started, looked at, controlled, ended. It always ends with QEMU gone."""

from __future__ import annotations

import codecs
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pexpect

from . import lifeline
from .console import ConsoleLog
from .errors import HarnessError
from .hart import Hart, parse_registers
from .progress import processor_state
from .qemu import CONTROL_SOCKET, Config, command_line, contained_command
from .qmp import Qmp, QmpClosed
from .ram import Ram

MTIME = 0x0200_BFF8  # CLINT's clock, which ticks in units of MTIME_SECONDS
MTIME_SECONDS = 1e-7
CREDENTIALS = struct.Struct("=3i")  # Linux's struct ucred: process, user, group
SIGNALLED = 128  # what a sandbox adds to a signal's number for its exit status
POLL = 0.2  # wall seconds between two looks at the machine
CONTROL_TIMEOUT = 300.0  # wall seconds within which QEMU must answer, even on a busy host
READ = 1 << 13  # characters of output taken at a time
GATHER = 0.002  # wall seconds that output may gather before it is read, at most,
GATHER_EACH = 2e-6  # and for each character since something was sent: less than it took to write
WINDOW = 1 << 15  # of those not yet matched, how many may be part of a match: all of it would be
# searched again with each piece


class Console(pexpect.spawn):  # type: ignore[misc]
    """QEMU on a terminal, to be typed at. What it says comes through a pipe.

    It writes each character that the guest does by itself. A terminal would have the system do
    something on QEMU's processor for each, which takes twice as long as to write it; and who
    reads at once is woken for each. So a guest that talks on is read the later the more it says.
    """

    def __init__(
        self, words: list[str], folder: Path, log: ConsoleLog, setup: Callable[[], None]
    ) -> None:
        """Start a command in `folder`; `setup` is run in its process before."""
        self._said = log
        self._heard = 0  # characters since something was sent
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        pipe = folder / "console"
        os.mkfifo(pipe, 0o600)
        self._output = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

        def redirect() -> None:
            said = os.open("console", os.O_WRONLY)
            os.dup2(said, 1)
            os.close(said)
            setup()

        try:
            super().__init__(
                words[0],
                words[1:],
                preexec_fn=redirect,
                cwd=str(folder),
                encoding="utf-8",
                echo=False,
                maxread=READ,
                searchwindowsize=WINDOW,
                timeout=None,
            )
        except BaseException:
            os.close(self._output)
            self._output = -1
            raise
        pipe.unlink()
        self.delaybeforesend = None
        self.delayafterread = None
        self.delayafterclose = 0
        self.ptyproc.delayafterclose = 0

    def send(self, s: str) -> int:
        """Type something."""
        self._heard = 0
        return int(super().send(s))

    def waiting(self, seconds: float | None = 0) -> bool:
        """Tell whether there is output to be read, or its end, after at most so long; None: for
        ever."""
        return bool(select.select([self._output], [], [], seconds)[0])

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """Return the output that there is after at most `timeout` seconds, None for ever.

        Raises pexpect.TIMEOUT if there is none, pexpect.EOF at the end.
        """
        ready = self.waiting() or (timeout != 0 and self.isalive() and self.waiting(timeout))
        if not ready and self.isalive():
            raise pexpect.TIMEOUT("no output")
        if timeout != 0:
            time.sleep(min(GATHER, self._heard * GATHER_EACH))
        said = os.read(self._output, size) if ready or self.waiting() else b""
        if not said:
            self.flag_eof = True
            self.isalive()  # notes the exit status
            raise pexpect.EOF("the end of the output")
        text = self._decode.decode(said)
        self._said.write(text)
        self._heard += len(text)
        return text

    def close(self, force: bool = True) -> None:
        """End the command, and what is heard of it."""
        super().close(force)
        if self._output >= 0:
            os.close(self._output)
            self._output = -1


class Emulator:
    """A QEMU that runs while the context lasts: its console, control socket and RAM."""

    def __init__(self, config: Config, scratch: Path) -> None:
        """Describe a machine whose files go into a new folder in `scratch`."""
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="machine-", dir=scratch))
        self.log = ConsoleLog(config.limits.output)
        self._spawn: Console | None = None
        self._qmp: Qmp | None = None
        self._pid = 0
        self.ram: Ram
        self.stopped = False

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def said(self) -> str:
        """Return all console output so far."""
        return self.log.text()

    def stop(self) -> tuple[Hart, ...]:
        """Stop all harts; return their registers."""
        self._control().command("stop")
        self.stopped = True
        return self.registers()

    def resume(self) -> None:
        """Let the harts run on."""
        self._control().command("cont")
        self.stopped = False

    def registers(self) -> tuple[Hart, ...]:
        """Return the harts' registers."""
        return parse_registers(self._control().monitor("info registers -a"))

    def guest_seconds(self) -> float:
        """Return the guest's clock."""
        line = self._control().monitor(f"xp /1gx {MTIME:#x}")
        return int(line.split()[-1], 16) * MTIME_SECONDS

    def processor_seconds(self) -> float:
        """Return the processor seconds that QEMU has used, 0 if it has ended."""
        try:
            return processor_state(self.pid)[0]
        except (OSError, HarnessError):
            return 0.0  # if it has just ended, the next read of the console says so

    @property
    def pid(self) -> int:
        """QEMU's process id; not the sandbox's, if it is in one."""
        self._running()
        return self._pid

    def close(self) -> None:
        """End QEMU and remove the machine's files. RAM stays readable."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        if self._spawn is not None:
            # At once: pexpect would first be polite, and then give a busy host too little time.
            if self._spawn.isalive():
                os.kill(self._spawn.pid, signal.SIGKILL)
                self._spawn.wait()
            self._spawn.close()
            self._spawn = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        contained = self.config.contained
        words = (contained_command if contained else command_line)(self.config, self.folder)
        die_with_us = lifeline.child_setup()

        def setup() -> None:
            complaints = os.open(self.folder / "stderr", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(complaints, 2)
            os.close(complaints)
            die_with_us()

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            here = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
            listener.bind(f"/proc/self/fd/{here}/{CONTROL_SOCKET}")
            os.close(here)
            listener.listen(1)
            self._spawn = Console(words, self.folder, self.log, setup)
            deadline = time.monotonic() + CONTROL_TIMEOUT
            while not select.select([listener], [], [], POLL)[0]:
                if not self._spawn.isalive() or time.monotonic() > deadline:
                    raise HarnessError(f"QEMU does not start: {self._complaint()}")
            try:
                connection = listener.accept()[0]
                self._pid = _peer(connection)
                self._qmp = Qmp(connection, CONTROL_TIMEOUT)
                self.ram = Ram(self.folder / "ram")
                self.resume()
            except (QmpClosed, OSError) as error:
                self._spawn.wait()
                raise HarnessError(f"QEMU does not start: {self._complaint()}") from error

    def _running(self) -> Console:
        if self._spawn is None:
            raise HarnessError("the machine is not running")
        return self._spawn

    def _control(self) -> Qmp:
        if self._qmp is None:
            raise HarnessError("the machine is not running")
        return self._qmp

    def _complaint(self) -> str:
        try:
            text = (self.folder / "stderr").read_text("utf-8", "replace").strip()
        except OSError:
            text = ""
        return text or "it says nothing"

    def disk_requests(self) -> int:
        """Return how many requests the disk has done."""
        devices = self._control().command("query-blockstats")
        names = ("rd_operations", "wr_operations", "flush_operations")
        return sum(device["stats"][name] for device in devices for name in names)

    def disk_waits(self) -> bool:
        """Tell whether the guest has asked its disk for what is not done, if that can be told."""
        try:
            for device in self._control().command("x-query-virtio"):
                queue = self._control().command(
                    "x-query-virtio-queue-status", path=device["path"], queue=0
                )
                asked, done = queue["vring-avail"] + 2, queue["vring-used"] + 2
                if self.ram.read(asked, 2) != self.ram.read(done, 2):  # the rings' indices
                    return True
        except (HarnessError, KeyError, IndexError, ValueError):
            return True  # a QEMU that does not know these commands, or no queue yet
        return False

    def _qemu_failed(self, status: int | None) -> bool:
        if self.config.contained and status is not None and status > SIGNALLED:
            return True  # the sandbox says so of a QEMU that a signal has ended
        # Before QEMU 9 a guest's failing power-off exits at once; so does QEMU when it
        # meets trouble of its own, but then it says why.
        return status != 0 and self._complaint().startswith(("qemu-system", "**", "Unexpected"))


def _peer(connection: socket.socket) -> int:
    """Return the id of the process that has connected to us."""
    text = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(text)[0])
