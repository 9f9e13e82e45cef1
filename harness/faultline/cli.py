"""The command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import VERSION
from .commands import bench, facts, matrix, trees
from .errors import HarnessError, UsageError
from .lifeline import Interrupted, interrupt_on_signals
from .verdict import EXIT_HARNESS, EXIT_USAGE


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
    for part in (matrix, trees, bench, facts):
        part.add(commands)
    return parser
