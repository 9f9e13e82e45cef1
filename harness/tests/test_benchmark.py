"""What bench prints, and the tables made of it."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from faultline import benchmark
from faultline.benchmark import Sample, Spread
from faultline.build import build_clean
from faultline.errors import HarnessError, UsageError
from faultline.scratch import Scratch

SAID = """\
fork 256 812.50 0
exec 64 4000.00 0
sbrk 1024 200.00 0
pipe 16 16384.00 65536
file-write 8 65536.00 131072
file-read 32 8192.00 131072
pages user=6 table=9 kstack=1 trapframe=1 pipe=0 other=0
"""


def sample(boot: float, table: int) -> Sample:
    parsed = benchmark.parse(SAID.replace("table=9", f"table={table}"))
    return Sample({"boot": boot, **parsed.values}, parsed.pages)


def shown(samples: dict[str, list[Sample]]) -> list[list[str]]:
    """The tables' rows, as words."""
    out = io.StringIO()
    console = Console(file=out, width=140)
    console.print(benchmark.time_table(samples), benchmark.page_table(samples))
    return [line.replace("│", " ").split() for line in out.getvalue().splitlines()]


def test_times_become_speeds_where_bytes_are_moved() -> None:
    parsed = benchmark.parse(SAID)
    assert parsed.values["fork"] == 812.5
    assert parsed.values["pipe"] == 4.0
    assert parsed.values["file-read"] == 16.0
    assert parsed.pages == {
        "user": 6, "table": 9, "kstack": 1, "trapframe": 1, "pipe": 0, "other": 0
    }  # fmt: skip


@pytest.mark.parametrize("name", ["fork", "file-write", "pages"])
def test_a_missing_line_is_an_error(name: str) -> None:
    said = "".join(line for line in SAID.splitlines(True) if not line.startswith(name))
    with pytest.raises(HarnessError, match=f"nothing of {name}; it said:"):
        benchmark.parse(said)


def test_tables_show_medians_spreads_ratio_and_pages() -> None:
    share = [sample(boot, 9) for boot in (100, 300, 200)]
    copy = [sample(boot, 75) for boot in (500, 300, 250)]
    rows = shown({"share": share, "copy": copy})
    boot = next(row for row in rows if row[:1] == ["boot"])
    assert boot[-6:] == ["ms", "200", "(100–300)", "300", "(250–500)", "1.50"]
    pages = {row[0]: row[1:] for row in rows if row and row[0] in ("share", "copy")}
    assert pages["share"] == ["6", "9", "1", "1", "0", "0", "17"]
    assert pages["copy"] == ["6", "75", "1", "1", "0", "0", "83"]


def test_pages_that_differ_between_boots_are_not_hidden() -> None:
    rows = shown({"share": [sample(1, 9), sample(1, 8)], "copy": [sample(1, 75)]})
    assert next(row for row in rows if row[:1] == ["share"])[1:3] == ["6", "8–9"]


def test_json_has_every_sample() -> None:
    found = json.loads(benchmark.as_json({"share": [sample(1, 9)] * 2, "copy": []}))
    assert found["schema"] == "faultline-bench/1"
    assert len(found["runs"]["share"]) == 2
    assert found["units"]["pipe"] == "MB/s"


@pytest.mark.parametrize(
    ("value", "words"), [(3.14159, "3.14"), (31.4159, "31.4"), (314.159, "314"), (0.0, "0.00")]
)
def test_three_figures(value: float, words: str) -> None:
    assert benchmark.figures(value) == words


def test_spread() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)


def test_no_repetitions_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--repeat 0: expected at least 1"):
        benchmark.main(["--repeat", "0"])


@pytest.mark.live
def test_a_process_owns_few_pages_when_tables_are_shared() -> None:
    """Of its kernel side at most six; a full copy takes dozens (the lab's write-ups)."""
    user_table = 5  # root, and two more each at the bottom and the top of the address space
    with Scratch() as scratch:
        pages = {
            kpt: benchmark.run_once(build_clean(benchmark.ROOT, kpt), 1, scratch).pages
            for kpt in ("share", "copy")
        }
    own = {kpt: page["table"] - user_table + page["kstack"] for kpt, page in pages.items()}
    assert own["share"] <= 6
    assert own["copy"] > own["share"]
