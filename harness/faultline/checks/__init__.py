"""The checks. Each is a module in this folder, found by being there.

A check is a function that takes a Bench and yields findings:

    @check(RULE, ANOTHER_RULE, needs=("boot",))
    def name(bench: Bench) -> Iterator[Finding]:
        \"\"\"Its title, as a sentence that holds for a correct kernel\"\"\"

A check that takes long can be done in `parts`, each on a machine of its own: bench.part
tells it which. One that is `quick` also runs where nothing is expected of it; one that is
`long` runs on a variant only if it is expected to show its fault. One that is for `trees` is
no part of the matrix: another check sees the same on the reference kernel. A check may
also yield a Table of what it has measured; the last one that it yields counts.

If the guest dies while the check waits for it, the runner reports that, with what the
ledger knows of the cause; every check therefore also has those rules.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..bench import Bench
from ..finding import Finding, Rule, Table
from ..labrules import RULES as LAB_RULES
from ..ledger import EVENT_RULES
from ..postmortem import RULES as DEATH_RULES
from ..treebuild import RULES as BUILD_RULES

CheckFunction = Callable[[Bench], Iterator[Finding] | Iterator[Finding | Table]]


class Unchecked(Exception):
    """Raised by a check that cannot look at this target; says why. Its status is skip."""


@dataclass(frozen=True)
class Check:
    """Something to look at on one target."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    needs: tuple[str, ...]
    run: CheckFunction
    parts: tuple[str, ...] = ()
    quick: bool = False
    long: bool = False
    trees: bool = False


def check(
    *rules: Rule,
    needs: tuple[str, ...] = (),
    parts: tuple[str, ...] = (),
    quick: bool = False,
    long: bool = False,
    trees: bool = False,
) -> Callable[[CheckFunction], Check]:
    """Make a function a check with these rules; `needs` are checks that must pass first."""

    def declare(function: CheckFunction) -> Check:
        if not function.__doc__:
            raise ValueError(f"check {function.__name__} has no docstring for a title")
        title = function.__doc__.strip().split("\n")[0].rstrip(".")
        every = tuple(dict.fromkeys((*rules, *EVENT_RULES, *DEATH_RULES)))
        return Check(function.__name__, title, every, needs, function, parts, quick, long, trees)

    return declare


@functools.cache
def all_checks() -> dict[str, Check]:
    """Return every check by name, each after those it needs."""
    found: dict[str, Check] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, Check):
                found[value.name] = value
    ordered: dict[str, Check] = {}

    def add(one: Check) -> None:
        for needed in one.needs:
            add(found[needed])
        ordered.setdefault(one.name, one)

    for name in sorted(found):
        add(found[name])
    return ordered


def all_rules() -> dict[str, tuple[Rule, list[str]]]:
    """Return every rule by name, with the names of the checks that have it."""
    rules: dict[str, tuple[Rule, list[str]]] = {}
    for one in all_checks().values():
        for rule in one.rules:
            rules.setdefault(rule.name, (rule, []))[1].append(one.name)
    for rule in BUILD_RULES:  # of what comes before any check
        rules.setdefault(rule.name, (rule, []))[1].append("build")
    for rule in LAB_RULES:  # of what only labs ask for
        rules.setdefault(rule.name, (rule, []))[1].append("lab")
    return dict(sorted(rules.items()))
