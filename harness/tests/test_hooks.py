"""Hooks can be resolved away, and what is left is the clean kernel, byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import FLAGS, ROOT, TOOLCHAINS

from faultline import catalogue
from faultline.hooks import HOOK, HookError, resolve

CASES = {
    "extra statement": (
        "a();\n  if (FAULT(x) && n > 1)\n    b();\nc();\n",
        "a();\nc();\n",
    ),
    "extra block": (
        "  if (FAULT(x)) {\n    b();\n    return;\n  }\n  c();\n",
        "  c();\n",
    ),
    "left out": (
        "  if (!FAULT(x))\n    b(1, (2));\n  c();\n",
        "  b(1, (2));\n  c();\n",
    ),
    "left out, over several lines": (
        "  if (!FAULT(x))\n    b(1,\n      2);\n  c();\n",
        "  b(1,\n    2);\n  c();\n",
    ),
    "choice": (
        "  f(FAULT(x) ? g(a ? 1 : 2, b) : h(c ? 3 : 4));\n",
        "  f(h(c ? 3 : 4));\n",
    ),
    "choice over two lines": (
        "  int a = FAULT(x) ? 1\n                   : 2;\n",
        "  int a = 2;\n",
    ),
    "choice of strings": (
        '  printf(FAULT(x) ? "a: (\\"" : "b: %d;", i);\n',
        '  printf("b: %d;", i);\n',
    ),
    "choice as a condition": (
        "  if (FAULT(x) ? false : a != 0)\n    b();\n",
        "  if (a != 0)\n    b();\n",
    ),
    "two on a line": ("  f(FAULT(x) ? 1 : 2, FAULT(y) ? 3 : 4);\n", "  f(2, 4);\n"),
    "assembly, extra": ("a\n#if FAULT(x)\nb\n#endif\nc\n", "a\nc\n"),
    "assembly, left out": ("a\n#if !FAULT(x)\nb\n#endif\nc\n", "a\nb\nc\n"),
    "the header": ('#include "defs.h"\n#include "../faults/hook.h"\n', '#include "defs.h"\n'),
    "no hook": ("DEFAULT(x); // a fault\n", "DEFAULT(x); // a fault\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_form_is_resolved(name: str) -> None:
    source, expected = CASES[name]
    assert resolve(source) == expected


PLANTED = {
    "extra statement": (
        "a();\n  if (FAULT(x))\n    b(1,\n      2);\nc();\n",
        "a();\n  b(1,\n    2);\nc();\n",
    ),
    "extra statement on a condition": (
        "a();\n  if (FAULT(x) && n > 1)\n    b();\nc();\n",
        "a();\n  if (n > 1)\n    b();\nc();\n",
    ),
    "extra block": (
        "  if (FAULT(x)) {\n    b();\n    return;\n  }\n  c();\n",
        "  b();\n  return;\n  c();\n",
    ),
    "left out": (
        "  if (!FAULT(x))\n    b(1, (2));\n  c();\n",
        "  c();\n",
    ),
    "left out, with a comment of two lines": (
        "  if (!FAULT(x))\n    b(); // one\n         // two\n  // of c\n  c();\n",
        "  // of c\n  c();\n",
    ),
    "choice": (
        "  f(FAULT(x) ? g(a ? 1 : 2, b) : h(c ? 3 : 4), d);\n",
        "  f(g(a ? 1 : 2, b), d);\n",
    ),
    "choice over two lines": (
        "  int a = FAULT(x) ? 1\n                   : 2;\n",
        "  int a = 1;\n",
    ),
    "choice of strings": (
        '  printf(FAULT(x) ? "a: (\\"" : "b: %d;", i);\n',
        '  printf("a: (\\"", i);\n',
    ),
    "choice as a condition": (
        "  if (FAULT(x) ? false : a != 0)\n    b();\n",
        "  if (false)\n    b();\n",
    ),
    "another's": ("  f(FAULT(x) ? 1 : 2, FAULT(y) ? 3 : 4);\n", "  f(1, 4);\n"),
    "assembly, extra": ("a\n#if FAULT(x)\nb\n#endif\nc\n", "a\nb\nc\n"),
    "assembly, left out": ("a\n#if !FAULT(x)\nb\n#endif\nc\n", "a\nc\n"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_hook_becomes_the_mistake(name: str) -> None:
    source, expected = PLANTED[name]
    assert resolve(source, "x") == expected


@pytest.mark.parametrize(
    "source",
    ["x = FAULT(x);\n", "while (FAULT(x))\n  a();\n", "if (a && FAULT(x))\n  b();\n"],
)
def test_another_form_is_an_error_that_shows_the_line(source: str) -> None:
    with pytest.raises(HookError, match=r"line 1: FAULT\(x\) is in none of the forms"):
        resolve(source)


def image(tree: Path, name: str, *variables: str) -> bytes:
    """Build a tree's kernel in its build/name, and return its memory image."""
    out = tree / "build" / name
    subprocess.run(["make", "-s", "kernel", f"O={out}", *variables], cwd=tree, check=True)
    prefixes = ("riscv64-unknown-elf-", "riscv64-linux-gnu-")
    prefix = next(prefix for prefix in prefixes if shutil.which(prefix + "gcc"))
    binary = out / "kernel.bin"
    subprocess.run(
        [f"{prefix}objcopy", "-O", "binary", str(out / "kernel.elf"), str(binary)], check=True
    )
    return binary.read_bytes()


def copy_of_project(folder: Path) -> Path:
    for part in ("Makefile", "kernel", "faults", "user", "harness/unit", "harness/tlb"):
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return folder


@pytest.mark.parametrize("kpt", ["share", "copy"])
def test_clean_kernel_is_the_kernel_without_hooks(tmp_path: Path, kpt: str) -> None:
    hooked = copy_of_project(tmp_path / "hooked")
    resolved = copy_of_project(tmp_path / "resolved")
    hooks = 0
    for source in sorted(resolved.glob("kernel/*.[cS]")):
        text = source.read_text()
        hooks += len(HOOK.findall(text))
        source.write_text(resolve(text))
    assert hooks >= 10
    assert not any("FAULT(" in source.read_text() for source in resolved.glob("kernel/*.[cS]"))

    clean = image(hooked, "clean", f"KPT={kpt}")
    assert image(resolved, "clean", f"KPT={kpt}") == clean
    assert image(hooked, "variant", f"KPT={kpt}", "FAULT=kstack-not-freed") != clean


def code(source: str, suffix: str, *options: str) -> str:
    """What the compiler makes of a kernel source: assembly without lines' numbers."""
    compiler = next(tool for tool in TOOLCHAINS if shutil.which(tool))
    flags = [flag for flag in FLAGS if not flag.startswith(("-Wl", "-g", "-static", "-no-pie"))]
    assembly = suffix == ".S"
    done = subprocess.run(
        [compiler, *flags, "-g0", "-E" if assembly else "-S", "-Wall", "-Werror", "-Wno-unused",
         "-I../faults", *options, "-x", "assembler-with-cpp" if assembly else "c", "-o", "-", "-"],
        cwd=ROOT / "kernel", input=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (line.strip() for line in done.stdout.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def test_a_planted_fault_compiles_to_its_variant() -> None:
    faults = catalogue.load(ROOT / "faults/catalogue", ROOT / "kernel")
    planted = catalogue.hooks(ROOT / "kernel")

    def differing(fault: catalogue.Fault) -> list[str]:
        options = fault.options.split()
        wrong = []
        for path in planted[fault.hook]:
            source = path.read_text()
            mistake = resolve(source, fault.hook)
            if "fault_" in mistake:  # calls a function of inject.c
                mistake = '#include "../faults/hook.h"\n' + mistake
            variant = code(source, path.suffix, f"-DFAULT_{fault.hook}=1", *options)
            if code(mistake, path.suffix, *options) != variant:
                wrong.append(f"{fault.id} in {path.name}")
        return wrong

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert sum(pool.map(differing, faults), []) == []
