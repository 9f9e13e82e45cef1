"""Whether what memory says fits together, and fits what the console says.

The kernel under test can write anywhere, over the ledger and the control block as well; and it
sees the probe's command line, nonce and all, so it can answer in the probe's place. What the
shim has counted is therefore compared with what it has written down page by page, and the
probe's answers with what the shim has counted. What does not agree is a finding: whatever the
reason, a check that was told so has not passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .finding import Finding, Rule
from .ledger import MAGIC, VERSION, Ledger
from .machine import Machine

TAMPERED = Rule(
    "evidence-tampered",
    "error",
    "The shim that Faultline links into the kernel notes each kalloc() and kfree() in the "
    "kernel's own memory, and counts them. What it has noted does not fit what it has counted, "
    "or what the probe, an ordinary program, is said to have answered. Either the kernel "
    "writes over memory that is not its own, as it does through a wild or stale pointer, or "
    "somebody made it say what a grader would like to hear. On real hardware the wild pointer "
    "hits something else each time. Until that is settled nothing that this check sees counts.",
    "Does any pointer of the kernel's reach faultline_ctl or faultline_ledger? They lie in its "
    "data, like any variable of yours.",
    "watch faultline_ctl.live   # who writes here besides the __wrap_ functions?\n"
    "continue                   # then do what the finding did\n"
    "backtrace\n"
    "print faultline_ctl",
)
RULES = (TAMPERED,)
SETTLE = 0.2  # wall seconds after which a kalloc that was under way is over


@dataclass(frozen=True)
class Counts:
    """What the shim has counted up to some moment at which nobody was at work."""

    seq: int  # kallocs and kfrees
    watched: int  # times that FL_END followed FL_MARK
    gained: int  # pages live at FL_END more than at FL_MARK, all in all; may be negative


def without_shim(ledger: Ledger) -> str:
    """Return in words why there is nothing in the ledger, or nothing if there is."""
    if int(ledger.ctl["shim"]) or int(ledger.ctl["seq"]):
        return ""
    return (
        "no kalloc() of this kernel goes through the shim, although it is linked with it: is "
        "kalloc() in one source file with those who call it?"
    )


def counts(ledger: Ledger) -> Counts:
    """Return what the shim has counted so far."""
    ctl = ledger.ctl
    gained = int(ctl["gained"])
    return Counts(int(ctl["seq"]), int(ctl["watched"]), gained - (gained >> 63 << 64))


def inconsistencies(ledger: Ledger) -> Iterator[str]:
    """Yield in words what the control block and the ledger contradict each other in.

    Only for a kernel whose shim has been at work, and a moment in which nobody is.
    """
    ctl = ledger.ctl
    for name, expected in (("magic", MAGIC), ("version", VERSION), ("shim", 1)):
        found = int(ctl[name])
        if found != expected:
            yield f"faultline_ctl.{name} is 0x{found:x}, it was 0x{expected:x}"
    seq, mark, end, live = (int(ctl[name]) for name in ("seq", "mark", "end", "live"))
    seqs, lives = ledger.columns()
    used = list(filter(None, seqs))
    in_use = len(lives) - lives.count(0)
    if in_use != live:
        yield f"{live} pages are counted as live, and {in_use} are noted as live"
    if max(used, default=0) > seq:
        yield f"kalloc or kfree {max(used)} is noted, and there were only {seq}"
    if len(set(used)) != len(used):
        yield "two pages are noted for the same kalloc or kfree"
    if max(lives) > 1:
        yield "a page is noted as neither live nor free"
    if mark > seq or end > seq or 0 < end < mark:
        yield f"what was watched is noted as from {mark} to {end}, of {seq}"


def settled(machine: Machine, look: Callable[[], Iterator[str]]) -> list[str]:
    """Stop a machine and return the problems that a look at it shows, and a second look some
    time later: somebody may have been at work. The machine stands still afterwards."""
    machine.stop()
    problems = list(look())
    if problems:
        machine.resume()
        machine.watch(SETTLE)
        machine.stop()
        problems = list(look())
    return problems


def tampered(problems: list[str], when: str) -> Finding:
    """Return the finding for these problems, of which there is one at least."""
    return TAMPERED.finding(
        f"What the kernel's memory holds does not fit together, {when}: {problems[0]}.",
        evidence="\n".join(problems),
    )


def disagreements(before: Counts, after: Counts, lost: int, least: int) -> Iterator[str]:
    """Yield in words what of an answer of the probe's the shim knows better.

    The probe says that it had one action watched, after which so many pages more were in use
    than before it, and which took at least so many kallocs and kfrees.
    """
    times = after.watched - before.watched
    if times != 1:
        yield (
            "the probe says that it had its action watched once, the shim was asked "
            f"{times} times"
        )
    gained = after.gained - before.gained
    if gained != lost:
        yield (
            f"the probe says that {lost} pages more are in use after its action than before, "
            f"the shim has counted {gained}"
        )
    made = after.seq - before.seq
    if made < least:
        yield f"the action takes at least {least} kallocs and kfrees, there were {made}"
