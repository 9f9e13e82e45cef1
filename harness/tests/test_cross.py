"""The wrapper that trees are compiled with: what it changes of a file that fills pages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from faultline.treebuild import Tools, make_tools

MEMSET = """
void *memset(void *to, int value, unsigned long size)
{
  for (char *at = to; size; size--) {
    BODY
    *at++ = value;
  }
  return to;
}
"""
FLAGS = ("-O", "-ffreestanding", "-mcmodel=medany")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return make_tools(tmp_path_factory.mktemp("tools"))


def compiled(tools: Tools, source: Path) -> subprocess.CompletedProcess[str]:
    """Compile a file as a tree's Makefile does."""
    words = [str(tools.folder / f"{tools.cross}gcc"), *FLAGS]
    words += ["-c", "-o", str(source.with_suffix(".o")), str(source)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def stores(tools: Tools, source: Path) -> int:
    """Return how many instructions store a byte."""
    words = [f"{tools.cross}objdump", "-d", str(source.with_suffix(".o"))]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return len(re.findall(r"\tsb\t", said))


@pytest.mark.parametrize("name, unrolled", [("string.c", True), ("strings.c", False)])
def test_the_loops_of_string_c_are_unrolled(
    tools: Tools, tmp_path: Path, name: str, unrolled: bool
) -> None:
    source = tmp_path / name
    source.write_text(MEMSET.replace("BODY", ""))
    assert compiled(tools, source).returncode == 0
    assert stores(tools, source) >= 8 if unrolled else stores(tools, source) == 1


def test_what_cannot_be_unrolled_is_compiled_as_it_is(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "string.c"
    source.write_text(MEMSET.replace("BODY", 'asm volatile("just_once:");'))
    assert compiled(tools, source).returncode == 0
    assert stores(tools, source) == 1


def test_an_error_in_string_c_is_told_once(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "string.c"
    source.write_text(MEMSET.replace("BODY", "nothing_of_that_name;"))
    done = compiled(tools, source)
    assert done.returncode != 0
    assert len(re.findall(r"error: .*nothing_of_that_name", done.stderr)) == 1
