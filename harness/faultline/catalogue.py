"""The catalogue of faults: one TOML file each, and their hooks in the kernel's source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import HarnessError
from .hooks import HOOK
from .tomlentry import TomlEntry, read_toml

CLASSES = (
    "kalloc", "unmap", "sfence", "satp", "mapping", "mirror", "vmprint", "accounting",
)  # fmt: skip
MAX_HARTS = 8
TESTS, TEST_FAILED = "usertests", "usertest-failed"  # the check and rule of failed tests
SWEEP = "sweep"  # the check that has workloads
_ID = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


class CatalogueError(HarnessError):
    """The catalogue and the hooks do not fit together; names the file and the key."""


@dataclass(frozen=True)
class Expect:
    """The finding that shows a fault, or why nothing can show it yet."""

    check: str = ""
    rule: str = ""
    function: str = ""  # empty: any
    no_oracle: str = ""
    test: str = ""  # the test of usertests that shows it first; empty: unknown
    workload: str = ""  # the workload of the sweep that shows it; empty: unknown
    through: str = ""  # a function that must be in the finding's path; empty: any path

    def as_json(self) -> dict[str, Any]:
        """Return the schema's `expect`."""
        if self.no_oracle:
            return {"check": None, "rule": None, "function": None, "no-oracle": self.no_oracle}
        shown = {"check": self.check, "rule": self.rule, "function": self.function or None}
        more = {"test": self.test, "workload": self.workload, "through": self.through}
        return {**shown, **{key: value for key, value in more.items() if value}}


@dataclass(frozen=True)
class Fault:
    """A known mistake, planted in the reference kernel by hooks of its name."""

    id: str
    fault_class: str
    summary: str
    story: str
    expect: Expect
    defines: tuple[tuple[str, str], ...] = ()
    harts: int | None = None

    @property
    def hook(self) -> str:
        """The hooks' name: the id as a C identifier."""
        return self.id.replace("-", "_")

    @property
    def options(self) -> str:
        """The compiler's -D options besides the fault's own."""
        return " ".join(f"-D{name}={value}" for name, value in self.defines)


class _Entry(TomlEntry):
    """One table of a catalogue file."""

    Error = CatalogueError


def load_fault(path: Path) -> Fault:
    """Read one catalogue file; raises CatalogueError, naming the file, the line and the key."""
    entry = _Entry(path, *read_toml(path, CatalogueError))
    identity = entry.text("id")
    if not _ID.fullmatch(identity):
        raise entry.error("id", f"expected letters, digits and single hyphens: {identity!r}")
    if identity != path.stem:
        raise entry.error("id", f"is {identity!r}, but the file is called {path.name}")
    harts = entry.whole("smp", required=False)
    if "smp" in entry.table and not 1 <= harts <= MAX_HARTS:
        raise entry.error("smp", f"is {harts}, expected 1 to {MAX_HARTS}")
    fault = Fault(
        identity,
        str(entry.choice("class", {name: name for name in CLASSES})),
        entry.text("summary"),
        entry.text("story").strip(),
        _expect(entry.below("expect")),
        _defines(entry),
        harts or None,
    )
    entry.end()
    return fault


def _expect(entry: _Entry) -> Expect:
    reason = entry.text("no-oracle", required=False)
    if reason:
        entry.end()
        return Expect(no_oracle=reason)
    check, rule = entry.text("check"), entry.text("rule")
    function, test, workload, through = (
        entry.text(key, required=False) for key in ("function", "test", "workload", "through")
    )
    entry.end()
    if test and check != TESTS:
        raise entry.error("test", f"only check {TESTS} has tests, this is {check}")
    for key, value in (("workload", workload), ("through", through)):
        if value and check != SWEEP:
            raise entry.error(key, f"only findings of check {SWEEP} have one, this is {check}")
    if not function and test and rule == TEST_FAILED:
        function = test  # where that rule places a test that failed
    return Expect(check, rule, function, test=test, workload=workload, through=through)


def _defines(entry: _Entry) -> tuple[tuple[str, str], ...]:
    table = entry.numbers("define", required=False)
    for name in table:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise entry.error("define", f"{name}: expected a macro's name in capitals")
    return tuple((name, str(value)) for name, value in table.items())


def hooks(kernel: Path) -> dict[str, list[Path]]:
    """Return the hooks' names, each with the sources that have it."""
    found: dict[str, list[Path]] = {}
    for path in sorted([*kernel.glob("*.c"), *kernel.glob("*.S")]):
        for name in HOOK.findall(path.read_text("utf-8")):
            if path not in found.setdefault(name, []):
                found[name].append(path)
    return found


def load(folder: Path, kernel: Path) -> list[Fault]:
    """Read the whole catalogue; entries and hooks must match one to one."""
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise CatalogueError(f"{folder}: no *.toml in it")
    faults = [load_fault(path) for path in paths]
    planted = hooks(kernel)
    named: dict[str, Fault] = {}
    for fault in faults:
        if fault.hook in named:
            raise CatalogueError(
                f"{folder / fault.id}.toml: id: has the same hook as {named[fault.hook].id}"
            )
        named[fault.hook] = fault
        if fault.hook not in planted:
            raise CatalogueError(
                f"{folder / fault.id}.toml: id: no source in {kernel} has a hook "
                f"FAULT({fault.hook})"
            )
    for hook, sources in planted.items():
        if hook not in named:
            raise CatalogueError(f"{sources[0]}: hook FAULT({hook}) has no entry in {folder}")
    return faults


def check_expectations(faults: list[Fault], rules: dict[str, set[str]], folder: Path) -> None:
    """Raise CatalogueError if a fault expects a check or rule that there is not.

    `rules` has the names of each check's rules.
    """
    for fault in faults:
        expect, path = fault.expect, folder / f"{fault.id}.toml"
        if expect.no_oracle:
            continue
        if expect.check not in rules:
            raise CatalogueError(
                f"{path}: expect.check: there is no check {expect.check!r}; there are "
                + ", ".join(sorted(rules))
            )
        if expect.rule not in rules[expect.check]:
            raise CatalogueError(
                f"{path}: expect.rule: check {expect.check} has no rule {expect.rule!r}; it "
                f"has {', '.join(sorted(rules[expect.check]))}"
            )
