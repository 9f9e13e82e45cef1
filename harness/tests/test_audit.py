"""Each rule of the audit, on memory that is right and on memory wrong in one way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from audit_world import FREE, KSTACK, POOL, SOURCE, TABLE, USER, World
from conftest import Compile, FakeRam

from faultline.audit import RULES, audit_moment
from faultline.audit.moment import CLINT, PLIC, TRAPFRAME, UART0, VIRTIO0, Moment
from faultline.elf import TRAMPOLINE, ElfImage
from faultline.hart import Hart
from faultline.ledger import Ledger
from faultline.ram import PAGE, RAM_BASE
from faultline.sv39 import MODE_SV39, A, D, G, R, U, V, W, X

HEAP = 5 * PAGE  # of the second process, which has seven pages


@pytest.fixture
def world(compile_guest: Compile, fake_ram: FakeRam) -> World:
    return World(ElfImage(compile_guest(SOURCE, "c")), fake_ram)


def test_good_memory_breaks_no_rule(world: World) -> None:
    world.finish()
    assert world.audit(hart(world, world.kernel)) == []


def hart(world: World, root: int, number: int = 0, **registers: int) -> Hart:
    pc = registers.pop("pc", world.elf.symbols["scheduler"][0])
    satp = MODE_SV39 << 60 | root >> 12
    return Hart(number, {"satp": satp, "pc": pc, "sp": KSTACK + 0xF00, **registers})


def good_marks_of_the_hart(w: World) -> None:
    for root in (w.user[0], w.own[0]):
        w.change(root, PAGE, set=A | D | G | 0x300)
    w.change(w.kernel, RAM_BASE, set=A)


def good_rest_of_an_invalid_entry(w: World) -> None:
    w.fake.put(w.slot(w.own[1], 0x40_0000, "exec", 1), 0xDEDE_DEDE_DEDE_DEDE & ~V)


def good_whole_copy_of_the_kernel_table(w: World) -> None:
    """As KPT=copy makes it: nothing is shared, and the hart's marks differ."""
    for va in range(RAM_BASE, RAM_BASE + (18 << 20), 2 << 20):
        if va == RAM_BASE:
            w.unmap(w.own[0], va, 2)
        origin = (w.get(w.slot(w.kernel, va, "", 1)) >> 10 << 12) - RAM_BASE
        copy = w.slot(w.own[0], va, "kvmcreate") - RAM_BASE
        w.fake.memory[copy : copy + PAGE] = w.fake.memory[origin : origin + PAGE]
        w.change(w.own[0], va + PAGE, set=A | D)


@pytest.mark.parametrize(
    "wish",
    [good_marks_of_the_hart, good_rest_of_an_invalid_entry, good_whole_copy_of_the_kernel_table],
    ids=lambda wish: str(wish.__name__),
)
def test_what_may_be_otherwise(world: World, wish: Callable[[World], None]) -> None:
    wish(world)
    world.finish()
    assert world.audit() == []


def test_a_kernel_that_means_to_share_and_copies(world: World) -> None:
    good_whole_copy_of_the_kernel_table(world)
    world.finish()
    (finding,) = world.audit(shares=True)
    assert (finding.rule, finding.where.function) == ("kernel-map-copied", "kvmcreate")
    assert "process 1 (init) has 9 page-table pages" in finding.message


def freed_but_mapped(w: World) -> None:
    w.free(w.page(1, HEAP), "growproc")


def shrunk_without_mirror(w: World) -> None:
    page = w.page(1, 6 * PAGE)
    w.unmap(w.user[1], 6 * PAGE)
    w.set("proc", 6 * PAGE, 2, "sz")
    w.free(page, "growproc")


def mirror_of_the_guard(w: World) -> None:
    w.map(w.own[1], 2 * PAGE, w.page(1, 2 * PAGE), R | W)


def two_pages_swapped(w: World) -> None:
    w.change(w.own[1], HEAP, pa=w.page(1, 6 * PAGE))
    w.change(w.own[1], 6 * PAGE, pa=w.page(1, HEAP))


def stack_of_another(w: World) -> None:
    stack = w.get(w.slot(w.own[0], KSTACK, "")) >> 10 << 12
    w.map(w.own[1], KSTACK - 4 * PAGE, stack, R | W)


def one_stack_for_both(w: World) -> None:
    old = w.get(w.slot(w.own[1], KSTACK, "")) >> 10 << 12
    w.change(w.own[1], KSTACK, pa=w.get(w.slot(w.own[0], KSTACK, "")) >> 10 << 12)
    w.free(old, "freeproc")


def fork_that_shares(w: World) -> None:
    old, page = w.page(1, HEAP), w.page(0, PAGE)
    w.change(w.user[1], HEAP, pa=page)
    w.change(w.own[1], HEAP, pa=page)
    w.free(old, "growproc")


def one_page_short(w: World) -> None:
    page = w.page(1, HEAP)
    w.unmap(w.user[1], HEAP)
    w.unmap(w.own[1], HEAP)
    w.free(page, "growproc")


def table_copied_with_its_pointers(w: World) -> None:
    pointer = w.get(w.slot(w.own[0], 0, "", 1))
    w.fake.put(w.slot(w.own[1], 0x40_0000, "", 1), pointer)


def freed_table(w: World) -> None:
    w.free(w.get(w.slot(w.user[1], TRAPFRAME, "", 1)) >> 10 << 12, "freeproc")


def guard_forgotten(w: World) -> None:
    w.change(w.user[1], 2 * PAGE, set=U)
    w.map(w.own[1], 2 * PAGE, w.page(1, 2 * PAGE), R | W)


def counted_as_a_table(w: World) -> None:
    w.classes[w.page(1, HEAP)] = TABLE


def mapped_beyond_the_size(w: World) -> None:
    page = w.alloc("growproc", USER)
    w.map(w.user[1], 9 * PAGE, page, R | W)


def leaf_to_nowhere(w: World) -> None:
    w.change(w.user[0], 2 * PAGE, pa=0x9000_0000)
    w.free(w.next - PAGE, "growproc")


def mirror_of_a_failed_exec(w: World) -> None:
    image = w.alloc("growproc", USER)
    w.change(w.own[1], HEAP, pa=image)
    w.free(image, "exec")


def live_page_on_the_list(w: World) -> None:
    w.fake.put(w.next + 8 * PAGE, w.pipe)
    w.fake.put(w.pipe, w.next + 10 * PAGE)


def stack_is_a_user_page(w: World) -> None:
    w.change(w.own[1], KSTACK, pa=w.page(1, HEAP))


def trapframe_as_heap(w: World) -> None:
    frame = w.page(0, TRAPFRAME)
    w.change(w.user[1], HEAP, pa=frame)
    w.change(w.own[1], HEAP, pa=frame)


Case = tuple[Callable[[World], None], list[tuple[str, str]]]
BAD: dict[str, Case] = {
    "stack-unmapped": (
        lambda w: w.unmap(w.own[1], KSTACK),
        [("kstack-missing", "proc_kpagetable"), ("counters-disagree", "proc_kpagetable")],
    ),
    "stack-is-a-user-page": (
        stack_is_a_user_page,
        [("kstack-missing", "proc_kpagetable"), ("user-map", "exec"),
         ("counters-disagree", "growproc")],
    ),
    "trapframe-as-heap": (
        trapframe_as_heap, [("user-map", "exec"), ("counters-disagree", "allocproc")],
    ),
    "stack-read-only": (
        lambda w: w.change(w.own[1], KSTACK, clear=W), [("kstack-missing", "proc_kpagetable")],
    ),
    "kernel-sp-elsewhere": (
        lambda w: w.fake.put(w.page(1, TRAPFRAME) + 8, KSTACK - 5 * PAGE),
        [("kstack-missing", "usertrapret")],
    ),
    "stack-of-another": (stack_of_another, [("kstack-foreign", "proc_kpagetable")]),
    "one-stack-for-both": (one_stack_for_both, [("kstack-foreign", "proc_kpagetable")]),
    "stack-in-the-global-table": (
        lambda w: w.map(w.kernel, TRAMPOLINE - 2 * PAGE,
                        w.get(w.slot(w.own[0], KSTACK, "")) >> 10 << 12, R | W),
        [("kstack-foreign", "kvminit")],
    ),
    "guard-mapped": (
        lambda w: w.map(w.own[0], KSTACK - PAGE, w.pipe, R | W),
        [("kstack-guard-mapped", "proc_kpagetable")],
    ),
    "mirror-keeps-u": (
        lambda w: w.change(w.own[1], HEAP, set=U), [("kernel-pte-user", "growproc")],
    ),
    "kernel-text-for-the-user": (
        lambda w: w.change(w.kernel, RAM_BASE, set=U), [("kernel-pte-user", "kvminit")],
    ),
    "mirror-missing": (lambda w: w.unmap(w.own[1], HEAP), [("mirror-missing", "growproc")]),
    "mirror-not-shrunk": (
        shrunk_without_mirror, [("mirror-stale", "growproc"), ("mapped-free-page", "growproc")],
    ),
    "mirror-of-the-guard": (mirror_of_the_guard, [("mirror-guard", "exec")]),
    "mirror-of-a-failed-exec": (
        mirror_of_a_failed_exec,
        [("mirror-wrong-page", "exec"), ("mapped-free-page", "exec")],
    ),
    "mirror-swapped": (two_pages_swapped, [("mirror-wrong-page", "growproc")]),
    "mirror-read-only": (
        lambda w: w.change(w.own[1], HEAP, clear=W), [("mirror-flags", "growproc")],
    ),
    "mirror-of-text-writable": (
        lambda w: w.change(w.own[1], 0, set=W), [("mirror-flags", "exec")],
    ),
    "mirror-executable": (lambda w: w.change(w.own[1], 0, set=X), [("mirror-flags", "exec")]),
    "freed-but-mapped": (
        freed_but_mapped,
        [("mapped-free-page", "growproc"), ("mapped-free-page", "growproc"),
         ("counters-disagree", "growproc")],
    ),
    "fork-that-shares": (fork_that_shares, [("page-in-two-spaces", "exec")]),
    "table-shared": (
        table_copied_with_its_pointers,
        [("mirror-stale", "exec"), ("table-page-shared", "kvmcreate")],
    ),
    "table-freed": (
        freed_table,
        [("table-page-free", "freeproc"), ("counters-disagree", "proc_pagetable")],
    ),
    "text-writable": (
        lambda w: w.change(w.kernel, RAM_BASE, set=W), [("kernel-wx", "kvminit")],
    ),
    "data-executable": (
        lambda w: w.change(w.kernel, POOL, set=X), [("kernel-wx", "kvminit")],
    ),
    "text-not-executable": (
        lambda w: w.change(w.kernel, RAM_BASE, clear=X), [("kernel-map-differs", "kvminit")],
    ),
    "data-read-only": (
        lambda w: w.change(w.kernel, POOL, clear=W), [("kernel-map-differs", "kvminit")],
    ),
    "uart-at-virtio": (
        lambda w: w.change(w.kernel, UART0, pa=VIRTIO0), [("kernel-map-differs", "kvminit")],
    ),
    "trampoline-elsewhere": (
        lambda w: w.change(w.kernel, TRAMPOLINE, pa=w.pipe), [("kernel-map-differs", "kvminit")],
    ),
    "last-page-unmapped": (
        lambda w: w.unmap(w.kernel, RAM_BASE + (18 << 20) - PAGE),
        [("kernel-map-missing", "kvminit")],
    ),
    "no-plic-in-a-process": (
        lambda w: w.unmap(w.own[1], PLIC, 1), [("kernel-map-missing", "kvmcreate")],
    ),
    "no-trampoline-in-a-process": (
        lambda w: w.unmap(w.own[1], TRAMPOLINE, 2), [("kernel-map-missing", "kvmcreate")],
    ),
    "clint-in-a-process": (
        lambda w: w.map(w.own[1], CLINT, CLINT, R | W, "proc_kpagetable"),
        [("kernel-map-extra", "proc_kpagetable")],
    ),
    "trapframe-in-a-process": (
        lambda w: w.map(w.own[1], TRAPFRAME - (1 << 30), w.page(1, TRAPFRAME), R | W,
                        "proc_kpagetable"),
        [("kernel-map-extra", "proc_kpagetable")],
    ),
    "one-page-beyond-ram": (
        lambda w: w.map(w.kernel, RAM_BASE + (18 << 20), w.pipe, R | W),
        [("kernel-map-extra", "kvminit")],
    ),
    "trapframe-unmapped": (
        lambda w: w.unmap(w.user[1], TRAPFRAME), [("user-map", "proc_pagetable")],
    ),
    "trapframe-for-the-user": (
        lambda w: w.change(w.user[1], TRAPFRAME, set=U), [("user-map", "proc_pagetable")],
    ),
    "trampoline-writable": (
        lambda w: w.change(w.user[1], TRAMPOLINE, set=W), [("user-map", "proc_pagetable")],
    ),
    "mapped-beyond-the-size": (mapped_beyond_the_size, [("user-map", "growproc")]),
    "heap-executable": (
        lambda w: w.change(w.user[1], HEAP, set=X), [("user-map", "growproc")],
    ),
    "guard-forgotten": (guard_forgotten, [("user-guard", "exec")]),
    "one-page-short": (one_page_short, [("user-size", "growproc")]),
    "w-without-r": (
        lambda w: w.change(w.user[1], TRAPFRAME, clear=R),
        [("pte-reserved", "proc_pagetable"), ("user-map", "proc_pagetable")],
    ),
    "reserved-bits": (
        lambda w: w.change(w.user[1], PAGE, set=1 << 60), [("pte-reserved", "exec")],
    ),
    "pointer-with-u": (
        lambda w: w.change(w.user[1], 0, 1, set=U), [("pte-reserved", "exec")],
    ),
    "free-list-in-a-circle": (
        lambda w: w.fake.put(w.next + 8 * PAGE, w.next + 3 * PAGE), [("freelist-broken", "")],
    ),
    "free-list-out-of-ram": (
        lambda w: w.fake.put(w.next + 8 * PAGE, 0xDEDE_DEDE_DEDE_DEDE),
        [("freelist-broken", "")],
    ),
    "live-page-on-the-free-list": (
        live_page_on_the_list, [("freelist-broken", "pipealloc")],
    ),
    "counter-drifts": (
        lambda w: w.set("faultline_ctl", 9999, "pages", "held", FREE),
        [("counters-disagree", "kalloc"), ("counters-disagree", "kalloc")],
    ),
    "counted-in-the-wrong-class": (
        counted_as_a_table,
        [("counters-disagree", "growproc"), ("counters-disagree", "growproc")],
    ),
}  # fmt: skip
LATE = {"free-list-in-a-circle", "free-list-out-of-ram", "live-page-on-the-free-list",
        "counter-drifts"}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_memory(world: World, name: str) -> None:
    spoil, expected = BAD[name]
    if name in LATE:
        world.finish()
        spoil(world)
    else:
        spoil(world)
        world.finish()
    found = world.audit()
    assert [(f.rule, f.where.function or "") for f in found] == expected, found
    assert all("Seen in the test." in finding.evidence for finding in found)


def running(w: World) -> None:
    """Hart 0 runs the second process."""
    proc = w.elf.symbols["proc"][0]
    size = w.elf.symbols["proc"][1] // 4
    w.set("cpus", proc + 2 * size, 0, "proc")
    w.set("cpus", w.elf.symbols["scheduler"][0] + 4, 0, "context", "ra")


@pytest.mark.parametrize(
    ("root", "pc", "rule", "function"),
    [
        ("own", "exec", "", ""),
        ("own", "user", "satp-wrong", "usertrapret"),
        ("user", "user", "", ""),
        ("user", "exec", "satp-wrong", "scheduler"),
        ("kernel", "exec", "satp-wrong", "scheduler"),
        ("other", "exec", "satp-wrong", "scheduler"),
        ("own", "trampoline", "", ""),
        ("user", "trampoline", "", ""),
        ("other", "trampoline", "satp-wrong", "usertrapret"),
    ],
)
def test_the_table_of_a_hart_that_runs_a_process(
    world: World, root: str, pc: str, rule: str, function: str
) -> None:
    world.finish()
    running(world)
    table = {"own": world.own[1], "user": world.user[1], "kernel": world.kernel,
             "other": world.own[0]}[root]  # fmt: skip
    at = {"user": 0x20, "trampoline": TRAMPOLINE + 0x10}.get(pc, world.elf.symbols["exec"][0])
    found = [(f.rule, f.where.function) for f in world.audit(hart(world, table, pc=at))]
    assert found == ([(rule, function)] if rule else [])


def test_a_hart_in_machine_mode_is_where_it_was_before(world: World) -> None:
    world.finish()
    running(world)
    vector = world.elf.symbols["kvminit"][0]
    one = hart(world, world.user[1], pc=vector + 2, mtvec=vector, mepc=0x20)
    assert world.audit(one) == []


def test_a_hart_that_switches_to_a_process_is_on_the_boot_stack(world: World) -> None:
    world.finish()
    running(world)
    assert world.audit(hart(world, world.kernel, sp=RAM_BASE + 0x2000)) == []


def test_a_hart_without_process_on_a_process_s_table(world: World) -> None:
    world.finish()
    world.set("cpus", world.elf.symbols["scheduler"][0] + 4, 1, "context", "ra")
    (finding,) = world.audit(hart(world, world.own[0], 1))
    assert (finding.rule, finding.where.function) == ("satp-not-restored", "scheduler")
    assert "Hart 1 runs no process" in finding.message


def test_a_table_that_was_freed_while_loaded(world: World) -> None:
    world.free(world.own[1], "freeproc")
    world.finish()
    running(world)
    found = {f.rule: f for f in world.audit(hart(world, world.own[1]))}
    assert found["satp-freed"].where.function == "freeproc"


def test_every_rule_has_a_case() -> None:
    cases = {rule for _, expected in BAD.values() for rule, _ in expected}
    satp = {"satp-wrong", "satp-not-restored", "satp-freed"}
    others = {"kernel-map-copied", "mirror-executable"}  # the latter in test_audit_foreign.py
    assert {rule.name for rule in RULES} == cases | satp | others


def test_memory_in_the_middle_of_things_is_not_counted(world: World) -> None:
    world.finish()
    world.set("faultline_ctl", 9999, "pages", "held", FREE)
    ram = world.fake.ram()
    assert not list(audit_moment(Moment(ram, world.elf, (), Ledger(ram, world.elf))))
