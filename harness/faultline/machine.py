"""A running guest: talked to and waited for, and told dead when it will not go on."""

from __future__ import annotations

import dataclasses
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pexpect

from .emulator import CONTROL_TIMEOUT, POLL, Emulator
from .errors import HarnessError
from .hart import Hart, closed, deaf, handler_fault, machine_fault, states
from .progress import RETURN_POLL, Progress, Sample, processor_state
from .qemu import Config as Config  # part of what a Machine offers
from .qemu import Limits as Limits
from .qmp import QmpClosed

AFTERMATH = 30.0  # wall seconds that a kernel which has panicked may go on saying things
LAST_WORDS = 0.02  # guest seconds without any that end them: the time of half a million instructions
LAST_LOOKS = 3  # at which it has said nothing: QEMU, too, had time to pass on what it had
LAST_POLL = 0.005  # wall seconds between two of them
DRAUGHTS = 16  # reads of what has arrived: all that a pipe holds, and an end where the guest goes on
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


class Machine(Emulator):
    """A QEMU with somebody at its console.

    Waiting raises GuestDied when the guest panics, hangs, loops or ends, with everything
    that can be read from the machine at that moment.
    """

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
        progress = Progress(
            allowed,
            paced=not self.config.icount,
            disk_waits=self._may_wait_for_disk,
            whole=self._whole,
        )
        wanted = [re.compile(pattern), re.compile(PANIC)]
        deadline = time.monotonic() + limits.wall
        begun = self.processor_seconds() if effort is not None else 0.0
        skipped = ""
        while True:
            pause = RETURN_POLL if progress.returns else POLL
            index = spawn.expect([*wanted, pexpect.TIMEOUT, pexpect.EOF], timeout=pause)
            if index == 0:
                match = spawn.match
                assert isinstance(match, re.Match)
                skipped += str(spawn.before)
                # Where only the end of much output is searched, that end's edge is no beginning.
                edge = skipped[-1:] if match.start() == 0 else ""
                if edge and not wanted[0].search(edge + match[0]):
                    skipped += match[0]
                    continue
                self.skipped = skipped.replace("\r", "")
                self.log.answered()
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

    def _drain(self) -> None:
        """Take in output that has already arrived."""
        spawn = self._running()
        for _ in range(DRAUGHTS):
            if not spawn.waiting():
                break
            spawn.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0)

    def _check(self, progress: Progress, what: str, alive: Callable[[], int]) -> None:
        """Raise GuestDied if the guest cannot be expected to say anything else."""
        if complaint := self.log.complaint:
            self._die(*complaint)
        try:
            control = self._control()
            control.poll()
            sample = self._sample()
            size = sample.output
            reason = progress.observe(dataclasses.replace(sample, output=size + alive()))
        except (QmpClosed, OSError):
            return  # QEMU has just ended: the next read of the console says so
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
            disk=self.disk_requests(),
            deaf=deaf(harts),
            states=states(harts),
            closed=closed(harts) if self.config.icount else 0,
            fault=machine_fault(harts) or handler_fault(harts),
        )

    def _whole(self) -> int:
        """Return a number for all that registers and RAM hold, 0 if the only hart may take
        interrupts, or a disk request is not done: then something else may change it."""
        harts = self.stop()
        state = closed(harts)
        found = hash((state, zlib.crc32(self.ram.words))) or 1
        may_change = state == 0 or self.disk_waits()
        self.resume()
        return 0 if may_change else found

    def _may_wait_for_disk(self, sample: Sample) -> bool:
        # What was waited for may have been done since the sample: asked in this order.
        return self.disk_waits() or self.disk_requests() != sample.disk

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
        paced = not self.config.icount
        poll = POLL if paced else LAST_POLL  # what a paced guest gets done depends on the host
        progress = Progress(LAST_WORDS, paced=paced, minimum=2 * poll, looks=LAST_LOOKS)
        deadline = time.monotonic() + AFTERMATH
        while time.monotonic() < deadline:
            index = self._running().expect([pexpect.TIMEOUT, pexpect.EOF], timeout=poll)
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
                self._drain()
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
