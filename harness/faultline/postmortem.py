"""Why a guest died, in words and source lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .elf import ElfImage
from .errors import HarnessError
from .excerpt import last_lines
from .finding import Finding, Rule, Where
from .hart import INTERRUPT, Hart, cause_words
from .ledger import Ledger, event_findings
from .machine import PANIC, Death, GuestDied
from .processes import kernel_root, processes
from .ram import Ram
from .sleepers import saved, sleepers
from .sleepers import words as waiting_words
from .sv39 import satp_root
from .unwind import call_path, path_text, return_addresses

KERNEL_PANIC = Rule(
    "kernel-panic",
    "error",
    "The kernel gave up: it called panic(), or took a trap in supervisor mode that it does "
    "not provide for. No program may be able to bring that about, so whatever the words "
    "say, something before it went wrong: a page freed too early, a mapping that is "
    "missing, a return value nobody looked at. On real hardware it takes all programs and "
    "unwritten data with it. The call path shows where it noticed.",
    "Read the call path from the bottom: which of your functions was asked to do what?",
    "break panic\n"
    "break panic_trap           # the reference's, for traps in the kernel\n"
    "continue                   # then do what the finding did\n"
    "backtrace                  # who gave up\n"
    "info registers scause sepc stval satp\n"
    "info line *$sepc           # the instruction that trapped, if one did",
)
KERNEL_HANG = Rule(
    "kernel-hang",
    "error",
    "The guest has stopped getting anywhere: for a long time of its own clock it has said "
    "nothing although it was asked to. A lock that is never released, a wakeup that is "
    "missed, a loop without an end, or a trap handler that itself traps. A real machine "
    "stands just as still, and has no harness that looks.",
    "Look at where each hart is, and what it waits for.",
    "continue                   # and, when it hangs, ctrl-C\n"
    "info threads               # a thread is a hart\n"
    "thread apply all backtrace 6\n"
    "print cpus[0]@3            # whom they run; noff > 0: with interrupts off\n"
    "thread apply all print/x $scause  # the same trap again and again? see $sepc",
)
SILENT_GUEST = Rule(
    "silent-guest",
    "error",
    "The kernel has not written a single character to its console. It went wrong before or "
    "at consoleinit(): a kernel linked to the wrong address, a stack that is missing, no "
    "PMP entry before the first mret (real harts insist on one, and so does QEMU since "
    "version 6), or a page table that does not map what runs.",
    "Boot it with `make qemu-gdb`, break at the entry, and step to the first trap.",
    "tbreak *0x80000000         # the first instruction\n"
    "continue\n"
    "tbreak main\n"
    "continue                   # never there? ctrl-C, and\n"
    "info registers pc mcause mepc mtval scause sepc satp",
)
REBOOT_LOOP = Rule(
    "reboot-loop",
    "error",
    "The kernel starts again and again: its first line keeps coming back, or the guest "
    "resets the machine. Execution has come back to the entry: a jump through a null or "
    "clobbered function pointer, or a trap vector that points to the start. Real hardware "
    "starts over likewise, with whatever memory and devices hold by then.",
    "What is the last line before the first one comes again? The jump is after that.",
    "break *0x80000000          # the entry\n"
    "continue                   # right once for each hart; what comes after is not\n"
    "info registers ra sp scause sepc mcause mepc stvec mtvec\n"
    "info line *$ra             # who jumped, if it was a call",
)
ENDLESS_OUTPUT = Rule(
    "endless-output",
    "error",
    "The guest writes without an end. Usually a loop whose exit is never reached prints, "
    "or a trap is reported, returns, and is taken again. On real hardware that is a console "
    "that nobody can use any more, and a hart that does nothing else.",
    "The tail of the output shows what repeats.",
    "continue                   # and, when it does not end, ctrl-C\n"
    "backtrace\n"
    "break consputc             # or whatever prints a character\n"
    "commands\n"
    "backtrace 6                # the same path each time: the loop is in it\n"
    "end\n"
    "continue",
)
EARLY_EXIT = Rule(
    "early-exit",
    "error",
    "The guest turned the machine off before it had done what it was asked to. Nothing but "
    "a program that asks for it may write to the test device. A real machine has other "
    "devices at such addresses, and stray writes to them do as much harm. A pointer that "
    "was never set, or device memory mapped where a program can reach it, is the usual way.",
    "Is the test device mapped where something else should be?",
    "break mappages if pa <= 0x100000 && 0x100000 - pa < size\n"
    "break sys_poweroff         # the reference's way out: did a program ask for it?\n"
    "continue                   # then do what the finding did\n"
    "backtrace                  # who maps the test device, or turns it off",
)
RULES = (KERNEL_PANIC, KERNEL_HANG, SILENT_GUEST, REBOOT_LOOP, ENDLESS_OUTPUT, EARLY_EXIT)

_RULE_OF = {
    "panic": KERNEL_PANIC,
    "hang": KERNEL_HANG,
    "silent": SILENT_GUEST,
    "reboot-loop": REBOOT_LOOP,
    "endless-output": ENDLESS_OUTPUT,
    "exited": EARLY_EXIT,
}
PMPADDR0 = 0x3B0
# Functions that a kernel calls from everywhere, and of those that it loops with.
EVERYBODYS = frozenset(
    {"acquire", "release", "holding", "push_off", "pop_off", "mycpu", "myproc", "cpuid",
     "intr_on", "intr_off", "intr_get", "timervec", "kernelvec", "kerneltrap", "devintr",
     "clockintr", "memset", "memmove", "memcpy"}
)  # fmt: skip
_PANICS = frozenset({"panic", "panic_trap"})
_REGISTER = re.compile(r"[rw]_\w+")  # reading or writing a control register
_HEX = r"0x([0-9a-fA-F]{1,16})"
# What xv6 says of a program that it kills: registers that are none of the kernel's.
_USER_TRAP = re.compile(r"usertrap\(\):[^\n]*\n(?:[ \t]+sepc[^\n]*\n)?")


@dataclass(frozen=True)
class Panic:
    """What a kernel said when it panicked. Absent parts are None or empty."""

    words: str
    hart: int | None = None
    pid: int | None = None
    name: str = ""
    scause: int | None = None
    sepc: int | None = None
    stval: int | None = None
    backtrace: tuple[int, ...] = ()


def parse_panic(console: str) -> Panic | None:
    """Return the first panic in console output, or None.

    Understands this project's kernel, and xv6, which prints the registers first.
    """
    match = re.search(PANIC, console.replace("\r", "") + "\n")
    if match is None:
        return None
    text = console.replace("\r", "") + "\n"
    around = _USER_TRAP.sub("", text[: match.start()])[-400:] + text[match.start() :]
    after = text[match.end() :]
    who = re.search(r"hart (\d+), (?:pid (\d+) \((.*?)\)|no process)", after)
    trace = re.search(rf"backtrace:\n((?:[ \t]*{_HEX}[ \t]*\n)*)", after)
    registers: dict[str, int | None] = {}
    for register in ("scause", "sepc", "stval"):
        found = re.search(rf"\b{register}\s*=?\s*{_HEX}", around)
        registers[register] = int(found[1], 16) if found else None
    return Panic(
        match[1].strip(),
        int(who[1]) if who else None,
        int(who[2]) if who and who[2] else None,
        who[3] or "" if who else "",
        registers["scause"],
        registers["sepc"],
        registers["stval"],
        tuple(int(word, 16) for word in re.findall(_HEX, trace[1])) if trace else (),
    )


def causes_of_death(died: GuestDied, elf: ElfImage) -> list[Finding]:
    """Return what the ledger knows of a dead guest; nothing if there is no ledger."""
    try:
        return event_findings(Ledger(died.machine.ram, elf), died.death.harts)
    except HarnessError:
        return []


def death_finding(died: GuestDied, elf: ElfImage) -> Finding:
    """Return what is to be said of a guest's death."""
    death, ram = died.death, died.machine.ram
    rule = _RULE_OF[death.kind]
    parts = []
    if death.kind == "panic":
        message, where, details = _panic(death, ram, elf)
        parts.append(details)
    else:
        message, where = _other(death, ram, elf)
        waiting = sleepers(ram, elf) if death.kind == "hang" else []
        if waiting:
            message += "; every process waits for something"
            where = next((places[0] for _, places in reversed(waiting) if places), where)
            parts.append(waiting_words(waiting))
    parts += [hart_words(hart, ram, elf) for hart in death.harts]
    if death.status is not None:
        parts.append(f"QEMU's exit status: {death.status}")
    if death.console:
        parts.append("The last output:\n" + _indent(last_lines(death.console)))
    return rule.finding(message, where=where, evidence="\n".join(filter(None, parts)))


def _panic(death: Death, ram: Ram, elf: ElfImage) -> tuple[str, Where, str]:
    panic = parse_panic(death.console) or Panic(death.words)
    backtrace = list(panic.backtrace)
    if not backtrace:
        backtrace = _stack_of_panic(death, ram, elf)
    places = call_path(elf, backtrace)
    while places and places[0].function in _PANICS:
        places.pop(0)
    trap = ""
    if panic.sepc is not None and panic.scause is not None:
        origin = elf.frames(panic.sepc)
        stval = f", address 0x{panic.stval:x}" if panic.stval is not None else ""
        trap = f"{cause_words(panic.scause)} at 0x{panic.sepc:x} in {_first(origin)}{stval}"
        if origin or "trap" in panic.words:
            places = origin + [p for p in places if not _handles_traps(p)]
    who = f" (process {panic.pid}, {panic.name})" if panic.pid is not None else ""
    message = f"The kernel panicked{who}: {panic.words}"
    if trap:
        message += f"; {trap}"
    return message, places[0] if places else Where(), "Call path:\n" + path_text(places)


def _stack_of_panic(death: Death, ram: Ram, elf: ElfImage) -> list[int]:
    """Return the stack of the hart that is in panic(), if there is one.

    It goes round there for ever, with interrupts: it may have been stopped in one of them.
    """
    for hart in death.harts:
        stack = return_addresses(ram, elf, hart)
        at, callers = elf.frames(hart.pc), [elf.frames(pc, call=True) for pc in stack]
        if at and at[0].function == "timervec":  # machine mode leaves the stack alone
            at = elf.frames(hart["mepc"])
        if any(place.function in _PANICS for frames in (at, *callers) for place in frames):
            return stack
        handlers = [i for i, frames in enumerate(callers) if any(map(_handles_traps, frames))]
        if handlers and any(place.function in _PANICS for place in elf.frames(hart["sepc"])):
            return stack[handlers[-1] + 1 :]
    sepcs = [place for hart in death.harts for place in elf.frames(hart["sepc"])]
    return _put_aside(ram, elf) if any(place.function in _PANICS for place in sepcs) else []


def _put_aside(ram: Ram, elf: ElfImage) -> list[int]:
    """Return the stack of the process that a timer interrupt has taken the hart from."""
    try:
        found, root = processes(ram, elf), kernel_root(ram, elf)
    except HarnessError:
        return []
    for process in found:
        stack = return_addresses(ram, elf, saved(process, root))
        callers = [elf.frames(pc, call=True) for pc in stack]
        handlers = [i for i, frames in enumerate(callers) if any(map(_handles_traps, frames))]
        if process.state == "RUNNABLE" and handlers:
            return stack[handlers[-1] + 1 :]
    return []


def _handles_traps(place: Where) -> bool:
    return place.function in ("kerneltrap", "kernelvec", "panic_trap")


def _other(death: Death, ram: Ram, elf: ElfImage) -> tuple[str, Where]:
    hart = death.harts[0] if death.harts else None
    where = place_of_hang(hart, ram, elf) if hart else Where()
    loop = trap_loop(hart, elf) if hart else ""
    says = {
        "hang": "The kernel hangs",
        "silent": "The kernel does not say a word",
        "reboot-loop": "The kernel starts over and over",
        "endless-output": "The guest writes without an end",
        "exited": "The machine was turned off too early",
    }[death.kind]
    if hart and loop:
        cause, pc = (hart["mcause"], hart["mepc"]), (hart["scause"], hart["sepc"])
        faulting = cause[1] if _machine_fault(hart) else pc[1]
        where = _first_place(elf.frames(faulting)) if elf.in_text(faulting) else where
    return f"{says}: {loop or death.words}", where


def place_of_hang(hart: Hart, ram: Ram, elf: ElfImage) -> Where:
    """Return where a hart goes round in a circle: the same place each time it is stopped.

    What every loop calls is not it, nor is the line that the hart happens to be at. One that
    waits for a lock is where the lock is asked for.
    """
    frames = elf.frames(hart.pc)
    places = frames + call_path(elf, return_addresses(ram, elf, hart)) if frames else []
    waits = False
    while len(places) > 1 and _everybodys(places[0]):
        waits = places.pop(0).function == "acquire"
    if not places or waits:
        return _first_place(places)
    return elf.function_place(places[0].function or "") or places[0]


def _everybodys(place: Where) -> bool:
    return place.function in EVERYBODYS or bool(_REGISTER.fullmatch(place.function or ""))


def _machine_fault(hart: Hart) -> bool:
    return bool(hart["mcause"]) and not hart["mcause"] & INTERRUPT


def trap_loop(hart: Hart, elf: ElfImage) -> str:
    """Return in words which exception a hart takes for ever, or nothing."""
    if _machine_fault(hart):
        cause, pc = hart["mcause"], hart["mepc"]
        place = _first(elf.frames(pc))
        words = f"{cause_words(cause)} at 0x{pc:x} in {place}, taken to machine mode"
        if cause == 1 and not elf.uses_csr(PMPADDR0):
            words += (
                ". No PMP entry allows supervisor mode to use memory: set pmpaddr0 and "
                "pmpcfg0 before mret (QEMU insists on it since version 6)"
            )
        return words
    vector = hart["stvec"] & ~3
    cause, pc = hart["scause"], hart["sepc"]
    if vector and not cause & INTERRUPT and cause and vector <= pc < vector + 0x200:
        return (
            f"the trap handler itself traps: {cause_words(cause)} at 0x{pc:x} in "
            f"{_first(elf.frames(pc))}, address 0x{hart['stval']:x}"
        )
    return ""


def hart_words(hart: Hart, ram: Ram, elf: ElfImage) -> str:
    """Return where a hart is, under which table, and what it trapped on last."""
    frames = elf.frames(hart.pc)
    place = _first(frames) if frames else "no code of the kernel"
    root = satp_root(hart["satp"])
    table = "translation off" if root is None else f"page table 0x{root:x}"
    words = f"hart {hart.number}: at 0x{hart.pc:x}, {place}; {table}"
    if hart["scause"]:
        words += (
            f"; last trap: {cause_words(hart['scause'])}, sepc 0x{hart['sepc']:x}, "
            f"stval 0x{hart['stval']:x}"
        )
    callers = frames[1:] + call_path(elf, return_addresses(ram, elf, hart)) if frames else []
    return words + "".join(f"\n    called from {caller}" for caller in callers[:6])


def _first_place(frames: list[Where]) -> Where:
    return frames[0] if frames else Where()


def _first(frames: list[Where]) -> str:
    return str(frames[0]) if frames else "no code of the kernel"


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip("\n").split("\n"))
