"""The vmprint check's comparison, on a table in synthetic RAM."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import Compile, FakeRam

from faultline import sv39
from faultline.bench import Bench
from faultline.checks import Unchecked, all_checks
from faultline.checks.vmprint import (
    CALLS_AT_MOST, ENTRIES_AT_MOST, call_number, compare, judged, printing_call,
)  # fmt: skip
from faultline.elf import ElfImage
from faultline.finding import Where
from faultline.listing import BY_ADDRESS, BY_INDEX, Style, parse
from faultline.ram import PAGE, RAM_BASE, Ram
from faultline.sv39 import Entry

ROOT = RAM_BASE + 16 * PAGE


@pytest.fixture
def ram(fake_ram: FakeRam) -> Ram:
    """The first process's table, as in the lab's example."""
    pages = iter(range(ROOT + PAGE, ROOT + 100 * PAGE, PAGE))
    low1, low2, high1, high2 = (next(pages) for _ in range(4))
    for table, index, pa, flags in (
        (ROOT, 0, low1, 0x1), (low1, 0, low2, 0x1), (low2, 0, next(pages), 0x1F),
        (low2, 1, next(pages), 0xF), (low2, 2, next(pages), 0x1F), (ROOT, 255, high1, 0x1),
        (high1, 511, high2, 0x1), (high2, 510, next(pages), 0x7), (high2, 511, RAM_BASE, 0xB),
    ):  # fmt: skip
        fake_ram.put(table + 8 * index, pa >> 12 << 10 | flags)
    return fake_ram.ram()


def good(ram: Ram, style: Style = BY_INDEX) -> list[str]:
    return [f"page table 0x{ROOT:016x}"] + [style.expected(e) for e in sv39.walk(ram, ROOT)]


def rules(ram: Ram, lines: list[str], style: Style = BY_INDEX) -> list[str]:
    said = "xv6 kernel is booting\n\n" + "\n".join(lines) + "\ninit: starting sh\n$ "
    listing = parse(said, style)
    assert listing is not None
    return [finding.rule for finding in compare(listing, ram, ROOT, Where(), style)]


def without(number: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: lines[:number] + lines[number + 1 :]


def swapped(a: int, b: int) -> Callable[[list[str]], list[str]]:
    def swap(lines: list[str]) -> list[str]:
        lines[a], lines[b] = lines[b], lines[a]
        return lines

    return swap


def replaced(number: int, old: str, new: str) -> Callable[[list[str]], list[str]]:
    def replace(lines: list[str]) -> list[str]:
        assert old in lines[number]
        lines[number] = lines[number].replace(old, new, 1)
        return lines

    return replace


EXTRA = ".. .. ..3: pte 0x0000000012345401 pa 0x0000000048d15000"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda lines: lines, []),
        (lambda lines: lines[:1] + [" " + line for line in lines[1:]], []),
        (without(9), ["vmprint-entry-missing"]),
        (without(5), ["vmprint-entry-missing"]),
        (lambda lines: lines[:6] + [EXTRA] + lines[6:], ["vmprint-entry-extra"]),
        (swapped(3, 4), ["vmprint-order"]),
        (replaced(3, ".. .. ..", ".. .."), ["vmprint-depth"]),
        (replaced(3, "1f pa", "0f pa"), ["vmprint-flags"]),
        (replaced(3, "1f pa", "df pa"), []),  # accessed and dirty
        (replaced(4, ".. .. ..1", ".. .. ..2"), ["vmprint-index"]),
        (replaced(3, "pa 0x000000008", "pa 0x000000009"), ["vmprint-pa"]),
        (replaced(3, "pa 0x0000000080015000", "pa 0x0000000000080015"), ["vmprint-pa"]),
        (replaced(0, "00080010000", "00080011000"), ["vmprint-pa"]),
        (replaced(0, "0x0000000080010000", "0x80010000"), ["vmprint-format"]),
        (replaced(3, "pte 0x000000002", "pte 0x2"), ["vmprint-format"]),
        (replaced(3, ": pte", " : pte"), ["vmprint-format", "vmprint-entry-missing"]),
        (lambda lines: [lines[0], *(l.replace(".. ", "..") for l in lines[1:])],
         ["vmprint-format"]),
        (lambda lines: [lines[0], *(l.replace("..", "||") for l in lines[1:])],
         ["vmprint-format"]),
        # The course's grader takes blanks around the dots for what they are.
        (lambda lines: [lines[0], *(re.sub(r"\.\.(\d)", r".. \1", l) for l in lines[1:])], []),
        (lambda lines: [lines[0], *(l.replace("..", " .. ") for l in lines[1:])], []),
        (replaced(3, ".. .. ..", ".. .. .." + "1" * 5000),
         ["vmprint-format", "vmprint-entry-missing"]),
        (replaced(3, ".. .. ..", ".. .. .. -"), ["vmprint-format", "vmprint-entry-missing"]),
        (
            lambda lines: [lines[0], *lines[6:], *lines[1:6]],
            ["vmprint-order"],
        ),
    ],
)
def test_each_way_of_being_wrong_has_its_rule(
    ram: Ram, change: Callable[[list[str]], list[str]], found: list[str]
) -> None:
    assert rules(ram, change(good(ram))) == found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda lines: lines, []),
        (lambda lines: lines[:1] + [" " + line for line in lines[1:]], []),  # the lab's own
        (without(9), ["vmprint-entry-missing"]),
        (swapped(3, 4), ["vmprint-order"]),
        (replaced(2, ".. ..", ".."), ["vmprint-depth"]),
        (replaced(4, "0x0000000000001000", "0x1000"), ["vmprint-format"]),
        (replaced(4, "0x0000000000001000", "1"),  # the index
         ["vmprint-format", "vmprint-index"]),
        (replaced(9, "0x0000003ffffff000", "-4096"),
         ["vmprint-format", "vmprint-entry-missing"]),
        (replaced(9, "0x0000003ffffff000", "0x0000003fffffe000"), ["vmprint-index"]),
        (replaced(3, "pa 0x000000008", "pa 0x000000009"), ["vmprint-pa"]),
    ],
)
def test_a_table_printed_with_addresses(
    ram: Ram, change: Callable[[list[str]], list[str]], found: list[str]
) -> None:
    assert rules(ram, change(good(ram, BY_ADDRESS)), BY_ADDRESS) == found


def test_evidence_shows_both_sides(ram: Ram) -> None:
    lines = replaced(3, "pa 0x000000008", "pa 0x000000009")(good(ram))
    listing = parse("\n".join(lines))
    assert listing is not None
    (finding,) = compare(listing, ram, ROOT, Where("kernel/vm.c", 7, "vmprint"))
    assert lines[3] in finding.evidence and good(ram)[3] in finding.evidence
    assert finding.where.line == 7


@pytest.mark.parametrize("console", ["", "init: starting sh\n$ ", "..0: pte 0x1 pa 0x0"])
def test_no_table_is_no_listing(console: str) -> None:
    assert parse(console) is None


def test_only_the_first_table_counts(ram: Ram) -> None:
    twice = "\n".join([*good(ram), "something", *good(ram)])
    listing = parse(twice)
    assert listing is not None and len(listing.lines) == 9


@pytest.mark.parametrize(
    ("exec_name", "calls", "call", "printing"),
    [
        ("exec", False, "sys_kpgtbl", "sys_kpgtbl"),
        ("kexec", False, "sys_kpgtbl", "sys_kpgtbl"),
        ("exec", True, "sys_kpgtbl", ""),
        ("kexec", True, "sys_kpgtbl", ""),
        ("exec", False, "helper", ""),  # forgotten, not of a later lab
    ],
)
def test_a_table_that_only_a_system_call_prints(
    compile_guest: Compile, exec_name: str, calls: bool, call: str, printing: str
) -> None:
    body = "vmprint(0);" if calls else ""
    source = f"""
__attribute__((noinline)) void vmprint(void *table) {{ asm volatile("" : : "r"(table)); }}
void {exec_name}(void) {{ {body} asm volatile(""); }}
void {call}(void) {{ vmprint((void *)8); asm volatile(""); }}
void _start(void) {{ for (;;) ; }}
"""
    assert printing_call(ElfImage(compile_guest(source, "c"))) == printing


CALLS = """
void *sys_fork(void) {{ return 0; }}
void *sys_kpgtbl(void) {{ return sys_fork; }}
void *others[] = {{sys_kpgtbl, sys_fork}};
void *{table}[] = {{[1] = sys_fork, {entry}}};
void _start(void) {{ for (;;) ; }}
"""


@pytest.mark.parametrize(
    ("table", "entry", "number"),
    [
        ("syscalls", "[34] = sys_kpgtbl", 34),
        ("calls_by_another_name", "[3] = sys_kpgtbl", 3),
        ("syscalls", "[34] = sys_fork", None),  # it is declared, and not in the table
    ],
)
def test_a_system_calls_number_is_its_place_in_the_table(
    compile_guest: Compile, fake_ram: FakeRam, table: str, entry: str, number: int | None
) -> None:
    elf = ElfImage(compile_guest(CALLS.format(table=table, entry=entry), "c"))
    for section in elf.data():
        fake_ram.write(section.address, section.content)
    assert call_number(elf, fake_ram.ram(), "sys_kpgtbl") == number


HUGE = """
void *sys_fork(void) {{ return 0; }}
void *sys_kpgtbl(void) {{ return sys_fork; }}
void *many[{many}] = {{[1] = sys_fork, [{last}] = sys_kpgtbl}};
void _start(void) {{ for (;;) ; }}
"""


@pytest.mark.parametrize(("many", "number"), [(CALLS_AT_MOST, 9), (CALLS_AT_MOST + 1, None)])
def test_what_is_too_long_for_a_table_of_calls_is_not_read(
    compile_guest: Compile, fake_ram: FakeRam, many: int, number: int | None
) -> None:
    elf = ElfImage(compile_guest(HUGE.format(many=many, last=9), "c"))
    for section in elf.data():
        fake_ram.write(section.address, section.content)
    assert call_number(elf, fake_ram.ram(), "sys_kpgtbl") == number


def test_tables_that_lead_to_themselves_are_not_walked_to_the_end(fake_ram: FakeRam) -> None:
    for index in range(14):  # 14 + 14 * 14 + 14 * 14 * 14 entries, of one page
        fake_ram.put(ROOT + 8 * index, ROOT >> 12 << 10 | 1)
    with pytest.raises(Unchecked, match=f"has more than {ENTRIES_AT_MOST} entries"):
        rules(fake_ram.ram(), [f"page table 0x{ROOT:016x}"])


def test_of_endless_lines_some_are_enough(ram: Ram) -> None:
    line = BY_INDEX.expected(Entry((0,), 0xFFFF01, ROOT))
    listing = parse("\n".join([*good(ram), *[line] * 3 * ENTRIES_AT_MOST]))
    assert listing is not None
    (found,) = compare(listing, ram, ROOT, Where())
    assert found.rule == "vmprint-entry-extra"
    assert found.message.startswith(f"{ENTRIES_AT_MOST + 1 - 9} entries are printed")


def test_what_is_printed_of_nobody_known_is_not_called_missing(ram: Ram) -> None:
    nothing = SimpleNamespace(callees=lambda name: set(), function_place=lambda name: None)
    bench = cast(Bench, SimpleNamespace(elf=nothing))
    console = "\n".join(good(ram))
    with pytest.raises(Unchecked, match="the process whose it is was not found"):
        list(judged(bench, ram, console, 0, BY_INDEX))
    assert not list(judged(bench, ram, console, ROOT, BY_INDEX))
    (found,) = judged(bench, ram, "no such thing\n$ ", 0, BY_INDEX)
    assert found.rule == "vmprint-missing"


def test_what_is_printed_at_boot_is_exec_s_though_a_system_call_prints_too(
    ram: Ram, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = SimpleNamespace(
        wait_prompt=lambda: "\n".join(good(ram)), stop=lambda: None, ram=ram
    )
    calls = {"exec": {"print_first"}, "sys_print": {"vmprint"}}
    elf = SimpleNamespace(
        address=lambda name: 8, callees=lambda name: calls.get(name, set()), symbols=calls,
        function_place=lambda name: None,
    )  # fmt: skip
    build = SimpleNamespace(probe_missing="there is no probe")
    bench = SimpleNamespace(elf=elf, build=build, machine=lambda: nullcontext(machine))
    first = SimpleNamespace(pid=1, pagetable=ROOT)
    monkeypatch.setattr("faultline.checks.vmprint.processes", lambda ram, elf: [first])
    assert not list(all_checks()["vmprint"].run(cast(Bench, bench)))
    machine.wait_prompt = lambda: "nothing\n"
    with pytest.raises(Unchecked, match="there is no probe"):
        list(all_checks()["vmprint"].run(cast(Bench, bench)))
