"""Kernels that other people wrote: what the reference kernel promises is not asked of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from audit_world import FREE, KSTACK, RAM_PAGES, SOURCE, STACK, World
from conftest import Compile, FakeRam

from faultline.audit import pages
from faultline.audit.blame import Blame
from faultline.audit.moment import CLINT, TRAPFRAME, Moment
from faultline.elf import TRAMPOLINE, ElfImage
from faultline.ledger import Ledger
from faultline.processes import has_kernel_tables, kernel_table_member, processes
from faultline.ram import PAGE, RAM_BASE
from faultline.sv39 import R, U, W, X, pte_pa
from test_audit import hart, mirror_of_the_guard, shrunk_without_mirror

TOP = RAM_BASE + RAM_PAGES * PAGE
GLOBAL_STACKS = 0x3E_0000_0000  # where the global table has them, two pages apart


@pytest.fixture
def world(compile_guest: Compile, fake_ram: FakeRam) -> World:
    return World(ElfImage(compile_guest(SOURCE, "c")), fake_ram)


def finish(w: World) -> None:
    """Finish a kernel that does not count its pages: only the reference kernel does."""
    w.finish()
    w.set("faultline_ctl", 0, "pages", "total")


def nothing(w: World) -> None:
    """The world as it is."""


def map_trapframe(w: World, which: int, whose: int) -> None:
    """Map a trapframe in a kernel table, whose uppermost part is then no longer shared."""
    frame = pte_pa(w.get(w.slot(w.user[whose], TRAPFRAME, "")))
    trampoline = pte_pa(w.get(w.slot(w.kernel, TRAMPOLINE, "")))
    w.unmap(w.own[which], TRAPFRAME, 2)
    w.map(w.own[which], TRAMPOLINE, trampoline, R | X, "proc_kpagetable")
    w.map(w.own[which], TRAPFRAME, frame, R | W, "proc_kpagetable")


def own_trapframe_in_own_kernel_table(w: World) -> None:
    for which in range(2):
        map_trapframe(w, which, which)


def all_stacks_in_the_global_table(w: World) -> None:
    for number in range(4):  # of the processes, and of those that there are not yet
        stack = w.alloc("kvminit", STACK)
        if number < 2:
            stack = pte_pa(w.get(w.slot(w.own[number], KSTACK, "")))
        w.map(w.kernel, GLOBAL_STACKS + 2 * number * PAGE, stack, R | W)


def without_mirror(w: World) -> None:
    for which, pages in enumerate((4, 7)):
        for number in range(pages):
            w.unmap(w.own[which], number * PAGE)


def clint_and_no_mirror(w: World) -> None:
    without_mirror(w)
    for root in w.own:
        w.map(root, CLINT, CLINT, R | W, "proc_kpagetable")


def another_s_trapframe(w: World) -> None:
    map_trapframe(w, 0, 1)


def clint_in_the_mirror_s_way(w: World) -> None:
    w.map(w.own[0], CLINT, CLINT, R | W, "proc_kpagetable")


def mirror_with_all_flags_but_u(w: World) -> None:
    for which in range(2):
        w.change(w.own[which], 0, set=X)


def mirror_that_is_only_read(w: World) -> None:
    for which in range(2):
        w.change(w.own[which], 0, clear=W)


def guard_page_in_the_mirror_with_u(w: World) -> None:
    """The user may not read it, and with PTE_U the kernel cannot: it is no stale mirror."""
    mirror_of_the_guard(w)
    w.change(w.own[1], 2 * PAGE, set=U)


def shrunk_by_a_page_now_another_s(w: World) -> None:
    """Of two pages that sbrk gave back and the mirror kept, one has a new owner."""
    shrunk_without_mirror(w)
    w.map(w.own[1], 8 * PAGE, w.alloc("growproc", FREE), R | W, "growproc")


def another_s_stack(w: World) -> None:
    stack = pte_pa(w.get(w.slot(w.own[0], KSTACK, "")))
    w.map(w.own[1], KSTACK - 4 * PAGE, stack, R | W, "proc_kpagetable")


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (nothing, []),
        (own_trapframe_in_own_kernel_table, []),
        (all_stacks_in_the_global_table, []),
        (another_s_trapframe, ["kernel-map-extra"]),
        (clint_in_the_mirror_s_way, ["kernel-map-extra"]),
        (mirror_with_all_flags_but_u, ["mirror-executable", "mirror-executable"]),
        (mirror_that_is_only_read, []),
        (guard_page_in_the_mirror_with_u, ["kernel-pte-user"]),
        (shrunk_without_mirror, ["mapped-free-page"]),
        (shrunk_by_a_page_now_another_s, ["mapped-free-page"]),
        (another_s_stack, ["kstack-foreign"]),
    ],
    ids=lambda what: getattr(what, "__name__", ""),
)
def test_what_is_said_of_a_foreign_kernel(
    world: World, change: Callable[[World], None], rules: list[str]
) -> None:
    change(world)
    finish(world)
    assert [finding.rule for finding in world.audit(hart(world, world.kernel))] == rules


@pytest.mark.parametrize(("function", "rules"), [("sys_sbrk", []), ("sys_exec", ["mapped-free-page"])])
def test_what_a_system_call_that_did_not_end_may_still_have_unmapped(
    compile_guest: Compile, fake_ram: FakeRam, function: str, rules: list[str]
) -> None:
    """A kernel that panics between freeing pages and unmapping them has one mistake, not two."""
    calls = "FUNCTION(sys_sbrk) FUNCTION(sys_exec)\n__attribute__((aligned(4096)))"
    source = SOURCE.replace("__attribute__((aligned(4096)))", calls)
    world = World(ElfImage(compile_guest(source, "c")), fake_ram)
    page = world.page(1, 6 * PAGE)
    world.unmap(world.user[1], 6 * PAGE)
    world.set("proc", 6 * PAGE, 2, "sz")
    world.free(page, "sys_sbrk")
    frame = world.alloc("growproc", FREE) + 0x100
    world.fake.put(frame - 8, world.elf.symbols[function][0] + 4)
    finish(world)
    harts = (hart(world, world.kernel, s0=frame),)
    ledger = Ledger(fake_ram.ram(), world.elf)
    moment = Moment(fake_ram.ram(), world.elf, harts, ledger)
    assert [finding.rule for finding in pages.apply(moment)] == rules


@pytest.mark.parametrize(
    ("va", "flags", "rules"),
    [
        (TRAPFRAME - PAGE, R | U, []),  # the lab of 2021 and later asks for it
        (TRAPFRAME - PAGE, R | W | U, ["user-map"]),
        (TRAPFRAME - 2 * PAGE, R | U, ["user-map"]),
    ],
)
def test_a_page_under_the_trapframe_that_the_user_may_read(
    world: World, va: int, flags: int, rules: list[str]
) -> None:
    for which in range(2):
        world.map(world.user[which], va, world.alloc("allocproc", FREE), flags, "proc_pagetable")
    finish(world)
    assert sorted({finding.rule for finding in world.audit()}) == rules


def test_why_the_clint_should_not_be_mapped_is_said(world: World) -> None:
    clint_in_the_mirror_s_way(world)
    finish(world)
    (found,) = world.audit()
    assert found.message.endswith("mirrored up to the PLIC, and the CLINT is machine mode's alone.")


def test_the_clint_is_in_nobody_s_way_without_a_mirror(
    compile_guest: Compile, fake_ram: FakeRam
) -> None:
    source = SOURCE.replace("FUNCTION(mirror_map)", "FUNCTION(copyin_new)")  # handed out, unused
    world = World(ElfImage(compile_guest(source, "c")), fake_ram)
    clint_and_no_mirror(world)
    finish(world)
    assert world.audit() == []


def test_ram_beyond_phystop_need_not_be_mapped(world: World) -> None:
    finish(world)
    phystop = TOP - 256 * PAGE
    for pa in range(phystop, TOP, PAGE):
        world.unmap(world.kernel, pa)
    world.fake.put(phystop - PAGE, 0)  # the free list ends there
    assert world.audit() == []
    world.unmap(world.kernel, phystop - PAGE)
    assert [finding.rule for finding in world.audit()][:1] == ["kernel-map-missing"]


def test_a_table_of_a_process_whose_lock_is_held_may_be_loaded(
    compile_guest: Compile, fake_ram: FakeRam
) -> None:
    """Between swtch() and loading the global table, p->lock keeps everyone from freeing it."""
    source = SOURCE.replace(
        "struct proc {", "struct cpu; struct lock { unsigned locked; struct cpu *cpu; };\n"
        "struct proc { struct lock lock;"
    )  # fmt: skip
    world = World(ElfImage(compile_guest(source, "c")), fake_ram)
    finish(world)
    cpus = world.elf.symbols["cpus"][0]
    found = [finding.rule for finding in world.audit(hart(world, world.own[0]))]
    assert found == ["satp-not-restored"]
    world.set("proc", 1, 0, "lock", "locked")
    world.set("proc", cpus, 0, "lock", "cpu")
    assert world.audit(hart(world, world.own[0])) == []
    world.set("proc", cpus + 64, 0, "lock", "cpu")  # another hart's
    found = [finding.rule for finding in world.audit(hart(world, world.own[0]))]
    assert found == ["satp-not-restored"]


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ("uint64_t *kpgtbl;", "kpgtbl"),
        ("uint64_t *space;", "space"),
        ("typedef_t space;", "space"),
        ("uint64_t *one, *two;", ""),
        ("uint64_t number;", ""),
        ("struct proc *parent; void *chan; char *path; struct proc *kid[4];", ""),
    ],
)
def test_the_kernel_table_is_found_by_its_type(
    compile_guest: Compile, fake_ram: FakeRam, member: str, found: str
) -> None:
    source = f"""\
#include <stdint.h>
typedef uint64_t *typedef_t;
struct proc {{ int pid; uint64_t *pagetable; {member} }} proc[2];
void _start(void) {{ for (;;) proc[0].pid++; }}
"""
    elf = ElfImage(compile_guest(source, "c"))
    table = elf.variable(fake_ram.ram(), "proc")
    assert table is not None
    assert kernel_table_member(table) == found
    # Which of several it is, only memory can tell.
    assert has_kernel_tables(elf) == (bool(found) or "*two" in member)


def test_a_kernel_table_under_any_name_is_read(compile_guest: Compile, fake_ram: FakeRam) -> None:
    source = SOURCE.replace("*kpgtbl", "*space")
    elf = ElfImage(compile_guest(source, "c"))
    world = World.__new__(World)
    assert has_kernel_tables(elf)
    fake_ram.memory.extend(bytes(RAM_PAGES * PAGE - len(fake_ram.memory)))
    world.elf, world.fake, world._empty = elf, fake_ram, fake_ram.ram()
    world.set("proc", 2, 0, "state")
    world.set("proc", 0x8765_4000, 0, "space")
    (process,) = processes(fake_ram.ram(), elf)
    assert process.kpagetable == 0x8765_4000


def test_somebody_s_function_that_is_told_which_table_is_not_to_blame(
    compile_guest: Compile, fake_ram: FakeRam
) -> None:
    mapper = "__attribute__((noinline)) void copy_u2k(int pid, uint64_t *k) { sink += *k; }"
    source = SOURCE.replace("__attribute__((aligned(4096)))", f"{mapper}\n__attribute__((aligned(4096)))")
    source = source.replace("for (;;) sink++", "for (;;) copy_u2k(1, kernel_pagetable)")
    world = World(ElfImage(compile_guest(source, "c")), fake_ram)
    page = world.alloc("copy_u2k", FREE)
    world.set("faultline_ledger", world.elf.symbols["growproc"][0] + 4,
              (page - RAM_BASE) // PAGE, "alloc", 2)  # fmt: skip
    ledger = Ledger(fake_ram.ram(), world.elf)
    assert Blame(ledger, foreign=True).asked(page).function == "growproc"
    assert Blame(ledger).asked(page).function == "copy_u2k"


def test_ram_that_is_kept_for_something_else_may_be_mapped(world: World) -> None:
    finish(world)
    phystop = TOP - 256 * PAGE
    world.fake.put(phystop - PAGE, 0)  # the free list ends there, the mapping does not
    assert world.audit() == []
    world.change(world.kernel, phystop, set=X)
    assert [finding.rule for finding in world.audit()] == ["kernel-wx"]


def shared(flags: int) -> Callable[[World], None]:
    """Let both processes have one page, as fork leaves it that copies when it is written to."""

    def share(w: World) -> None:
        for which in range(2):
            w.change(w.user[which], 3 * PAGE, pa=w.page(0, 3 * PAGE), clear=R | W)
            w.change(w.user[which], 3 * PAGE, set=flags)

    return share


def lazy(w: World) -> None:
    """Take a page of the heap away, as sbrk leaves it that allocates when it is used."""
    w.unmap(w.user[1], 5 * PAGE)


def hole_in_the_program(w: World) -> None:
    w.unmap(w.user[1], PAGE)


def stack_of_two_pages(w: World) -> None:
    w.change(w.user[1], 2 * PAGE, set=U)
    w.change(w.user[1], PAGE, clear=U)


def no_guard_at_all(w: World) -> None:
    w.change(w.user[1], 2 * PAGE, set=U)


@pytest.mark.parametrize(
    ("spoil", "rules"),
    [
        (stack_of_two_pages, []),
        (no_guard_at_all, ["user-guard"]),
        (shared(R), []),
        (shared(R | W), ["page-in-two-spaces"]),
        (lazy, []),
        (hole_in_the_program, ["user-size"]),
    ],
    ids=["two-pages-of-stack", "no-guard", "copy-on-write", "shared-writable", "lazy", "hole"],
)
def test_kernels_that_copy_or_allocate_late(
    compile_guest: Compile,
    fake_ram: FakeRam,
    spoil: Callable[[World], None],
    rules: list[str],
) -> None:
    source = SOURCE.replace("FUNCTION(mirror_map)", "")
    world = World(ElfImage(compile_guest(source, "c")), fake_ram)
    without_mirror(world)
    spoil(world)
    finish(world)
    assert sorted({finding.rule for finding in world.audit()}) == rules
