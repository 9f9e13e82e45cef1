"""A tree that spells fields and functions otherwise gets the findings of its variant."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from faultline import catalogue, export, grade
from faultline.bench import Bench
from faultline.build import build_probe
from faultline.checks import all_checks
from faultline.export import exported_name
from faultline.exportstyle import load_styles
from faultline.processes import has_kernel_root
from faultline.runner import run_check
from faultline.treebuild import make_tools
from faultline.treesource import Source

STYLE = "renamed"


@pytest.mark.live
@pytest.mark.parametrize("fault", ["interior-leak", "mirror-not-shrunk"])
def test_an_exported_fault_is_found_like_its_variant(tmp_path: Path, fault: str) -> None:
    style = load_styles(ROOT / export.DATA / "styles")[STYLE]
    faults = {one.id: one for one in catalogue.load(ROOT / "faults/catalogue", ROOT / "kernel")}
    tree, tools, scratch = tmp_path / "tree", tmp_path / "tools", tmp_path / "scratch"
    export.write(export.files(ROOT, faults[fault], style), tree)
    tools.mkdir()
    scratch.mkdir()
    build = grade.prepare(
        Source(tree), scratch, make_tools(tools), build_probe(ROOT).read_bytes()
    )
    assert build.elf.address("kernel_pagetable") is None and has_kernel_root(build.elf)
    expect = faults[fault].expect
    result = run_check(all_checks()[expect.check], Bench(build, scratch))
    assert result.status == "fail", result.reason
    found = {(finding.rule, finding.where.function) for finding in result.findings}
    assert (expect.rule, exported_name(style, expect.function)) in found
