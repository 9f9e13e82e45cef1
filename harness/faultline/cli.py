"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from . import VERSION, benchmark, catalogue, doctor, expected, grade, many, speed, tlbspeed
from .build import KPTS, sources_changed
from .catalogue import Fault
from .checks import all_checks, all_rules
from .errors import HarnessError, UsageError
from .jobs import Finished, Started
from .lab import find_lab, lab_names
from .labtree import pristine_tree
from .lifeline import Interrupted, interrupt_on_signals
from .manystore import Store
from .matrix import Plan, Target, clean_targets, run_matrix
from .qemu import Limits, find_qemu
from .reports import file_reports, terminal
from .scratch import Scratch
from .sweep import speed as sweepspeed
from .sweep.protocol import MODES, Choice
from .treesource import Source, sources_of
from .verdict import (
    EXIT_AS_EXPECTED, EXIT_HARNESS, EXIT_NOT, EXIT_USAGE, Run, TargetResult, exit_status,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "faults/catalogue"
OUT = ROOT / "reports/out"
EXPECTED = ROOT / "reports/expected.json"
DEBUGGER = (
    "In a debugger: `make qemu-gdb`, and in another terminal\n"
    '`gdb-multiarch build/share/kernel-shim.elf -ex "target remote :26000"`, then'
)
TREE_HELP = "a folder with an xv6 tree, or above it; a .tar.gz or .zip; a git repository with --ref"
SINGLE = ("audit", "leaks", "sweep", "tlb", "vmprint")  # the checks that are commands of their own


Events = Iterator[Started[Any] | Finished[Any] | TargetResult]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status (0 as expected, 1 not, 2 usage, 3 harness)."""
    options = _parser().parse_args(words)
    interrupt_on_signals()
    try:
        return int(options.run(options))
    except UsageError as error:
        print(f"faultline: {error}", file=sys.stderr)
        return EXIT_USAGE
    except HarnessError as error:
        print(f"faultline: {error}", file=sys.stderr)
        return EXIT_HARNESS
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_HARNESS
    except Interrupted as signal:
        print(f"faultline: interrupted ({signal})", file=sys.stderr)
        return signal.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faultline", description="Grade and fault-test RISC-V teaching kernels."
    )
    parser.add_argument("--version", action="version", version=f"faultline {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    matrix = commands.add_parser("matrix", help="check the clean kernel and every variant")
    matrix.add_argument(
        "fault", nargs="*", metavar="FAULT", help="only these, by id; clean is one too"
    )
    matrix.add_argument("--all", action="store_true", help="run every check on every variant")
    matrix.add_argument(
        "--accept", action="store_true", help="write the verdicts to reports/expected.json"
    )
    matrix.set_defaults(run=_matrix)
    _common(matrix)

    grading = commands.add_parser("grade", help="check somebody's tree for everything")
    grading.add_argument("tree", nargs="*", metavar="TREE", help=TREE_HELP)
    many.add_options(grading, OUT / "trees")
    lab_options(grading)
    grading.set_defaults(run=_grade)
    _tree_options(grading)
    _common(grading)

    for name in SINGLE:
        single = commands.add_parser(name, help=all_checks()[name].title)
        single.add_argument("tree", nargs="?", metavar="TREE", help=TREE_HELP)
        single.add_argument(
            "--fault", metavar="ID", help="without TREE: our variant with this fault"
        )
        _tree_options(single)
        single.set_defaults(run=_single, check=name)
        if name == "sweep":
            sweep_options(single)
        _common(single)

    bench = commands.add_parser("bench", help="measure the kernel, and the matrix")
    benchmark.add_options(bench)
    bench.add_argument("--only", choices=("kernel", "matrix", "sweep", "tlb"), help="measure just that")
    bench.add_argument(
        "--matrix", type=_positive, metavar="N", help="measure the matrix with N variants only"
    )
    bench.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N")
    bench.set_defaults(run=_bench)

    listing = commands.add_parser("list", help="what there is")
    listing.add_argument("what", choices=("faults", "checks", "labs", "rules"))
    listing.set_defaults(run=_list)

    explain = commands.add_parser("explain", help="what a rule means")
    explain.add_argument("rule", metavar="RULE")
    explain.set_defaults(run=_explain)

    commands.add_parser("doctor", help="what is installed, what is missing").set_defaults(
        run=_doctor
    )
    return parser


def _tree_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ref", default="", metavar="REF", help="the branch or commit, if TREE is a git repository"
    )


def lab_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `faultline grade` takes besides, for points."""
    parser.add_argument(
        "--lab", metavar="LAB", help="give points: one of `faultline list labs`, or your FILE.toml"
    )
    parser.add_argument(
        "--pristine",
        type=Path,
        metavar="DIR",
        help="the course's handout, from which files that may not be changed are restored",
    )


def sweep_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `faultline sweep` takes besides."""
    parser.add_argument("--workload", default="", metavar="W", help="only this one")
    parser.add_argument("--mode", default="", choices=MODES, help="only this one")
    parser.add_argument(
        "--exhaustive", action="store_true", help="leave no n out, however many boots it takes"
    )


def sweep_choice(options: argparse.Namespace) -> Choice:
    """Return what the command line says of the sweep."""
    return Choice(options.workload, options.mode, options.exhaustive)


def _common(parser: argparse.ArgumentParser) -> None:
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=_positive, default=jobs, metavar="N", help="in parallel")
    parser.add_argument("--kpt", choices=KPTS, default="share", help="of the variants")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    parser.add_argument("--verbose", action="store_true", help="every finding in full")
    parser.add_argument(
        "--timeout",
        type=_positive,
        default=int(Limits.wall),
        metavar="S",
        help="wall seconds for any one thing, after which this host is too slow",
    )
    for report in file_reports():
        parser.add_argument(f"--{report.option}", type=Path, metavar="FILE", help=report.title)


def _positive(word: str) -> int:
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


def _chosen(targets: Sequence[Target], names: Sequence[str]) -> list[Target]:
    known = {target.id: target for target in targets}
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no fault {name!r}; `faultline list faults` shows which there are"
            )
    return [known[name] for name in dict.fromkeys(names)]


def _matrix(options: argparse.Namespace) -> int:
    faults = load_catalogue()
    targets = clean_targets() + [Target(options.kpt, fault) for fault in faults]
    if options.fault:
        targets = _chosen(targets, options.fault)
    start = time.time_ns()
    run = _run("matrix", targets, options, every_check=options.all)
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
        print(f"{place}: {len(found)} verdicts changed" if found else f"{place}: no change")
        return EXIT_AS_EXPECTED
    if found:
        print(
            f"{len(found)} of the verdicts differ from {place}; if that is right, "
            "`make matrix ACCEPT=1` makes them the expected ones"
        )
    return EXIT_NOT if found else EXIT_AS_EXPECTED


def _single(options: argparse.Namespace) -> int:
    options.verbose = True
    if options.tree is not None:
        if options.fault:
            raise UsageError("--fault is for the reference kernel: leave out TREE, or --fault")
        sources = sources_of([options.tree], options.ref)
        run = _run_trees(options.check, sources, options, only=options.check)
        return exit_status(target.verdict for target in run.targets)
    if options.ref:
        raise UsageError("--ref needs a TREE")
    targets = [Target(options.kpt)]
    if options.fault:
        variants = [Target(options.kpt, fault) for fault in load_catalogue()]
        targets = _chosen(variants, [options.fault])
    run = _run(options.check, targets, options, only=options.check, every_check=True)
    return exit_status(target.verdict for target in run.targets)


def _grade(options: argparse.Namespace) -> int:
    """Check trees for everything."""
    options.lab = find_lab(options.lab) if options.lab else None
    if options.pristine is not None:
        if options.lab is None:
            raise UsageError("--pristine goes with --lab: the lab says which files it restores")
        options.pristine = pristine_tree(options.pristine, options.lab.pristine)
    if options.each or options.list is not None:
        return _grade_many(options)
    if not options.tree:
        raise UsageError("expected a TREE, or --list FILE")
    if options.fresh:
        raise UsageError("--fresh goes with --each or --list: else nothing is kept")
    sources = sources_of(options.tree, options.ref)
    run = _run_trees("grade", sources, options)
    return exit_status(target.verdict for target in run.targets)


def _grade_many(options: argparse.Namespace) -> int:
    """Check many trees; results are kept, so that the same command continues this one."""
    if options.each and not options.tree:
        raise UsageError("--each needs a folder with a tree in each of its entries")
    if options.tree and not options.each:
        raise UsageError("either TREE or --list FILE; for all trees in a folder, --each")
    sources = many.chosen(options.tree, options.list, options.ref)
    store = Store(options.kept)
    options.quiet = options.quiet or not sys.stdout.isatty()
    tools = many.tools_text({**doctor.tools(), "faultline": VERSION})
    count = many.Count()

    def begin(scratch: Path) -> Events:
        plan = _tree_plan(scratch, options, "")
        return count.follow(
            many.run_each(sources, plan, options.jobs, store, tools, fresh=options.fresh)
        )

    def show(run: Run, console: Console) -> None:
        many.show(run, console, len(count.graded), count.seconds)
        for target in run.targets if options.verbose else ():
            terminal.explain(target, console)

    try:
        run = _report("grade", begin, [source.id for source in sources], options, show=show)
    except Interrupted:
        words = "what is done is kept: the same command goes on from there"
        print(f"faultline: {words}", file=sys.stderr)
        raise
    return many.status_of(run)


def _tree_plan(scratch: Path, options: argparse.Namespace, only: str) -> grade.Plan:
    """Return what the command line says is to be done with each tree."""
    choice = sweep_choice(options) if only == "sweep" else Choice()
    plan = grade.Plan(ROOT, scratch, only, Limits(wall=options.timeout), choice)
    if only:
        return plan
    return dataclasses.replace(plan, lab=options.lab, pristine=options.pristine)


def _run_trees(
    command: str, sources: list[Source], options: argparse.Namespace, *, only: str = ""
) -> Run:
    """Check trees and report on them; the reports are written and shown."""

    def begin(scratch: Path) -> Events:
        return grade.run_trees(sources, _tree_plan(scratch, options, only), options.jobs)

    return _report(command, begin, [source.id for source in sources], options)


def _run(
    command: str,
    targets: list[Target],
    options: argparse.Namespace,
    *,
    only: str = "",
    every_check: bool = False,
) -> Run:
    """Check our kernels and report on them; the reports are written and shown."""

    def begin(scratch: Path) -> Events:
        choice = sweep_choice(options) if only == "sweep" else Choice()
        plan = Plan(ROOT, scratch, every_check, only, Limits(wall=options.timeout), choice)
        return run_matrix(targets, plan, options.jobs)

    ids = [target.id for target in targets]
    return _report(command, begin, ids, options, matrix=every_check and not only)


def _report(
    command: str,
    begin: Callable[[Path], Events],
    ids: Sequence[str],
    options: argparse.Namespace,
    *,
    matrix: bool = False,
    show: Callable[[Run, Console], None] | None = None,
) -> Run:
    """Follow what happens to targets of these names, show it, and write the reports.

    With `matrix`, also show which check saw what. `show` shows it in another way.
    """
    find_qemu()
    # A pipe has no width: nothing may be folded at 80 there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    results: dict[str, TargetResult] = {}
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
    tools = {**doctor.tools(), "faultline": VERSION}
    run = Run(command, tools, tuple(results[name] for name in ids))
    if show is not None:
        show(run, console)
    else:
        terminal.show(run, console, verbose=options.verbose, matrix=matrix)
    _write(run, options)
    return run


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


def _bench(options: argparse.Namespace) -> int:
    find_qemu()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    figures: dict[str, Any] = {}
    if options.only in (None, "kernel"):
        benchmark.command(options)
        figures = json.loads(options.json.read_text()) if options.json else {}
    if options.only in (None, "sweep"):
        with Scratch() as scratch, console.status("") as status:
            swept = sweepspeed.measure(ROOT, scratch, status.update)
        console.print(sweepspeed.table(swept))
        figures["sweep"] = sweepspeed.as_json(swept)
    if options.only in (None, "tlb"):
        with Scratch() as scratch, console.status("") as status:
            costs = tlbspeed.measure(ROOT, scratch, status.update)
        console.print(tlbspeed.table(costs))
        figures["tlb"] = tlbspeed.as_json(costs)
    if options.only in (None, "matrix"):
        faults = load_catalogue()[: options.matrix]
        with Scratch() as scratch, console.status("") as status:
            found = speed.measure(ROOT, faults, options.jobs, scratch, status.update)
        console.print(speed.table(found))
        figures["matrix"] = speed.as_json(found)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return EXIT_AS_EXPECTED


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
