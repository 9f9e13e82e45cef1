"""Are the page tables sound at any moment?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..bench import Bench
from ..ctype import Value
from ..elf import ElfImage
from ..errors import HarnessError
from ..finding import Finding, Rule, Where
from ..hart import Hart
from ..ledger import Ledger, responsible
from ..machine import PROMPT, Machine
from ..processes import kernel_root
from ..ram import Ram
from ..sv39 import satp_root
from ..unwind import call_path, path_text
from . import Unchecked, check

HARTS = 3
SAMPLES = 400
BETWEEN = 0.002  # seconds that it runs between two looks
ROUNDS = 1000  # of each load; it is started again when it is done

SATP_NOT_RESTORED = Rule(
    "satp-not-restored",
    "error",
    "A hart that runs no process has a process's page table loaded. Another hart may free "
    "that table at any moment, for the process is no longer running; then the first fetch "
    "after the next TLB miss goes astray. It shows only with several harts, and only "
    "sometimes. When swtch() comes back to the scheduler, the global kernel page table must "
    "be loaded, and fenced, before p->lock is released.",
    "Load kernel_pagetable right after swtch(), not where nothing was found to run.",
)
SATP_FREED = Rule(
    "satp-freed",
    "error",
    "A hart has a page table loaded whose root page has been freed. The next owner of that "
    "page writes its own data into what this hart takes for page-table entries.",
    "Who freed the table while it was loaded? No hart may be on it when p->lock is free.",
)


@dataclass(frozen=True)
class Moment:
    """A machine that stands still."""

    ram: Ram
    elf: ElfImage
    harts: tuple[Hart, ...]
    cpus: Value
    ledger: Ledger
    kernel_root: int


RamRule = Callable[[Moment], Iterator[Finding]]


@check(SATP_NOT_RESTORED, SATP_FREED, needs=("boot",))
def audit(bench: Bench) -> Iterator[Finding]:
    """Whenever one looks, every hart is on a page table that it may be on"""
    with bench.machine(harts=HARTS, icount=False) as machine:
        machine.wait_prompt()
        seen: set[str] = set()
        started = 0
        for _ in range(SAMPLES):
            while started - machine.said().count(f"@{bench.nonce} leak") < HARTS:
                machine.send(f"probe {bench.nonce} leak forkexec {ROUNDS} &")
                machine.expect(PROMPT, "the prompt after starting the load")
                started += 1
            machine.watch(BETWEEN)
            for finding in at_rest(bench, machine):
                if finding.rule not in seen:
                    seen.add(finding.rule)
                    yield finding


def at_rest(bench: Bench, machine: Machine) -> list[Finding]:
    """Stop the machine, apply every RAM rule, and let it run on."""
    harts = machine.stop()
    cpus = bench.elf.variable(machine.ram, "cpus")
    if cpus is None or not len(cpus):
        raise Unchecked(f"{bench.elf.path}: no cpus[] with debug information")
    moment = Moment(
        machine.ram,
        bench.elf,
        harts,
        cpus,
        Ledger(machine.ram, bench.elf),
        kernel_root(machine.ram, bench.elf),
    )
    found = [finding for rule in RAM_RULES for finding in rule(moment)]
    machine.resume()
    return found


def satp_not_restored(moment: Moment) -> Iterator[Finding]:
    """A hart without a process is on the global table."""
    for hart in moment.harts:
        root = satp_root(hart["satp"])
        cpu = moment.cpus[hart.number]
        if root is None or int(cpu["proc"]) or root == moment.kernel_root:
            continue
        yield SATP_NOT_RESTORED.finding(
            f"Hart {hart.number} runs no process, but its page table is 0x{root:x}, not "
            f"kernel_pagetable (0x{moment.kernel_root:x}).",
            where=_after_swtch(moment, cpu),
            evidence=_at(moment, hart),
        )


def satp_freed(moment: Moment) -> Iterator[Finding]:
    """No hart's root page is free."""
    for hart in moment.harts:
        root = satp_root(hart["satp"])
        if root is None or not moment.ledger.is_free(root):
            continue
        page = moment.ledger.page(root)
        assert page is not None
        places = responsible(call_path(moment.elf, page.free))
        yield SATP_FREED.finding(
            f"Hart {hart.number} has the page table at 0x{root:x} loaded, which is free.",
            where=places[0] if places else Where(),
            evidence=f"{_at(moment, hart)}\nThe page was freed by\n{path_text(places)}",
        )


RAM_RULES: tuple[RamRule, ...] = (satp_not_restored, satp_freed)


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
