"""Running what is not trusted: in bubblewrap, with nothing to reach and little to use up.

There is no network; of the file system only the system's programs can be seen, and only the
job's own folder can be written to. Started by root, the job runs under a user id that
nothing else has: what Linux can limit is the number of a user's processes, other than
root's. If bubblewrap cannot work here, nothing is run at all.
"""

from __future__ import annotations

import functools
import os
import resource
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import lifeline
from .errors import HarnessError

JOB = "/job"  # where a job's folder is seen from inside
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
USER_IDS = range(2_000_000, 2_000_000 + 60_000)  # for root: ids that no account has
POLL = 0.1  # wall seconds between two looks at a job
MEASURE = 1.0  # and between two at how much room its folder takes


@dataclass(frozen=True)
class Bounds:
    """What a job may use."""

    seconds: float = 600.0  # of the wall's clock
    memory: int = 2 << 30  # bytes of address space, each process
    processes: int = 200
    file_size: int = 256 << 20  # bytes; an image of the file system lab has 195 MiB
    room: int = 1 << 30  # bytes that the folder may take in all
    output: int = 4 << 20  # bytes that may be printed
    entries: int = 50_000  # files and folders that the folder may have in all


@dataclass(frozen=True)
class Ended:
    """How a job ended. `stopped` says in words which limit ended it; mostly nothing."""

    status: int
    output: bytes
    stopped: str = ""

    @property
    def text(self) -> str:
        """What it printed."""
        return self.output.decode("utf-8", "replace")


class SandboxUnusable(HarnessError):
    """bubblewrap cannot do its work here; says what to do about it."""


@dataclass(frozen=True)
class Sandbox:
    """A folder that programs may work in. `readable` are more paths that they may see, by
    the name that they see them under."""

    folder: Path
    readable: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)

    def run(self, words: Sequence[str]) -> Ended:
        """Run a command in the folder; return how it ended.

        Raises SandboxUnusable if it cannot be contained.
        """
        require()
        user = _user_id()
        if user is not None:
            give_away(self.folder, user)
        try:
            return self._run(words, user)
        finally:
            if user is not None:
                give_away(self.folder, os.getuid())

    def _run(self, words: Sequence[str], user: int | None) -> Ended:
        process = subprocess.Popen(
            [*command(self.folder, self.readable, self.environment, user), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_setup(self.bounds, user),
            env={"PATH": os.environ.get("PATH", os.defpath)},
            cwd="/",
        )
        try:
            output, stopped = self._watch(process)
        finally:
            process.kill()  # the namespace's processes die with it
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        return Ended(process.returncode, output, stopped)

    def _watch(self, process: subprocess.Popen[bytes]) -> tuple[bytes, str]:
        """Read what a job prints until it ends or must be ended."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        output = bytearray()
        start = measured = time.monotonic()
        while True:
            if select.select([pipe], [], [], POLL)[0]:
                chunk = os.read(pipe, 1 << 16)
                if not chunk:
                    break
                output += chunk
                if len(output) > self.bounds.output:
                    return bytes(output), f"it printed more than {size_words(self.bounds.output)}"
            now = time.monotonic()
            if now - start > self.bounds.seconds:
                return bytes(output), f"it was not done after {self.bounds.seconds:g} s"
            if now - measured > MEASURE:
                too_much = overfull(self.folder, self.bounds)
                if too_much:
                    return bytes(output), too_much
                measured = time.monotonic()
        left = max(1.0, self.bounds.seconds - (time.monotonic() - start))
        try:
            process.wait(left)
        except subprocess.TimeoutExpired:
            return bytes(output), f"it was not done after {self.bounds.seconds:g} s"
        return bytes(output), overfull(self.folder, self.bounds)


def command(
    folder: Path,
    readable: Mapping[str, Path] | None = None,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
) -> list[str]:
    """Return the beginning of a command line that contains what follows it.

    With `user` it must be root who runs it, and what follows runs under that id.
    """
    words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if user is None:
        words += ["--unshare-all"]
    else:  # root needs no namespace of users, and must keep what setpriv takes
        words += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        words += ["--unshare-cgroup-try", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    words += ["--hostname", "job", "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            words += ["--ro-bind", name, name]
    words += ["--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/tmp"]
    for name in SETTINGS:
        words += ["--ro-bind-try", name, name]
    words += ["--bind", str(folder.resolve()), JOB]
    for name, path in (readable or {}).items():
        for above in reversed(Path(name).parents[:-1]):
            words += ["--perms", "0755", "--dir", str(above)]
        words += ["--ro-bind", str(path.resolve()), name]
    usual = {"PATH": "/usr/bin:/bin", "HOME": JOB, "TMPDIR": JOB, "LC_ALL": "C.UTF-8"}
    for name, value in {**usual, **(environment or {})}.items():
        words += ["--setenv", name, value]
    words += ["--chdir", JOB, "--remount-ro", "/", "--"]
    if user is not None:
        words += ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--"]
    return words


def overfull(folder: Path, bounds: Bounds) -> str:
    """Return in words whether a folder takes more room than it may, or nothing."""
    size = entries = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    if entries > bounds.entries:
                        return f"it made more than {bounds.entries} files"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue  # gone meanwhile, or closed to us: then it is counted when it is not
    return f"its files took more than {size_words(bounds.room)}" if size > bounds.room else ""


def give_away(folder: Path, user: int) -> None:
    """Make a folder, with all that is in it, a user's. Follows no links."""
    os.chown(folder, user, user, follow_symlinks=False)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                os.chown(os.path.join(place, name), user, user, follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile


@functools.cache
def require() -> None:
    """Raise SandboxUnusable unless programs can be contained here."""
    if shutil.which("bwrap") is None:
        raise SandboxUnusable(
            "bubblewrap is not installed, and nothing of a stranger's tree is run without it; "
            "install it with `apt-get install bubblewrap`"
        )
    try:
        done = subprocess.run(
            [*command(Path("/usr"), user=_user_id()), "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            preexec_fn=_setup(Bounds(), _user_id()),
            env={"PATH": os.environ.get("PATH", os.defpath)},
            timeout=60,
            check=False,
        )
        complaint = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode == 0:
            return
    except (OSError, subprocess.SubprocessError) as error:
        complaint = str(error)
    raise SandboxUnusable(
        f"bubblewrap does not work here ({complaint or 'it says nothing'}), and nothing of a "
        "stranger's tree is run without it. It needs user namespaces: `sysctl "
        "kernel.unprivileged_userns_clone=1` allows them on Debian, `sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu; a container needs a "
        "seccomp profile that allows unshare and mount"
    )


def _user_id() -> int | None:
    """Return the id for a job of root's, or None if this is an ordinary user."""
    return USER_IDS[os.getpid() % len(USER_IDS)] if os.getuid() == 0 else None


def _setup(bounds: Bounds, user: int | None) -> Callable[[], None]:
    limits = (
        (resource.RLIMIT_AS, bounds.memory),
        (resource.RLIMIT_FSIZE, bounds.file_size),
        (resource.RLIMIT_NPROC, bounds.processes),
        (resource.RLIMIT_CPU, int(bounds.seconds) + 1),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 1024),
    )
    die_with_us = lifeline.child_setup()

    def setup() -> None:
        for kind, limit in limits:
            if user is None and kind == resource.RLIMIT_NPROC:
                limit += _processes_of(os.getuid())  # theirs count with the user's others
            hard = resource.getrlimit(kind)[1]
            if hard != resource.RLIM_INFINITY:
                limit = min(limit, hard)
            resource.setrlimit(kind, (limit, limit))
        die_with_us()

    return setup


def _processes_of(user: int) -> int:
    """Return how many threads a user has."""
    count = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.stat().st_uid == user:
                count += len(os.listdir(path / "task"))
        except OSError:
            continue
    return count


def size_words(number: int) -> str:
    """Return a number of bytes in words."""
    return f"{number >> 20} MiB" if number >= 1 << 20 else f"{number} bytes"
