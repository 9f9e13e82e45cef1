"""The audit on real machines: the clean kernel, and 1,000 random changes to its tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from faultline.audit import audit_moment
from faultline.audit.moment import Moment
from faultline.bench import Bench
from faultline.build import KPTS, build_clean
from faultline.checks import all_checks
from faultline.checks.audit import _boot, _poses, at_rest
from faultline.elf import ElfImage
from faultline.hart import Hart
from faultline.ledger import Ledger
from faultline.processes import kernel_root, processes
from faultline.ram import PAGE, Ram
from faultline.runner import run_check
from faultline.sv39 import A, D, G, R, U, V, W, X, pte_pa, walk

pytestmark = pytest.mark.live
MUTATIONS = 500  # of each kind of kernel page table
SEED = 20200814
POSE = "child-shrunk"  # a parent and a child, both with a heap


@pytest.mark.parametrize("harts", [1, 2, 3, 8])
@pytest.mark.parametrize("kpt", KPTS)
def test_the_clean_kernel_breaks_no_rule(kpt: str, harts: int, tmp_path: Path) -> None:
    bench = Bench(build_clean(ROOT, kpt), tmp_path, harts=harts)
    result = run_check(all_checks()["audit"], bench)
    assert (result.status, result.reason, result.findings) == ("pass", "", ())


class Snapshot(Ram):
    """A copy of a guest's memory that can be changed."""

    def __init__(self, ram: Ram) -> None:
        self.base, self.size = ram.base, ram.size
        self._map = bytearray(ram.read(ram.base, ram.size))  # type: ignore[assignment]
        self.words = memoryview(self._map).cast("Q")

    def read(self, address: int, size: int) -> bytes:
        return bytes(super().read(address, size))

    def put(self, address: int, value: int) -> None:
        self.words[(address - self.base) // 8] = value


@pytest.fixture(scope="module", params=KPTS)
def still(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[
    tuple[Snapshot, ElfImage, tuple[Hart, ...]]
]:
    """Yield the memory of the clean kernel in a pose."""
    bench = Bench(build_clean(ROOT, request.param), tmp_path_factory.mktemp("machine"))
    with bench.machine() as machine:
        assert _boot(machine)
        for name in _poses(bench, machine):
            if name == POSE:
                assert at_rest(bench, machine, name) == []
                yield Snapshot(machine.ram), bench.elf, machine.stop()
                return
            machine.send("")
    pytest.fail(f"the probe has no pose {POSE}")


def broken(ram: Ram, elf: ElfImage, harts: tuple[Hart, ...]) -> set[str]:
    # Only then as a quiet moment: that takes longer, for it walks the free list.
    for quiet in (False, True):
        moment = Moment(ram, elf, harts, Ledger(ram, elf), quiet)
        found = {finding.rule for finding in audit_moment(moment)}
        if found:
            return found
    return set()


def entries(ram: Ram, elf: ElfImage) -> dict[int, int]:
    """Return the level of each entry of every table, by the entry's address."""
    roots = [kernel_root(ram, elf)]
    for process in processes(ram, elf):
        roots += [process.pagetable, process.kpagetable]
    found: dict[int, int] = {}
    todo = [(root, 2) for root in roots]
    seen: set[int] = set()
    while todo:
        table, level = todo.pop()
        if table in seen:
            continue
        seen.add(table)
        for index, pte in enumerate(ram.table(table)):
            found[table + 8 * index] = level
            if pte & V and level:
                todo.append((pte_pa(pte), level - 1))
    return found


def means_the_same(old: int, new: int, level: int) -> bool:
    """What may change in an entry without breaking a rule: all of one that stays invalid;
    of a leaf what the hart or the kernel's software may use: A, D, G and bits 8 and 9; of a
    pointer only G and those two bits, for A and D are reserved there."""
    if not old & V and not new & V:
        return True
    free = G | 0x300 | (A | D if old & (R | W | X) else 0)
    return level >= 0 and (old ^ new) & ~free == 0


def guards(ram: Ram, elf: ElfImage) -> set[int]:
    """Return the addresses of the user tables' entries that are closed to the user."""
    found = set()
    for process in processes(ram, elf):
        for entry in walk(ram, process.pagetable):
            if entry.leaf and not entry.pte & U and entry.va < process.sz:
                found.add(entry.table + 8 * entry.path[-1])
    return found


def mutate(rng: random.Random, old: int, others: list[int]) -> int:
    """Return another value for an entry: a bit flipped, another entry's value, nothing, or
    noise."""
    kind = rng.randrange(5)
    if kind < 2:
        return old ^ 1 << rng.randrange(64 if kind else 10)
    return (rng.choice(others), 0, rng.getrandbits(64))[kind - 2]


def test_every_change_that_breaks_a_rule_is_found(
    still: tuple[Snapshot, ElfImage, tuple[Hart, ...]]
) -> None:
    ram, elf, harts = still
    assert broken(ram, elf, harts) == set()
    levels = entries(ram, elf)
    valid = [at for at in levels if ram.u64(at) & V]
    special = [at for at in valid if is_special(ram, at)]
    values = [ram.u64(at) for at in valid]
    closed = guards(ram, elf)
    rng = random.Random(SEED)
    missed, harmless = [], 0
    for number in range(MUTATIONS):
        # Most entries map RAM, all alike: half of the changes are to the others.
        at = rng.choice((special, special, valid, list(levels))[number % 4])
        old = ram.u64(at)
        new = mutate(rng, old, values)
        ram.put(at, new)
        try:
            found = broken(ram, elf, harts)
        finally:
            ram.put(at, old)
        if means_the_same(old, new, levels[at]):
            harmless += 1
            assert not found, f"0x{at:x}: 0x{old:x} -> 0x{new:x} (level {levels[at]}): {found}"
        elif not found and not (at in closed and (old ^ new) & ~(W | X) == 0):
            missed.append(f"0x{at:x}: 0x{old:x} -> 0x{new:x} (level {levels[at]})")
    assert not missed, "\n".join(missed)
    assert 0 < harmless < MUTATIONS // 2
    assert broken(ram, elf, harts) == set()


def is_special(ram: Ram, at: int) -> bool:
    """Tell whether an entry is not one of those in tables that map RAM or PLIC throughout."""
    return ram.table(at - at % PAGE).count(0) > 400
