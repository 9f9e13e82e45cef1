"""What must hold of page tables, free list and counters at any moment, or any quiet one.

One module a family of rules; each has RULES, and apply(moment), which yields what breaks
them. The rest: tables.py reads page tables, moment.py is what the rules look at, and
blame.py says which function is responsible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..finding import Finding, Rule
from . import counts, kernelmap, mirror, pages, satp, stacks, user
from .moment import Moment

Family = Callable[[Moment], Iterator[Finding]]

FAMILIES = (satp, stacks, kernelmap, mirror, pages, user, counts)
RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES for rule in family.RULES)


def audit_moment(moment: Moment) -> Iterator[Finding]:
    """Yield everything that is wrong at that moment."""
    for family in FAMILIES:
        yield from family.apply(moment)
