"""The free list, the ledger and the kernel's page counters: they must agree."""

from __future__ import annotations

from collections.abc import Iterator

from ..ctype import Value
from ..finding import Finding, Rule, Where
from ..ram import PAGE
from .blame import defined
from .freelist import FreeList
from .moment import Moment

FREELIST_BROKEN = Rule(
    "freelist-broken",
    "error",
    "The list of free pages does not hold just the free pages: it runs in a circle, leads "
    "out of RAM, holds a page that is in use, or lacks one that was freed. In a circle the "
    "same page is handed out again and again; a page in use is handed out to a second "
    "owner; and what is not on the list is lost. A page was freed twice, or written to "
    "after it was freed: the list's pointers lie in the free pages themselves.",
    "Fill pages with junk in kfree(), and look who still uses one: a pointer of junk in a "
    "panic is a page that was freed.",
    "continue                   # do what the finding did; then ctrl-C\n"
    "print kmem.free\n"
    "print *kmem.free\n"
    "print *$.next              # and so on, with Enter\n"
    "watch *(long *)PAGE        # a page of them: who writes to it, and is it his?\n"
    "continue\n"
    "backtrace",
)
COUNTERS_DISAGREE = Rule(
    "counters-disagree",
    "error",
    "The kernel counts its pages by what they are used for, and the counters say something "
    "else than the memory. Whoever reads them, to find a leak or to decide whether there is "
    "room, is misled. A path that allocates or frees does not count, counts twice, or "
    "counts in the wrong class.",
    "The page named in the evidence is counted wrongly: who allocated it, as what?",
    "continue     # at the shell: probe x pose, Enter until the pose; then ctrl-C\n"
    "print faultline_ctl.pages\n"
    "break page_retag if class == CLASS  # the one of which there are too many\n"
    "continue     # it is slow; Enter at the shell\n"
    "backtrace 4  # is that what the page is used for? if it is, continue",
)
RULES = (FREELIST_BROKEN, COUNTERS_DISAGREE)

FLIP = bytes([1]) + bytes(255)  # 0 becomes 1, 1 becomes 0


def apply(moment: Moment) -> Iterator[Finding]:
    """Yield what does not agree. Only for a moment in which nobody is at work."""
    if not moment.quiet or not moment.ledger.ready:
        return
    free = moment.free
    if free is not None:
        yield from _list(moment, free)
    if moment.ledger.total:
        yield from _counters(moment, free)


def _list(moment: Moment, free: FreeList) -> Iterator[Finding]:
    if free.broken:
        on_page = free.at % PAGE == 0
        yield moment.finding(
            FREELIST_BROKEN,
            f"The free list {free.broken}, after {free.pages} pages.",
            moment.blame.freed(free.at) if on_page else defined(moment.elf, "kalloc"),
            f"The pointer is at 0x{free.at:x}",
            moment.blame.story(free.at) if on_page else "",
        )
        return
    live, freed = moment.ledger.states()
    used = _both(live, free.listed)
    if used:
        page = moment.ram.base + used[0] * PAGE
        yield moment.finding(
            FREELIST_BROKEN,
            f"{len(used)} pages on the free list are in use, the first is 0x{page:x}.",
            moment.blame.allocated(page),
            moment.blame.story(page),
        )
    lost = _both(freed, free.listed.translate(FLIP))
    if lost:
        page = moment.ram.base + lost[0] * PAGE
        yield moment.finding(
            FREELIST_BROKEN,
            f"{len(lost)} pages were freed and are not on the free list, the first is "
            f"0x{page:x}.",
            defined(moment.elf, "kfree"),
            moment.blame.story(page),
        )


def _both(some: bytes, others: bytes) -> list[int]:
    """Return where both have a 1."""
    both = int.from_bytes(some, "little") & int.from_bytes(others, "little")
    if not both:
        return []
    size = max(len(some), len(others))
    return [index for index, one in enumerate(both.to_bytes(size, "little")) if one]


# The counters -----------------------------------------------------------------------------


def _counters(moment: Moment, free: FreeList | None) -> Iterator[Finding]:
    held = moment.ledger.ctl["pages"]["held"]
    counts = [int(value) for value in held]
    total = moment.ledger.total
    if sum(counts) != total:
        yield _drift(
            moment, f"The counters of all classes add up to {sum(counts)}, not to {total} pages."
        )
    number = moment.elf.enumerator("PAGE_FREE")
    if free is not None and not free.broken and number is not None:
        if counts[number] != free.pages:
            yield _drift(
                moment,
                f"held[PAGE_FREE] is {counts[number]}, and the free list has "
                f"{free.pages} pages.",
            )
    classes = _classes(moment)
    for name, pages in used_pages(moment).items():
        number = moment.elf.enumerator(name)
        if number is None or number >= len(counts):
            continue
        wrong, where = _misfiled(moment, classes, number, pages)
        if counts[number] != len(pages) or wrong:
            yield moment.finding(
                COUNTERS_DISAGREE,
                f"held[{name}] is {counts[number]}, and there are {len(pages)} such pages"
                + ("." if counts[number] != len(pages) else ", but not the same ones."),
                where,
                wrong,
            )


def _drift(moment: Moment, message: str) -> Finding:
    return moment.finding(COUNTERS_DISAGREE, message, defined(moment.elf, "kalloc"))


def used_pages(moment: Moment) -> dict[str, set[int]]:
    """Return the pages in use by the class that they should be counted in."""
    used: dict[str, set[int]] = {
        "PAGE_USER": set(),
        "PAGE_TABLE": {page.pa for page in moment.whole.tables},
        "PAGE_KSTACK": set(moment.stacks),
        "PAGE_TRAPFRAME": {owner.process.trapframe for owner in moment.owners},
    }
    for owner in moment.owners:
        used["PAGE_USER"] |= {leaf.pa for leaf in owner.memory}
        for space in (owner.user, owner.kernel):
            used["PAGE_TABLE"] |= {page.pa for page in space.tables} if space else set()
    pipes = open_pipes(moment)
    if pipes is not None:
        used["PAGE_PIPE"] = pipes
    return used


def open_pipes(moment: Moment) -> set[int] | None:
    """Return the pages of the pipes that files are open on; None if that cannot be told."""
    table = moment.elf.variable(moment.ram, "ftable")
    files = table["file"] if table is not None and "file" in table else None
    if files is None or not len(files):
        return None
    pipes = set()
    for file in files:
        if int(file["ref"]) and file["type"].enumerator() == "FD_PIPE":
            pipes.add(int(file["pipe"]))
    return pipes


def _classes(moment: Moment) -> Value | None:
    """Return the kernel's own note of each page's class, if it has one."""
    kmem = moment.elf.variable(moment.ram, "kmem")
    return kmem["class"] if kmem is not None and "class" in kmem else None


def _misfiled(
    moment: Moment, classes: Value | None, number: int, pages: set[int]
) -> tuple[str, Where]:
    """Return a page whose class is not what it is used for, and who allocated it; where
    the classes are right, the counter drifts by itself."""
    base = moment.ram.base
    noted = classes.bytes() if classes is not None else b""
    known = {page for page in pages if 0 <= page - base < len(noted) * PAGE}
    if noted.count(number) == len(known):
        if all(noted[(page - base) // PAGE] == number for page in known):
            return "", defined(moment.elf, "kalloc")
    filed = {base + i * PAGE for i, found in enumerate(noted) if found == number}
    for words, odd in (
        ("is used as this and filed as something else", known - filed),
        ("is filed as this and not used as such", filed - known),
    ):
        page = next((page for page in sorted(odd) if moment.blame.page(page)), None)
        if page is not None:
            story = moment.blame.story(page)
            return f"0x{page:x} {words}\n{story}", moment.blame.allocated(page)
    return "", defined(moment.elf, "kalloc")
