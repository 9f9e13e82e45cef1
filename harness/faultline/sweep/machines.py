"""The machine that is swept on."""

from __future__ import annotations

from contextlib import ExitStack

from ..bench import Bench
from ..machine import Machine


class Machines:
    """The machine that is swept on; after one that was given up, a new one."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.fresh = True  # nothing was swept on it yet
        self.one_hart = (bench.harts or 1) == 1
        self._open = ExitStack()
        self._machine: Machine | None = None

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *error: object) -> None:
        self.give_up()

    def get(self) -> Machine:
        """Return a machine at the shell's prompt."""
        if self._machine is None:
            machine = self.bench.machine(icount=self.one_hart)
            self._machine = self._open.enter_context(machine)
            self._machine.wait_prompt()
            self.fresh = True
        return self._machine

    def give_up(self) -> None:
        """End the machine, if there is one."""
        self._machine = None
        self._open.close()
