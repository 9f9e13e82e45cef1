"""Call stacks of a stopped machine, read from its RAM."""

from __future__ import annotations

from .elf import ElfImage
from .finding import Where
from .hart import Hart
from .ram import PAGE, Ram
from .sv39 import translate

DEPTH = 20
HANDLER = "kernelvec"


def return_addresses(ram: Ram, elf: ElfImage, hart: Hart) -> list[int]:
    """Return the return addresses on a hart's stack, innermost first.

    Follows frame pointers (RISC-V psABI: return address at fp - 8, the caller's frame
    pointer at fp - 16) as long as they climb within one page of stack. What a trap has
    interrupted may call nobody: its return address is then where the handler has saved it.
    """
    found: list[int] = []
    fp, inner = hart["s0"], 0
    while len(found) < DEPTH and fp % 8 == 0 and fp >= 16:
        first, second = _word(ram, hart, fp - 8), _word(ram, hart, fp - 16)
        if first is None or second is None:
            break
        leaf = not elf.in_text(first)  # it calls nobody, and stores just the frame pointer
        ra = hart["ra"]
        if leaf and found:
            saved = _word(ram, hart, inner)
            if saved is None or not _in_handler(elf, found[-1]):
                break
            ra = saved
        found.append(ra if leaf else first)
        caller = first if leaf else second
        if caller <= fp or (caller - 1) // PAGE != (fp - 1) // PAGE:
            break
        fp, inner = caller, fp
    return [address for address in found if elf.in_text(address)]


def _in_handler(elf: ElfImage, address: int) -> bool:
    """Tell whether an address is in xv6's kernelvec, which saves ra at the bottom of its frame."""
    return any(place.function == HANDLER for place in elf.frames(address))


def _word(ram: Ram, hart: Hart, address: int) -> int | None:
    physical = translate(ram, hart["satp"], address)
    return ram.u64(physical) if physical is not None and ram.holds(physical, 8) else None


def call_path(elf: ElfImage, stack: list[int] | tuple[int, ...]) -> list[Where]:
    """Return the source places of a stack of return addresses, inlined calls included."""
    places: list[Where] = []
    for address in stack:
        if address:
            places += elf.frames(address, call=True)
    return places


def path_text(places: list[Where]) -> str:
    """Return a call path as lines of text, innermost call first."""
    return "\n".join(f"  {place}" for place in places) or "  (no call path)"
