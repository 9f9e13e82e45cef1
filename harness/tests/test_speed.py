"""The figures of the matrix's benchmark."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from faultline import speed
from faultline.catalogue import Expect, Fault
from faultline.speed import Speed

FOUND = Speed(2, 10, 20.0, 5.0, {"a": 30.0, "b": 40.0, "c": 50.0})


def test_seconds_a_variant_and_ratios() -> None:
    assert (FOUND.matrix_each, FOUND.alone_each, FOUND.naive_each) == (2.0, 0.5, 20.0)
    assert speed.as_json(FOUND)["times-faster"] == {"matrix": 10.0, "variants": 40.0}
    out = io.StringIO()
    Console(file=out, width=150).print(speed.table(FOUND))
    rows = [line.replace("│", " ").split() for line in out.getvalue().splitlines()]
    assert [row[-2:] for row in rows if row and row[0] in ("full", "matrix,")] == [
        ["20.00", "1"], ["2.00", "10.0"], ["0.50", "40.0"],
    ]  # fmt: skip


def test_one_sample_cannot_use_two_jobs() -> None:
    assert Speed(2, 1, 1.0, 1.0, {"a": 30.0}).naive_each == 30.0


def fault(name: str, check: str) -> Fault:
    return Fault(name, "unmap", "summary", "story", Expect(check, "rule") if check else Expect())


@pytest.mark.parametrize(
    ("checks", "chosen"),
    [
        ("boot leaks leaks audit vmprint usertests", [1, 3, 4]),
        ("leaks leaks leaks leaks", [0, 1, 2]),
        ("boot leaks", [1]),
        ("boot", [0]),
    ],
)
def test_samples_are_of_different_checks_and_boot(checks: str, chosen: list[int]) -> None:
    faults = [fault(f"f{n}", check) for n, check in enumerate(checks.split())]
    assert [one.id for one in speed.samples(faults)] == [f"f{n}" for n in chosen]


def test_what_was_built_is_not_copied(tmp_path: Path) -> None:
    for name in ("kernel/vm.c", "build/share/vm.o", "reports/out/matrix.json", "Makefile"):
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    copy = speed.copy_source(tmp_path / "from", tmp_path / "to")
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()) == [
        "Makefile", "kernel/vm.c",
    ]  # fmt: skip
