"""Walking page tables in RAM."""

from __future__ import annotations

import pytest
from conftest import FakeRam

from faultline import sv39
from faultline.ram import PAGE, RAM_BASE

ROOT, MIDDLE, LEAVES, DATA = (RAM_BASE + n * PAGE for n in (16, 17, 18, 19))


def pte(pa: int, flags: int) -> int:
    return pa >> 12 << 10 | flags


def three_levels(ram: FakeRam) -> None:
    ram.put(ROOT + 8 * 255, pte(MIDDLE, sv39.V))
    ram.put(MIDDLE + 8 * 511, pte(LEAVES, sv39.V))
    ram.put(LEAVES + 8 * 510, pte(DATA, sv39.V | sv39.R | sv39.W))
    ram.put(LEAVES + 8 * 509, pte(DATA, sv39.R | sv39.W))  # not valid


def test_walk_yields_valid_entries_depth_first(fake_ram: FakeRam) -> None:
    three_levels(fake_ram)
    fake_ram.put(ROOT + 8 * 2, pte(RAM_BASE, sv39.V | sv39.R))
    entries = list(sv39.walk(fake_ram.ram(), ROOT))
    assert [entry.path for entry in entries] == [(2,), (255,), (255, 511), (255, 511, 510)]
    assert [entry.leaf for entry in entries] == [True, False, False, True]
    assert entries[-1].va == (1 << 38) - 2 * PAGE
    assert entries[-1].pa == DATA


def test_walk_does_not_follow_entries_out_of_ram(fake_ram: FakeRam) -> None:
    fake_ram.put(ROOT, pte(0x1000, sv39.V))
    assert [entry.path for entry in sv39.walk(fake_ram.ram(), ROOT)] == [(0,)]


def test_walk_ends_on_a_table_that_contains_itself(fake_ram: FakeRam) -> None:
    fake_ram.put(ROOT, pte(ROOT, sv39.V))
    assert [e.path for e in sv39.walk(fake_ram.ram(), ROOT)] == [(0,), (0, 0), (0, 0, 0)]


SATP = sv39.MODE_SV39 << 60 | ROOT >> 12


@pytest.mark.parametrize(
    ("satp", "va", "pa"),
    [
        (0, 0x1234, 0x1234),
        (SATP, (1 << 38) - 2 * PAGE + 0x123, DATA + 0x123),
        (SATP, (1 << 38) - 3 * PAGE, None),
        (SATP, 0, None),
    ],
)
def test_translate(fake_ram: FakeRam, satp: int, va: int, pa: int | None) -> None:
    three_levels(fake_ram)
    assert sv39.translate(fake_ram.ram(), satp, va) == pa


def test_translate_through_a_superpage(fake_ram: FakeRam) -> None:
    fake_ram.put(ROOT + 8 * 2, pte(0x8000_0000, sv39.V | sv39.R | sv39.X))
    assert sv39.translate(fake_ram.ram(), SATP, 0x8012_3456) == 0x8012_3456


def test_addresses_of_the_upper_half_are_sign_extended() -> None:
    assert sv39.Entry((511, 511, 511), 0, 0).va == 0xFFFF_FFFF_FFFF_F000


def test_reading_outside_ram_is_refused(fake_ram: FakeRam) -> None:
    with pytest.raises(ValueError, match="not in RAM"):
        fake_ram.ram().u64(RAM_BASE - 8)
