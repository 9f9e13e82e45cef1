"""Trees that were made to do harm: each gets its verdict, and harms nobody.

They are graded together, as those of a course are, with honest ones among them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from hostile import (
    ENDLESS, LEAKS, TOKEN, USUAL, Case, archives, forgers, kernels, makefiles, tree,
)  # fmt: skip
from test_grade import write_tree

from faultline import elfcheck
from faultline.archive import Room
from faultline.grade import Plan
from faultline.many import each, run_each
from faultline.manystore import Store
from faultline.qemu import Limits
from faultline.sandbox import Bounds
from faultline.treesource import named
from faultline.verdict import TargetResult

pytestmark = pytest.mark.live

CASES = [*archives.CASES, *makefiles.CASES, *kernels.CASES, *forgers.CASES]
HONEST = Case("honest", tree(), "pass", "boot: ")
SMALL = {"output": 1 << 20, "file_size": 64 << 20, "room": 64 << 20, "entries": 5000}
BOUNDS = {
    USUAL: Bounds(seconds=60, **SMALL),
    LEAKS: Bounds(seconds=60, **SMALL),
    ENDLESS: Bounds(seconds=3, processes=60, memory=1 << 30, **SMALL),
}
CHECKS = {USUAL: "boot", ENDLESS: "boot", LEAKS: "leaks"}  # all that each run looks at
LIMITS = Limits(boot=3, silence=3, output=1 << 19, wall=120)
ROOM = Room(files=2000, size=64 << 20)
SEEN = [Path.home(), *map(Path, ("/", "/tmp", "/dev/shm", "/var/tmp", "/usr", "/etc"))]


@dataclass
class World:
    """What there was before and after, and what came of each tree."""

    results: dict[str, TargetResult]
    before: dict[str, str]
    after: dict[str, str]


def state(folder: Path) -> dict[str, str]:
    """What lies in a folder: names, modes, times, contents."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            info = os.lstat(path)
            text = f"{info.st_mode:o} {info.st_size} {info.st_mtime_ns} {info.st_uid}"
            if stat.S_ISREG(info.st_mode) and info.st_size < 1 << 20:
                text += hashlib.sha256(Path(path).read_bytes()).hexdigest()
            found[path] = text
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    top = tmp_path_factory.mktemp("world")
    write_tree(top / "next")  # next door, where nobody may look
    patch = pytest.MonkeyPatch()
    patch.setattr(elfcheck, "MEMORY", 700 << 20)
    patch.setattr(elfcheck, "SECONDS", 20.0)
    before: dict[str, str] = {}
    results: dict[str, TargetResult] = {}
    places: list[Path] = []
    for run, only in CHECKS.items():
        given = top / run
        given.mkdir()
        cases = [case for case in CASES if case.run == run]
        middle = len(cases) // 2
        at = {case.make(given / case.id): case.id for case in cases[:middle]}
        if only == "boot":
            at |= {HONEST.make(given / f"honest-{run}"): f"honest-{run}"}
        at |= {case.make(given / case.id): case.id for case in cases[middle:]}
        places.append(given)
        before |= state(given) | state(top / "next")
        scratch = tmp_path_factory.mktemp(f"scratch-{run}")
        plan = Plan(ROOT, scratch, only, LIMITS, bounds=BOUNDS[run], room=ROOM)
        sources = each(given)
        ids = {source.id: at[source.path] for source in named(sources)}
        for event in run_each(sources, plan, 2, Store(scratch / "kept"), "tools"):
            if isinstance(event, TargetResult):
                results[ids[event.id]] = event
    after = {name: text for place in (*places, top / "next") for name, text in state(place).items()}
    patch.undo()
    yield World(results, before, after)


def said(result: TargetResult) -> str:
    """All that is said of a tree."""
    lines = [finding.message for finding in result.findings] + [result.problem]
    lines += [f"{check.check}: {check.status} {check.reason}" for check in result.checks]
    return "\n".join(lines)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_it_gets_its_verdict(world: World, case: Case) -> None:
    result = world.results[case.id]
    text = said(result)
    assert result.verdict == case.verdict, text
    assert re.search(case.says, text), text
    if case.rule:
        assert case.rule in [finding.rule for finding in result.findings], text


def test_every_tree_has_a_verdict_and_the_honest_ones_pass(world: World) -> None:
    assert set(world.results) == {case.id for case in CASES} | {"honest-usual", "honest-endless"}
    for run in (USUAL, ENDLESS):
        honest = world.results[f"honest-{run}"]
        assert honest.verdict == "pass", said(honest)


def test_what_was_given_is_as_it_was(world: World) -> None:
    assert world.after == world.before


def test_nothing_was_written_elsewhere(world: World) -> None:
    assert [place for place in SEEN if (place / TOKEN).exists()] == []


def test_no_process_is_left(world: World) -> None:
    deadline = time.monotonic() + 10
    while left := {pid: words for pid, words in commands().items() if TOKEN in words}:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def commands() -> dict[str, str]:
    """The command lines of all processes but this one."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.parent.name != str(os.getpid()):
                found[path.parent.name] = path.read_text("utf-8", "replace")
        except OSError:
            continue
    return found
