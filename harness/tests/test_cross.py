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


MEMSET = """
void *memset(void *to, int value, SIZE size)
{
  char *at = to;
  for (SIZE i = 0; i < size; i++)
    at[i] = value;
  return to;
}
"""
WALK = """
KIND unsigned long *walk(unsigned long *table, unsigned long va, int alloc)
{
  for (int level = 2; level > 0; level--) {
    unsigned long entry = table[va >> (12 + 9 * level) & 511];
    if (!(entry & 1) && !alloc)
      return 0;
    table = (unsigned long *)(entry >> 10 << 12);
  }
  return &table[va >> 12 & 511];
}
unsigned long sum(unsigned long *table)
{
  return *walk(table, 0, 0) + *walk(table, 4096, 0);
}
"""


@pytest.mark.parametrize("size, words", [("unsigned", True), ("unsigned long", False)])
def test_a_memset_of_another_type_is_unrolled_at_least(
    tools: Tools, tmp_path: Path, size: str, words: bool
) -> None:
    source = tmp_path / "string.c"
    source.write_text(MEMSET.replace("SIZE", size))
    assert compiled(tools, source).returncode == 0
    assert (stores(tools, source) < 8) == words


@pytest.mark.parametrize("kind, inlined", [("", True), ("static __attribute__((noinline))", False)])
def test_walk_is_inlined_if_it_is_declared_as_ever(
    tools: Tools, tmp_path: Path, kind: str, inlined: bool
) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/vm.c").write_text(WALK.replace("KIND", kind))
    words = [str(tools.folder / f"{tools.cross}gcc"), *FLAGS, "-c", "-o", "vm.o", "kernel/vm.c"]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert (("sum", "walk") not in calls(tools, tmp_path / "vm.o")) == inlined


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


def pretended(folder: Path, script: str) -> str:
    """Make tools that call a script for the compiler; return the name of theirs."""
    (folder / "tools").mkdir()
    own = make_tools(folder / "tools")
    gcc = folder / "real-gcc"
    gcc.write_text(f"#!/bin/sh\n{script}\n")
    gcc.chmod(0o755)
    settings = own.folder / "settings"
    settings.write_text(re.sub(r"CROSS='.*'", f"CROSS='{folder}/real-'", settings.read_text()))
    return str(own.folder / f"{own.cross}gcc")


def test_a_kernel_s_short_loops_are_written_out_and_no_program_grows(tmp_path: Path) -> None:
    gcc = pretended(tmp_path, 'echo "$@"')
    given = {}
    for source in ("kernel/walk.c", "user/walk.c"):
        words = [gcc, *FLAGS, "-c", "-o", "walk.o", source]
        said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        given[source] = said.stdout.split()
    assert all({"-g", source} < set(words) for source, words in given.items())
    assert "-fpeel-loops" in given["kernel/walk.c"]
    assert "-fpeel-loops" not in given["user/walk.c"]


@pytest.mark.parametrize("source, header", [("vm.c", "walk.h"), ("string.c", "fill.h")])
def test_without_what_does_not_fit_a_file_still_gets_its_options(
    tmp_path: Path, source: str, header: str
) -> None:
    gcc = pretended(tmp_path, f'case "$*" in *{header}*) exit 1 ;; esac\necho "$@"')
    words = [gcc, *FLAGS, "-c", "-o", "it.o", f"kernel/{source}"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "-fpeel-loops" in said.stdout.split() and "faultline_memset" not in said.stdout
