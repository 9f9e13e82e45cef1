"""The TLB checker: a machine with the plugin in it, and what its report means.

The plugin (harness/tlb) watches satp, fences, page tables and accesses, and writes a line of
JSON for each use of a translation that the architecture does not vouch for; docs/tlb.md has
the rules. Here its addresses become places in the source.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bench import Bench
from .build import build_plugin
from .checks import Unchecked
from .elf import ElfImage
from .errors import HarnessError
from .finding import Finding, Where
from .ledger import responsible
from .machine import Machine
from .qemu import find_qemu
from .sv39 import flag_words, pte_pa
from .tlbrules import FREED_REACHABLE, RULES, UNFENCED_TABLE
from .unwind import call_path, path_text

ROOT = Path(__file__).resolve().parents[2]
REPORT = "tlb.jsonl"  # in the machine's folder
OLDEST_QEMU = (9, 1)  # whose plugins can read registers
LOAD_SECONDS = 60.0
LEVELS = {2: "root", 1: "middle", 0: "last"}
SWITCHES = ("kvmswitch", "w_satp")  # do nothing but write satp for their callers
DISPATCH = ("syscall", "usertrap")  # from here on, two system calls look like one


@dataclass(frozen=True)
class Place:
    """An instruction that the guest executed, and the return addresses above it."""

    pc: int
    path: tuple[int, ...] = ()

    @classmethod
    def of(cls, read: Any) -> Place | None:
        """Return a place of the report, or None if it has none."""
        return read and cls(int(read["pc"], 16), tuple(int(word, 16) for word in read["path"]))


@dataclass(frozen=True)
class Violation:
    """A line of the report: see struct tlb_violation in harness/tlb/tlb.h."""

    rule: str
    severity: str
    hart: int
    va: int
    asid: int
    change_hart: int
    use_hart: int
    level: int
    entry: int
    old: int
    new: int
    page: int
    was_freed: bool
    was_reused: bool
    left: bool
    access: str
    fence: str
    change: Place | None = None
    use: Place | None = None
    freed: Place | None = None

    @classmethod
    def of(cls, read: dict[str, Any]) -> Violation:
        """Return the violation that a line says."""
        values: dict[str, Any] = {key: read[key] for key in read if key in cls.__match_args__}
        values |= {key: int(read[key], 16) for key in ("va", "entry", "old", "new", "page")}
        values |= {key: Place.of(read.get(key)) for key in ("change", "use", "freed")}
        return cls(**values)


@dataclass(frozen=True)
class Report:
    """What the plugin has written so far."""

    begun: bool = False
    paging: bool = False  # the guest has turned translation on
    more: bool = False  # there were more violations than the plugin writes
    violations: tuple[Violation, ...] = ()


def read_report(text: str) -> Report:
    """Return what a report says; raises HarnessError if it is none."""
    begun = paging = more = False
    violations = []
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # still being written
        try:
            said = json.loads(line)
            begun |= said.get("faultline-tlb") == 1
            paging |= "paging" in said
            more |= "more" in said
            if "rule" in said:
                violations.append(Violation.of(said))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HarnessError(f"the TLB checker's report has the line {line!r}") from error
    return Report(begun, paging, more, tuple(violations))


def plugin_words(plugin: Path, elf: ElfImage | None = None) -> str:
    """Return QEMU's -plugin argument. With the kernel's ELF, its allocator is watched too."""
    words = [_quoted(plugin), "ram=ram", f"out={REPORT}"]
    kalloc, kfree = (elf.symbols.get(name) if elf else None for name in ("kalloc", "kfree"))
    if kalloc and kfree:
        words += [f"kalloc={kalloc[0]:#x}:{kalloc[1]:#x}", f"kfree={kfree[0]:#x}"]
    return ",".join(words)


def require_qemu() -> None:
    """Raise Unchecked if the installed QEMU is too old to see what the checker needs."""
    said = subprocess.run(
        [find_qemu(), "--version"], stdout=subprocess.PIPE, encoding="utf-8", check=False
    ).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_QEMU:
        raise Unchecked(
            f"QEMU is {version[0] if version else 'of an unknown version'}, and its plugins "
            "can read registers from 9.1 on: install qemu-system-riscv of Debian 13, or of "
            "bookworm-backports on Debian 12 (ci/setup does)"
        )


def require_plugin() -> Path:
    """Build the plugin; return its path. Raises Unchecked if this machine cannot use it."""
    require_qemu()
    for tool in ("cc", "make"):
        if shutil.which(tool) is None:
            raise Unchecked(f"the TLB checker's plugin is built with {tool}: install gcc and make")
    plugin = build_plugin(ROOT)
    done = _load(plugin)
    if done.returncode != 0:
        raise Unchecked(f"QEMU does not load the TLB checker's plugin: {done.stderr.strip()}")
    return plugin


def _load(plugin: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(find_qemu(), "-M", "none", "-S", "-display", "none", "-serial", "none"),
            *("-monitor", "stdio", "-plugin", f"{_quoted(plugin)},ram=/dev/null,out=/dev/null"),
        ],
        input="quit\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=LOAD_SECONDS,
        check=False,
    )


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace(",", ",,")


@contextmanager
def watched(bench: Bench, *, harts: int = 1) -> Iterator[Machine]:
    """Boot the target on a machine with the plugin; raises Unchecked if that cannot be.

    QEMU 10.0 crashes if it has a plugin, counts instructions and has several harts.
    """
    words = plugin_words(require_plugin(), bench.elf)
    one = max(harts, bench.build.board.least) == 1
    with bench.machine(harts=harts, icount=one, plugin=words) as machine:
        yield machine


def look(machine: Machine) -> Report:
    """Return what the plugin has found so far."""
    try:
        text = (machine.folder / REPORT).read_text("utf-8")
    except OSError as error:
        raise HarnessError(f"the TLB checker wrote no report: {error}") from error
    report = read_report(text)
    if not report.begun:
        raise HarnessError("the TLB checker's report is empty")
    return report


def findings(report: Report, elf: ElfImage) -> list[Finding]:
    """Return a finding for each rule and place of the change, with all its uses."""
    groups: dict[tuple[str, str, Where], list[Violation]] = {}
    for one in report.violations:
        key = (one.rule, one.severity, place_of_change(one, elf))
        groups.setdefault(key, []).append(one)
    return [_finding(group, where, elf) for (_, _, where), group in groups.items()]


def places(place: Place | None, elf: ElfImage) -> list[Where]:
    """Return the source places of an instruction and its callers, innermost first.

    Nothing if it is not the kernel's code.
    """
    if place is None or not elf.in_text(place.pc):
        return []
    return elf.frames(place.pc) + call_path(elf, [at for at in place.path if elf.in_text(at)])


def place_of_change(violation: Violation, elf: ElfImage) -> Where:
    """Return where the mistake shows: the change that no fence followed, or the freeing.

    If the hart that made the change also freed the page, it is where it was between the two:
    the innermost function that both were called from.
    """
    for place in (violation.change, violation.freed, violation.use):
        found = places(place, elf)
        if found:
            found = responsible(found) or found
            if violation.rule == FREED_REACHABLE.name and not violation.left:
                found = _shared(found, places(violation.freed, elf)) or found
            return next((one for one in found if one.function not in SWITCHES), found[0])
    return Where()


def _shared(path: list[Where], other: list[Where]) -> list[Where]:
    """Return a call path from the first function on whose one call also led to the other."""
    for i, place in enumerate(path):
        if place.function in DISPATCH:
            break
        for j, candidate in enumerate(other):
            # Both paths may be cut off at the outer end.
            callers = zip(path[i + 1 :], other[j + 1 :], strict=False)
            if place.function == candidate.function and all(one == two for one, two in callers):
                return path[i:]
    return []


def _finding(group: list[Violation], where: Where, elf: ElfImage) -> Finding:
    first = group[0]
    rule = RULES[first.rule]
    evidence = [_story(first, elf)]
    others = {_short(one.use, elf) for one in group[1:]} - {_short(first.use, elf)}
    if others:
        evidence.append("Also used at\n" + "\n".join(f"  {other}" for other in sorted(others)))
    finding = rule.finding(
        f"{_message(first, elf)} {_cure(first)}",
        where=where,
        evidence="\n".join(evidence),
        path=places(first.change, elf),
    )
    return dataclasses.replace(finding, severity=first.severity)


def _message(one: Violation, elf: ElfImage) -> str:
    """Say what happened, naming both ends."""
    change, use = _short(one.change, elf), _short(one.use, elf)
    page = f"page 0x{one.page:x}"
    match one.rule:
        case "tlb-stale-asid":
            return (
                f"satp was written at {change}, and the {one.access} of 0x{one.va:x} at {use} "
                "may still be translated by the table before: both have "
                f"ASID {one.asid}, they differ there, and no fence came between."
            )
        case "tlb-freed-reachable" if one.left:
            return (
                f"{page} was freed and given out again, at {use}, while hart {one.hart} "
                f"could still use a translation of 0x{one.va:x} that leads to it: of the table "
                f"that it left at {change}, by a write of satp, without a fence."
            )
        case "tlb-freed-reachable":
            return (
                f"{page} was freed and given out again, at {use}, while hart {one.hart} "
                f"could still use a translation of 0x{one.va:x} that leads to it; "
                f"the entry was changed at {change}."
            )
        case "tlb-satp-freed":
            return (
                f"The table at 0x{one.page:x} was freed at {change} while it is the one that "
                f"satp of hart {one.hart} names (at {use})."
            )
        case "tlb-reserved":
            return (
                f"The entry at 0x{one.entry:x} was given the reserved encoding "
                f"{entry_text(one.new)} at {change}."
            )
        case "tlb-unfenced-table":
            return (
                f"Translation was turned on at {change}, and the {one.access} of 0x{one.va:x} at "
                f"{use} walks through {page}, which was stored to since hart {one.hart} last "
                "fenced: it may still read what was there before."
            )
    return (
        f"The entry of 0x{one.va:x} was changed at {change} from {entry_text(one.old)} to "
        f"{entry_text(one.new)}, and the {one.access} at {use} may still use the old one: "
        f"hart {one.hart} has not fenced it."
    )


def _cure(one: Violation) -> str:
    if one.fence == "none" or not one.fence.startswith("sfence"):
        return ""
    between = "after the change and before the use"
    if one.rule == UNFENCED_TABLE.name:
        between = "after the stores and before satp is written"
    return f"`{one.fence}` on hart {one.hart}, {between}, is enough."


def _story(one: Violation, elf: ElfImage) -> str:
    """Tell both ends with their call paths."""
    what = "Turned on" if one.rule == UNFENCED_TABLE.name else "Left" if one.left else "Changed"
    lines = [f"{what} by hart {one.change_hart} at"]
    lines.append(_path(one.change, elf))
    if one.level >= 0:
        level = LEVELS[one.level]
        lines.append(f"entry 0x{one.entry:x} of the {level} level, 0x{one.va:x}:")
        before = "" if one.rule == UNFENCED_TABLE.name else f"{entry_text(one.old)} -> "
        lines.append(f"  {before}{entry_text(one.new)}")
    if one.freed:
        lines += [f"Page 0x{one.page:x} freed at", _path(one.freed, elf)]
    what = "Used" if one.access == "none" else f"Used by a {one.access} of 0x{one.va:x}"
    lines += [f"{what}, by hart {one.use_hart}, at", _path(one.use, elf)]
    return "\n".join(lines)


def _path(place: Place | None, elf: ElfImage) -> str:
    found = places(place, elf)
    return path_text(found) if found else f"  {_short(place, elf)}"


def _short(place: Place | None, elf: ElfImage) -> str:
    if place is None:
        return "an unknown place"
    found = places(place, elf)
    if found and found[0].function:
        return str(found[0])
    return f"0x{place.pc:x}" + ("" if found else ", which is no code of the kernel's")


def entry_text(pte: int) -> str:
    """Return a page-table entry in words: the physical address and the flags."""
    return f"0x{pte:x} (0x{pte_pa(pte):x}, {flag_words(pte)})"
