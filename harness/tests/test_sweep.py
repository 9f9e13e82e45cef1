"""The sweep: what the probe says, what may be left out, and guests that die of it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from conftest import Compile, FakeRam
from fakes import PAGE_TAKEN, SOURCE, FakeKernel
from rich.console import Console

from faultline.audit import RULES as AUDIT_RULES
from faultline.bench import Bench
from faultline.build import Build
from faultline.checks import Unchecked
from faultline.checks.sweep import chosen, listing, told
from faultline.commands.running import load_catalogue
from faultline.elf import ElfImage
from faultline.errors import HarnessError
from faultline.finding import Finding, Table, Where
from faultline.machine import Death, GuestDied, Machine
from faultline.ram import RAM_BASE
from faultline.reports.terminal import grid
from faultline.sweep import run, rules
from faultline.sweep.causes import Causes, Failure, Round
from faultline.sweep.groups import LIVED, Deaths, Paths, ranges
from faultline.sweep.machines import Machines
from faultline.sweep.protocol import (
    Begun, CannotRun, Choice, Done, Ran, Stopped, line_pattern, parse, workloads,
)  # fmt: skip
from faultline.sweep.run import Sweep

NONCE = "0123"


@pytest.mark.parametrize(
    ("words", "event"),
    [
        ("sweep fork calls=31", Begun(31)),
        ("sweep fork cannot=wait", CannotRun("wait")),
        ("sweep fork done n=32", Done(32)),
        ("stop n=7 after", Stopped(7, True)),
        ("stop n=7 end", Stopped(7, False)),
        ("n=7 fired=1 result=failed lost=0 sane=1", Ran(7, 1, "failed", "", 0, True, "")),
        ("n=7 fired=9 result=changed:size lost=-2 sane=0 insane=fork",
         Ran(7, 9, "changed", "size", -2, False, "fork")),
        ("n=7 fired=1 result=fai", None),
        ("n=7 fired=1 resultusertrap(): unexpected scause=failed lost=0 sane=1", None),
        ("n=7 fired=1 result=false-success lost=0 sane=1", None),
        ("hello shim=1", None),
    ],
)  # fmt: skip
def test_what_the_probe_says(words: str, event: object) -> None:
    assert parse(words) == event


def test_only_lines_with_the_nonce_are_the_probe_s() -> None:
    said = f"$ probe {NONCE} sweep fork nth 1 0\r\n@9999 stop n=1 end\r\n@{NONCE} stop n=2 end\r\n"
    match = re.search(line_pattern(NONCE), said)
    assert match and parse(match[1]) == Stopped(2, False)
    assert workloads(f"@{NONCE} workloads fork pipe\n", NONCE) == ["fork", "pipe"]
    assert workloads("@9999 workloads fork\n", NONCE) == []


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("n=1 fired=1 result=ok lost=0 sane=1", False),
        ("n=1 fired=1 result=failed lost=0 sane=1", False),
        ("n=1 fired=1 result=failed lost=1 sane=1", True),
        ("n=1 fired=1 result=failed lost=-1 sane=1", True),
        ("n=1 fired=1 result=ok lost=0 sane=0 insane=wait", True),
        ("n=1 fired=1 result=false-failure:child lost=0 sane=1", True),
    ],
)
def test_results_that_a_correct_kernel_never_has(line: str, bad: bool) -> None:
    ran = parse(line)
    assert isinstance(ran, Ran) and ran.bad == bad


@pytest.mark.parametrize("number", ["999999999999", "9" * 5000], ids=("large", "huge"))
def test_a_number_that_no_kernel_reaches_is_not_counted_up_to(number: str) -> None:
    assert parse(f"n={number} fired=1 result=ok lost=0 sane=1") is None
    assert parse(f"n=1 fired=1 result=ok lost={number} sane=1") is None
    assert parse(f"stop n={number} end") is None
    assert parse(f"sweep fork calls={number}") is None
    assert parse(f"sweep fork done n={number}") is None


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([], ""), ([3], "3"), ([1, 2], "1, 2"), ([65, *range(6, 65), 3], "3, 6 to 65")],
)
def test_numbers_in_words(numbers: list[int], words: str) -> None:
    assert ranges(numbers) == words


A, B, C = 101, 102, 103


def test_two_equal_deaths_speak_for_a_group_but_for_its_last() -> None:
    paths, deaths = Paths([A, B, B, B, B, A, C]), Deaths()
    assert deaths.last_to_try(1, paths) == 0
    deaths.died(B, "kvmmap")
    assert deaths.next_to_try(3, paths) == 3  # one may have been chance
    deaths.died(B, "kvmmap")
    assert deaths.next_to_try(4, paths) == 5
    assert deaths.last_to_try(1, paths) == 1  # 2 may be left out
    assert deaths.next_to_try(6, paths) == 6


@pytest.mark.parametrize(
    "deaths",
    [
        [("died", "kvmmap"), ("died", "freewalk")],
        [("died", "kvmmap"), ("survived", ""), ("died", "kvmmap")],
    ],
)
def test_what_does_not_always_end_alike_is_tried_on(deaths: list[tuple[str, str]]) -> None:
    known = Deaths()
    for what, how in deaths:
        known.died(A, how) if what == "died" else known.survived(A)
    assert known.next_to_try(3, Paths([A] * 9)) == 3


def test_a_sparing_sweep_tries_some_of_a_long_group_that_survives_and_its_last() -> None:
    paths, deaths = Paths([A, *[B] * 50, C]), Deaths(sparing=True)
    assert deaths.last_to_try(1, paths) == 1 + LIVED
    for n in range(1, 2 + LIVED):
        deaths.survived(paths.of(n))
    assert deaths.next_to_try(2 + LIVED, paths) == 51
    assert deaths.last_to_try(51, paths) == 0
    deaths.begin()  # another mode may end otherwise
    assert deaths.next_to_try(2 + LIVED, paths) == 2 + LIVED
    assert Deaths().last_to_try(1, paths) == 0


def test_exhaustive_leaves_nothing_out_and_unknown_paths_are_no_group() -> None:
    for deaths, path in ((Deaths(exhaustive=True), A), (Deaths(), 0)):
        deaths.died(path, "x")
        deaths.died(path, "x")
        assert deaths.next_to_try(1, Paths([path] * 9)) == 1


WALK = (Where("vm.c", 9, "walk"), Where("vm.c", 20, "mappages"))
AT = Round("fork", "nth")


def failure(words: str = "the kernel panics.", place: str = "kvmmap") -> Failure:
    return Failure(rules.PANIC, WALK, place, words)


def test_one_finding_for_sixty_numbers_of_one_cause() -> None:
    causes = Causes()
    for n in range(6, 66):
        causes.add(AT, n, failure())
    causes.add(Round("fork", "from"), 6, failure())
    causes.add(AT, 70, failure(place="freewalk"))
    first, second = causes.findings()
    assert (first.rule, first.where, first.path) == ("alloc-failure-panic", WALK[0], WALK)
    assert "When this allocation fails in `fork`, the kernel panics." in first.message
    assert "61 times: nth 6 to 65; from 6" in first.message
    assert "n = 70" in second.evidence and "times" not in second.message
    assert list(causes.findings()) == []  # each once
    (nth, from_) = causes.table().rows
    assert nth == ("fork", "nth", 0, 0, 61, 0, 0, 2)
    assert from_[-1] == 1


def test_a_death_is_one_cause_from_whichever_line_of_a_function() -> None:
    causes = Causes()
    for n, line in enumerate((47, 50, 53), 1):
        path = (*WALK, Where("kernel/vm.c", line, "kvminit"))
        causes.add(AT, n, Failure(rules.PANIC, path, "kvmmap", "the kernel panics."))
        causes.add(AT, n, Failure(rules.LEAK, path, "kvmmap", "a page is lost."))
    assert [one.rule for one in causes.findings()] == ["alloc-failure-panic"] + 3 * [
        "alloc-failure-leak"
    ]


IN_FORK = (Where("proc.c", 313, "fork"), Where("sysproc.c", 29, "sys_fork"))
DEAD = "proc.c:129 allocproc()"


def dead(*path: Where, place: str = DEAD) -> Failure:
    return Failure(rules.PANIC, (*path, *IN_FORK), place, "the kernel panics.")


def test_what_dies_at_one_place_when_all_fail_is_one_cause() -> None:
    """panic("kalloc") after the third allocation: the first two had only been refused before."""
    early = dead(Where("vm.c", 38, "kvmcreate"), Where("proc.c", 125, "allocproc"))
    itself = dead(Where("proc.c", 127, "allocproc"))
    causes = Causes()
    causes.add(Round("fork", "from"), 2, early)
    causes.add(Round("fork", "from"), 7, dead(*WALK, Where("proc.c", 125, "allocproc")))
    causes.add(Round("fork", "from"), 74, itself)
    causes.add(Round("forkbig", "nth"), 78, itself)
    causes.add(Round("forkbig", "from"), 2, early)
    causes.add(Round("exec", "from"), 2, dead(Where("exec.c", 30, "exec")))
    (found,) = causes.findings()
    assert found.where == itself.path[0] and found.path == itself.path
    assert "Seen at `fork`, failing the n-th and all after it: n = 2, 7, 74" in found.evidence
    assert "probe NONCE sweep fork from 74 74" in found.evidence


def test_different_allocations_that_fail_alone_are_different_causes() -> None:
    caller = Where("proc.c", 125, "allocproc")
    causes = Causes()
    causes.add(AT, 2, dead(Where("vm.c", 38, "kvmcreate"), caller))
    causes.add(AT, 7, dead(*WALK, caller))
    causes.add(Round("fork", "from"), 3, dead(Where("vm.c", 70, "uvmcreate"), caller))
    assert len(list(causes.findings())) == 2


@pytest.mark.parametrize("place", ["string.c:9 memset()", "vm.c:207 uvmunmap()", "unknown place"])
def test_a_death_elsewhere_says_nothing_of_the_cause(place: str) -> None:
    causes = Causes()
    causes.add(AT, 5, dead(*WALK, place=place))
    causes.add(Round("exec", "from"), 8, dead(Where("exec.c", 129, "exec"), place=place))
    causes.add(Round("exec", "from"), 9, dead(Where("exec.c", 140, "load"), place=place))
    assert len(list(causes.findings())) == 3


@pytest.mark.parametrize("how", ["copy.", "kerneltrap; store page fault at 0x8000112c in vm.c:142."])
def test_who_has_called_the_function_that_dies_does_not_matter(how: str) -> None:
    causes = Causes()
    for n, caller in enumerate(("fork", "growproc", "exec"), 1):
        path = (WALK[0], Where("vm.c", 138, "mirror_copy"), Where("proc.c", 9, caller))
        dies = Failure(rules.PANIC, path, "vm.c:142 mirror_copy()", f"the kernel panics: {how}")
        causes.add(Round(caller, "nth"), n, dies)
    (found,) = causes.findings()
    assert "fails in `fork`, `growproc`, `exec`, the kernel" in found.message


def test_a_trap_in_what_asked_for_a_page_says_nothing_of_the_cause() -> None:
    causes = Causes()
    for n, caller in enumerate(("proc_pagetable", "exec", "growproc"), 1):
        path = (*WALK, Where("proc.c", 9, caller), *IN_FORK)
        trap = "the kernel panics: kerneltrap; load page fault at 0x80001b94 in vm.c:98 walk()."
        causes.add(Round("fork", "from"), n, Failure(rules.PANIC, path, "vm.c:98 walk()", trap))
    assert len(list(causes.findings())) == 3


def test_a_table_on_the_terminal() -> None:
    causes = Causes()
    causes.tally(AT).survived = set(range(1, 24))
    out = io.StringIO()
    Console(file=out, width=120).print(grid(causes.table()))
    assert "allocation points" in out.getvalue()
    assert re.search(r"fork +nth +0 +23 +0 +0 +0 +0", out.getvalue())


def test_tables_of_parts_are_joined() -> None:
    one, two = Table("t", ("a",), ((1,),)), Table("t", ("a",), ((2,),))
    assert one.joined(two).rows == ((1,), (2,))
    assert one.joined(None) == one
    with pytest.raises(ValueError, match="columns"):
        one.joined(Table("t", ("b",)))


class LiveRam(FakeRam):
    """RAM that can be written to while somebody has it mapped."""

    def put(self, address: int, value: int, size: int = 8) -> None:
        super().put(address, value, size)
        if self.path.exists():
            start = address - RAM_BASE
            with self.path.open("r+b") as file:
                file.seek(start)
                file.write(self.memory[start : start + size])


@dataclass
class Behaviour:
    """How a kernel's workload goes: who asks for each page, and what its failure does.

    Of `does`, panic, hang and gone end the machine or the probe; quiet frees a page twice
    without a bad result; with unstarted, nothing runs; anything else is the end of the result
    line.
    """

    asks: list[str]
    does: dict[int, str]
    cannot: str = ""
    runs_ahead: bool = False  # the next n is armed when a line arrives
    frees_first: bool = False  # twice, before even the first line arrives
    says_every: int = 1  # good result of so many
    garbled: dict[int, bool] = field(default_factory=dict)  # whose lines arrive with noise, once
    exhaustive: bool = False
    hides: int = 0  # pages lost that no line tells of
    takes: float = 0.1  # guest seconds from one look at the clock to the next


class Guest:
    """A machine with a shell and a probe, one boot of it."""

    def __init__(self, kernel: FakeKernel, behaviour: Behaviour) -> None:
        self.kernel, self.behaviour = kernel, behaviour
        self.ram = kernel.fake.ram()
        self._lines: Iterator[str | Death] = iter(())
        self._said = ""
        self.gained = 0
        self.clock = 0.0
        self.patience: list[float] = []  # guest seconds that each line may have taken

    def wait_prompt(self) -> str:
        return ""

    def said(self) -> str:
        return self._said

    def stop(self) -> None:
        """It stands still whenever nobody asks it for a line."""

    def resume(self) -> None:
        """Nothing happens by itself."""

    def watch(self, seconds: float) -> None:
        """Nothing happens by itself."""

    def guest_seconds(self) -> float:
        self.clock += self.behaviour.takes
        return self.clock

    def send(self, line: str) -> None:
        words = line.split()
        if words:
            mode, first, last = (*words[4:6], *words[6:], "0")[:3]
            self._lines = self._sweep(0 if mode == "site" else int(first), int(last))

    def expect(
        self, pattern: str, what: str, silence: float, alive: object = None
    ) -> re.Match[str]:
        self.patience.append(silence)
        event = next(self._lines)
        if isinstance(event, Death):
            raise GuestDied(cast(Machine, self), event)
        self._said += event
        match = re.search(pattern, event)
        assert match, (pattern, event)
        return match

    def _say(self, words: str) -> str:
        return f"@{NONCE} {words}\r\n"

    def _arm(self, n: int, fired: int) -> None:
        for name in ("n", "tried"):
            self.kernel.set("faultline_ctl", n, name)
        self.kernel.set("faultline_ctl", fired, "fired", "count")
        if fired:
            asked = self.behaviour.asks[n - 1]
            self.kernel.set("faultline_ctl", self.kernel.call(asked), "fired", "stack", 0)

    def _sweep(self, first: int, last: int) -> Iterator[str | Death]:
        asks, does = self.behaviour.asks, self.behaviour.does
        if self.behaviour.cannot:
            yield self._say(f"sweep fork cannot={self.behaviour.cannot}")
            return
        for index, function in enumerate(asks):
            self.kernel.set("faultline_ctl", self.kernel.call(function), "paths", index)
        self.kernel.set("faultline_ctl", len(asks), "counted")
        if self.behaviour.frees_first and first == 1:
            self.kernel.event("double_free", 1, PAGE_TAKEN)
        yield self._say(f"sweep fork calls={len(asks)}")
        n = first
        while True:
            fired = int(1 <= n <= len(asks))
            done = does.get(n, "")
            if done == "unstarted":
                yield self._say(f"n={n} fired=0 result=changed:fork lost=0 sane=1")
                yield self._say(f"stop n={n} end")
                n += 1
                continue
            self._arm(n, fired)
            yield self._say(f"stop n={n} after")
            if done in ("panic", "hang"):
                yield Death(done, "out of memory", "panic: out of memory\n")
            if done == "gone":
                yield "\n$ "
            if done == "quiet":
                self.kernel.event("double_free", 1, PAGE_TAKEN)
                done = ""
            if "lost=1" in done:
                self.kernel.set("faultline_ctl", 0, "mark")
                self.kernel.page(PAGE_TAKEN, n, 1)
                self.kernel.set("faultline_ctl", n, "end")
            self.gained += int((re.findall(r"lost=(-?\d+)", done) or ["0"])[0])
            self.kernel.set("faultline_ctl", self.gained + self.behaviour.hides, "gained")
            if self.behaviour.runs_ahead and n != last:
                self.kernel.set("faultline_ctl", n + 1, "n")
            result = done or f"result={'failed' if fired else 'ok'} lost=0 sane=1"
            if done or not fired or n == last or n % self.behaviour.says_every == 0:
                noise = "usertrap()" if self.behaviour.garbled.pop(n, None) else ""
                yield self._say(f"n={n} fired={fired} {noise}{result}")
            if done or n == 0:
                yield self._say(f"stop n={n} end")
            if not fired or n == last:
                break
            n += 1
        yield self._say(f"sweep fork done n={n}")


class Boots:
    """Boots guests of one behaviour; counts them."""

    def __init__(self, elf: ElfImage, path: Path, behaviour: Behaviour) -> None:
        self.elf, self.path, self.behaviour = elf, path, behaviour
        self.count = 0

    def get(self) -> Guest:
        self.count += 1
        ram = LiveRam(self.path / f"ram{self.count}", 1024)
        return Guest(FakeKernel(self.elf, ram), self.behaviour)


class FakeMachines(Machines):
    """The machine, as long as it is not given up; guests in place of QEMU."""

    def __init__(self, bench: Bench, boots: Boots) -> None:
        super().__init__(bench)
        self.boots = boots
        self.guest: Guest | None = None

    def get(self) -> Machine:
        if self.guest is None:
            self.guest, self.fresh = self.boots.get(), True
        return cast(Machine, self.guest)

    def give_up(self) -> None:
        self.guest = None


Swept = Callable[[Behaviour], tuple[Sweep, Boots]]


@pytest.fixture
def swept(compile_guest: Compile, tmp_path: Path) -> Swept:
    kernel = compile_guest(SOURCE, "c")

    def sweep(behaviour: Behaviour) -> tuple[Sweep, Boots]:
        bench = Bench(Build(kernel, Path(), Path()), tmp_path, nonce=NONCE)
        boots = Boots(bench.elf, tmp_path, behaviour)
        one = Sweep(
            bench,
            FakeMachines(bench, boots),
            audit=lambda bench, machine, when: [],
            deaths=Deaths(behaviour.exhaustive),
        )
        one.round("fork", "nth")
        return one, boots

    return sweep


def row(one: Sweep) -> dict[str, object]:
    table = one.causes.table()
    return dict(zip(table.columns, table.rows[0]))


def test_a_kernel_that_survives_is_booted_once(swept: Swept) -> None:
    one, boots = swept(Behaviour(["grow"] * 5, {}))
    assert boots.count == 1 and list(one.causes.findings()) == []
    assert row(one) == {
        "workload": "fork", "mode": "nth", "allocation points": 5, "survived": 5, "failed": 0,
        "left out": 0, "not tried": 0, "distinct causes": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("takes", "patience"), [(0.1, 20.0), (90.0, 90.0)])
def test_a_workload_may_take_as_long_as_it_does_without_a_failure(
    swept: Swept, takes: float, patience: float
) -> None:
    one, _ = swept(Behaviour(["grow"], {}, takes=takes))
    guest = cast(FakeMachines, one.machines).guest
    assert guest and guest.patience[0] >= 400 and guest.patience[6:] == [patience] * 5
    assert guest.patience[5] >= 400  # before it begins, each leg makes the runs it was timed in


def test_with_several_harts_a_workload_may_take_longer(
    compile_guest: Compile, tmp_path: Path
) -> None:
    bench = Bench(Build(compile_guest(SOURCE, "c"), Path(), Path()), tmp_path, nonce=NONCE, harts=3)
    boots = Boots(bench.elf, tmp_path, Behaviour(["grow"], {}))
    one = Sweep(bench, FakeMachines(bench, boots), audit=lambda bench, machine, when: [])
    one.round("fork", "nth")
    guest = cast(FakeMachines, one.machines).guest
    assert guest and guest.patience[-1] >= 100


def test_a_death_ends_the_boot_and_not_the_sweep(swept: Swept) -> None:
    one, boots = swept(Behaviour(["grow", "_start", "grow"], {2: "panic"}))
    (finding,) = one.causes.findings()
    assert boots.count == 2
    assert (finding.rule, finding.where.function) == ("alloc-failure-panic", "_start")
    assert "out of memory" in finding.message and "n = 2" in finding.evidence
    assert (row(one)["survived"], row(one)["failed"]) == (2, 1)


def test_the_middle_of_a_group_that_dies_alike_is_left_out_and_told(swept: Swept) -> None:
    dies = Behaviour(["_start", *["grow"] * 60, "_start"], dict.fromkeys(range(2, 62), "panic"))
    one, boots = swept(dies)
    (finding,) = one.causes.findings()
    assert boots.count == 4  # three deaths: the first two, and the last
    assert "n = 2, 3, 61" in finding.evidence and "n = 4 to 60 left out" in finding.evidence
    assert (row(one)["failed"], row(one)["left out"], row(one)["survived"]) == (3, 57, 2)


def test_exhaustive_tries_all(swept: Swept) -> None:
    dies = Behaviour(["grow"] * 6, dict.fromkeys(range(1, 7), "panic"), exhaustive=True)
    one, boots = swept(dies)
    assert boots.count == 7 and row(one)["failed"] == 6


def test_a_kernel_that_always_dies_does_not_take_for_ever(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MAX_BOOTS", 8)
    asks = ["grow" if n % 3 else "_start" for n in range(40)]
    one, boots = swept(Behaviour(asks, dict.fromkeys(range(1, 41), "hang")))
    assert boots.count == 2  # a hang counts for more
    assert row(one)["not tried"] == 38
    (first, *_) = one.causes.findings()
    assert "the last 38 not tried: the first 2 took 8 boots" in first.evidence


def test_a_leak_says_what_was_lost_and_costs_no_boot(swept: Swept) -> None:
    one, boots = swept(Behaviour(["_start", "grow"], {1: "result=failed lost=1 sane=1"}))
    (finding,) = one.causes.findings()
    assert boots.count == 1
    assert (finding.rule, finding.where.function) == ("alloc-failure-leak", "_start")
    assert re.search(r"1 page is lost that had been allocated at \S+ grow\(\)", finding.message)


def test_pages_that_the_shim_counts_and_no_line_tells_of_are_no_good_result(swept: Swept) -> None:
    one, _ = swept(Behaviour(["grow"] * 3, {}, hides=2))
    (finding,) = one.other
    assert finding.rule == "evidence-tampered"
    assert "say that 0 pages were lost in all, the shim has counted 2" in finding.message


@pytest.mark.parametrize(
    ("line", "rule", "boots"),
    [
        ("result=false-success:child lost=0 sane=1", "alloc-failure-false-success", 1),
        ("result=false-failure:file lost=0 sane=1", "alloc-failure-false-failure", 1),
        ("result=changed:size lost=0 sane=1", "alloc-failure-changed-state", 1),
        ("result=failed lost=-1 sane=1", "alloc-failure-changed-state", 1),
        ("result=failed lost=0 sane=0 insane=fork", "alloc-failure-insane", 2),
        ("gone", "alloc-failure-changed-state", 2),
        ("hang", "alloc-failure-hang", 2),
        ("quiet", "alloc-failure-double-free", 2),
    ],
)
def test_each_way_to_go_wrong(swept: Swept, line: str, rule: str, boots: int) -> None:
    one, booted = swept(Behaviour(["grow", "_start", "grow"], {2: line}))
    (finding,) = one.causes.findings()
    assert (finding.rule, finding.where.function) == (rule, "_start")
    assert "n = 2\n" in finding.evidence
    assert booted.count == boots
    assert (row(one)["survived"], row(one)["failed"]) == (2, 1)


@pytest.mark.parametrize("end", ["panic", "gone", "result=changed:size lost=0 sane=1", ""])
def test_what_has_no_line_of_its_own_was_good(swept: Swept, end: str) -> None:
    does = {7: end} if end else {}
    one, boots = swept(Behaviour(["grow"] * 6 + ["_start"] + ["grow"] * 3, does, says_every=4))
    assert (row(one)["survived"], row(one)["failed"]) == ((9, 1) if end else (10, 0))
    assert [finding.where.function for finding in one.causes.findings()] == ["_start"] * bool(end)


def test_a_bad_result_that_could_not_be_read_is_not_taken_for_a_good_one(swept: Swept) -> None:
    does = {2: "result=changed:size lost=0 sane=1"}
    behaviour = Behaviour(["grow", "_start", "grow"], does, garbled={2: True})
    one, _ = swept(behaviour)
    (finding,) = one.causes.findings()
    assert finding.where.function == "_start" and "n = 2\n" in finding.evidence
    assert (row(one)["survived"], row(one)["failed"], row(one)["not tried"]) == (2, 1, 0)


def test_a_run_whose_process_could_not_be_started_is_no_good_one(swept: Swept) -> None:
    one, boots = swept(Behaviour(["grow"] * 3, {2: "unstarted"}))
    (finding,) = one.causes.findings()
    assert (finding.rule, boots.count) == ("alloc-failure-changed-state", 1)
    assert "the process that was to make the call next cannot be started" in finding.message
    assert "n = 2\n" in finding.evidence
    assert (row(one)["survived"], row(one)["failed"], row(one)["not tried"]) == (2, 1, 0)


def test_a_wrong_free_among_those_without_a_line_is_traced_to_its_n(swept: Swept) -> None:
    asks = ["grow"] * 4 + ["_start"] + ["grow"] * 4
    one, _ = swept(Behaviour(asks, {5: "quiet"}, says_every=4))
    (finding,) = one.causes.findings()
    assert (finding.rule, finding.where.function) == ("alloc-failure-double-free", "_start")
    assert "n = 5\n" in finding.evidence
    assert (row(one)["survived"], row(one)["failed"]) == (8, 1)


def test_a_wrong_free_that_was_noticed_late_is_traced_to_its_n(swept: Swept) -> None:
    asks = ["grow", "_start", "grow", "grow"]
    one, boots = swept(Behaviour(asks, {2: "quiet"}, runs_ahead=True))
    (finding,) = one.causes.findings()
    assert (finding.rule, finding.where.function) == ("alloc-failure-double-free", "_start")
    assert "n = 2\n" in finding.evidence
    assert boots.count == 3  # it might have been 3; 2 alone shows that it was not
    assert (row(one)["survived"], row(one)["failed"]) == (3, 1)


def test_a_wrong_free_before_the_first_line_was_read(swept: Swept) -> None:
    one, _ = swept(Behaviour(["_start"], {1: "panic"}, frees_first=True))
    (finding,) = one.causes.findings()
    assert (finding.rule, finding.where.function) == ("alloc-failure-double-free", "_start")


def test_a_workload_that_never_works_is_no_allocation_failure(swept: Swept) -> None:
    one, _ = swept(Behaviour([], {}, cannot="wait"))
    (finding,) = one.other
    assert finding.rule == "sweep-cannot-run" and "wait" in finding.message
    one, _ = swept(Behaviour(["grow"], {0: "panic"}))
    assert [other.rule for other in one.other] == ["sweep-cannot-run"]
    assert list(one.causes.findings()) == []


def test_one_finding_for_all_workloads_that_fail_anyway(swept: Swept) -> None:
    one, _ = swept(Behaviour(["grow"], {0: "result=ok lost=2 sane=1"}))
    assert not one.round("exec", "nth")
    (finding,) = one.other
    assert finding.message == (
        "The workloads `fork`, `exec` do not work although no allocation is made to fail: it "
        "loses 2 pages each time (see `leaks`)."
    )


def test_each_workload_that_copies_wrongly_has_its_note(swept: Swept) -> None:
    one, _ = swept(Behaviour([], {}, cannot="false-success:guard"))
    for workload in ("copyin", "copyout"):
        assert not one.round(workload, "nth")
    notes = [other.message for other in one.other if other.rule == "sweep-boundary"]
    assert ["`copyin`" in words for words in notes] == [True, False]
    assert ["`copyout`" in words for words in notes] == [False, True]


def test_what_was_told_already_is_not_told_again(swept: Swept) -> None:
    one, _ = swept(Behaviour([], {}, cannot="wait"))
    one.other.clear()  # as when the first workload's findings are told before the next
    assert not one.round("exec", "nth")
    (finding,) = one.other
    assert finding.message.startswith("The workload `exec` does not work")


@pytest.mark.parametrize(
    ("workload", "what", "rule", "severity"),
    [
        ("copyin", "false-success:last-bytes", "sweep-boundary", "note"),
        ("copyinstr", "false-success:guard", "sweep-boundary", "note"),
        ("copyin", "pipe", "sweep-cannot-run", "error"),
        ("fork", "false-failure:unprovoked", "sweep-cannot-run", "error"),
        ("exec", "false-success:guard", "sweep-cannot-run", "error"),
    ],
)
def test_a_kernel_that_copies_wrongly_at_a_boundary_fails_no_allocation(
    workload: str, what: str, rule: str, severity: str
) -> None:
    found = rules.cannot_run([workload], what, "")
    assert (found.rule, found.severity) == (rule, severity)


def test_a_kernel_that_dies_anyway_does_so_somewhere() -> None:
    place = Where("vm.c", 242, "mappages")
    assert rules.cannot_run(["exec"], "the kernel panics", "", place).where == place


def test_a_boundary_is_called_by_its_name() -> None:
    words = rules.cannot_run(["copyin"], "false-success:last-bytes", "").message
    assert words.startswith("The kernel copies less than it should at the last bytes of user")
    assert "may not at the guard page" in rules.cannot_run(["copyin"], "x:guard", "").message


def test_the_audit_s_rules_count_if_nothing_else_breaks_them(
    compile_guest: Compile, tmp_path: Path
) -> None:
    usual, new = [rule for rule in AUDIT_RULES if not rule.name.startswith("satp-")][:2]

    def audit(bench: Bench, machine: Machine, when: str) -> list[Finding]:
        found = [usual.finding("Always.", where=Where(function="f"))]
        after = [new.finding("Just now.", where=Where("vm.c", 3, "g"))]
        return found + (after if "kalloc 2 " in when else [])

    bench = Bench(Build(compile_guest(SOURCE, "c"), Path(), Path()), tmp_path, nonce=NONCE)
    boots = Boots(bench.elf, tmp_path, Behaviour(["grow", "_start", "grow"], {}))
    one = Sweep(bench, FakeMachines(bench, boots), audit=audit)
    assert one.round("fork", "nth")
    (finding,) = one.causes.findings()
    assert (finding.rule, finding.where.function) == (new.name, "_start")
    assert "just now." in finding.message and "At vm.c:3 g()" in finding.evidence
    assert boots.count == 2  # what is out of step now would be so for the next, too


@pytest.mark.parametrize("workloads", [["fork"], ["exec", "fork"]])
def test_what_a_run_without_a_failure_leaves_behind_is_not_laid_to_an_allocation(
    compile_guest: Compile, tmp_path: Path, workloads: list[str]
) -> None:
    """Such as a mirror that still has what sbrk gave back: it shows when nothing has grown."""
    left = next(rule for rule in AUDIT_RULES if rule.name == "mapped-free-page")

    def audit(bench: Bench, machine: Machine, when: str) -> list[Finding]:
        shown = when == f"after `{workloads[0]}`" or "`fork` with its kalloc 2 " in when
        return [left.finding("Since the last shrinking.")] if shown else []

    bench = Bench(Build(compile_guest(SOURCE, "c"), Path(), Path()), tmp_path, nonce=NONCE)
    boots = Boots(bench.elf, tmp_path, Behaviour(["grow", "_start", "grow"], {}))
    one = Sweep(bench, FakeMachines(bench, boots), audit=audit)
    for workload in workloads:
        assert one.round(workload, "nth")
    assert list(one.causes.findings()) == [] and boots.count == 1
    _, note = told(one)  # once, and of no allocation
    assert isinstance(note, Finding)
    assert (note.rule, note.severity) == ("sweep-broken-anyway", "note")
    assert note.message.endswith("laid to none: mapped-free-page.")
    assert note.evidence.startswith(f"after `{workloads[0]}`: Since the last shrinking.")


def test_what_an_earlier_failure_has_broken_is_not_as_usual(
    compile_guest: Compile, tmp_path: Path
) -> None:
    """On a machine just booted it is whole without a failure, so a failure is to blame."""
    broken = next(rule for rule in AUDIT_RULES if rule.name == "mapped-free-page")

    def audit(bench: Bench, machine: Machine, when: str) -> list[Finding]:
        spoilt = when == "after `fork`" and boots.count == 1
        shown = spoilt or "`fork` with its kalloc 2 " in when
        return [broken.finding("Just now.", where=Where("vm.c", 3, "g"))] if shown else []

    bench = Bench(Build(compile_guest(SOURCE, "c"), Path(), Path()), tmp_path, nonce=NONCE)
    boots = Boots(bench.elf, tmp_path, Behaviour(["grow", "_start", "grow"], {}))
    one = Sweep(bench, FakeMachines(bench, boots), audit=audit)
    for workload in ("exec", "fork"):
        assert one.round(workload, "nth")
    (finding,) = one.causes.findings()
    assert (finding.rule, finding.where.function) == (broken.name, "_start")
    assert one.anyway == []


def test_what_a_hart_has_loaded_is_not_laid_to_an_allocation(
    compile_guest: Compile, tmp_path: Path
) -> None:
    loaded = next(rule for rule in AUDIT_RULES if rule.name == "satp-not-restored")

    def audit(bench: Bench, machine: Machine, when: str) -> list[Finding]:
        return [loaded.finding("By chance.")] if "kalloc 2 " in when else []

    bench = Bench(Build(compile_guest(SOURCE, "c"), Path(), Path()), tmp_path, nonce=NONCE)
    boots = Boots(bench.elf, tmp_path, Behaviour(["grow", "_start", "grow"], {}))
    one = Sweep(bench, FakeMachines(bench, boots), audit=audit)
    assert one.round("fork", "nth")
    assert list(one.causes.findings()) == []


def test_which_workloads_are_swept() -> None:
    listed = ["fork", "exec", "pipe"]
    assert chosen(listed, Choice(), "") == listed
    assert chosen(listed, Choice(first="pipe"), "") == ["pipe", "fork", "exec"]
    assert chosen(listed, Choice(workload="exec"), "") == ["exec"]
    parts = [chosen(listed, Choice(), f"{number}/2") for number in (1, 2)]
    assert sorted(parts[0] + parts[1]) == sorted(listed)
    with pytest.raises(HarnessError, match="no workload 'frok'; the probe has fork, exec, pipe"):
        chosen(listed, Choice(workload="frok"), "")


def test_a_probe_that_knows_no_workloads(compile_guest: Compile, tmp_path: Path) -> None:
    class Silent:
        def shell(self, command: str) -> str:
            return "usage"

    bench = Bench(Build(compile_guest(SOURCE, "c"), Path(), Path()), tmp_path)
    with pytest.raises(Unchecked, match="did not list its workloads"):
        listing(bench, cast(Machine, Silent()))


def test_the_table_comes_before_the_findings(swept: Swept) -> None:
    one, _ = swept(Behaviour(["grow"], {1: "panic"}))
    table, finding = told(one)
    assert isinstance(table, Table) and isinstance(finding, Finding)
    assert [type(what) for what in told(one)] == [Table]


def test_many_sites_are_left_unchecked_by_a_fault_each() -> None:
    faults = [one for one in load_catalogue() if one.expect.check == "sweep"]
    ignored = ("fork-ignores-mirror", "sbrk-ignores-mirror")
    unchecked = [one for one in faults if one.id.endswith("-unchecked") or one.id in ignored]
    sites = {(one.expect.function, one.expect.through, one.expect.workload) for one in unchecked}
    assert len(sites) >= 20
