"""Memory that really runs out: usertests next to a process that holds nearly all of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from faultline.build import build_clean
from faultline.ledger import Ledger, event_findings
from faultline.machine import Machine
from faultline.qemu import Config, Limits

pytestmark = pytest.mark.live

RESULT = re.compile(r"test (\w+): (OK|FAILED|OUT OF MEMORY|SKIPPED)\b")
GONE = "usertests: the hog is gone\n"
LIMITS = Limits(wall=900.0)


def short_of_memory(said: str) -> dict[str, str]:
    """Return the tests that ended short of memory, and what each said about it."""
    found, printed = {}, ""
    for line in said.splitlines():
        if match := RESULT.match(line):
            if match[2] == "OUT OF MEMORY":
                found[match[1]] = printed
            printed = ""
        else:
            printed += line + "\n"
    return found


# A copy of usertests takes some 45 pages, with KPT=copy some 115: a test can begin, and then
# runs out at its first or second fork, or somewhere inside an exec or sbrk. In four cases all of
# them are run, the slow ones too. A test that has forked writers and cannot fork more must not
# leave them: they would wait for ever, and have kept the hog.
@pytest.mark.parametrize(
    ("kpt", "harts", "pages", "tests"),
    [
        ("share", 1, 0, "exec_echo pipe_sizes fork_tree"),
        ("share", 1, 100, "pipe_writers"),
        ("share", 1, 60, ""),
        ("copy", 1, 150, ""),
        ("share", 3, 115, ""),
        ("copy", 3, 200, ""),
    ],
)
def test_usertests_next_to_a_hog(
    tmp_path: Path, kpt: str, harts: int, pages: int, tests: str
) -> None:
    build = build_clean(ROOT, kpt)
    disk = Path(shutil.copy(build.disk, tmp_path / "disk"))
    config = Config(build.kernel, disk, harts=harts, icount=harts == 1, limits=LIMITS)
    with Machine(config, tmp_path) as machine:
        machine.wait_prompt()
        said = machine.shell(f"usertests -m {pages} {tests}".rstrip())
        registers = machine.stop()
        ledger = Ledger(machine.ram, build.elf)
        refused = ledger.event("refused").count
        problems = event_findings(ledger, registers)
    beside, _, afterwards = said.partition(GONE)
    assert afterwards.rstrip().endswith("ALL TESTS PASSED"), said[-2000:]
    assert "FAILED" not in said and "panic" not in said
    short = short_of_memory(beside)
    assert short and refused > 0
    for name, words in short.items():
        assert re.search(rf"^{name}: ", words, re.MULTILINE), f"{name} does not say why"
    passed_again = {match[1] for match in RESULT.finditer(afterwards) if match[2] == "OK"}
    assert set(short) <= passed_again
    assert problems == []


# What a test opens is numbered from 3 on, as without a hog: none of these needs memory.
def test_a_test_does_not_get_the_hogs_file(tmp_path: Path) -> None:
    build = build_clean(ROOT, "share")
    disk = Path(shutil.copy(build.disk, tmp_path / "disk"))
    with Machine(Config(build.kernel, disk, limits=LIMITS), tmp_path) as machine:
        machine.wait_prompt()
        said = machine.shell("usertests -m 60 file_descriptors file_open_limit")
    beside, _, _ = said.partition(GONE)
    assert [match[2] for match in RESULT.finditer(beside)] == ["OK", "OK"], said
