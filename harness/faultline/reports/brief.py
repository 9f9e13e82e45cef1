"""What a grade says at its end, to a student: points, what is wrong, and what was left out.

Everything else that is known, `--verbose` and the files tell.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ..checks import all_checks
from ..finding import SEVERITIES, Finding
from ..labpoints import shown
from ..treetests import NOT_RUN
from ..verdict import TargetResult
from .terminal import COLOURS, points_grid, visible

OF_A_CHECK = 3  # findings that are shown
# What tests show is mostly what something else is the cause of; the last check asks for more
# than a course does. Either may find a lot.
RANKS = {"usertests": 1, "abi": 1, "sweep": 2}
NOT_TRIED = ("left out", "not tried")  # columns of tables
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def show(target: TargetResult, console: Console) -> None:
    """Print the end of a tree's grade; what it comes to is the last line."""
    if target.problem:
        console.print(Text(f"\n{visible(target.problem.strip())}"), soft_wrap=True)
    _findings(target, console)
    left_out = what_was_left_out(target)
    if left_out:
        console.print(Text("\nLeft out", "bold"))
    for words in left_out:
        console.print(Text(f"  {visible(words)}"), soft_wrap=True)
    if target.checks:
        console.print("", checks_grid(target))
    if target.points is not None:
        console.print("", points_grid("", target.points, brief=True))
    console.print(_last_line(target), soft_wrap=True)


def _last_line(target: TargetResult) -> Text:
    line = Text(f"\n{visible(target.id)}: ", "bold")
    line.append(target.verdict, COLOURS[target.verdict])
    points = target.points
    if points is not None:
        line.append(f", {shown(points.earned)} of {shown(points.possible)} points")
    line.append(f" ({target.seconds:.0f} s)")
    return line


def checks_grid(target: TargetResult) -> Grid:
    """Return a line for each check: how it ended, and how long it took.

    A lab's own stand among the points.
    """
    names = ("build", *all_checks()) if target.points else {one.check for one in target.checks}
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in ("check", "result"):
        grid.add_column(name)
    grid.add_column("seconds", justify="right")
    for result in target.checks:
        if result.check not in names:
            continue
        words = _counted(result.findings) or result.status
        style = {"pass": "green", "skip": "yellow", "error": "bold red"}.get(result.status, "red")
        grid.add_row(Text(visible(result.check)), Text(words, style), f"{result.seconds:.1f}")
    return grid


def _counted(findings: tuple[Finding, ...]) -> str:
    """Return in words how many findings there are of each severity."""
    words = []
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in findings)
        words += [f"{count} {severity}{'s' * (count > 1)}"] * (count > 0)
    return ", ".join(words)


def by_importance(target: TargetResult) -> list[Finding]:
    """Return a tree's findings: what is worst first, then what looks at the cause, and last what
    only shows without memory."""
    return sorted(
        target.findings,
        key=lambda one: (SEVERITIES.index(one.severity), RANKS.get(one.check, 0)),
    )


def essential(target: TargetResult) -> tuple[list[Finding], dict[str, int]]:
    """Return the findings to show, and how many more each check has.

    A note is shown only by its number, and what was left out elsewhere.
    """
    chosen: list[Finding] = []
    more: dict[str, int] = {}
    for finding in by_importance(target):
        of_check = sum(one.check == finding.check for one in chosen)
        if finding.severity != "note" and of_check < OF_A_CHECK:
            chosen.append(finding)
        elif not _not_run(finding):
            more[finding.check] = more.get(finding.check, 0) + 1
    return chosen, more


def _findings(target: TargetResult, console: Console) -> None:
    chosen, more = essential(target)
    if chosen:
        console.print(Text("\nWhat is wrong, the most important first", "bold"))
    hinted: set[str] = set()
    for number, finding in enumerate(chosen, 1):
        line = Text(f"{number:2}. ")
        line.append(finding.severity, STYLES[finding.severity])
        line.append(f": {visible(finding.message)}")
        console.print(line, soft_wrap=True)
        place = f"{finding.where} " if finding.where.line is not None else ""
        console.print(
            Text(f"    {visible(place)}[{finding.check}/{finding.rule}]"), soft_wrap=True
        )
        if finding.hint and finding.rule not in hinted:
            console.print(Text(f"    {visible(finding.hint)}", "italic"), soft_wrap=True)
        hinted.add(finding.rule)
    if more:
        words = ", ".join(f"{count} of {check}" for check, count in more.items())
        console.print(Text(f"    and {visible(words)}"), soft_wrap=True)
    if chosen or more:
        console.print(
            "    (--verbose shows all, with the evidence; `faultline explain RULE` says what a "
            "rule means)",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )


def what_was_left_out(target: TargetResult) -> list[str]:
    """Return in a line each what no check has looked at, and why."""
    checks: dict[str, list[str]] = {}
    for one in target.checks:
        if one.reason and one.status in ("skip", "error"):
            checks.setdefault(one.reason, []).append(one.check)
    lines = [f"{', '.join(names)}: {reason}" for reason, names in checks.items()]
    for result in target.checks:
        lines += [f"{result.check}: {one.message}" for one in result.findings if _not_run(one)]
        table = result.table
        for column in NOT_TRIED if table is not None else ():
            assert table is not None
            if column in table.columns:
                index = table.columns.index(column)
                count = sum(int(row[index]) for row in table.rows)
                lines += [f"{result.check}: {count} {table.title} {column}"] * (count > 0)
    return lines


def _not_run(finding: Finding) -> bool:
    """Tell whether a finding says of tests that they were not run, and nothing else."""
    return finding.rule == NOT_RUN.name
