"""Which page table each hart has loaded."""

from __future__ import annotations

from collections.abc import Iterator

from ..ctype import Value
from ..elf import TRAMPOLINE
from ..errors import HarnessError
from ..finding import Finding, Rule, Where
from ..hart import Hart
from ..processes import kernel_table_member
from ..ram import PAGE
from ..sv39 import satp_root
from .blame import defined
from .moment import Moment

SATP_NOT_RESTORED = Rule(
    "satp-not-restored",
    "error",
    "A hart that runs no process has a process's page table loaded. Another hart may free "
    "that table at any moment, for the process is no longer running; then the first fetch "
    "after the next TLB miss goes astray. It shows only with several harts, and only "
    "sometimes. When swtch() comes back to the scheduler, the global kernel page table must "
    "be loaded, and fenced, before p->lock is released.",
    "Load kernel_pagetable right after swtch(), not where nothing was found to run. In gdb: "
    "break after the call of swtch() in the scheduler, and `p/x $satp`.",
    "continue                   # to the shell; then ctrl-C\n"
    "tbreak swtch               # in scheduler(), on its way to a process\n"
    "continue                   # press Enter at the shell\n"
    "finish                     # back from the process\n"
    "next 3                     # and past what follows it\n"
    "print/x $satp << 12        # must be kernel_pagetable\n"
    "print kernel_pagetable",
)
SATP_FREED = Rule(
    "satp-freed",
    "error",
    "A hart has a page table loaded whose root page has been freed. The next owner of that "
    "page writes its own data into what this hart takes for page-table entries, and the "
    "hart goes wherever those lead.",
    "Who freed the table while it was loaded? No hart may be on it when p->lock is free. In "
    "gdb: `break kfree if pa == ROOT`, then `info threads`.",
    "break freeproc if p->kpagetable != 0\n"
    "continue                   # then do what the finding did\n"
    "print p->kpagetable\n"
    "thread apply all print/x $satp << 12   # has a hart still loaded it?\n"
    "thread apply all backtrace 3",
)
SATP_WRONG = Rule(
    "satp-wrong",
    "error",
    "A hart runs a process and has neither that process's kernel page table loaded nor, in "
    "user mode and in the trampoline, its user page table. The process then runs on memory "
    "that is not its own: another's data, or another's kernel stack under its own stack "
    "pointer. People load the table of the wrong process in scheduler(), take the kernel's "
    "satp for the trapframe from the wrong place, or forget to load the table at all.",
    "Compare, in gdb: `p/x $satp & 0xfffffffffff`, `p/x (long)p->pagetable >> 12`, and the "
    "same for the kernel table; p is cpus[$tp].proc.",
    "break kvmswitch            # or whatever writes satp\n"
    "condition 1 table != kernel_pagetable && table != cpus[$tp].proc->kpagetable\n"
    "continue                   # not 1, if there were other breakpoints before\n"
    "backtrace                  # who loads another's table\n"
    "print *cpus[$tp].proc",
)
RULES = (SATP_NOT_RESTORED, SATP_FREED, SATP_WRONG)


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield what is wrong with the tables that are loaded."""
    if moment.cpus is None:
        return
    for hart in moment.harts:
        root = satp_root(hart["satp"])
        if root is None or hart.number >= len(moment.cpus):
            continue
        cpu = moment.cpus[hart.number]
        if not int(cpu["proc"]) and root != moment.kernel_root:
            if not moment.reference and _still_holds(moment, root, cpu):
                continue  # about to load kernel_pagetable: nobody can free the table yet
            yield _not_restored(moment, hart, root, cpu)  # whether it is freed yet or not
            continue
        if moment.blame.is_free(root):
            yield _freed(moment, hart, root)
        if int(cpu["proc"]):
            yield from _wrong(moment, hart, root, cpu)


def _still_holds(moment: Moment, root: int, cpu: Value) -> bool:
    """Tell whether a hart holds the lock of the process whose kernel table has this root."""
    table = moment.elf.variable(moment.ram, "proc")
    if table is None:
        return False
    member = kernel_table_member(table)
    for process in table:
        if member and int(process[member]) == root and "lock" in process:
            lock = process["lock"]
            if "locked" in lock and "cpu" in lock:
                return bool(int(lock["locked"])) and int(lock["cpu"]) == cpu.address
    return False


def _freed(moment: Moment, hart: Hart, root: int) -> Finding:
    return moment.finding(
        SATP_FREED,
        f"Hart {hart.number} has the page table at 0x{root:x} loaded, which is free.",
        moment.blame.freed(root),
        _at(moment, hart),
        moment.blame.story(root),
    )


def _not_restored(moment: Moment, hart: Hart, root: int, cpu: Value) -> Finding:
    return moment.finding(
        SATP_NOT_RESTORED,
        f"Hart {hart.number} runs no process, but its page table is 0x{root:x}, not "
        f"kernel_pagetable (0x{moment.kernel_root:x}).",
        _after_swtch(moment, cpu),
        _at(moment, hart),
    )


def _wrong(moment: Moment, hart: Hart, root: int, cpu: Value) -> Iterator[Finding]:
    process = next((p for p in moment.processes if p.address == int(cpu["proc"])), None)
    if process is None or _in_scheduler(moment, hart):
        return
    pc = _pc(moment, hart)
    user, kernel = process.pagetable, process.kpagetable or moment.kernel_root
    if TRAMPOLINE <= pc < TRAMPOLINE + PAGE:
        right = {"user": user, "kernel": kernel}
        where = defined(moment.elf, "usertrapret")
    elif not moment.elf.in_text(pc):
        right = {"user": user}
        where = defined(moment.elf, "usertrapret")
    else:
        right = {"kernel": kernel}
        where = _after_swtch(moment, cpu)
    if root not in right.values():
        yield moment.finding(
            SATP_WRONG,
            f"Hart {hart.number} runs {process}, but the page table that it has loaded, "
            f"0x{root:x}, is {_whose(moment, root)}; it should be "
            + " or ".join(f"the process's {kind} table, 0x{pa:x}" for kind, pa in right.items())
            + ".",
            where,
            _at(moment, hart),
        )


def _in_scheduler(moment: Moment, hart: Hart) -> bool:
    """Tell whether the hart is on its boot stack: switching to a process, or from it."""
    layout = moment.layout
    return layout is None or layout.base <= hart["sp"] <= layout.end


def _pc(moment: Moment, hart: Hart) -> int:
    """Return where the hart is, or was before it took a trap to machine mode."""
    vector = moment.elf.function(hart["mtvec"] & ~3) if hart["mtvec"] else None
    inside = moment.elf.in_text(hart.pc) and moment.elf.function(hart.pc) == vector
    return hart["mepc"] if vector and inside else hart.pc


def _whose(moment: Moment, root: int) -> str:
    if root == moment.kernel_root:
        return "kernel_pagetable"
    for process in moment.processes:
        for kind, pa in (("user", process.pagetable), ("kernel", process.kpagetable)):
            if pa == root:
                return f"the {kind} table of {process}"
    return "no process's"


def _after_swtch(moment: Moment, cpu: Value) -> Where:
    """Return where swtch() comes back to when a process gives its hart back."""
    try:
        back = int(cpu["context"]["ra"])
    except KeyError as error:
        raise HarnessError(f"{moment.elf.path}: struct cpu: {error}") from error
    return moment.elf.where(back, call=True)


def _at(moment: Moment, hart: Hart) -> str:
    places = moment.elf.frames(hart.pc)
    return f"hart {hart.number} is at {places[0] if places else f'0x{hart.pc:x}'}"
