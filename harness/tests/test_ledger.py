"""The ledger, written by the C declarations and read through debug information."""

from __future__ import annotations

import re

import pytest
from conftest import Compile, FakeRam
from fakes import PAGE_TAKEN, SOURCE, FakeKernel

from faultline.checks.leaks import Answer, lost_findings
from faultline.checks.usertests import failures, parse
from faultline.elf import ElfImage
from faultline.errors import HarnessError
from faultline.hart import Hart
from faultline.ledger import Ledger, by_stack, event_findings
from faultline.ram import PAGE, RAM_BASE

@pytest.fixture
def kernel(compile_guest: Compile, fake_ram: FakeRam) -> FakeKernel:
    return FakeKernel(ElfImage(compile_guest(SOURCE, "c")), fake_ram)


def test_lost_pages_lie_between_mark_and_end(kernel: FakeKernel) -> None:
    kernel.set("faultline_ctl", 10, "mark")
    kernel.set("faultline_ctl", 20, "end")
    for n, (seq, live) in enumerate([(10, 1), (11, 1), (15, 0), (20, 1), (21, 1)]):
        kernel.page(PAGE_TAKEN + n * PAGE, seq, live)
    assert [page.seq for page in kernel.ledger().lost()] == [11, 20]


def test_leaked_pages_are_grouped_by_who_allocated_them(kernel: FakeKernel) -> None:
    kernel.set("faultline_ctl", 100, "end")
    for n in range(6):
        kernel.page(PAGE_TAKEN + n * PAGE, n + 1, 1, "_start" if n == 5 else "grow")
    ledger = kernel.ledger()
    assert [len(pages) for pages in by_stack(ledger.lost()).values()] == [5, 1]
    most, least = lost_findings(ledger, "fork", Answer(5, 0, 6, ""))
    assert (most.rule, most.where.function) == ("page-leaked", "grow")
    assert "5 pages were lost in 5 rounds of `fork` (1 a round)" in most.message
    assert "nothing in any page table refers to it" in most.evidence
    assert least.where.function == "_start" and "0.2 a round" in least.message


def test_a_leaked_page_that_a_process_still_maps(kernel: FakeKernel) -> None:
    kernel.set("faultline_ctl", 100, "end")
    kernel.page(PAGE_TAKEN, 1, 1)
    tables = [RAM_BASE + (1000 + n) * PAGE for n in range(3)]
    for table, points_to, flags in zip(tables, [*tables[1:], PAGE_TAKEN], [1, 1, 0x17]):
        kernel.fake.put(table + 8, points_to >> 12 << 10 | flags)
    kernel.set("proc", 1, 2, "state")
    kernel.set("proc", 42, 2, "pid")
    kernel.set("proc", ord("x"), 2, "name", 0)
    kernel.set("proc", tables[0], 2, "pagetable")
    (finding,) = lost_findings(kernel.ledger(), "fork", Answer(1, 0, 1, ""))
    assert "mapped at 0x40201000 in the user page table of process 42 (x)" in finding.evidence


@pytest.mark.parametrize(
    ("event", "rule", "function", "words"),
    [
        ("double_free", "double-free", "grow", "0x80384000 was freed twice"),
        ("wild_free", "wild-free", "grow", "kfree() was called with 0x80384000"),
        ("refused", "kalloc-refused", "kalloc", "although 900 of 1000 pages were free"),
    ],
)
def test_events(kernel: FakeKernel, event: str, rule: str, function: str, words: str) -> None:
    kernel.event(event, 2, PAGE_TAKEN, live=100)
    (finding,) = event_findings(kernel.ledger(), ())
    assert (finding.rule, finding.where.function) == (rule, function)
    assert words in finding.message
    assert "2 times" in finding.evidence


def test_both_frees_of_a_page_freed_twice_are_shown(kernel: FakeKernel) -> None:
    kernel.page(PAGE_TAKEN, 5, 0, "_start")
    kernel.event("double_free", 1, PAGE_TAKEN)
    (finding,) = event_findings(kernel.ledger(), ())
    first, second, allocated = re.split("\nand again by\n|\nIt had been", finding.evidence)
    assert "Freed the first time by" in first and "_start()" in first
    assert "grow()" in second and "_start()" not in second
    assert allocated.startswith(" allocated by") and "_start()" in allocated


@pytest.mark.parametrize(
    ("pa", "words"),
    [
        (0, "a null pointer"),
        (0x0200_0000, "a device, or nothing"),
        (PAGE_TAKEN + 8, "inside a page"),
        (PAGE_TAKEN, "never handed out"),
    ],
)
def test_a_free_of_what_is_no_page_says_what_it_is(
    kernel: FakeKernel, pa: int, words: str
) -> None:
    kernel.event("wild_free", 1, pa)
    (finding,) = event_findings(kernel.ledger(), ())
    assert words in finding.message
    assert "Freed by" in finding.evidence and "grow()" in finding.evidence
    assert "no kfree() of that page came before" in finding.evidence


def test_a_free_inside_a_page_shows_who_had_the_page(kernel: FakeKernel) -> None:
    kernel.page(PAGE_TAKEN, 5, 0, "_start")
    kernel.event("wild_free", 1, PAGE_TAKEN + 8)
    (finding,) = event_findings(kernel.ledger(), ())
    assert finding.evidence.count("_start()") == 2  # allocated, and freed


def test_what_is_lost_is_read_anew_each_time(kernel: FakeKernel) -> None:
    kernel.set("faultline_ctl", 10, "end")
    kernel.page(PAGE_TAKEN, 5, 1)
    ledger = kernel.ledger()
    assert [page.seq for page in ledger.lost()] == [5]
    kernel.set("faultline_ctl", 10, "mark")
    kernel.set("faultline_ctl", 20, "end")
    kernel.page(PAGE_TAKEN + PAGE, 15, 1)
    kernel.fake.ram()  # the guest runs on, in the memory that is looked at
    (page,) = ledger.lost()
    assert (page.pa, page.seq, page.live) == (PAGE_TAKEN + PAGE, 15, True)
    assert page.alloc[:2] == (kernel.call("kalloc"), kernel.call("grow"))


@pytest.mark.parametrize("live", [0, 1, 2, 1 << 8, 1 << 40, 1 << 63])
@pytest.mark.parametrize("seq", [0, 1, 1 << 8, 1 << 33, 1 << 63])
def test_which_pages_are_live_and_which_freed(kernel: FakeKernel, seq: int, live: int) -> None:
    kernel.page(PAGE_TAKEN, seq, live)
    kernel.page(PAGE_TAKEN + 2 * PAGE, (1 << 64) - 1, 1)
    ledger, index = kernel.ledger(), (PAGE_TAKEN - RAM_BASE) // PAGE
    lives, freed = ledger.states()
    assert lives[index : index + 3] == bytes([seq > 0 and live > 0, 0, 1])
    assert freed[index : index + 3] == bytes([seq > 0 and live == 0, 0, 0])
    assert ledger.highest() == PAGE_TAKEN + 2 * PAGE
    stack = ledger.allocation(PAGE_TAKEN)
    assert stack == (kernel.call("kalloc"), kernel.call("grow"), *[0] * 6) if seq else stack is None


def test_running_out_of_memory_is_no_refusal(kernel: FakeKernel) -> None:
    kernel.event("refused", 1, 0, live=1000)
    assert event_findings(kernel.ledger(), ()) == []


def test_a_stack_whose_page_is_free(kernel: FakeKernel) -> None:
    kernel.page(PAGE_TAKEN, 5, 0)
    top = Hart(1, {"sp": PAGE_TAKEN + PAGE, "satp": 0})
    (finding,) = event_findings(kernel.ledger(), (top,))
    assert (finding.rule, finding.where.function) == ("stack-freed", "grow")
    assert "Hart 1" in finding.message
    kernel.page(PAGE_TAKEN, 6, 1)
    assert event_findings(kernel.ledger(), (top,)) == []


@pytest.mark.parametrize("member", ["magic", "version", "shim"])
def test_a_control_block_that_is_not_ready_says_nothing(kernel: FakeKernel, member: str) -> None:
    kernel.event("double_free", 1, PAGE_TAKEN)
    kernel.set("faultline_ctl", 0, member)
    assert event_findings(kernel.ledger(), ()) == []


def test_a_kernel_without_the_shim(compile_guest: Compile, fake_ram: FakeRam) -> None:
    elf = ElfImage(compile_guest("void _start(void) { for (;;) ; }\n", "c"))
    with pytest.raises(HarnessError, match="not linked with the shim"):
        Ledger(fake_ram.ram(), elf)


USERTESTS = """usertests starting
test first: OK
second: expected 3, got 4
test second: FAILED
test third: SKIPPED (xv6 does not promise this)
fourth: lost 2"""


def test_results_of_usertests() -> None:
    results, rest = parse(USERTESTS)
    assert [(r.name, r.result) for r in results] == [
        ("first", "OK"), ("second", "FAILED"), ("third", "SKIPPED"),
    ]  # fmt: skip
    assert rest == "fourth: lost 2"
    (finding,) = failures(results, None)
    assert finding.message == "usertests: second: expected 3, got 4"


def test_a_failed_test_is_found_in_its_program(kernel: FakeKernel) -> None:
    results, _ = parse("test grow: FAILED")
    (finding,) = failures(results, kernel.elf)
    assert finding.where.function == "grow" and finding.where.line
