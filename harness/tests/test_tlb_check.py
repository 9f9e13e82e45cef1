"""What the check `tlb` does with a machine: the number of harts, the load, each finding once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from faultline import tlb
from faultline.bench import Bench
from faultline.checks import Unchecked
from faultline.checks import tlb as check
from faultline.finding import Finding, Where
from faultline.machine import Machine
from faultline.tlb import Report, Violation
from faultline.tlbrules import STALE_ASID, STALE_USE


class Guest:
    """A machine that says nothing and notes what is done with it."""

    def __init__(self, harts: int) -> None:
        self.harts = harts
        self.sent: list[str] = []
        self.used = 0.0  # processor seconds
        self.share = 1.0  # of a processor, that it gets

    def wait_prompt(self) -> None:
        pass

    def start(self, command: str) -> None:
        self.sent.append(f"{command} &")

    def watch(self, seconds: float) -> None:
        self.sent.append("watch")
        self.used += 2 * seconds * self.share

    def processor_seconds(self) -> float:
        return self.used


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> list[Guest]:
    """The machines that the check boots, on which nothing is found."""
    booted: list[Guest] = []

    @contextmanager
    def watched(bench: Bench, *, harts: int) -> Iterator[Guest]:
        booted.append(Guest(harts))
        yield booted[-1]

    def run_action(bench: Bench, machine: Guest, action: str, rounds: int) -> None:
        machine.sent.append(action)

    monkeypatch.setattr(check, "watched", watched)
    monkeypatch.setattr(check, "actions", lambda bench, machine: ["fork", "pipe"])
    monkeypatch.setattr(check, "run_action", run_action)
    monkeypatch.setattr(check, "look", lambda machine: Report(begun=True, paging=True))
    monkeypatch.setattr(check, "findings", lambda report, elf: [])
    return booted


def run(harts: int | None = None) -> list[Finding]:
    bench = SimpleNamespace(harts=harts, nonce="n", say=lambda words: None, elf=None)
    return [cast(Finding, one) for one in check.tlb.run(cast(Bench, bench))]


@pytest.mark.parametrize(("asked", "booted"), [(None, [1, 3, 3]), (1, [1]), (3, [3, 3]), (8, [8, 8])])
def test_a_number_of_harts_that_is_asked_for_is_all(
    asked: int | None, booted: list[int], guests: list[Guest]
) -> None:
    assert run(asked) == []
    assert [guest.harts for guest in guests] == booted


def test_one_hart_does_each_action_and_several_do_them_at_once(guests: list[Guest]) -> None:
    run()
    one, *several = guests
    assert one.sent == ["fork", "pipe"]
    for guest, load in zip(several, check.LOADS.values(), strict=True):
        assert guest.sent.count("watch") == check.LOOKS
        assert guest.used >= check.LOOKS * check.EFFORT
        assert [line for line in guest.sent if line != "watch"] == [
            f"probe n {words} &" for words in load
        ]


def test_each_rule_is_reported_once_a_function(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        rule.finding("words", where=Where("vm.c", 1, function))
        for rule in (STALE_USE, STALE_ASID)
        for function in ("map", "unmap", "map")
    ]
    monkeypatch.setattr(check, "findings", lambda report, elf: found)
    assert [(one.rule, one.where.function) for one in run()] == [
        (rule, function)
        for rule in ("tlb-stale-use", "tlb-stale-asid")
        for function in ("map", "unmap")
    ]


def test_a_kernel_without_translation_is_not_checked(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "look", lambda machine: Report(begun=True))
    with pytest.raises(Unchecked, match="without address translation"):
        run()


def test_what_was_looked_at_is_not_looked_at_again(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Violation] = []

    def findings(report: Report, elf: object) -> list[Finding]:
        seen.extend(report.violations)
        return []

    one = cast(Violation, object())
    monkeypatch.setattr(check, "look", lambda machine: Report(True, True, violations=(one,)))
    monkeypatch.setattr(check, "findings", findings)
    run(1)
    assert seen == [one]


@pytest.mark.parametrize(
    ("share", "watches"),
    [(1.0, check.LOOKS), (0.3, 3 * check.LOOKS), (0.0, check.PATIENCE * check.LOOKS)],
)
def test_on_a_busy_host_the_load_runs_longer_but_not_for_ever(
    share: float, watches: int
) -> None:
    guest = Guest(3)
    guest.share = share
    bench = SimpleNamespace(nonce="n", say=lambda words: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "actions", lambda bench, machine: [])
        list(check._load("programs", cast(Bench, bench), cast(Machine, guest)))
    assert guest.sent.count("watch") == watches


@pytest.mark.parametrize(
    ("harts", "least", "counted"), [(1, 1, True), (3, 1, False), (1, 3, False)]
)
def test_instructions_are_counted_with_one_hart_only(
    harts: int, least: int, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    @contextmanager
    def machine(**wanted: object) -> Iterator[None]:
        asked.update(wanted)
        yield None

    monkeypatch.setattr(tlb, "require_plugin", lambda: None)
    monkeypatch.setattr(tlb, "plugin_words", lambda plugin, elf: "plugin")
    build = SimpleNamespace(board=SimpleNamespace(least=least))
    bench = SimpleNamespace(build=build, elf=None, machine=machine)
    with tlb.watched(cast(Bench, bench), harts=harts):
        pass
    assert asked == {"harts": harts, "icount": counted, "plugin": "plugin"}
