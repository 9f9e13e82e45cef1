"""`faultline bench`: how fast, beside the naive way."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from rich.console import Console

from .. import benchmark, gradespeed, speed, tlbspeed
from ..errors import UsageError
from ..qemu import find_qemu
from ..scratch import Scratch
from ..sweep import speed as sweepspeed
from ..treesource import sources_of
from ..verdict import EXIT_AS_EXPECTED
from .running import ROOT, load_catalogue, positive


def add(commands: Any) -> None:
    """Declare the command."""
    bench = commands.add_parser("bench", help="measure the kernel, and the matrix")
    benchmark.add_options(bench)
    bench.add_argument(
        "--only",
        choices=("kernel", "matrix", "sweep", "tlb", "grade"),
        help="measure just that",
    )
    bench.add_argument(
        "tree", nargs="?", metavar="TREE", help="whose grade is measured; without: our own as a tree"
    )
    bench.add_argument(
        "--ref", default="", metavar="REF", help="the branch or commit, if TREE is a git repository"
    )
    bench.add_argument(
        "--matrix", type=positive, metavar="N", help="measure the matrix with N variants only"
    )
    bench.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, metavar="N")
    bench.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    if options.tree and options.only != "grade":
        raise UsageError("TREE goes with --only grade: the others measure our own kernel")
    if options.ref and not options.tree:
        raise UsageError("--ref needs a TREE")
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
    if options.only in (None, "grade"):
        source = sources_of([options.tree], options.ref)[0] if options.tree else None
        with Scratch() as scratch, console.status("") as status:
            grade = gradespeed.measure(ROOT, scratch, status.update, options.jobs, source)
        console.print(gradespeed.table(grade))
        figures["grade"] = gradespeed.as_json(grade)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return EXIT_AS_EXPECTED
