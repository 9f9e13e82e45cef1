"""Somebody's usertests: the tests in its ELF, divided, and what is made of its output."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import Compile
from fakes import FakeBench, FakeMachine

from faultline.bench import Bench
from faultline.checks.usertests import DIED, FAILED, INCOMPLETE
from faultline.elf import ElfImage
from faultline.finding import Finding, Table
from faultline.machine import Machine as Real
from faultline.machine import StillBusy
from faultline.testtable import ASKS, TestTable, find_tables, with_only, with_shim_asked
from faultline.treetests import (
    COSTS, DEATHS, EFFORT, PART_EFFORT, PATIENCE, TreeTests, _Run, divide, result_of_test,
)  # fmt: skip

NAMES = ["copyin", "bigdir", "iref", "mem"]
LOCAL = """\
struct test { void (*f)(char *); char *s; };
void copyin(char *s) { (void)s; } void bigdir(char *s) { (void)s; }
void iref(char *s) { (void)s; } void mem(char *s) { (void)s; }
static int same(char *a, char *b) { while (*a && *a == *b) a++, b++; return *a == *b; }
void _start(char *only)
{
  struct test tests[] = {
    {copyin, "copyin"}, {bigdir, "bigdir"}, {iref, "iref"}, {mem, "mem"}, {0, 0}};
  for (struct test *t = tests; t->s != 0; t++)
    if (!only || same(t->s, only))
      t->f(t->s);
  for (;;) ;
}
void *memcpy(void *to, const void *from, unsigned long n)
{
  for (unsigned long i = 0; i < n; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
"""
# Two tables, the name first, with functions that are not called like their tests.
GLOBAL = """\
static void one(void) {} static void two(void) {} static void three(void) {}
struct check { const char *what; void (*run)(void); };
struct check quick[] = {{"copyin", one}, {"bigdir", two}, {"iref", three}, {0, 0}};
struct check slow[] = {{"mem", one}, {"mem", two}, {"mem", three}, {0, 0}};
void _start(void) { for (struct check *c = quick; c->run; c++) c->run(); for (;;) slow[0].run(); }
"""


@pytest.mark.parametrize("source", [LOCAL, GLOBAL])
def test_the_tests_are_found_in_the_elf(compile_guest: Compile, source: str) -> None:
    tables = find_tables(ElfImage(compile_guest(source, "c")))
    names = [name for table in tables for name in table.names]
    assert list(dict.fromkeys(names)) == NAMES


def test_a_program_without_a_table_has_no_tests(compile_guest: Compile) -> None:
    plain = "char *words[] = {\"a\", \"b\", \"c\"}; void _start(void) { for (;;) words[0]++; }"
    assert find_tables(ElfImage(compile_guest(plain, "c"))) == []


def test_a_copy_has_only_the_chosen_tests(compile_guest: Compile, tmp_path: Path) -> None:
    path = compile_guest(GLOBAL, "c")
    tables = find_tables(ElfImage(path))
    changed = with_only(path.read_bytes(), tables, ["iref", "copyin"])
    assert len(changed) == path.stat().st_size
    quick, slow = tables
    pairs = dict(quick.pairs)
    expected = pairs["copyin"] + pairs["iref"] + bytes(16)
    assert changed[quick.offset : quick.offset + 48] == expected
    assert changed[slow.offset : slow.offset + 48] == slow.pairs[0][1] + bytes(32)
    outside = changed[: slow.offset] + changed[slow.offset + 48 :]
    assert outside[: quick.offset] == path.read_bytes()[: quick.offset]


COUNTING = """\
int countfree(void)
{
  volatile int n = 0;
  for (int i = 0; i < 9; i++) { n += i; n -= 3; n *= 2; n ^= i; n += 1; }
  return n;
}
void _start(void) { for (;;) countfree(); }
"""


def test_free_pages_are_counted_by_the_shim(compile_guest: Compile) -> None:
    path = compile_guest(COUNTING, "c")
    before, program = path.read_bytes(), ElfImage(path)
    after = with_shim_asked(before, program)
    address, size = program.symbols["countfree"]
    (text,) = (part for part in program.data() if part.address <= address < part.address
               + len(part.content))  # fmt: skip
    at = text.offset + address - text.address
    assert size >= len(ASKS)
    assert after[at : at + len(ASKS)] == ASKS
    assert after[:at] + after[at + len(ASKS) :] == before[:at] + before[at + len(ASKS) :]


@pytest.mark.parametrize(
    "source",
    [
        "void _start(void) { for (;;) ; }",
        "int countfree(void) { return 1; } void _start(void) { for (;;) countfree(); }",
    ],
)
def test_a_program_that_cannot_ask_stays_as_it_is(compile_guest: Compile, source: str) -> None:
    path = compile_guest(source, "c")
    assert with_shim_asked(path.read_bytes(), ElfImage(path)) == path.read_bytes()


def test_every_test_is_in_one_part_and_the_longest_are_apart() -> None:
    names = [*COSTS, *(f"t{number}" for number in range(40))]
    parts = divide(names, 4)
    assert sorted(name for part in parts for name in part) == sorted(names)
    longest = sorted(COSTS, key=lambda name: -COSTS[name])[:4]
    assert len({next(i for i, part in enumerate(parts) if name in part) for name in longest}) == 4


def judged(said: str, chosen: list[str], begun: list[str]) -> list[Finding]:
    bench = FakeBench(FakeMachine(lambda command: ""))
    tests = TreeTests.__new__(TreeTests)
    tests.bench, tests.places = bench.real, None
    tests.failed, tests.died, tests.incomplete = FAILED, DIED, INCOMPLETE
    run = _Run(tests, chosen)
    run.begun = begun
    return list(run._judged(said, over=True))


@pytest.mark.parametrize(
    ("said", "rules", "words"),
    [
        ("test a: OK\ntest b: OK\nALL TESTS PASSED\n$ ", [], ""),
        # What is printed in a test's line, and a kernel's message in it.
        ("test a: usertrap(): x pid=3\n  sepc=0\nOK\ntest b: OK\nALL TESTS PASSED\n", [], ""),
        ("test a: a: wrong\nFAILED\ntest b: OK\nSOME TESTS FAILED\n", ["usertest-failed"],
         "a: wrong"),
        ("test a: \na: no 3\nFAILED\ntest b: OK\nSOME TESTS FAILED\n", ["usertest-failed"],
         "no 3"),
        ("test a: OK\ntest b: FAILED\nSOME TESTS FAILED\n", ["usertest-failed"], "test b"),
        ("test a: OK\ntest b: FAILED\nSOME TESTS FAILED\n$ ", ["usertest-failed"], "test b"),
        ("test a: OK\ntest b: OK\nFAILED -- lost some free pages 3 (out of 9)\n",
         ["usertests-lost-pages"], "3 (out of 9)"),
        ("test a: OK\ntest b: OK\n", ["usertests-incomplete"], "after test b"),
    ],
)  # fmt: skip
def test_recorded_output(said: str, rules: list[str], words: str) -> None:
    findings = judged(f"usertests starting\n{said}", ["a", "b"], ["a", "b"])
    assert [finding.rule for finding in findings] == rules
    assert words in (findings[0].message if findings else "")


def test_a_test_that_was_not_run_is_no_pass() -> None:
    (finding,) = judged("test a: OK\nALL TESTS PASSED\n", ["a", "b"], ["a"])
    assert (finding.rule, "b" in finding.message) == ("usertests-incomplete", True)
    assert finding.message.endswith("b.")


@pytest.mark.parametrize(
    ("said", "results"),
    [
        ("test a: OK\ntest b: FAILED\n", ["OK", "FAILED"]),
        ("test a: usertrap(): x\nOK\ntest b: b: wrong\nFAILED\n", ["OK", "FAILED"]),
        ("test a: \ntest b: usertrap()\nOK\n", ["", "OK"]),  # not the next one's
        ("test ab: OK\ntest b: SKIPPED\n", ["", "SKIPPED"]),
        ("test a: kill... wait... OK\ntest b: kill... FAILED\n", ["OK", "FAILED"]),
        ("test a: it is OK\ntest b: BOOK\n", ["", ""]),
    ],
)
def test_a_test_s_own_result(said: str, results: list[str]) -> None:
    assert [result_of_test(said, name) for name in ("a", "b")] == results


class Machine:
    """A machine on which tests end one after the other, or (None) do not end."""

    def __init__(self, lines: list[str | None], took: float) -> None:
        self.lines, self.took, self.clock, self.console = lines, took, 0.0, ""
        self.efforts: list[float] = []

    def wait_prompt(self) -> None:
        pass

    def send(self, command: str) -> None:
        pass

    def said(self) -> str:
        return self.console

    def stop(self) -> tuple[()]:
        return ()

    def processor_seconds(self) -> float:
        return self.clock

    def expect(
        self, pattern: str, what: str, silence: float, effort: float
    ) -> re.Match[str]:
        self.efforts.append(effort)
        line = self.lines.pop(0)
        if line is None:
            raise StillBusy(cast(Real, self), what, effort)
        self.console += line
        self.clock += self.took
        match = list(re.finditer(pattern, self.console))[-1]
        return match


def run_of(names: list[str], *boots: Machine) -> tuple[list[Finding], dict[object, object]]:
    """What a part with these tests comes to, on these machines one after the other."""
    machines = iter(boots)

    @contextmanager
    def machine(disk: bytes) -> Iterator[Machine]:
        yield next(machines)

    tests = TreeTests.__new__(TreeTests)
    tests.bench = cast(Bench, SimpleNamespace(machine=machine, say=lambda words: None, elf=None))
    tests.places, tests.deaths, tests.spent, tests.results = None, 0, 0.0, {}
    tests.failed, tests.died, tests.incomplete = FAILED, DIED, INCOMPLETE
    tests.tables = cast(list[TestTable], [SimpleNamespace(names=names)])
    setattr(tests, "disk", lambda chosen: b"")
    tests.own = tests.content = b""
    *findings, table = list(tests.run(1, 1))
    assert isinstance(table, Table)
    return [one for one in findings if isinstance(one, Finding)], {
        row[0]: row[1] for row in table.rows
    }


def test_a_table_tells_what_became_of_each_test() -> None:
    said = ["usertests starting\ntest a: ", "OK\ntest b: ", "FAILED\nSOME TESTS FAILED\n$ "]
    found, table = run_of(["a", "b"], Machine([*said], 0.1))
    assert table == {"a": "OK", "b": "FAILED"}
    assert [one.rule for one in found] == ["usertest-failed"]


def test_what_is_left_after_many_deaths_costs_no_points_of_its_own() -> None:
    names = [f"t{number}" for number in range(DEATHS + 2)]
    boots = [
        Machine([f"usertests starting\ntest {name}: ", None], 0.1)
        for name in names
    ]
    found, table = run_of(names, *boots)
    stopped = math.ceil(PART_EFFORT / EFFORT)  # then all effort is spent
    assert [(one.rule, one.severity) for one in found] == [
        ("usertests-unfinished", "warning")
    ] * stopped + [("usertests-not-run", "note")]
    assert list(table.values()) == ["stopped"] * stopped + ["not run"] * (len(names) - stopped)


def test_a_kernel_too_slow_for_the_rest_is_told_so() -> None:
    lines = ["usertests starting\ntest a: ", "OK\ntest b: ", "OK\ntest c: "]
    found, table = run_of(["a", "b", "c"], Machine([*lines], PART_EFFORT * 0.6))
    assert [(one.rule, one.severity) for one in found] == [("usertests-unfinished", "warning")]
    assert table == {"a": "OK", "b": "not run", "c": "not run"}


def test_a_test_that_is_known_to_take_long_may_take_longer() -> None:
    machine = Machine(
        ["usertests starting\ntest outofinodes: ", "OK\ntest mem: ", "OK\nALL TESTS PASSED\n$ "], 1.0
    )
    found, _ = run_of(["outofinodes", "mem"], machine)
    assert found == [] and machine.efforts == [EFFORT, PATIENCE * COSTS["outofinodes"], EFFORT]
