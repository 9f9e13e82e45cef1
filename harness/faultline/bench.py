"""What a check works with: a built target, and machines to boot it on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import sparse
from .board import MEMORY
from .build import Build
from .elf import ElfImage
from .machine import Machine
from .qemu import Config, Limits
from .sweep.protocol import Choice


@dataclass
class Bench:
    """A built target on the bench.

    `harts` overrides how many harts a check asks for. `nonce` marks the probe's answers:
    the target cannot know it. `say` tells whoever watches what is being done. `part` is
    the one part of the check to do, of those that it can be divided into; empty for all of
    it. `test` is the test that is expected to fail, if the check runs tests by name.
    `sweep` is what of the sweep to do.
    """

    build: Build
    scratch: Path
    harts: int | None = None
    limits: Limits = field(default_factory=Limits)
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    say: Callable[[str], None] = lambda words: None
    part: str = ""
    test: str = ""
    sweep: Choice = field(default_factory=Choice)

    @property
    def elf(self) -> ElfImage:
        """The kernel's ELF."""
        return self.build.elf

    @contextmanager
    def machine(
        self, *, harts: int = 1, icount: bool = True, plugin: str = "", disk: bytes = b""
    ) -> Iterator[Machine]:
        """Boot the target on a machine with its own copy of the disk, or with this one."""
        copy = self.scratch / f"disk-{secrets.token_hex(4)}.img"
        if disk:
            sparse.write(copy, disk)
        else:
            with self.build.disk.open("rb") as source:
                sparse.copy(source, copy)
        board = self.build.board
        # A kernel fills all its memory before it says much.
        boot = self.limits.boot * max(1.0, board.memory / MEMORY)
        config = Config(
            self.build.kernel,
            copy,
            harts=max(min(self.harts or harts, board.harts), board.least),
            icount=icount,
            legacy_virtio=board.legacy_virtio,
            pmp=board.pmp,
            memory=board.memory,
            limits=replace(self.limits, boot=boot),
            plugin=plugin,
            contained=self.build.tree,
        )
        try:
            with Machine(config, self.scratch) as machine:
                yield machine
        finally:
            copy.unlink(missing_ok=True)
