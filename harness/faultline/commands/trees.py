"""`faultline grade`, and the checks that are commands of their own: somebody's trees."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import grade, many
from ..checks import all_checks
from ..errors import UsageError
from ..lab import find_lab
from ..labtree import pristine_tree
from ..lifeline import Interrupted
from ..manystore import Store
from ..matrix import Target
from ..qemu import Limits
from ..reports import brief, terminal
from ..sweep.protocol import MODES, Choice
from ..treesource import Source, sources_of
from ..verdict import Run, exit_status
from .running import (
    OUT, ROOT, Events, chosen, common_options, follow, load_catalogue, run_targets,
    tool_versions,
)  # fmt: skip

TREE_HELP = "a folder with an xv6 tree, or above it; a .tar.gz or .zip; a git repository with --ref"
# The checks that are commands of their own.
SINGLE = ("abi", "audit", "leaks", "sweep", "tlb", "vmprint")


def add(commands: Any) -> None:
    """Declare the commands."""
    grading = commands.add_parser("grade", help="check somebody's tree for everything")
    grading.add_argument("tree", nargs="*", metavar="TREE", help=TREE_HELP)
    many.add_options(grading, OUT / "trees")
    lab_options(grading)
    grading.set_defaults(run=_grade)
    tree_options(grading)
    common_options(grading)

    for name in SINGLE:
        single = commands.add_parser(name, help=all_checks()[name].title)
        single.add_argument("tree", nargs="?", metavar="TREE", help=TREE_HELP)
        single.add_argument(
            "--fault", metavar="ID", help="without TREE: our variant with this fault"
        )
        tree_options(single)
        single.set_defaults(run=_single, check=name)
        if name == "sweep":
            sweep_options(single)
        common_options(single)


def tree_options(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that takes a TREE takes besides."""
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
    """Return what the command line says of the sweep, if it is of the sweep."""
    if options.check != "sweep":
        return Choice()
    return Choice(options.workload, options.mode, options.exhaustive)


def _single(options: argparse.Namespace) -> int:
    options.verbose = True
    if options.tree is not None:
        if options.fault:
            raise UsageError("--fault is for the reference kernel: leave out TREE, or --fault")
        sources = sources_of([options.tree], options.ref)
        run = run_trees(options.check, sources, options, only=options.check)
        return exit_status(target.verdict for target in run.targets)
    if options.ref:
        raise UsageError("--ref needs a TREE")
    targets = [Target(options.kpt)]
    if options.fault:
        variants = [Target(options.kpt, fault) for fault in load_catalogue()]
        targets = chosen(variants, [options.fault])
    run = run_targets(
        options.check,
        targets,
        options,
        only=options.check,
        every_check=True,
        choice=sweep_choice(options),
    )
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
    run = run_trees("grade", sources, options)
    return exit_status(target.verdict for target in run.targets)


def _grade_many(options: argparse.Namespace) -> int:
    """Check many trees; results are kept, so that the same command continues this one."""
    if options.each and not options.tree:
        raise UsageError("--each needs a folder with a tree in each of its entries")
    if options.tree and not options.each:
        raise UsageError("either TREE or --list FILE; for all trees in a folder, --each")
    sources = many.chosen(options.tree, options.list, options.ref)
    others = many.passed_over(options.tree)
    store = Store(options.kept)
    options.quiet = options.quiet or not sys.stdout.isatty()
    tools = many.tools_text(tool_versions())
    count = many.Count()

    def begin(scratch: Path) -> Events:
        plan = tree_plan(scratch, options, "")
        return count.follow(
            many.run_each(sources, plan, options.jobs, store, tools, fresh=options.fresh)
        )

    def show(run: Run, console: Console) -> None:
        graded = sum(target.id in count.graded for target in run.targets)
        many.show(run, console, graded, count.seconds, others)
        for target in run.targets if options.verbose else ():
            terminal.explain(target, console)

    try:
        run = follow("grade", begin, [source.id for source in sources], options, show=show)
    except Interrupted:
        words = "what is done is kept: the same command goes on from there"
        print(f"faultline: {words}", file=sys.stderr)
        raise
    return many.status_of(run)


def tree_plan(scratch: Path, options: argparse.Namespace, only: str) -> grade.Plan:
    """Return what the command line says is to be done with each tree."""
    choice = sweep_choice(options) if only else Choice()
    plan = grade.Plan(ROOT, scratch, only, Limits(wall=options.timeout), choice)
    if only:
        return plan
    return dataclasses.replace(plan, lab=options.lab, pristine=options.pristine)


def run_trees(
    command: str, sources: list[Source], options: argparse.Namespace, *, only: str = ""
) -> Run:
    """Check trees and report on them; the reports are written and shown."""

    def begin(scratch: Path) -> Events:
        return grade.run_trees(sources, tree_plan(scratch, options, only), options.jobs)

    def show(run: Run, console: Console) -> None:
        for target in run.targets:
            if options.verbose:
                terminal.explain(target, console)
            brief.show(target, console)
        if len(run.targets) > 1:
            console.print()
            console.print(many.table(run.targets))

    ids = [source.id for source in sources]
    return follow(command, begin, ids, options, show=None if only else show)
