"""One running QEMU: console, control, RAM. It always ends with QEMU gone."""

from __future__ import annotations

import dataclasses
import os
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pexpect

from . import lifeline
from .console import ConsoleLog
from .errors import HarnessError
from .hart import Hart, deaf, handler_fault, machine_fault, parse_registers
from .progress import Progress, Sample, processor_state
from .qemu import CONTROL_SOCKET, command_line, contained_command
from .qemu import Config as Config  # part of what a Machine offers
from .qemu import Limits as Limits
from .qmp import Qmp, QmpClosed
from .ram import Ram

MTIME = 0x0200_BFF8  # CLINT's clock, which ticks in units of MTIME_SECONDS
MTIME_SECONDS = 1e-7
CREDENTIALS = struct.Struct("=3i")  # Linux's struct ucred: process, user, group
SIGNALLED = 128  # what a sandbox adds to a signal's number for its exit status
POLL = 0.2  # wall seconds between two looks at the machine
CONTROL_TIMEOUT = 300.0  # wall seconds within which QEMU must answer, even on a busy host
PROMPT = r"(?:\n|\A)\$ "
PANIC = r"panic: ([^\r\n]*)\r?\n"


@dataclass(frozen=True)
class Death:
    """A guest that will not go on, and what it left behind.

    `kind` is one of panic, hang, silent, reboot-loop, endless-output, exited.
    """

    kind: str
    words: str
    console: str
    harts: tuple[Hart, ...] = ()
    status: int | None = None  # QEMU's exit status, if the guest ended it


class GuestDied(Exception):
    """Raised while waiting for a guest that has died."""

    def __init__(self, machine: Machine, death: Death) -> None:
        super().__init__(f"{death.kind}: {death.words}")
        self.machine = machine
        self.death = death


class StillBusy(Exception):
    """Raised while waiting for a guest that has had all the processor time it may have, and
    may yet get somewhere. The harts stand still."""

    def __init__(self, machine: Machine, what: str, seconds: float) -> None:
        super().__init__(f"{seconds:.0f} s of computing were not enough for {what}")
        self.harts = machine.stop()


class Machine:
    """A QEMU that runs while the context lasts.

    Waiting raises GuestDied when the guest panics, hangs, loops or ends, with everything
    that can be read from the machine at that moment.
    """

    def __init__(self, config: Config, scratch: Path) -> None:
        """Describe a machine whose files go into a new folder in `scratch`."""
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="machine-", dir=scratch))
        self.log = ConsoleLog(config.limits.output)
        self._spawn: pexpect.spawn | None = None
        self._qmp: Qmp | None = None
        self._pid = 0
        self.ram: Ram
        self.stopped = False

    def __enter__(self) -> Machine:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def expect(
        self,
        pattern: str,
        what: str,
        silence: float | None = None,
        effort: float | None = None,
        alive: Callable[[], int] = lambda: 0,
    ) -> re.Match[str]:
        """Wait until the console matches `pattern`; return the match.

        `what` says what is waited for, in words. Text before the match is skipped; it is
        in `skipped`. Raises GuestDied if the guest dies instead; `silence` is how many guest
        seconds it may say nothing. `effort` is how many processor seconds QEMU may use
        meanwhile, and StillBusy is raised if it does. `alive` returns a number that grows as
        long as the guest gets somewhere, though it says nothing.
        """
        spawn, limits = self._running(), self.config.limits
        allowed = limits.silence if silence is None else silence
        progress = Progress(allowed, paced=not self.config.icount)
        wanted = [re.compile(pattern), re.compile(PANIC)]
        deadline = time.monotonic() + limits.wall
        begun = self.processor_seconds() if effort is not None else 0.0
        while True:
            index = spawn.expect(
                [*wanted, pexpect.TIMEOUT, pexpect.EOF], timeout=POLL, searchwindowsize=-1
            )
            if index == 0:
                match = spawn.match
                assert isinstance(match, re.Match)
                self.skipped = str(spawn.before).replace("\r", "")
                return match
            if index == 1:
                assert isinstance(spawn.match, re.Match)
                self._panicked(spawn.match.group(1).strip())
            if index == 3:
                self._die("exited", f"QEMU ended while waiting for {what}")
            self._check(progress, what, alive)
            if effort is not None and self.processor_seconds() - begun > effort:
                raise StillBusy(self, what, effort)
            if time.monotonic() > deadline:
                raise HarnessError(
                    f"waited {limits.wall:g} s for {what}, and the guest was still getting "
                    "somewhere: this host is too slow, or too busy; try fewer --jobs"
                )

    def wait_prompt(self, silence: float | None = None) -> str:
        """Wait for the shell's prompt; return what was said before it."""
        first = self.log.size == 0
        limit = self.config.limits.boot if first and silence is None else silence
        self.expect(PROMPT, "the shell's prompt", limit)
        return self.skipped

    def send(self, line: str) -> None:
        """Type a line."""
        self._running().send(line + "\n")

    def shell(
        self, command: str, silence: float | None = None, effort: float | None = None
    ) -> str:
        """Run a command in the shell; return what it said, without the echo."""
        self.send(command)
        self.expect(PROMPT, f"the prompt after `{command}`", silence, effort)
        said = self.skipped
        return said.removeprefix(command).removeprefix("\n")

    def start(self, command: str) -> None:
        """Run a command in the background; wait until the shell asks for the next one.

        What runs already may write before, between and after the prompt's two characters.
        """
        self.send(f"{command} &")
        self.expect(r"\$", f"the prompt after starting `{command}`")

    def said(self) -> str:
        """Return all console output so far."""
        return self.log.text()

    def stop(self) -> tuple[Hart, ...]:
        """Stop all harts; return their registers."""
        self._control().command("stop")
        self.stopped = True
        return self.registers()

    def watch(self, seconds: float) -> None:
        """Let the guest run for about so long; raises GuestDied if it dies meanwhile."""
        spawn = self._running()
        index = spawn.expect(
            [re.compile(PANIC), pexpect.TIMEOUT, pexpect.EOF], timeout=seconds
        )
        if index == 0:
            assert isinstance(spawn.match, re.Match)
            self._panicked(spawn.match.group(1).strip())
        if index == 2:
            self._die("exited", "QEMU ended under load")
        self._control().poll()
        event = self._control().event("SHUTDOWN")
        if event is not None:
            self._ended(str(event["data"].get("reason")), "nothing in particular")

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
            self._spawn = pexpect.spawn(
                words[0],
                words[1:],
                preexec_fn=setup,
                cwd=str(self.folder),
                encoding="utf-8",
                codec_errors="replace",
                echo=False,
                maxread=1 << 16,
                timeout=None,
            )
            self._spawn.logfile_read = self.log
            self._spawn.delaybeforesend = None
            self._spawn.delayafterclose = 0
            self._spawn.ptyproc.delayafterclose = 0
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

    def _running(self) -> pexpect.spawn:
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

    def _drain(self) -> None:
        """Take in output that has already arrived."""
        spawn = self._running()
        if select.select([spawn.child_fd], [], [], 0)[0]:
            spawn.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0)

    def _check(self, progress: Progress, what: str, alive: Callable[[], int]) -> None:
        """Raise GuestDied if the guest cannot be expected to say anything else."""
        if complaint := self.log.complaint:
            self._die(*complaint)
        try:
            control = self._control()
            control.poll()
            sample = self._sample()
        except (QmpClosed, OSError):
            return  # QEMU has just ended: the next read of the console says so
        size = sample.output
        reason = progress.observe(dataclasses.replace(sample, output=size + alive()))
        event = control.event("SHUTDOWN")
        if event is None and reason is None:
            return
        self._drain()
        if event is not None:
            self._ended(str(event["data"].get("reason")), what)
        elif self.log.size == size and reason is not None:
            self._die("hang" if size else "silent", f"{reason}, waiting for {what}")

    def _sample(self) -> Sample:
        cpu, asleep = processor_state(self.pid)  # first: answering wakes QEMU
        size = self.log.size
        harts = self.registers()
        return Sample(
            wall=time.monotonic(),
            guest=self.guest_seconds(),
            cpu=cpu,
            asleep=asleep,
            output=size,
            disk=self._disk_requests(),
            waiting=self._disk_waits(),
            deaf=deaf(harts),
            fault=machine_fault(harts) or handler_fault(harts),
        )

    def _disk_requests(self) -> int:
        devices = self._control().command("query-blockstats")
        names = ("rd_operations", "wr_operations", "flush_operations")
        return sum(device["stats"][name] for device in devices for name in names)

    def _disk_waits(self) -> bool:
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

    def _ended(self, reason: str, what: str) -> None:
        text = self.log.text()
        panic = re.search(PANIC, text)
        if panic:
            self._die("panic", panic.group(1).strip())
        if reason == "guest-reset":
            self._die("reboot-loop", "the guest resets the machine")
        self._die("exited", f"the guest turned the machine off while waiting for {what}")

    def _panicked(self, words: str) -> None:
        """Collect what the kernel says after its panic line, then raise GuestDied."""
        pause = 0.02  # guest seconds: the time of half a million instructions
        progress = Progress(pause, paced=not self.config.icount, minimum=2 * POLL)
        while True:
            index = self._running().expect([pexpect.TIMEOUT, pexpect.EOF], timeout=POLL)
            if index == 1 or self.log.endless:
                break
            try:
                if progress.observe(self._sample()):
                    break
            except (QmpClosed, OSError):
                break
        self._die("panic", words)

    def _die(self, kind: str, words: str) -> None:
        """Raise GuestDied with all that can still be read from the machine."""
        harts: tuple[Hart, ...] = ()
        status: int | None = None
        try:
            if kind != "exited" or self._running().isalive():
                harts = self.stop()
                self._control().command("quit")
        except QmpClosed:
            pass
        spawn = self._running()
        if kind == "exited":
            spawn.expect(pexpect.EOF, timeout=CONTROL_TIMEOUT)
            spawn.wait()
            if spawn.signalstatus is not None or self._qemu_failed(spawn.exitstatus):
                raise HarnessError(f"QEMU failed: {self._complaint()}")
            status = spawn.exitstatus
        raise GuestDied(self, Death(kind, words, self.log.tail(), harts, status))

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
