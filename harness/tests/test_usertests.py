"""The test program's output, as recorded, and how its tests are divided among machines."""

from __future__ import annotations

import pytest
from fakes import FakeBench, FakeMachine

from faultline.checks.usertests import (
    COMMAND_LENGTH, COMMAND_NAMES, COSTS, PARTS, USUAL_COST, commands, groups, usertests,
)  # fmt: skip
from faultline.finding import Finding
from faultline.machine import Death, GuestDied

ALL_WELL = "usertests starting\ntest a: OK\ntest b: OK\nALL TESTS PASSED\n"
ONE_FAILED = (
    "usertests starting\ntest a: OK\nb: expected 3, got 4\ntest b: FAILED\nSOME TESTS FAILED\n"
)
PANIC = Death("panic", "kerneltrap", "usertests starting\ntest a: OK\nb is running\npanic: x\n")
EARLY = Death("hang", "no output", "usertests starting\n")


def found(
    answer: dict[str, str | Death], part: str = "", test: str = ""
) -> tuple[list[Finding], FakeMachine, bool]:
    """Return the findings, the machine, and whether the guest died."""
    machine = FakeMachine(lambda command: answer[command])
    bench = FakeBench(machine)
    bench.part, bench.test = part, test
    findings = []
    try:
        for finding in usertests.run(bench.real):
            assert isinstance(finding, Finding)
            findings.append(finding)
    except GuestDied:
        return findings, machine, True
    return findings, machine, False


@pytest.mark.parametrize(
    ("answer", "rules", "words"),
    [
        (ALL_WELL, [], ""),
        (ONE_FAILED, ["usertest-failed"], "b: expected 3, got 4"),
        (PANIC, ["usertests-died"], "did not survive the test after a: kerneltrap"),
        (EARLY, ["usertests-died"], "did not survive its first test: no output"),
        ("exec usertests failed\n", ["usertests-incomplete"], "its first test without its last"),
        ("test a: OK\n", ["usertests-incomplete"], "after a without its last line"),
        ("test a: FAILED\nALL TESTS PASSED\n", ["usertest-failed", "usertests-incomplete"],
         "the last line that fits"),
        ("test a: OK\nSOME TESTS FAILED\n", ["usertests-incomplete"], "the last line that fits"),
    ],
)  # fmt: skip
def test_recorded_consoles(answer: str | Death, rules: list[str], words: str) -> None:
    findings, _, died = found({"usertests": answer})
    assert [finding.rule for finding in findings] == rules
    assert died == isinstance(answer, Death)
    assert words in (findings[-1].message if findings else "")


def test_a_death_shows_what_failed_before_and_what_was_printed_since() -> None:
    console = "test a: OK\nb: wrong\ntest b: FAILED\nc says this\npanic: x\n"
    findings, _, _ = found({"usertests": Death("panic", "x", console)})
    assert [finding.rule for finding in findings] == ["usertest-failed", "usertests-died"]
    assert "c says this" in findings[1].evidence and "wrong" not in findings[1].evidence


def test_the_expected_test_alone_is_enough_if_it_fails() -> None:
    findings, machine, _ = found(
        {"usertests b": "b: wrong\ntest b: FAILED\nSOME TESTS FAILED\n"}, test="b"
    )
    assert [finding.where.function for finding in findings] == ["b"]
    assert machine.asked == ["usertests b"]


def test_if_the_expected_test_passes_all_are_run() -> None:
    findings, machine, _ = found(
        {"usertests b": "test b: OK\nALL TESTS PASSED\n", "usertests": ONE_FAILED}, test="b"
    )
    assert [finding.rule for finding in findings] == ["usertest-failed"]
    assert machine.asked == ["usertests b", "usertests"]


def test_a_test_by_name_that_gives_no_result_is_incomplete() -> None:
    findings, _, _ = found(
        {"usertests b": "ALL TESTS PASSED\n", "usertests": ALL_WELL}, test="b"
    )
    assert [finding.rule for finding in findings] == ["usertests-incomplete"]
    assert "without a result of b" in findings[0].message


NAMES = [f"test_number_{n}" for n in range(40)] + ["disk_full", "memory_back", "file_largest"]


def answer_all(command: str) -> str:
    if command == "usertests -l":
        slow = {"disk_full", "memory_back"}
        return "".join(f"{name}{' (slow)' if name in slow else ''}\n" for name in NAMES)
    results = "".join(f"test {name}: OK\n" for name in command.split()[1:])
    return f"usertests starting\n{results}ALL TESTS PASSED\n"


def asked_by_part(number: int, test: str = "") -> list[str]:
    machine = FakeMachine(answer_all)
    bench = FakeBench(machine)
    bench.part, bench.test = f"{number}/{PARTS}", test
    assert list(usertests.run(bench.real)) == []
    return [name for command in machine.asked[1:] for name in command.split()[1:]]


def test_the_parts_together_run_every_test_once() -> None:
    ran = [name for number in range(PARTS) for name in asked_by_part(number + 1)]
    assert sorted(ran) == sorted(NAMES)


@pytest.mark.parametrize("test", ["test_number_30", "disk_full"])
def test_the_first_part_begins_with_the_expected_test(test: str) -> None:
    ran = [asked_by_part(number + 1, test) for number in range(PARTS)]
    assert ran[0][0] == test
    assert sorted(name for names in ran for name in names) == sorted(NAMES)


def test_a_program_that_lists_nothing_runs_whole_in_the_first_part() -> None:
    answer: dict[str, str | Death] = {
        "usertests -l": "usage: usertests [-q] [test]\n", "usertests": ALL_WELL,
    }  # fmt: skip
    _, first, _ = found(answer, part=f"1/{PARTS}")
    _, second, _ = found(answer, part=f"2/{PARTS}")
    assert (first.asked[1:], second.asked[1:]) == (["usertests"], [])


def test_groups_cost_about_the_same() -> None:
    names = [*COSTS, *NAMES[:60]]
    costs = [sum(COSTS.get(name, USUAL_COST) for name in group) for group in groups(names, 4)]
    assert max(costs) - min(costs) <= max(COSTS.values()) / 4
    assert sorted(name for group in groups(names, 4) for name in group) == sorted(names)


def test_commands_are_what_the_shell_can_read() -> None:
    short = [f"t{n}" for n in range(100)]
    for names in (short, NAMES, ["x" * 200]):
        made = list(commands(names))
        assert [name for command in made for name in command] == names
        for command in made:
            assert len(command) <= COMMAND_NAMES
            assert len(" ".join(["usertests", *command])) <= COMMAND_LENGTH or len(command) == 1
    assert list(commands([])) == []
