"""A machine that stands still, and the address spaces in its memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ..ctype import Value
from ..elf import TRAMPOLINE, ElfImage
from ..finding import Finding, Rule, Where
from ..hart import Hart
from ..ledger import Ledger
from ..processes import Process, kernel_root, processes
from ..ram import PAGE, Ram
from ..sv39 import R, V, W, X
from ..unwind import call_path, return_addresses
from .blame import Blame
from .freelist import FreeList, free_lists
from .tables import Leaf, Model, Space, read_space

TRAPFRAME = TRAMPOLINE - PAGE
CLINT, CLINT_END = 0x0200_0000, 0x0201_0000
PLIC, PLIC_SIZE = 0x0C00_0000, 0x0040_0000
UART0, VIRTIO0 = 0x1000_0000, 0x1000_1000
USERTOP = PLIC  # where user memory must end for the mirror's sake


@dataclass(frozen=True)
class Layout:
    """Where the linker put the kernel. Physical addresses."""

    base: int
    etext: int  # of whole pages
    end: int
    trampoline: int

    @staticmethod
    def of(elf: ElfImage, ram: Ram) -> Layout | None:
        """Return the kernel's layout, or None if it has not the symbols that tell it."""
        etext, end, page = (elf.address(name) for name in ("etext", "end", "trampoline"))
        if etext is None or end is None or page is None:
            return None
        return Layout(ram.base, -(-etext // PAGE) * PAGE, end, page - page % PAGE)


@functools.lru_cache(maxsize=4)
def expected_table(layout: Layout, top: int) -> Model:
    """Return what a kernel page table must map whoever runs, with RAM up to `top`."""
    model = Model()
    devices = [*range(PLIC, PLIC + PLIC_SIZE, PAGE), UART0, VIRTIO0]
    model.add_pages(
        [(pa, entry(pa, R | W)) for pa in devices]
        + [(pa, entry(pa, R | X)) for pa in range(layout.base, layout.etext, PAGE)]
        + [(pa, entry(pa, R | W)) for pa in range(layout.etext, top, PAGE)]
        + [(TRAMPOLINE, entry(layout.trampoline, R | X))]
    )
    return model


def entry(pa: int, flags: int) -> int:
    """Return a valid page-table entry."""
    return pa >> 12 << 10 | flags | V


@dataclass(frozen=True)
class Owner:
    """A process and its two tables."""

    process: Process
    user: Space
    kernel: Space | None  # None if this kernel has no tables of the processes' own

    def __str__(self) -> str:
        return str(self.process)

    @property
    def pages(self) -> int:
        """Bytes of user memory, in whole pages."""
        return -(-self.process.sz // PAGE) * PAGE

    @functools.cached_property
    def memory(self) -> list[Leaf]:
        """The leaves of user memory: all but trapframe and trampoline."""
        return [leaf for leaf in self.user.leaves if leaf.va < TRAPFRAME]


@dataclass(frozen=True)
class Moment:
    """Memory and registers of a machine that stands still.

    `quiet` says that nothing runs: every process sleeps, and no lock is held. `when` is
    when that is, in words.
    """

    ram: Ram
    elf: ElfImage
    harts: tuple[Hart, ...]
    ledger: Ledger
    quiet: bool = False
    when: str = ""
    shares: bool = False  # built so that table pages equal for all processes are shared

    @functools.cached_property
    def reference(self) -> bool:
        """Whether this is the reference kernel, or one with its rules: it counts its pages.

        What it promises besides what every xv6 does is asked of no other.
        """
        return self.ledger.ready and self.ledger.total > 0

    @functools.cached_property
    def own_tables(self) -> bool:
        """Whether processes have kernel page tables of their own, if any process runs yet."""
        return any(owner.kernel for owner in self.owners)

    @functools.cached_property
    def free(self) -> FreeList | None:
        """The kernel's free lists, or None if it is not known where those are."""
        return free_lists(self.ram, self.elf)

    @functools.cached_property
    def top(self) -> int:
        """The end of the RAM that the kernel uses: all of it, or up to its PHYSTOP.

        The highest page that the allocator ever had tells, unless the reference kernel runs,
        which uses all.
        """
        end = self.ram.base + self.ram.size
        if self.reference or not self.ledger.ready:
            return end
        known = self.ledger.highest()
        if self.free is not None:
            last = self.free.listed.rfind(b"\1")
            known = max(known, self.ram.base + last * PAGE)
        return known + PAGE if known else end

    @functools.cached_property
    def blame(self) -> Blame:
        """Who is responsible for which page."""
        return Blame(self.ledger, foreign=not self.reference)

    @functools.cached_property
    def under_way(self) -> set[str]:
        """The system calls that harts are in the middle of, by their functions' names."""
        if self.quiet:
            return set()
        stacks = [return_addresses(self.ram, self.elf, hart) for hart in self.harts]
        functions = {p.function or "" for stack in stacks for p in call_path(self.elf, stack)}
        return {name for name in functions if name.startswith("sys_")}

    @functools.cached_property
    def layout(self) -> Layout | None:
        """Where the kernel is."""
        return Layout.of(self.elf, self.ram)

    @functools.cached_property
    def cpus(self) -> Value | None:
        """The kernel's harts: cpus[]."""
        found = self.elf.variable(self.ram, "cpus")
        return found if found is not None and len(found) else None

    @functools.cached_property
    def kernel_root(self) -> int:
        """The global kernel page table; 0 while there is none."""
        return kernel_root(self.ram, self.elf)

    @functools.cached_property
    def processes(self) -> list[Process]:
        """The processes in use, but for those that may be in the middle of being made, or
        of being freed."""
        unfinished = {"USED"} if self.quiet else {"USED", "ZOMBIE"}
        return [p for p in processes(self.ram, self.elf) if p.state not in unfinished]

    @functools.cached_property
    def whole(self) -> Space:
        """The global kernel page table, every leaf of it."""
        return read_space(self.ram, self.kernel_root, self.expected)

    @functools.cached_property
    def expected(self) -> Model:
        """What the global kernel page table must map, as far as that can be known."""
        if self.layout is None:
            return Model()
        return expected_table(self.layout, self.top)

    @functools.cached_property
    def common(self) -> Model:
        """The global kernel page table as a model for the processes' ones."""
        return self.whole.model().without(USERTOP)

    @functools.cached_property
    def owners(self) -> list[Owner]:
        """Every process with its tables."""
        found = []
        for process in self.processes:
            kernel = None
            if process.kpagetable and process.kpagetable != self.kernel_root:
                kernel = read_space(self.ram, process.kpagetable, self.common)
            found.append(Owner(process, read_space(self.ram, process.pagetable), kernel))
        return found

    @functools.cached_property
    def stacks(self) -> dict[int, list[Owner]]:
        """The physical page of each kernel stack, and whose it is."""
        found: dict[int, list[Owner]] = {}
        for owner in self.owners:
            leaf = self.stack_leaf(owner)
            if leaf is not None and leaf.level == 0:
                found.setdefault(leaf.pa, []).append(owner)
        return found

    @functools.cached_property
    def roles(self) -> dict[int, str]:
        """What the pages are that only the kernel may use, in words."""
        found = {page.pa: "part of kernel_pagetable" for page in self.whole.tables}
        for owner in self.owners:
            for space in (owner.user, owner.kernel):
                for page in space.tables if space else ():
                    found.setdefault(page.pa, f"part of a page table of {owner}")
            found.setdefault(owner.process.trapframe, f"the trapframe of {owner}")
        return found

    def kernel_use(self, pa: int) -> str:
        """Return what for the kernel uses a page, in words; nothing if it is not known to."""
        if self.layout is not None and self.layout.base <= pa < self.layout.end:
            return "the kernel's own text and data"
        return self.roles.get(pa, "")

    def stack_page(self, owner: Owner) -> int:
        """Return the virtual address of the page that the process's stack pointer needs."""
        return (owner.process.sp - 1) // PAGE * PAGE  # it may point to the page's upper end

    def stack_bottom(self, owner: Owner) -> int:
        """Return the lowest virtual address of the process's kernel stack."""
        return owner.process.kstack or self.stack_page(owner)

    def stack_leaf(self, owner: Owner) -> Leaf | None:
        """Return the entry that maps the process's kernel stack, or None."""
        if owner.process.sp == 0:
            return None
        root = owner.kernel or self.whole
        return root.lookup(self.ram, self.stack_page(owner))

    @functools.cached_property
    def user_pages(self) -> set[int]:
        """The pages of all processes' user memory."""
        return {leaf.pa for owner in self.owners for leaf in owner.memory}

    @functools.cached_property
    def mirrored(self) -> bool:
        """Whether this kernel mirrors user memory in its processes' kernel tables."""
        if self.elf.address("mirror_map") or "copyin_new" in self.elf.callees("copyin"):
            return True  # copyin_new alone says nothing: the 2020 lab hands it out
        return any(
            leaf.va in owner.user.by_va
            for owner in self.owners
            for leaf in (owner.kernel.leaves if owner.kernel else ())
        )

    def finding(self, rule: Rule, message: str, where: Where, *evidence: str) -> Finding:
        """Return a finding that says when it was."""
        when = f"Seen {self.when}." if self.when else ""
        return rule.finding(
            message, where=where, evidence="\n".join(part for part in (*evidence, when) if part)
        )


def count_words(pages: int) -> str:
    """Return how many other pages are meant besides the one shown, or nothing."""
    if pages <= 1:
        return ""
    return f" (and {pages - 1} more page{'s' if pages > 2 else ''})"



def sentence(words: str) -> str:
    """Return words with a capital letter at the beginning."""
    return words[:1].upper() + words[1:]
