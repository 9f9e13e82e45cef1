"""A tree's own usertests on a real kernel: divided, and its free pages counted by the shim."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline import catalogue
from faultline.bench import Bench
from faultline.build import build_probe
from faultline.checks.usertests import DIED, FAILED, INCOMPLETE
from faultline.export import DATA, files, write
from faultline.exportstyle import load_styles
from faultline.finding import Finding, Table
from faultline.grade import prepare
from faultline.treebuild import make_tools
from faultline.treesource import Source
from faultline.treetests import TreeTests

ROOT = Path(__file__).resolve().parents[2]
FAULTS = {one.id: one for one in catalogue.load(ROOT / "faults/catalogue", ROOT / "kernel")}
# Each test is a process of its own. By itself the program never misses a page.
PROGRAM = """\
#include "user/user.h"
static void one(char *s) { (void)s; }
static void two(char *s) { (void)s; fork(); }
static void three(char *s) { (void)s; sbrk(9000); }
struct test { void (*f)(char *); char *s; } tests[] = {
  {one, "one"}, {two, "two"}, {three, "three"}, {0, 0},
};
__attribute__((noinline)) int countfree(void)
{
  volatile int n = 1;
  for (int i = 0; i < 9; i++) { n += i; n -= 3; n *= 2; n ^= i; }
  return n;
}
int main(void)
{
  printf("usertests starting\\n");
  int before = countfree();
  for (struct test *t = tests; t->s; t++) {
    printf("test %s: ", t->s);
    if (fork() == 0) { t->f(t->s); exit(0); }
    wait(0);
    printf("OK\\n");
  }
  int after = countfree();
  if (after < before) printf("FAILED -- lost some free pages %d (out of %d)\\n", after, before);
  else printf("ALL TESTS PASSED\\n");
  return 0;
}
"""


@pytest.mark.live
@pytest.mark.parametrize(
    ("fault", "rules"), [("", []), ("kstack-not-freed", ["usertests-lost-pages"])]
)
def test_pages_that_tests_lose(tmp_path: Path, fault: str, rules: list[str]) -> None:
    tree, tools = tmp_path / "tree", tmp_path / "tools"
    tools.mkdir()
    style = load_styles(ROOT / DATA / "styles")["2020"]
    write(files(ROOT, FAULTS[fault] if fault else None, style), tree)
    for part in (tree / "user").glob("tests_*"):
        part.write_text("")
    (tree / "user/usertests.c").write_text(PROGRAM)
    build = prepare(Source(tree), tmp_path, make_tools(tools), build_probe(ROOT).read_bytes())
    tests = TreeTests(Bench(build, tmp_path), FAILED, DIED, INCOMPLETE)
    *found, table = list(tests.run(1, 1))
    assert [one.rule for one in found if isinstance(one, Finding)] == rules
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [("one", "OK"), ("two", "OK"), ("three", "OK")]
