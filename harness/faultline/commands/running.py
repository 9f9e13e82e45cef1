"""What the commands that run checks have in common: options, progress, reports."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import VERSION, catalogue, doctor
from ..build import KPTS
from ..catalogue import Fault
from ..checks import all_checks
from ..errors import HarnessError, UsageError
from ..jobs import Finished, Started
from ..lifeline import Interrupted
from ..matrix import Plan, Target, run_matrix
from ..qemu import Limits, find_qemu
from ..reports import file_reports, terminal
from ..scratch import Scratch
from ..sweep.protocol import Choice
from ..verdict import Run, TargetResult

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = ROOT / "faults/catalogue"
OUT = ROOT / "reports/out"

Events = Iterator[Started[Any] | Finished[Any] | TargetResult]


def common_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of every command that runs checks."""
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=positive, default=jobs, metavar="N", help="in parallel")
    parser.add_argument("--kpt", choices=KPTS, default="share", help="of the variants")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    parser.add_argument("--verbose", action="store_true", help="every finding in full")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=int(Limits.wall),
        metavar="S",
        help="wall seconds for any one thing, after which this host is too slow",
    )
    for report in file_reports():
        parser.add_argument(f"--{report.option}", type=Path, metavar="FILE", help=report.title)


def positive(word: str) -> int:
    """Read an option's value that is at least 1."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {word}")
    return number


def load_catalogue() -> list[Fault]:
    """Return the catalogue, checked against the hooks and the checks' rules."""
    faults = catalogue.load(CATALOGUE, ROOT / "kernel")
    rules = {name: {rule.name for rule in one.rules} for name, one in all_checks().items()}
    catalogue.check_expectations(faults, rules, CATALOGUE)
    return faults


def chosen(targets: Sequence[Target], names: Sequence[str]) -> list[Target]:
    """Return the targets of these names; raises UsageError if there is none of one."""
    known = {target.id: target for target in targets}
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no fault {name!r}; `faultline list faults` shows which there are"
            )
    return [known[name] for name in dict.fromkeys(names)]


def run_targets(
    command: str,
    targets: list[Target],
    options: argparse.Namespace,
    *,
    only: str = "",
    every_check: bool = False,
    choice: Choice = Choice(),
) -> Run:
    """Check our kernels and report on them; the reports are written and shown."""

    def begin(scratch: Path) -> Events:
        plan = Plan(ROOT, scratch, every_check, only, Limits(wall=options.timeout), choice)
        return run_matrix(targets, plan, options.jobs)

    ids = [target.id for target in targets]
    return follow(command, begin, ids, options, matrix=every_check and not only)


def follow(
    command: str,
    begin: Callable[[Path], Events],
    ids: Sequence[str],
    options: argparse.Namespace,
    *,
    matrix: bool = False,
    show: Callable[[Run, Console], None] | None = None,
) -> Run:
    """Follow what happens to targets of these names, show it, and write the reports.

    With `matrix`, also show which check saw what. `show` shows it in another way. An
    interruption goes on when what is done until then was shown and written.
    """
    find_qemu()
    # A pipe has no width: nothing may be folded at 80 there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    results: dict[str, TargetResult] = {}
    interrupted: Interrupted | None = None
    try:
        with Scratch() as scratch, terminal.Progress(
            console, len(ids), quiet=options.quiet
        ) as progress:
            for event in begin(scratch):
                if isinstance(event, Started):
                    progress.doing(event.job.id, event.words)
                elif isinstance(event, Finished):
                    progress.ended(event.job.id)
                else:
                    results[event.id] = event
                    progress.finished(event)
    except Interrupted as signal:
        interrupted = signal
    run = run_of(command, ids, results, interrupted=interrupted is not None)
    if results:
        if show is not None:
            show(run, console)
        else:
            terminal.show(run, console, verbose=options.verbose, matrix=matrix)
        _write(run, options)
    if interrupted is not None:
        terminal.show_unfinished(run, len(ids), console)
        raise interrupted
    return run


def run_of(
    command: str, ids: Sequence[str], results: Mapping[str, TargetResult], *, interrupted: bool
) -> Run:
    """Return the run of these targets; if it was interrupted, some have no result."""
    known = tuple(results[name] for name in ids if name in results or not interrupted)
    done = {target.id for target in known if not target.unfinished}
    left = tuple(name for name in ids if name not in done)
    return Run(command, tool_versions(), known, left)


def tool_versions() -> dict[str, str]:
    """Return the versions of all that a result depends on."""
    return {**doctor.tools(), "faultline": VERSION}


def _write(run: Run, options: argparse.Namespace) -> None:
    for report in file_reports():
        path = getattr(options, report.option)
        if path is None and run.command == "matrix" and report.default:
            OUT.mkdir(parents=True, exist_ok=True)
            path = OUT / report.default.format(command=run.command)
        if path is not None:
            try:
                report.write(run, path)
            except OSError as error:
                raise HarnessError(f"cannot write {path}: {error}") from error
