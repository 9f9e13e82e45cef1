"""The figures of the sweep's benchmark."""

from __future__ import annotations

import io
import re
from typing import cast

import pytest
from rich.console import Console

from faultline.errors import HarnessError
from faultline.machine import Machine
from faultline.sweep import speed
from faultline.sweep.speed import Speed, Taken, Whole, inject

FOUND = Speed(
    "fork",
    (Taken(50, 0.5, 0.2, 1.0, 0.9), Taken(50, 1.0, 0.2, 1.0, 0.9), Taken(50, 0.25, 0.2, 1.0, 0.9)),
    (Taken(1, 0.1, 0.1, 0.9, 0.5),),
)


def test_failures_a_second_and_ratios() -> None:
    assert (FOUND.inside, FOUND.apart, FOUND.ratio) == (100.0, 1.0, 100.0)
    assert FOUND.cpu_ratio == pytest.approx(0.6 / 0.004)
    out = io.StringIO()
    Console(file=out, width=150).print(speed.table([FOUND]))
    assert re.search(r"fork +50 +100\.0 +1\.00 +100 +150", out.getvalue().replace("│", " "))
    (shown,) = speed.as_json([FOUND])
    assert shown["times-faster"] == 100.0


def test_the_row_of_all_counts_the_boot_and_each_workload_by_its_failures() -> None:
    other = Speed("exec", (Taken(150, 1.0, 1.0, 1.0, 1.0),), (Taken(1, 1.0, 0.5, 2.0, 1.5),))
    whole = Whole((FOUND, other), (Taken(200, 1.5, 0.9, 0.5, 0.1),), with_boot=True)
    assert whole.inside == 100.0
    assert whole.apart == pytest.approx(200 / (50 * 1.0 + 150 * 3.0))
    assert whole.ratio == pytest.approx(250.0)
    assert whole.cpu_ratio == pytest.approx((50 * 0.6 + 150 * 2.0) / 1.0)
    out = io.StringIO()
    Console(file=out, width=150).print(speed.table([FOUND, whole]))
    assert re.search(r"with the boot +200 +100\.0 +0\.40 +250", out.getvalue().replace("│", " "))
    assert [one["workload"] for one in speed.as_json([FOUND, whole])] == ["fork", whole.workload]


class Says:
    """A machine whose probe says these lines."""

    def __init__(self, *lines: str) -> None:
        self.lines = [*(f"@n {line}\r\n" for line in lines), "\n$ "]
        self.sent: list[str] = []

    def send(self, line: str) -> None:
        self.sent.append(line)

    def expect(self, pattern: str, what: str) -> re.Match[str]:
        match = re.search(pattern, self.lines.pop(0))
        assert match
        return match


def test_only_failures_are_counted_and_nobody_looks_at_memory() -> None:
    says = Says(
        "sweep fork calls=2", "n=1 fired=1 result=failed lost=0 sane=1",
        "n=2 fired=1 result=failed lost=0 sane=1", "n=3 fired=0 result=ok lost=0 sane=1",
        "sweep fork done n=3",
    )  # fmt: skip
    assert inject(cast(Machine, says), "n", "fork", "from") == 2
    assert says.sent == ["probe n sweep fork from 1 0 unseen"]


def test_a_line_counts_for_all_n_since_the_one_before() -> None:
    says = Says(
        "sweep fork calls=19", "n=2 fired=1 result=failed lost=0 sane=1",
        "n=18 fired=1 result=failed lost=0 sane=1", "n=20 fired=0 result=ok lost=0 sane=1",
    )  # fmt: skip
    assert inject(cast(Machine, says), "n", "fork", "nth") == 19


@pytest.mark.parametrize(
    "line",
    ["sweep fork cannot=wait", "n=1 fired=1 result=failed lost=1 sane=1", "stop n=1 after"],
)
def test_a_kernel_that_does_not_survive_is_not_measured(line: str) -> None:
    with pytest.raises(HarnessError, match="said: "):
        inject(cast(Machine, Says(line)), "n", "fork", "nth")
