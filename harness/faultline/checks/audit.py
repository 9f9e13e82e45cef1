"""Are the page tables sound at any moment?"""

from __future__ import annotations

from collections.abc import Iterator

from ..audit import RULES, audit_moment, satp
from ..audit.mirror import MIRROR_STALE
from ..audit.moment import Moment
from ..audit.pages import MAPPED_FREE_PAGE
from ..bench import Bench
from ..finding import Finding
from ..hart import Hart
from ..ledger import Ledger
from ..machine import PROMPT, GuestDied, Machine
from ..processes import KERNEL_ROOT, has_kernel_root, has_kernel_tables, processes
from ..ram import Ram
from ..trust import RULES as TRUST_RULES
from ..trust import inconsistencies, settled, tampered, without_shim
from . import Unchecked, check
from .boot import ATTEMPTS, STARTING
from .leaks import ACTION_FAILED

HARTS = 3
SAMPLES = 60
BETWEEN = 0.002  # seconds that it runs between two looks
PAIRS = 2  # of processes that do nothing but switch to each other
ROUNDS = 1000  # of a load that makes and frees tables; it is started again when it is done
SETTLE = 0.002  # wall seconds between two looks whether the guest is idle
PATIENCE = 500  # such looks
LOOKS = 50  # at a machine on which there will be no shell
# How what was seen once shows later: the page that an old entry leads to is given out again.
LATER = {MAPPED_FREE_PAGE.name: MIRROR_STALE.name}

class PoseFailed(Exception):
    """The probe could not take up its next pose; names the call that failed."""


@check(*RULES, ACTION_FAILED, *TRUST_RULES)
def audit(bench: Bench) -> Iterator[Finding]:
    """At every moment page tables, free list and page counters are as they should be"""
    ask(bench)
    known: set[str] = set()
    sound = True
    for found in look_at_poses(bench):
        for finding in new_findings(found, known):
            sound = sound and finding.severity == "note"
            yield finding
    try:
        for found in look_under_load(bench):
            fresh = new_findings(found, known)
            yield from fresh
            if fresh:
                return  # what else the next looks would see depends on chance
    except GuestDied:
        if sound:
            raise  # else it died of what is known
    if sound and not has_kernel_tables(bench.elf):
        raise Unchecked(
            "not done yet: there is no per-process kernel page table; user page tables, the "
            "global one and the free list are as they should be"
        )


def ask(bench: Bench) -> None:
    """Raise Unchecked if the kernel has not what an audit looks at."""
    for name in ("faultline_ctl", "proc", "cpus", KERNEL_ROOT):
        known = bench.elf.type_of(name) is not None
        if not known and not (name == KERNEL_ROOT and has_kernel_root(bench.elf)):
            what = "is not linked with the shim" if name == "faultline_ctl" else f"has no {name}"
            raise Unchecked(f"the kernel {what}, or there is no debug information of it")


def new_findings(found: list[Finding], known: set[str]) -> list[Finding]:
    """Return what one look has found, without the rules that were broken at earlier ones,
    for a mistake has consequences; and each rule once for each function."""
    told = known | {LATER[rule] for rule in known if rule in LATER}
    fresh = {(f.rule, f.where.function): f for f in reversed(found) if f.rule not in told}
    known |= {rule for rule, _ in fresh}
    return list(reversed(fresh.values()))


def look_at_poses(bench: Bench) -> Iterator[list[Finding]]:
    """Audit a machine with one hart after boot and in each of the probe's poses; if it dies
    before, what it left behind. Yields what each look has found."""
    with bench.machine() as machine:
        try:
            reached = _boot(machine)
            if reached:
                yield at_rest(bench, machine, "after boot") or _distrusted(bench, machine)
            for name in _poses(bench, machine) if reached else ():
                bench.say(f"audit: {name}")
                when = f"in the probe's pose `{name}`"
                yield at_rest(bench, machine, when) or _distrusted(bench, machine, when)
                machine.send("")
        except PoseFailed as failed:
            yield [
                ACTION_FAILED.finding(
                    f"The probe could not take up its next pose: {failed} failed.",
                    evidence=f"The last output:\n{machine.said()[-500:]}",
                )
            ]
        except GuestDied as died:
            when = f"after the guest's end ({died.death.kind})"
            yield _audit(bench, machine.ram, died.death.harts, when=when)
            raise
        if not reached:
            yield _look_while_init_tries(bench, machine)


def _distrusted(bench: Bench, machine: Machine, when: str = "after boot") -> list[Finding]:
    """Return what is to be said if the ledger, which the audit goes by, contradicts itself."""
    ledger = Ledger(machine.ram, bench.elf)
    if without_shim(ledger):
        return []
    wrong = settled(machine, lambda: inconsistencies(ledger))
    machine.resume()
    return [tampered(wrong, when)] if wrong else []


def _look_while_init_tries(bench: Bench, machine: Machine) -> list[Finding]:
    """Audit a machine on which init starts one shell after the other, until a look shows
    something: the child with the mistake may just have ended."""
    for _ in range(LOOKS):
        found = _audit(bench, machine.ram, machine.stop(), when="while init tries on")
        if found:
            return found
        machine.resume()
        machine.watch(SETTLE)
    raise Unchecked("there is no shell, and nothing is wrong with the page tables")


def _boot(machine: Machine) -> bool:
    """Wait for the prompt; return whether it came before init had tried too often."""
    machine.expect(
        rf"{PROMPT}|(?:{STARTING}(?:(?!{PROMPT})[\s\S])*){{{ATTEMPTS}}}",
        "the shell's prompt",
        machine.config.limits.boot,
    )
    return machine.said().count(STARTING) < ATTEMPTS


def _poses(bench: Bench, machine: Machine) -> Iterator[str]:
    """Start the probe; yield each pose that it takes up. It waits for a line then."""
    machine.send(f"probe {bench.nonce} pose")
    while True:
        answer = machine.expect(
            rf"@{bench.nonce} pose (ok|fail=\S+|[a-z-]+)\r?\n|{PROMPT}", "the probe's next pose"
        )
        name = answer[1]
        if name == "ok":
            return
        if name is None or name.startswith("fail="):
            raise PoseFailed((name or "fail=the probe, which is gone").removeprefix("fail="))
        yield name


def at_rest(bench: Bench, machine: Machine, when: str) -> list[Finding]:
    """Let the guest come to rest, stop it, audit everything, and let it run on."""
    for _ in range(PATIENCE):
        harts = machine.stop()
        quiet = is_idle(bench, machine)
        if quiet:
            break
        machine.resume()
        machine.watch(SETTLE)
    else:
        harts = machine.stop()
    found = _audit(bench, machine.ram, harts, quiet=quiet, when=when)
    machine.resume()
    return found


def is_idle(bench: Bench, machine: Machine) -> bool:
    """Tell whether every process of a stopped machine sleeps, and every hart knows it."""
    cpus = bench.elf.variable(machine.ram, "cpus")
    if cpus is None:
        raise Unchecked(f"{bench.elf.path}: no cpus[] with debug information")
    if any(int(cpu["proc"]) for cpu in cpus):
        return False
    states = {process.state for process in processes(machine.ram, bench.elf)}
    return not states & {"USED", "RUNNABLE", "RUNNING"}


def _audit(
    bench: Bench, ram: Ram, harts: tuple[Hart, ...], *, quiet: bool = False, when: str
) -> list[Finding]:
    return list(audit_moment(_moment(bench, ram, harts, quiet=quiet, when=when)))


def _moment(
    bench: Bench, ram: Ram, harts: tuple[Hart, ...], *, quiet: bool = False, when: str = ""
) -> Moment:
    moment = Moment(
        ram, bench.elf, harts, Ledger(ram, bench.elf), quiet, when, bench.build.kpt == "share"
    )
    if moment.cpus is None:
        raise Unchecked(f"{bench.elf.path}: no cpus[] with debug information")
    return moment


def look_under_load(bench: Bench) -> Iterator[list[Finding]]:
    """Look at several harts again and again while they run, at what they have loaded."""
    with bench.machine(harts=HARTS, icount=False) as machine:
        machine.wait_prompt()
        for _ in range(PAIRS):
            machine.start(f"probe {bench.nonce} pingpong")
        started = 0
        for _ in range(SAMPLES):
            if started == machine.said().count(f"@{bench.nonce} leak"):
                machine.start(f"probe {bench.nonce} leak forkexec {ROUNDS}")
                started += 1
            machine.watch(BETWEEN)
            yield list(satp.apply(_moment(bench, machine.ram, machine.stop())))
            machine.resume()
