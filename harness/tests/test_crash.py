"""The file system survives a power cut at any moment.

In the guest, crashwork changes files step by step and says when each step's last system call
has returned. QEMU is killed some time later: the disk is then as after a power cut, for what
the guest has written is in the host's page cache, which outlives QEMU. The image must be sound
once the log is replayed, and the kernel must boot from it, with all the steps that had
returned, and with each later one done or not done.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from faultline import fsck, fsimage
from faultline.build import build_clean
from faultline.errors import HarnessError
from faultline.jobs import Finished, run_jobs
from faultline.machine import PROMPT, Config, GuestDied, Limits, Machine
from faultline.scratch import Scratch

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = 50  # at random
AIMED = 10  # more, each just after a transaction was committed, before it is home
SEED = 6081
STEPS = 80  # the cuts come after one of so many steps,
LATER = 0.02  # and at most so many wall seconds after it was said to be done

# Steps may have returned without our having read so: their lines, of at least 20 characters,
# can be in the kernel's queue of 64 and the device's of 16. One more step may be under way.
UNSAID = (64 + 16) // 20 + 1

AIM_SECONDS = 5.0  # wall seconds to wait for a commit, else the cut is one more at random

NO_PROGRAM = r"(?P<program>init: cannot run sh|exec crashwork failed)\r?\n"
LIMITS = Limits(boot=30, silence=30)  # a damaged disk may leave the guest waiting for ever
NEVER = r"(?!)"  # matches nothing


@dataclass(frozen=True)
class Moment:
    """When the power goes."""

    number: int
    seed: int  # of the work
    step: int
    later: float
    harts: int
    writers: int
    aimed: bool

    @property
    def nonce(self) -> str:
        """Marks what crashwork says; long enough for UNSAID."""
        return f"{self.seed * 2654435761 % 2**32:010}"


@dataclass(frozen=True)
class Outcome:
    """What became of the disk."""

    moment: Moment
    said: int = -1  # the last step that was said to be done
    replayed: int = 0  # blocks that were committed and not home
    found: int = -1  # the step after which the disk is as the guest found it
    problems: tuple[str, ...] = ()


def moments() -> list[Moment]:
    """Every third has other processes writing at the same time, on several harts."""
    numbers = random.Random(SEED)
    found = []
    for number in range(MOMENTS + AIMED):
        crowded = number % 3 == 2
        found.append(
            Moment(
                number,
                seed=1000 + 10 * number,
                step=numbers.randrange(STEPS // 2 if crowded else STEPS),
                later=numbers.uniform(0, LATER),
                harts=2 if crowded else 1,
                writers=2 if crowded else 1,
                aimed=number >= MOMENTS,
            )
        )
    return found


def await_commit(disk: Path) -> None:
    """Return as soon as the log's header on the disk has blocks in it."""
    header = fsimage.Image.load(disk).super.logstart * fsimage.BLOCK
    deadline = time.monotonic() + AIM_SECONDS
    with disk.open("rb") as file:
        while not any(os.pread(file.fileno(), 4, header)) and time.monotonic() < deadline:
            pass


def work_and_cut(moment: Moment, config: Config, scratch: Path) -> int:
    """Boot, work, and cut the power; return the last step that was said to be done."""
    with Machine(config, scratch) as machine:
        machine.wait_prompt()
        machine.send(f"crashwork {moment.nonce} run {moment.seed} {moment.writers}")
        line = rf"@{moment.nonce} (?:step {moment.step}|failed: .*?)\r?\n"
        machine.expect(line, f"step {moment.step}")
        time.sleep(moment.later)
        if moment.aimed and config.disk:
            await_commit(config.disk)
        os.kill(machine.pid, signal.SIGKILL)
        try:
            machine.expect(NEVER, "the rest of what it said")
        except HarnessError:
            pass  # QEMU was killed, as it should
        said = machine.said()
    failed = re.search(rf"@{moment.nonce} (failed: .*)\n", said)
    if failed:
        raise RuntimeError(f"crashwork {failed.group(1)}")
    return max(int(step) for step in re.findall(rf"@{moment.nonce} step (\d+)\n", said))


def boot_and_verify(moment: Moment, said: int, config: Config, scratch: Path) -> int:
    """Boot from the disk, have its contents verified, power off; return the step found."""
    # With several writers a call can return before its transaction, which it shares with
    # the others' calls, is committed.
    least = said if moment.writers == 1 else 0
    with Machine(config, scratch) as machine:
        # Without a shell on the disk, init says so again and again.
        if machine.expect(rf"{PROMPT}|{NO_PROGRAM}", "the shell's prompt")["program"]:
            raise RuntimeError("the kernel boots, but finds no shell to run")
        machine.send(
            f"crashwork {moment.nonce} verify {moment.seed} {least} {said + UNSAID}"
        )
        line = rf"@{moment.nonce} (.*?)\r?\n|{NO_PROGRAM}"
        found = machine.expect(line, "what crashwork finds")
        if found["program"]:
            raise RuntimeError("the kernel boots, but finds no crashwork to run")
        answer = found[1]
        machine.wait_prompt()
        machine.send("poweroff")
        try:
            machine.expect(NEVER, "the machine to go off")
        except GuestDied as end:
            if end.death.kind != "exited":
                raise
    verified = re.fullmatch(r"verified (\d+)", answer)
    if verified is None:
        raise RuntimeError(f"after step {said} was done, crashwork finds it {answer}")
    return int(verified.group(1))


def survive(moment: Moment, kernel: Path, fresh: Path, scratch: Path) -> Outcome:
    """Cut the power once, on a copy of the disk image `fresh`, and see what is left."""
    disk = scratch / f"cut-{moment.number}.img"
    shutil.copyfile(fresh, disk)
    config = Config(kernel, disk, harts=moment.harts, icount=False, limits=LIMITS)
    said, replayed, found = -1, 0, -1
    problems: list[str] = []
    try:
        said = work_and_cut(moment, config, scratch)
        image = fsimage.Image.load(disk)
        replayed = fsimage.replay(image)
        problems += [f"replayed: {one}" for one in fsck.check(image, orphans=True)]
        found = boot_and_verify(moment, said, config, scratch)
        problems += [f"recovered: {one}" for one in fsck.check(fsimage.Image.load(disk))]
    except GuestDied as died:
        problems.append(f"{died}\n{died.death.console}")
    except (RuntimeError, fsimage.ImageError) as error:
        problems.append(str(error))
    finally:
        disk.unlink()
    return Outcome(moment, said, replayed, found, tuple(problems))


def survive_all(kernel: Path, fresh: Path, scratch: Path) -> list[Outcome]:
    """Try every moment, as many at a time as there are processors."""
    outcomes: dict[int, Outcome] = {}
    jobs = run_jobs(
        moments(),
        lambda moment, say: survive(moment, kernel, fresh, scratch),
        os.cpu_count() or 1,
    )
    for event in jobs:
        if isinstance(event, Finished):
            moment, problem = event.job, (event.problem,)
            outcomes[moment.number] = event.result or Outcome(moment, problems=problem)
    return [outcomes[number] for number in sorted(outcomes)]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    """All the power cuts, made once for all tests."""
    build = build_clean(ROOT, "share")
    with Scratch() as scratch:
        yield survive_all(build.kernel.with_name("kernel.elf"), build.disk, scratch)


@pytest.mark.live
@pytest.mark.parametrize("number", range(MOMENTS + AIMED))
def test_power_cut(number: int, outcomes: list[Outcome]) -> None:
    outcome = outcomes[number]
    assert not outcome.problems, "\n".join(map(str, (outcome.moment, *outcome.problems)))
    assert outcome.found >= (outcome.said if outcome.moment.writers == 1 else 0)


@pytest.mark.live
def test_some_cuts_left_a_committed_transaction_in_the_log(outcomes: list[Outcome]) -> None:
    assert any(outcome.replayed for outcome in outcomes if outcome.moment.aimed)
