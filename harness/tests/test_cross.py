"""The wrapper that trees are compiled with: what it changes of files that fill or give pages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from faultline.treebuild import Tools, make_tools

COPY = """
void copy(char *to, const char *from, unsigned size)
{
  for (; size; size--) {
    BODY
    *to++ = *from++;
  }
}
"""
FLAGS = ("-O", "-ffreestanding", "-mcmodel=medany")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return make_tools(tmp_path_factory.mktemp("tools"))


def compiled(
    tools: Tools, source: Path, *more: str, out: bool = True
) -> subprocess.CompletedProcess[str]:
    """Compile a file as a tree's Makefile does, with `-o` or without."""
    words = [str(tools.folder / f"{tools.cross}gcc"), *FLAGS, *more, "-c"]
    words += ["-o", source.with_suffix(".o").name] if out else []
    words.append(source.name)
    return subprocess.run(words, cwd=source.parent, capture_output=True, text=True, check=False)


def calls(tools: Tools, elf: Path) -> set[tuple[str, str]]:
    """Return who calls whom: in an object what is to be called, else what is."""
    words = [f"{tools.cross}objdump", "-dr", str(elf)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found, caller = set(), ""
    for line in said.splitlines():
        if begins := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            caller = begins[1]
        elif called := re.search(r"R_RISCV_CALL\w*\s+(\w+)|\tjalr?\t.*<(\w+)>$", line):
            found.add((caller, called[1] or called[2]))
    return found


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
    source.write_text(COPY.replace("BODY", ""))
    assert compiled(tools, source).returncode == 0
    assert stores(tools, source) >= 8 if unrolled else stores(tools, source) == 1


def test_what_cannot_be_unrolled_is_compiled_as_it_is(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "string.c"
    source.write_text(COPY.replace("BODY", 'asm volatile("just_once:");'))
    assert compiled(tools, source).returncode == 0
    assert stores(tools, source) == 1


def test_an_error_in_string_c_is_told_once(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "string.c"
    source.write_text(COPY.replace("BODY", "nothing_of_that_name;"))
    done = compiled(tools, source)
    assert done.returncode != 0
    assert len(re.findall(r"error: .*nothing_of_that_name", done.stderr)) == 1


KALLOC = """
void kfree(void *pa);
static void *list;
void *kalloc(void) {
  void **pa = list;
  if (!pa) return kalloc();
  list = *pa;
  return pa;
}
void *copied(void *pa) {
  void *copy = kalloc();
  kfree(pa);
  return copy;
}
void *another(void)
{
  return kalloc();
}
"""
KFREE = "void kfree(void *pa) { *(void **)pa = list; list = pa; }\n"
SENT = {
    ("copied", "__wrap_kalloc"), ("another", "__wrap_kalloc"), ("copied", "faultline_kfree_inside"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["kalloc.c", "physmem.c"])
@pytest.mark.parametrize("flags", [("-O",), ("-O2",), ("-Os", "-ggdb", "-MD", "-fno-pie")])
@pytest.mark.parametrize("out", [True, False])
def test_the_allocators_own_calls_go_to_the_shim(
    tools: Tools, tmp_path: Path, name: str, flags: tuple[str, ...], out: bool
) -> None:
    source = tmp_path / name
    source.write_text(KALLOC + KFREE)
    assert compiled(tools, source, *flags, out=out).returncode == 0
    made = calls(tools, source.with_suffix(".o"))
    assert made - {("kalloc", "kalloc")} == SENT
    assert source.with_suffix(".d").is_file() == ("-MD" in flags)


def test_lines_are_still_those_of_the_source(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "kalloc.c"
    source.write_text(KALLOC + KFREE)
    assert compiled(tools, source).returncode == 0
    words = [f"{tools.cross}objdump", "-dl", str(source.with_suffix(".o"))]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    line = KALLOC[: KALLOC.index("copy = kalloc")].count("\n") + 1
    assert f"kalloc.c:{line}\n" in said[said.index("<copied>:") :]


def test_what_frees_elsewhere_is_left_to_the_linker(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "kalloc.c"
    source.write_text(KALLOC)
    assert compiled(tools, source).returncode == 0
    assert ("copied", "kfree") in calls(tools, source.with_suffix(".o"))


def test_a_kernel_without_the_shim_calls_its_own_allocator(tools: Tools, tmp_path: Path) -> None:
    source = tmp_path / "kalloc.c"
    source.write_text(KALLOC + KFREE)
    assert compiled(tools, source, "-O").returncode == 0
    elf = tmp_path / "program"
    words = [f"{tools.cross}ld", "-e", "copied", "-Ttext=0x80000000", "--no-relax", "-o", str(elf)]
    subprocess.run([*words, str(source.with_suffix(".o"))], check=True)
    words = [f"{tools.cross}nm", str(elf)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    at = {line.split()[2]: line.split()[0] for line in said.splitlines()}
    assert at["__wrap_kalloc"] == at["kalloc"]
    assert at["faultline_kfree_inside"] == at["kfree"]


@pytest.mark.parametrize(
    "change",
    [("void *pa)", "unsigned long pa)"), ("void *kalloc(void)", "static void *kalloc(void)")],
    ids=["of-another-type", "static"],
)
def test_an_allocator_of_another_kind_is_compiled_as_it_is(
    tools: Tools, tmp_path: Path, change: tuple[str, str]
) -> None:
    source = tmp_path / "kalloc.c"
    source.write_text((KALLOC + KFREE).replace(*change))
    assert compiled(tools, source).returncode == 0
    assert not calls(tools, source.with_suffix(".o")) & SENT


def test_a_kernel_s_short_loops_are_written_out_and_no_program_grows(tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    folder.mkdir()
    own = make_tools(folder)
    gcc = tmp_path / "real-gcc"
    gcc.write_text('#!/bin/sh\necho "$@"\n')
    gcc.chmod(0o755)
    settings = folder / "settings"
    settings.write_text(re.sub(r"CROSS='.*'", f"CROSS='{tmp_path}/real-'", settings.read_text()))
    given = {}
    for source in ("kernel/walk.c", "user/walk.c"):
        words = [str(folder / f"{own.cross}gcc"), *FLAGS, "-c", "-o", "walk.o", source]
        said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        given[source] = said.stdout.split()
    assert all({"-g", source} < set(words) for source, words in given.items())
    assert "-fpeel-loops" in given["kernel/walk.c"]
    assert "-fpeel-loops" not in given["user/walk.c"]
