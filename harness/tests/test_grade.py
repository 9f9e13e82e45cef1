"""Grading a tree: built in the sandbox, booted, and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from conftest import ROOT
from test_tree import TREE

from faultline import grade
from faultline.bench import Bench
from faultline.board import Board
from faultline.build import Build
from faultline.cases import Job
from faultline.errors import UsageError
from faultline.export import DATA, files, write
from faultline.exportstyle import load_styles
from faultline.finding import Finding
from faultline.grade import Plan, run_trees
from faultline.ledger import Ledger
from faultline.qemu import Config
from faultline.treebuild import Tools, make_tools
from faultline.treesource import Source
from faultline.trust import inconsistencies
from faultline.verdict import CheckResult, TargetResult

# A kernel that does no more than boot: it gives a prompt, and repeats what `echo` is given.
MAIN_C = """\
#include <stdint.h>
void *kalloc(void); void kfree(void *); uint64_t sys_uptime(void);
static volatile uint8_t *const uart = (void *)0x10000000;
static void put(char c) { uart[0] = (uint8_t)c; }
static void say(const char *s) { while (*s) put(*s++); }
static char get(void) { while (!(uart[5] & 1)) ; return (char)uart[0]; }
void *myproc(void) { return 0; }
int argaddr(int n, uint64_t *out) { *out = 0; return n; }
void main(void)
{
  kfree(kalloc());
  sys_uptime();
  say("\\nbooting\\n");
  for (;;) {
    char line[100];
    int n = 0;
    say("$ ");
    while (n < 99 && (line[n] = get()) != '\\n')
      put(line[n++]);
    put('\\n');
    line[n] = 0;
    if (line[0] == 'e' && n > 5) {
      say(line + 5);
      put('\\n');
    }
  }
}
"""


def write_tree(folder: Path, **change: str) -> Path:
    for name, content in {**TREE, "kernel/main.c": MAIN_C, **change}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def graded(tmp_path: Path, *trees: Path, only: str = "") -> list[TargetResult]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plan = Plan(ROOT, scratch, only)
    events = run_trees([Source(tree) for tree in trees], plan, 2)
    return [event for event in events if isinstance(event, TargetResult)]


def before_and_after(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.live
def test_a_tree_is_built_and_booted_and_what_it_lacks_is_not_done_yet(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "given/tree")
    before = before_and_after(tree)
    (result,) = graded(tmp_path, tree.parent)
    statuses = {check.check: check.status for check in result.checks}
    assert statuses["build"] == statuses["boot"] == "pass"
    assert statuses["leaks"] == statuses["audit"] == statuses["vmprint"] == "skip"
    reasons = {check.check: check.reason for check in result.checks}
    assert "the probe cannot be put into the file system image" in reasons["leaks"]
    assert "not done yet" in reasons["vmprint"]
    assert (result.kind, result.problem) == ("tree", "")
    assert before_and_after(tree) == before


@pytest.mark.live
def test_one_broken_tree_does_not_stop_the_others(tmp_path: Path) -> None:
    trees = [
        write_tree(tmp_path / "broken", **{"kernel/vm.c": "int x = ;\n"}),
        write_tree(tmp_path / "good"),
        tmp_path / "none",
    ]
    (tmp_path / "none").mkdir()
    results = {result.id: result for result in graded(tmp_path, *trees, only="boot")}
    assert {name: one.verdict for name, one in results.items()} == {
        "broken": "fail", "good": "pass", "none": "error",
    }  # fmt: skip
    (finding,) = results["broken"].findings
    assert (finding.check, finding.rule) == ("build", "does-not-build")
    assert "no xv6 tree" in results["none"].problem
    skipped = [check for check in results["broken"].checks if check.status == "skip"]
    assert skipped and all("does not build" in check.reason for check in skipped)


@pytest.mark.parametrize(
    ("status", "message", "lacks"),
    [
        ("fail", "The kernel panicked: could not find virtio disk", True),
        ("fail", "The kernel panicked: kerneltrap", False),
        ("pass", "a note on virtio", False),
    ],
)
def test_a_kernel_without_its_disk_is_tried_with_the_other_virtio(
    status: str, message: str, lacks: bool
) -> None:
    found = Finding("kernel-panic", "error", message)
    assert grade.lacks_disk([CheckResult("boot", status, 0.0, "", (found,))]) == lacks
    build = Build(Path("kernel"), Path("disk"), Path("user"), board=Board(legacy_virtio=True))
    other = grade.with_other_virtio(build)
    assert not other.board.legacy_virtio and "than 2" in other.notes[-1]
    assert grade.with_other_virtio(other).board.legacy_virtio


@pytest.mark.parametrize(
    ("asked", "status", "message", "tried"),
    [
        (3, "fail", "The kernel hangs", [(1, True)]),
        (3, "fail", "could not find virtio disk", [(0, False), (1, True)]),
        (1, "fail", "The kernel hangs", []),
        (3, "pass", "", []),
    ],
)
def test_a_kernel_that_does_not_boot_is_tried_on_what_its_makefile_asks_for(
    asked: int, status: str, message: str, tried: list[tuple[bool, bool]]
) -> None:
    board = Board(legacy_virtio=True, asked=asked)
    build = Build(Path("kernel"), Path("disk"), Path("user"), board=board)
    found = (Finding("kernel-hang", "error", message),) if message else ()
    results = [CheckResult("boot", status, 0.0, "", found)]
    others = [one.board for one in grade.other_boards(build, results)]
    assert [(one.legacy_virtio, one.least == asked) for one in others] == tried


@pytest.mark.parametrize(("least", "harts"), [(1, 1), (3, 3)])
def test_no_machine_has_fewer_harts_than_its_kernel_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, least: int, harts: int
) -> None:
    (tmp_path / "disk").write_bytes(b"")
    build = Build(tmp_path / "kernel", tmp_path / "disk", tmp_path, board=Board(least=least))
    asked: list[Config] = []

    class Stops(Exception):
        """Nothing is booted here."""

    def machine(config: Config, scratch: Path) -> None:
        asked.append(config)
        raise Stops

    monkeypatch.setattr("faultline.bench.Machine", machine)
    with pytest.raises(Stops), Bench(build, tmp_path).machine():
        pass
    assert [config.harts for config in asked] == [harts]


BOTH = "if (version != 1 && version != 2)"  # what the driver can do with


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.live
def test_a_makefile_that_asks_for_the_wrong_virtio_stops_no_check(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(files(ROOT, None, load_styles(ROOT / DATA / "styles")["2022"]), tree)
    replace(tree / "Makefile", "-global virtio-mmio.force-legacy=false", "")
    (driver,) = (path for path in tree.glob("kernel/*.c") if BOTH in path.read_text())
    replace(driver, BOTH, "if (version != 2)")
    (result,) = graded(tmp_path, tree, only="vmprint")
    statuses = {check.check: check.status for check in result.checks}
    assert statuses == {"build": "pass", "vmprint": "pass"}
    assert "another version of virtio-mmio than 2" in result.checks[0].reason


@pytest.mark.live
def test_as_few_processes_as_the_file_system_lab_has_are_enough(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(files(ROOT, None, load_styles(ROOT / DATA / "styles")["2022"]), tree)
    replace(tree / "kernel/param.h", "NPROC       64", "NPROC       10")
    (result,) = graded(tmp_path, tree, only="leaks")
    statuses = [(one.check, one.status) for one in result.checks]
    assert statuses == [("build", "pass"), ("leaks", "pass")], result.findings


def test_the_only_tree_that_is_none_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no xv6 tree"):
        graded(tmp_path, tmp_path / "none")


def test_nothing_is_left_of_the_job(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    made = grade.prepare(
        Source(write_tree(tmp_path / "tree")), tmp_path, make_tools(tools), b""
    )
    assert made.kernel.is_file()
    assert not list(tmp_path.glob("built-*/job"))


@pytest.mark.parametrize(
    ("statuses", "end"), [(["error", "pass"], "pass"), (["error", "error"], "error")]
)
def test_what_this_host_could_not_do_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, statuses: list[str], end: str
) -> None:
    results = iter(CheckResult("leaks", status, 0.0, "QEMU went away") for status in statuses)
    monkeypatch.setattr(grade, "run_check", lambda check, bench: next(results))
    job = Job(Source(tmp_path), "leaks", "", cast(Build, object()))
    said: list[str] = []
    outcome = grade._run_job(job, Plan(ROOT, tmp_path), cast(Tools, None), b"", said.append)
    assert [result.status for result in outcome.results] == [end]
    assert any("once more, for QEMU went away" in words for words in said)
    assert list(results) == []


@pytest.mark.parametrize(
    ("ends", "end"), [(["error", "pass"], "pass"), (["error", "error"], "error")]
)
def test_what_this_host_could_not_do_in_the_first_job_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: list[str], end: str
) -> None:
    build = Build(Path("kernel"), Path("disk"), Path("user"))
    monkeypatch.setattr(grade, "prepare", lambda *_: build)
    left = iter(ends)

    def boots(check: object, bench: Bench, enough: object) -> CheckResult:
        return CheckResult("boot", next(left), 0.0, "QEMU went away")

    monkeypatch.setattr("faultline.runner.run_check", boots)
    said: list[str] = []
    job, plan = Job(Source(tmp_path)), Plan(ROOT, tmp_path)
    outcome = grade._run_job(job, plan, cast(Tools, None), b"", said.append)
    statuses = {result.check: result.status for result in outcome.results}
    assert statuses == {"build": "pass", "boot": end}
    assert "boot once more, for QEMU went away" in said
    assert list(left) == []


@contextmanager
def booted(tmp_path: Path, main: str, kalloc: str) -> Iterator[Ledger]:
    """Build a tree of these two files and boot it; yield its ledger."""
    tree = write_tree(tmp_path / "tree", **{"kernel/main.c": main, "kernel/kalloc.c": kalloc})
    (tmp_path / "tools").mkdir()
    tools = make_tools(tmp_path / "tools")
    build = grade.prepare(Source(tree), tmp_path, tools, b"a probe")
    with Bench(build, tmp_path).machine() as machine:
        machine.wait_prompt()
        yield Ledger(machine.ram, build.elf)


COUNTED_C = """\
static char page[4096] __attribute__((aligned(4096)));
static int uses, shared;
static void fill(char c) { for (int i = 0; i < 4096; i++) page[i] = c; }
__attribute__((weak)) void syscall(void) {} // for the shim
void *kalloc(void) { uses = 1 + shared; shared = 1; fill(5); return page; }
void kfree(void *pa)
{
  if (--uses > 0) return;
  fill(1);
  *(void **)pa = 0;
}
"""


@pytest.mark.live
@pytest.mark.parametrize(("frees", "live", "twice"), [(1, 1, 0), (2, 0, 0), (3, 0, 1)])
def test_a_page_that_others_still_use_is_not_free(
    tmp_path: Path, frees: int, live: int, twice: int
) -> None:
    alone = "void *page = kalloc(); kfree(page); page = kalloc();"
    start = alone + "kfree(page);" * frees
    main = MAIN_C.replace("kfree(kalloc());", start)
    with booted(tmp_path, main, COUNTED_C) as ledger:
        assert int(ledger.ctl["live"]) == live
        assert ledger.event("double_free").count == twice


BITMAP_C = """\
static char pages[2][4096] __attribute__((aligned(4096)));
static char used[2];
__attribute__((weak)) void syscall(void) {} // for the shim
void *kalloc(void) { int i = used[0]; used[i] = 1; return pages[i]; }
void kfree(void *pa) { used[pa != pages[0]] = 0; }
"""


@pytest.mark.live
@pytest.mark.parametrize(
    ("start", "live", "wild"),
    [
        ("void *page = kalloc(); kalloc(); kfree(page);", 1, 0),
        ("kalloc(); kfree((void *)0x8f000000);", 1, 1),
    ],
    ids=["one-of-two", "no-memory"],
)
def test_an_allocator_that_writes_nothing_to_free_pages(
    tmp_path: Path, start: str, live: int, wild: int
) -> None:
    main = MAIN_C.replace("kfree(kalloc());", start)
    with booted(tmp_path, main, BITMAP_C) as ledger:
        assert int(ledger.ctl["live"]) == live
        assert ledger.event("wild_free").count == wild


COPIED_C = """\
static char pages[2][4096] __attribute__((aligned(4096)));
static int uses[2];
static void *list;
__attribute__((weak)) void syscall(void) {} // for the shim
void kfree(void *pa);
static int *uses_of(void *pa) { return &uses[pa == pages[1]]; }
static void fill(char *page, char c) { for (int i = 0; i < 4096; i++) page[i] = c; }
void kinit(void) { kfree(pages[0]); kfree(pages[1]); }
void share(void *pa) { ++*uses_of(pa); }
void *kalloc(void)
{
  void *pa = list;
  if (!pa) return 0;
  list = *(void **)pa;
  fill(pa, 5);
  *uses_of(pa) = 1;
  return pa;
}
void kfree(void *pa)
{
  if ((pa != pages[0] && pa != pages[1]) || --*uses_of(pa) > 0) return;
  fill(pa, 1);
  *(void **)pa = list;
  list = pa;
}
void *copied(void *pa)
{
  void *copy = kalloc();
  kfree(pa);
  return copy;
}
"""


@pytest.mark.live
@pytest.mark.parametrize(
    ("start", "live", "wrong"),
    [
        ("share(page); copied(page);", 2, (0, 0)),
        ("share(page); kfree(copied(page));", 1, (0, 0)),
        ("share(page); kfree(copied(page)); kfree(page);", 0, (0, 0)),
        ("copied(page); kfree(page);", 1, (1, 0)),
        ("kfree((void *)0x8f000000);", 1, (0, 1)),
    ],
    ids=["copied", "copy-freed", "both-freed", "freed-twice", "no-memory"],
)
def test_what_copies_pages_may_stand_beside_kalloc(
    tmp_path: Path, start: str, live: int, wrong: tuple[int, int]
) -> None:
    start = f"kinit(); void *page = kalloc(); {start}"
    main = "void kinit(void); void share(void *); void *copied(void *);\n" + MAIN_C
    main = main.replace("kfree(kalloc());", start)
    with booted(tmp_path, main, COPIED_C) as ledger:
        assert int(ledger.ctl["live"]) == live
        assert (ledger.event("double_free").count, ledger.event("wild_free").count) == wrong


@pytest.mark.live
def test_a_page_that_is_given_out_twice_is_counted_once(tmp_path: Path) -> None:
    main = MAIN_C.replace("kfree(kalloc());", "kalloc(); kalloc();")
    same = BITMAP_C.replace("int i = used[0]", "int i = 0")
    with booted(tmp_path, main, same) as ledger:
        assert list(inconsistencies(ledger)) == []
