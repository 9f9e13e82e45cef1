"""The end of a guest's output, bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from faultline.elf import ElfImage
from faultline.excerpt import LINES, WIDTH, last_lines
from faultline.machine import Death, GuestDied, Machine
from faultline.postmortem import death_finding

TABLE = ["page table 0x0000000087f6e000", "..0: pte 0x0000000021fda801 pa 0x0000000087f6a000"]
TABLE += [f".. .. ..{n}: pte 0x{n:016x} pa 0x{n << 12:016x}" for n in range(40)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a\r\nb\r\n", "a\nb"),
        ("\n".join(["again"] * 9), "again\n… 7 lines like these …\nagain"),
        ("\n".join(["again"] * 4), "again\nagain\nagain\nagain"),
        ("t 1\nt 2\nt 3\nt 4\nt 50\nend", "t 1\n… 3 lines like these …\nt 50\nend"),
        (
            "\n".join([*TABLE, "panic: kalloc"]),
            f"{TABLE[0]}\n{TABLE[1]}\n… 39 lines like these …\n{TABLE[-1]}\npanic: kalloc",
        ),
        ("x" * 999, "x" * WIDTH + " …"),
    ],
    ids=["nothing", "short", "repeated", "few", "counted", "page-table", "long-line"],
)
def test_what_repeats_is_folded(text: str, shown: str) -> None:
    assert last_lines(text) == shown


def test_only_the_last_lines_are_there() -> None:
    words = [f"{chr(103 + n % 20) * (n + 1)} said" for n in range(60)]
    assert last_lines("\n".join(words)).split("\n") == ["…", *words[-LINES:]]


def test_the_evidence_of_a_death_is_short_though_the_kernel_prints_page_tables() -> None:
    death = Death("exited", "turned off", "\n".join([*TABLE * 9, "bye"]))
    machine = cast(Machine, SimpleNamespace(ram=None))
    finding = death_finding(GuestDied(machine, death), cast(ElfImage, None))
    assert len(finding.evidence.split("\n")) <= LINES + 2
    assert finding.evidence.endswith(f"  {TABLE[-1]}\n  bye")
