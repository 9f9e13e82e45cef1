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
# runs out at its first or second fork, or somewhere inside an exec or sbrk.
@pytest.mark.parametrize(
    ("kpt", "pages", "tests"),
    [
        ("share", 0, "exec_echo pipe_sizes fork_tree"),
        ("share", 60, "-q"),
        ("copy", 150, "-q"),
    ],
)
def test_usertests_next_to_a_hog(tmp_path: Path, kpt: str, pages: int, tests: str) -> None:
    build = build_clean(ROOT, kpt)
    disk = Path(shutil.copy(build.disk, tmp_path / "disk"))
    config = Config(build.kernel, disk, limits=LIMITS)
    options, names = ("-q ", "") if tests == "-q" else ("", f" {tests}")
    with Machine(config, tmp_path) as machine:
        machine.wait_prompt()
        said = machine.shell(f"usertests {options}-m {pages}{names}")
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
