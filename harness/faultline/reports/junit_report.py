"""One test case a target, and one an item with points, as JUnit XML, for CI platforms"""

from __future__ import annotations

import re
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..labpoints import ItemPoints, shown
from ..verdict import AS_EXPECTED, INTERRUPTED, Run, TargetResult

OPTION = "junit"
DEFAULT = "{command}.xml"
# What XML 1.0 cannot hold at all, escaped or not; a guest's console can.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(run: Run, path: Path) -> None:
    """Write a run to `path`."""
    suite = TestSuite(f"faultline {run.command}")
    for target in run.targets:
        suite.add_testcase(_case(target))
        for item in target.points.items if target.points else ():
            suite.add_testcase(_item_case(target, item))
    for name in run.without_result:
        case = TestCase(clean(name), "faultline.unfinished", 0.0)
        case.result = [Error(INTERRUPTED, "error")]
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    document.write(str(path), pretty=True)


def _case(target: TargetResult) -> TestCase:
    case = TestCase(target.id, f"faultline.{target.kind}", round(target.seconds, 3))
    text = clean(_text(target))
    shown = target.shown
    message = clean(f"{target.verdict}: {shown.message if shown else target.problem}")
    if target.verdict == "error":
        outcome = Error(message, "error")
    elif target.verdict == "no-oracle":
        reason = target.expect.no_oracle if target.expect else ""
        outcome = Skipped(clean(f"no oracle yet: {reason}"), "no-oracle")
    elif target.verdict not in AS_EXPECTED:
        outcome = Failure(message, target.verdict)
    else:
        case.system_out = text
        return case
    outcome.text = text
    case.result = [outcome]
    return case


def _item_case(target: TargetResult, item: ItemPoints) -> TestCase:
    """Return the test case of one item with points: it passes with all of them."""
    case = TestCase(clean(f"{target.id}: {item.part}: {item.title}"), "faultline.points", 0.0)
    words = clean(f"{shown(item.earned)} of {shown(item.possible)} points")
    if item.earned is None:
        case.result = [Error(words, "error")]
    elif not item.possible:
        case.result = [Skipped(words, "does-not-count")]
    elif item.earned < item.possible:
        case.result = [Failure(words, "points")]
    else:
        case.system_out = words
        return case
    case.result[0].text = clean("\n".join(item.why))
    return case


def _text(target: TargetResult) -> str:
    lines = [f"verdict: {target.verdict}"]
    if target.expect and not target.expect.no_oracle:
        expect = target.expect
        lines.append(f"expected: {expect.check}/{expect.rule} {expect.function}".rstrip())
    if target.points:
        earned, possible = shown(target.points.earned), shown(target.points.possible)
        lines.append(f"points: {earned} of {possible}")
    if target.problem:
        lines.append(target.problem)
    for result in target.checks:
        lines.append(f"check {result.check}: {result.status} {result.reason}".rstrip())
    for finding in target.findings:
        lines.append(f"{finding.check}/{finding.rule} at {finding.where}: {finding.message}")
        lines.append(finding.evidence)
    return "\n".join(lines)


def clean(text: str) -> str:
    """Replace the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
