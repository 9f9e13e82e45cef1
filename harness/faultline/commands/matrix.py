"""`faultline matrix`: our own kernel, clean and with each fault."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from .. import expected
from ..build import sources_changed
from ..matrix import Target, clean_targets
from ..verdict import EXIT_AS_EXPECTED, EXIT_NOT, Run, exit_status
from .running import ROOT, chosen, common_options, load_catalogue, run_targets

EXPECTED = ROOT / "reports/expected.json"


def add(commands: Any) -> None:
    """Declare the command."""
    matrix = commands.add_parser("matrix", help="check the clean kernel and every variant")
    matrix.add_argument(
        "fault", nargs="*", metavar="FAULT", help="only these, by id; clean is one too"
    )
    matrix.add_argument("--all", action="store_true", help="run every check on every variant")
    matrix.add_argument(
        "--accept", action="store_true", help="write the verdicts to reports/expected.json"
    )
    matrix.set_defaults(run=_matrix)
    common_options(matrix)


def _matrix(options: argparse.Namespace) -> int:
    faults = load_catalogue()
    targets = clean_targets() + [Target(options.kpt, fault) for fault in faults]
    if options.fault:
        targets = chosen(targets, options.fault)
    start = time.time_ns()
    run = run_targets("matrix", targets, options, every_check=options.all)
    changed = sources_changed(ROOT, start)
    if changed:
        names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
        print(f"{names}: changed during the run, so its kernels are not all of one source")
        options.accept = False
    status = exit_status(target.verdict for target in run.targets)
    return max(status, compare(run, everything=not options.fault, accept=options.accept))


def compare(run: Run, *, everything: bool, accept: bool) -> int:
    """Print how a run differs from the expected verdicts; return what that means for the exit.

    With `accept`, the run's verdicts become the expected ones.
    """
    before = expected.load(EXPECTED)
    found = expected.differences(before, run.targets, everything=everything)
    place = EXPECTED.relative_to(ROOT)
    for difference in found:
        print(difference)
    if accept:
        expected.save(EXPECTED, expected.accepted(before, run.targets, everything=everything))
        print(f"{place}: {_verdicts(found)} changed" if found else f"{place}: no change")
        return EXIT_AS_EXPECTED
    if found:
        print(
            f"{_verdicts(found)} not as in {place}; if that is right, "
            "`make matrix ACCEPT=1` makes the run's the expected ones"
        )
    return EXIT_NOT if found else EXIT_AS_EXPECTED


def _verdicts(found: Sequence[object]) -> str:
    return f"{len(found)} verdict{'s' * (len(found) != 1)}"
