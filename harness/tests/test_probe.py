"""The probe and the shim on real machines: what they answer, and whether it is true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT

from faultline.bench import Bench
from faultline.build import build_clean, build_variant
from faultline.catalogue import load_fault
from faultline.ctype import Value
from faultline.ledger import Ledger
from faultline.machine import PROMPT, Machine

pytestmark = pytest.mark.live
SILENT_RUNS = 16  # good ones may go without a line
LINE = r"n=(\d+) fired=(\d+) result=(\S+) lost=(-?\d+) sane=([01])"


def sweep(
    machine: Machine, nonce: str, words: str, at: Mapping[str, Callable[[], None]] | None = None
) -> list[str]:
    """Sweep without looking at anything; return what the probe said, line by line.

    `at` has what is to be done at a stop.
    """
    machine.send(f"probe {nonce} sweep {words}")
    said: list[str] = []
    while True:
        match = machine.expect(rf"@{nonce} ([^\r\n]*)\r?\n|{PROMPT}", "the probe's answer")
        if match[1] is None:
            return said
        said.append(match[1])
        if match[1].startswith("stop"):
            (at or {}).get(match[1], lambda: None)()
            machine.send("")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return a bench with the clean kernel."""
    return Bench(build_clean(ROOT, "share"), tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def machine(bench: Bench) -> Iterator[Machine]:
    """Yield one machine, at the prompt."""
    with bench.machine() as machine:
        machine.wait_prompt()
        yield machine


WORKLOADS = (
    "fork sbrk sbrkfar sbrkshrink exec execbad execlate open create read write mkdir link unlink "
    "chdir pipe exit wait kill copyin copyout copyinstr"
).split()


@pytest.mark.parametrize("mode", ["nth", "from"])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_clean_kernel_survives(
    workload: str, mode: str, machine: Machine, bench: Bench
) -> None:
    said = sweep(machine, bench.nonce, f"{workload} {mode} 1 0")
    begun = re.fullmatch(rf"sweep {workload} calls=(\d+)", said[0])
    assert begun, said
    calls = int(begun[1])
    ran = [match for one in said if (match := re.fullmatch(LINE, one))]
    numbers = [0, *(int(one[1]) for one in ran)]
    assert all(0 < after - before <= SILENT_RUNS for before, after in pairwise(numbers))
    assert numbers[-1] == calls + 1
    assert [int(one[2]) > 0 for one in ran] == [True] * (len(ran) - 1) + [False]
    assert [one[3] for one in ran] == ["failed"] * (len(ran) - 1) + ["ok"]
    assert {(one[4], one[5]) for one in ran} == {("0", "1")}
    assert said[-1] == f"sweep {workload} done n={calls + 1}"


def test_it_leaves_no_file(machine: Machine, bench: Bench) -> None:
    before = machine.shell("ls")
    for workload in ("exec", "unlink"):
        sweep(machine, bench.nonce, f"{workload} nth 1 1")
    assert machine.shell("ls") == before


def test_a_stop_is_where_the_call_path_changes(machine: Machine, bench: Bench) -> None:
    said = sweep(machine, bench.nonce, "fork nth 1 0")
    ctl = Ledger(machine.ram, bench.elf).ctl
    calls = int(ctl["counted"])
    paths = [0, *(int(ctl["paths"][index]) for index in range(calls)), 0]
    ends = {n for n in range(1, calls + 1) if not paths[n - 1] == paths[n] == paths[n + 1]}
    assert all(paths[1:-1])
    assert 0 < len(ends) < calls
    stops = [one for one in said if one.startswith("stop")]
    assert stops[0] == "stop n=0 end"  # what a run leaves behind in which nothing has failed
    assert {int(one.split("=")[1].split()[0]) for one in stops[1:]} == ends


def test_an_unknown_workload_is_wrong_usage(machine: Machine, bench: Bench) -> None:
    assert machine.shell(f"probe {bench.nonce} sweep nonsense nth 1 0").startswith("usage: probe")
    assert machine.shell(f"probe {bench.nonce} sweep fork nth 0 0").startswith("usage: probe")


def test_lost_pages_are_counted(bench: Bench, tmp_path: Path) -> None:
    fault = load_fault(ROOT / "faults" / "catalogue" / "fork-fail-leaks.toml")
    leaky = Bench(build_variant(ROOT, "share", fault), tmp_path)
    with leaky.machine() as machine:
        machine.wait_prompt()
        said = sweep(machine, leaky.nonce, "fork nth 14 14")
    ran = [match for one in said if (match := re.fullmatch(LINE, one))]
    assert len(ran) == 1
    assert ran[0][3] == "failed" and int(ran[0][4]) > 0
    assert said[-2] == "stop n=14 end"


def poke(machine: Machine, value: Value, number: int) -> None:
    """Write a doubleword to the guest's memory."""
    machine.stop()
    with (machine.folder / "ram").open("r+b") as file:
        file.seek(value.address - machine.ram.base)
        file.write(number.to_bytes(8, "little"))
    machine.resume()


def test_an_actor_that_cannot_be_started_is_a_bad_result_and_not_the_end(bench: Bench) -> None:
    with bench.machine() as machine:
        machine.wait_prompt()
        ctl = Ledger(machine.ram, bench.elf).ctl

        def lose_a_page() -> None:  # then the actor hands over to the next
            poke(machine, ctl["live"], int(ctl["live"]) + 1)

        def let_fork_fail() -> None:  # the first kalloc of the process that starts actors
            processes = bench.elf.variable(machine.ram, "proc")
            assert processes is not None
            probes = [
                one for one in processes
                if one["name"].text() == "probe" and one["state"].enumerator() != "UNUSED"
            ]  # fmt: skip
            parents = {int(one["parent"]) for one in probes}
            (sweeper,) = parents & {one.address for one in probes}
            poke(machine, ctl["calls"], 0)
            poke(machine, ctl["armed"], sweeper)

        at = {"stop n=1 after": lose_a_page, "stop n=1 end": let_fork_fail}
        said = sweep(machine, bench.nonce, "sbrkbig nth 1 3", at)
    assert said[1:] == [
        "stop n=0 end",
        "stop n=1 after",
        "n=1 fired=1 result=failed lost=1 sane=1",
        "stop n=1 end",
        "n=2 fired=0 result=changed:fork lost=0 sane=1",
        "stop n=2 end",
        "stop n=0 end",  # the next actor
        "n=3 fired=1 result=failed lost=0 sane=1",
        "sweep sbrkbig done n=3",
    ]
