"""Somebody's usertests: the tests in its ELF, divided, and what is made of its output."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Compile
from fakes import FakeBench, FakeMachine

from faultline.checks.usertests import DIED, FAILED, INCOMPLETE
from faultline.elf import ElfImage
from faultline.finding import Finding
from faultline.testtable import find_tables, with_only
from faultline.treetests import COSTS, TreeTests, _Run, divide

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
