"""A temporary directory that goes away with the harness, however the harness ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import HarnessError

# Reads until the last process that holds the other end of the pipe is gone, SIGKILL
# included, then removes the directory. The loop is for a QEMU that is just dying too.
WATCHDOG = """
trap '' INT TERM HUP
read -r _
n=0
while [ -e "$1" ] && [ $n -lt 50 ]; do rm -rf -- "$1" && break; n=$((n + 1)); sleep 0.1; done
"""


def scratch_parent() -> Path:
    """Return where temporary directories go: memory if there is any, else TMPDIR."""
    shm = Path("/dev/shm")
    if "TMPDIR" not in os.environ and shm.is_dir() and os.access(shm, os.W_OK | os.X_OK):
        return shm
    return Path(tempfile.gettempdir())


class Scratch:
    """A private temporary directory, as a context manager.

    Leaving the context removes it. If this process and all the workers it forked die
    without doing so, a watchdog process does.
    """

    def __init__(self, parent: Path | None = None) -> None:
        try:
            name = tempfile.mkdtemp(prefix="faultline-", dir=parent or scratch_parent())
        except OSError as error:
            raise HarnessError(f"no temporary directory: {error}") from error
        self.path = Path(name)
        reader, self._alive = os.pipe()
        self._owner = os.getpid()
        try:
            self._watchdog = subprocess.Popen(
                ["/bin/sh", "-c", WATCHDOG, "faultline-watchdog", name],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(reader)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the directory and end the watchdog."""
        if os.getpid() != self._owner:
            return  # a forked worker: the directory is its parent's
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._alive)
        self._watchdog.wait()
