"""Progress, tables and findings for people."""

from __future__ import annotations

import re
import textwrap

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text

from ..finding import Table
from ..labpoints import Points, shown, total
from ..verdict import AS_EXPECTED, CheckResult, Run, TargetResult

NOTHING = "–"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but for tab and line end
EVIDENCE_LINES = 30  # of one finding, on the terminal
NAMED = 6  # targets that an interruption left undone
BRIEF = 60  # characters of why an item has not more points, if the findings stand beside it
COLOURS = {
    "clean": "green", "caught": "green", "pass": "green", "no-oracle": "yellow",
    "misdiagnosed": "red", "missed": "red", "fail": "red", "error": "bold red",
}  # fmt: skip


class Progress:
    """What is being done: a live display on a terminal, one line a target elsewhere."""

    def __init__(self, console: Console, total: int, *, quiet: bool = False) -> None:
        self.console = console
        self.total = total
        self.done = 0
        self._quiet = quiet
        self._running: dict[str, str] = {}
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(self, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def __rich__(self) -> Grid:
        grid = Grid.grid(padding=(0, 1))
        for name, words in self._running.items():
            grid.add_row(Spinner("dots"), Text(name), Text(words, style="dim"))
        grid.add_row("", f"{self.done} of {self.total} done", "")
        return grid

    def doing(self, name: str, words: str) -> None:
        """Say what is being done with a target."""
        self._running[name] = words

    def ended(self, name: str) -> None:
        """Stop saying what is being done under that name."""
        self._running.pop(name, None)

    def finished(self, target: TargetResult) -> None:
        """Say how a target ended."""
        self.done += 1
        if self._quiet or self.total == 1 and target.kind == "tree":
            return  # the end of the grade says it all
        shown = target.shown
        what = f"{shown.check}/{shown.rule} at {shown.where}" if shown else target.problem
        line = Text(f"[{self.done}/{self.total}] {target.id}: ")
        line.append(target.verdict, COLOURS[target.verdict])
        line.append(f" {visible(what.splitlines()[0]) if what else ''} ({target.seconds:.1f} s)")
        self.console.print(line, soft_wrap=True, highlight=False)


def table(run: Run) -> Grid:
    """Return the verdicts as a table."""
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in ("fault", "class", "verdict", "check", "rule", "where"):
        grid.add_column(name, overflow="fold", no_wrap=name in ("class", "verdict", "check"))
    grid.add_column("seconds", justify="right")
    for target in run.targets:
        shown = target.shown
        grid.add_row(
            target.id,
            target.fault_class or "-",
            Text(target.verdict, COLOURS[target.verdict]),
            shown.check if shown else "-",
            shown.rule if shown else "-",
            Text(visible(str(shown.where))) if shown else "-",
            f"{target.seconds:.1f}",
        )
    return grid


def view(run: Run) -> Grid:
    """Return which check saw what of which fault: the rule, or – if it saw nothing.

    A fault that only one check has seen is marked: without that check it would be missed.
    """
    names = list(dict.fromkeys(one.check for target in run.targets for one in target.checks))
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in ("fault", *names, "seen by"):
        grid.add_column(name, overflow="fold")
    for target in run.targets:
        cells = {one.check: _seen(one) for one in target.checks}
        seen_by = [one.check for one in target.checks if one.status == "fail"]
        mark = f"only {seen_by[0]}" if len(seen_by) == 1 else str(len(seen_by) or NOTHING)
        style = "bold yellow" if len(seen_by) == 1 else ""
        row = [cells.get(name, "") for name in names]
        grid.add_row(target.id, *row, Text(mark, style))
    return grid


def _seen(result: CheckResult) -> str:
    """Return the rules of a check's findings, or how it came to none."""
    rules = dict.fromkeys(finding.rule for finding in result.findings)
    return "\n".join(rules) if rules else NOTHING if result.status == "pass" else result.status


def show(run: Run, console: Console, *, verbose: bool = False, matrix: bool = False) -> None:
    """Print the table, what is not as expected in full, and the summary.

    With `matrix`, also which check saw what.
    """
    console.print(table(run))
    if matrix:
        console.print("", view(run), sep="\n")
    for target in run.targets:
        if verbose or target.verdict not in AS_EXPECTED:
            explain(target, console)
    for target in run.targets:
        if target.points is not None:
            console.print()
            console.print(points_grid(target.id, target.points))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in run.summary.items())
    number = len(run.targets)
    console.print(f"\n{number} target{'s' * (number != 1)}: {counts}", highlight=False)


def show_unfinished(run: Run, number: int, console: Console) -> None:
    """Print how many targets an interruption left undone, and which."""
    left = run.unfinished
    names = ", ".join(left[:NAMED]) + f" and {len(left) - NAMED} more" * (len(left) > NAMED)
    words = f"\ninterrupted: {number - len(left)} of {number} target{'s' * (number != 1)} done"
    console.print(Text(visible(f"{words}; not done: {names}" if left else words)), soft_wrap=True)


def explain(target: TargetResult, console: Console) -> None:
    """Print everything known of one target."""

    def say(words: str) -> None:
        console.print(Text(visible(words)), soft_wrap=True)

    say(f"\n{target.id}: {target.verdict}")
    if target.expect and not target.expect.no_oracle:
        expect = target.expect
        function = f" in {expect.function}()" if expect.function else ""
        say(f"  expected: {expect.check}/{expect.rule}{function}")
    if target.problem:
        say(_indent(target.problem))
    for result in target.checks:
        if result.status in ("error", "skip"):
            say(_indent(f"check {result.check}: {result.status}: {result.reason}"))
    for result in target.checks:
        if result.table is not None:
            console.print(Padding(grid(result.table), (0, 0, 1, 2), expand=False))
    for finding in target.findings:
        say(f"  {finding.severity}: {finding.message}")
        say(f"    {finding.check}/{finding.rule} at {finding.where}")
        evidence = finding.evidence.splitlines()
        if len(evidence) > EVIDENCE_LINES:
            left_out = f"… {len(evidence) - EVIDENCE_LINES} lines; all of them are in the JSON …"
            half = EVIDENCE_LINES // 2
            evidence = [*evidence[:half], left_out, *evidence[-half:]]
        say(_indent("\n".join(evidence), 6))
        if finding.hint:
            say(f"    hint: {finding.hint}")


def grid(table: Table) -> Grid:
    """Return a check's table as it is shown."""
    shown = Grid(
        title=table.title, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for index, name in enumerate(table.columns):
        number = bool(table.rows) and all(isinstance(row[index], int) for row in table.rows)
        shown.add_column(name, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*(Text(visible(str(cell))) for cell in row))
    return shown


def points_grid(name: str, points: Points, *, brief: bool = False) -> Grid:
    """Return the points of a target, part by part, with what is missing; if `brief`, only the
    beginning of why."""
    grid = Grid(
        title=Text(f"{name}: {points.title}" if name else points.title), title_justify="left",
        box=None, pad_edge=False, header_style="bold",
    )  # fmt: skip
    grid.add_column("item", overflow="fold")
    grid.add_column("points", justify="right", no_wrap=True)
    grid.add_column("why not more", overflow="fold")
    for title, items in points.parts.items():
        possible = sum(item.possible for item in items)
        grid.add_row(Text(title, "bold"), Text(_of(total(items), possible), "bold"), "")
        for item in items:
            full = item.earned == item.possible
            style = "dim" if not item.possible else "green" if full else "red"
            earned = Text(_of(item.earned, item.possible), style)
            why = [textwrap.shorten(one, BRIEF, placeholder=" …") for one in item.why[:1]]
            why = why if brief else list(item.why)
            grid.add_row(Text(f"  {item.title}"), earned, Text(visible("\n".join(why))))
    end = "" if points.takes == points.possible else f"passes with {points.takes:g}"
    grid.add_row(Text("all", "bold"), Text(_of(points.earned, points.possible), "bold"), Text(end))
    return grid


def _of(earned: float | None, possible: float) -> str:
    return f"{shown(earned)}/{shown(possible)}"


def visible(text: str) -> str:
    """Return a text as a terminal may have it: what a guest prints, or a file is called, must
    not move the cursor, nor change the window's title."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _indent(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())
