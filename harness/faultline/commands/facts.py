"""`faultline list`, `explain` and `doctor`: what there is, and what it means."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from .. import doctor
from ..checks import all_checks, all_rules
from ..errors import UsageError
from ..lab import find_lab, lab_names
from ..verdict import EXIT_AS_EXPECTED, EXIT_HARNESS
from .running import load_catalogue

DEBUGGER = (
    "In a debugger: `make qemu-gdb`, and in another terminal\n"
    '`gdb-multiarch build/share/kernel-shim.elf -ex "target remote :26000"`, then'
)


def add(commands: Any) -> None:
    """Declare the commands."""
    listing = commands.add_parser("list", help="what there is")
    listing.add_argument("what", choices=("faults", "checks", "labs", "rules"))
    listing.set_defaults(run=_list)

    explain = commands.add_parser("explain", help="what a rule means")
    explain.add_argument("rule", metavar="RULE")
    explain.set_defaults(run=_explain)

    commands.add_parser("doctor", help="what is installed, what is missing").set_defaults(
        run=_doctor
    )


def _list(options: argparse.Namespace) -> int:
    if options.what == "faults":
        rows = [(f.id, f.fault_class, f.summary) for f in load_catalogue()]
    elif options.what == "checks":
        rows = [(one.name, "", one.title) for one in all_checks().values()]
    elif options.what == "labs":
        rows = [(name, "", find_lab(name).title) for name in lab_names()]
    else:
        rows = [
            (name, rule.severity, ", ".join(checks) if len(checks) < len(all_checks()) else "all")
            for name, (rule, checks) in all_rules().items()
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, second, rest in rows:
        print(f"{name:<{widths[0]}}  " + (f"{second:<{widths[1]}}  " if second else "") + rest)
    return EXIT_AS_EXPECTED


def _explain(options: argparse.Namespace) -> int:
    rules = all_rules()
    if options.rule not in rules:
        raise UsageError(
            f"there is no rule {options.rule!r}; `faultline list rules` shows which there are"
        )
    rule, checks = rules[options.rule]
    print(f"{rule.name} ({rule.severity}; found by {', '.join(checks)})\n")
    print(textwrap.fill(rule.meaning, 80))
    if rule.hint:
        print("\n" + textwrap.fill(f"Next: {rule.hint}", 80))
    if rule.debug:
        print(f"\n{DEBUGGER}\n\n" + textwrap.indent(rule.debug, "  "))
    return EXIT_AS_EXPECTED


def _doctor(options: argparse.Namespace) -> int:
    found = doctor.needs()
    print(doctor.report(found))
    return EXIT_HARNESS if doctor.missing(found) else EXIT_AS_EXPECTED
