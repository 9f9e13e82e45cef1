"""Who holds a page, and who should have freed it."""

from __future__ import annotations

import pytest
from conftest import Compile, FakeRam
from fakes import PAGE_TAKEN, SOURCE, FakeKernel

from faultline.checks.leaks import Answer, lost_findings
from faultline.elf import ElfImage
from faultline.finding import Where
from faultline.ownership import holders, who_should_free
from faultline.ram import PAGE, RAM_BASE

FREERS = """\
void freeproc(void) {} void kvmfree(void) {} void mirror_free(void) {} void uvmfree(void) {}
void uvmdealloc(void) {} void pipeclose(void) {} void proc_freepagetable(void) {}
void _start(void) { for (;;) ; }
"""


@pytest.fixture(scope="session")
def ours(compile_guest: Compile) -> ElfImage:
    return ElfImage(compile_guest(FREERS, "c"))


@pytest.fixture(scope="session")
def strange(compile_guest: Compile) -> ElfImage:
    return ElfImage(compile_guest("void _start(void) { for (;;) ; }\n", "c"))


@pytest.mark.parametrize(
    ("path", "who", "what"),
    [
        ("pipealloc sys_pipe syscall", "pipeclose()", "a pipe"),
        ("proc_kpagetable allocproc fork", "freeproc()", "the process's kernel stack"),
        ("allocproc fork sys_fork", "freeproc()", "trapframe"),
        ("uvmalloc growproc sys_sbrk", "uvmfree() or uvmdealloc()", "user memory"),
        ("uvmcopy fork sys_fork", "uvmfree() or uvmdealloc()", "user memory"),
        ("table_alloc walk mappages proc_kpagetable allocproc", "kvmfree() or freeproc()",
         "process's kernel page table"),
        ("kvmcreate proc_kpagetable allocproc", "kvmfree() or freeproc()", "kernel page table"),
        ("table_alloc walk mirror_map fork", "mirror_free() or kvmfree()", "mirror"),
        ("table_alloc walk mappages uvmalloc exec", "uvmfree() or proc_freepagetable()",
         "user page table"),
        ("uvmcreate proc_pagetable allocproc", "uvmfree() or proc_freepagetable()",
         "user page table"),
        ("fetch_path exec sys_exec syscall", "sys_exec()", "one of its ways out"),
        ("tidy main", "main()", "one of its ways out"),
    ],
)  # fmt: skip
def test_who_should_free(ours: ElfImage, path: str, who: str, what: str) -> None:
    said = who_should_free(ours, [Where(function=name) for name in path.split()])
    assert f"Probably {who}" in said and what in said


def test_a_kernel_that_names_its_functions_otherwise(strange: ElfImage) -> None:
    said = who_should_free(strange, [Where(function="walk"), Where(function="mappages")])
    assert said.startswith("Probably freewalk() should free it")
    assert who_should_free(strange, []) == ""


@pytest.fixture
def kernel(compile_guest: Compile, fake_ram: FakeRam) -> FakeKernel:
    return FakeKernel(ElfImage(compile_guest(SOURCE, "c")), fake_ram)


TABLES = [RAM_BASE + (1000 + n) * PAGE for n in range(3)]
VALID, LEAF = 1, 7


def put(kernel: FakeKernel, table: int, index: int, pa: int, flags: int) -> None:
    kernel.fake.put(table + 8 * index, pa >> 12 << 10 | flags)


def process(kernel: FakeKernel, slot: int, pid: int, root: int) -> None:
    kernel.set("proc", 1, slot, "state")
    kernel.set("proc", pid, slot, "pid")
    kernel.set("proc", root, slot, "pagetable")


def test_holders_are_the_first_process_that_refers_to_a_page(kernel: FakeKernel) -> None:
    root, middle, lowest = TABLES
    put(kernel, root, 1, middle, VALID)
    put(kernel, middle, 2, lowest, VALID)
    put(kernel, lowest, 3, PAGE_TAKEN, LEAF)
    process(kernel, 0, 7, root)
    process(kernel, 1, 8, root)
    wanted = {root, lowest, PAGE_TAKEN, PAGE_TAKEN + PAGE}
    assert holders(kernel.fake.ram(), kernel.elf, wanted) == {
        root: "the root of the user page table of process 7 ()",
        lowest: "the table for 0x40400000 in the user page table of process 7 ()",
        PAGE_TAKEN: "mapped at 0x40403000 in the user page table of process 7 ()",
    }


def test_a_mapping_of_ram_at_its_own_address_is_no_holder(kernel: FakeKernel) -> None:
    root, middle, lowest = TABLES
    put(kernel, root, PAGE_TAKEN >> 30, middle, VALID)
    put(kernel, middle, PAGE_TAKEN >> 21 & 511, lowest, VALID)
    put(kernel, lowest, PAGE_TAKEN >> 12 & 511, PAGE_TAKEN, LEAF)
    process(kernel, 0, 7, root)
    assert holders(kernel.fake.ram(), kernel.elf, {PAGE_TAKEN}) == {}


def test_a_table_that_leads_back_to_itself_ends(kernel: FakeKernel) -> None:
    root = TABLES[0]
    for index in range(512):
        put(kernel, root, index, root, VALID)
    process(kernel, 0, 7, root)
    found = holders(kernel.fake.ram(), kernel.elf, {PAGE_TAKEN, root})
    assert list(found) == [root]


def test_tables_outside_ram_are_not_followed(kernel: FakeKernel) -> None:
    put(kernel, TABLES[0], 0, 0x1000, VALID)
    process(kernel, 0, 7, TABLES[0])
    process(kernel, 1, 8, 0xDEAD_BEEF)
    assert holders(kernel.fake.ram(), kernel.elf, {0x1000, PAGE_TAKEN}) == {
        0x1000: "the table for 0x0 in the user page table of process 7 ()"
    }


def test_the_finding_says_who_should_free(kernel: FakeKernel) -> None:
    kernel.set("faultline_ctl", 100, "end")
    kernel.page(PAGE_TAKEN, 1, 1)
    (finding,) = lost_findings(kernel.ledger(), "fork", Answer(1, 0, 1, ""))
    assert finding.message.endswith("Probably grow(), or what it calls, should free it on one "
                                    "of its ways out.")  # fmt: skip
