"""Exported trees: ordinary xv6-style trees that know nothing of this project."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, TOOLCHAINS

from faultline import catalogue, export
from faultline.errors import UsageError
from faultline.export import ExportError, File, exported_name, exported_path, files, write
from faultline.exportstyle import Edit, StyleError, load_base, load_styles
from faultline.machine import Machine
from faultline.qemu import Config

DATA = ROOT / "harness/export"
STYLES = load_styles(DATA / "styles")
FAULTS = {one.id: one for one in catalogue.load(ROOT / "faults/catalogue", ROOT / "kernel")}
# What only this project knows of; LICENSE names its authors, as it must.
OURS = re.compile(rb"faultline|FAULT\(|\bfault_n|hook|harness|probe|variant", re.IGNORECASE)


def texts(made: list[File]) -> dict[str, str]:
    return {
        one.path: one.content.decode("latin-1").replace("\r\n", "\n")
        for one in made
        if not one.path.endswith((".o", "mkfs/mkfs", "LICENSE"))
    }


@pytest.fixture(scope="module")
def clean() -> dict[str, str]:
    return texts(files(ROOT, None, STYLES[export.DEFAULT_STYLE]))


@pytest.mark.parametrize("identity", sorted(FAULTS))
def test_every_fault_is_exported_as_the_mistake_itself(
    identity: str, clean: dict[str, str]
) -> None:
    fault = FAULTS[identity]
    tree = texts(files(ROOT, fault, STYLES[export.DEFAULT_STYLE]))
    changed = {path for path in tree if tree[path] != clean.get(path)}
    hooked = {f"kernel/{p.name}" for p in catalogue.hooks(ROOT / "kernel")[fault.hook]}
    assert hooked <= changed <= hooked | {"kernel/dbg.c", "kernel/defs.h", "Makefile"}
    for path, text in tree.items():
        assert not OURS.search(text.encode()), path
        assert not re.search(rf"\b({fault.hook}|{identity})\b", text) or "_" not in fault.hook


@pytest.mark.parametrize("name", sorted(STYLES))
def test_every_style_fits_the_kernel(name: str) -> None:
    tree = texts(files(ROOT, FAULTS["kstack-not-freed"], STYLES[name]))
    folder = STYLES[name].folder + "/" if STYLES[name].folder else ""
    for path in ("Makefile", "README", "kernel/proc.c", "user/usertests.c", "mkfs/mkfs.c"):
        assert folder + path in tree
    for path, text in tree.items():
        assert not OURS.search(text.encode()), path


@pytest.mark.parametrize("name", sorted(STYLES))
def test_the_same_sources_make_the_same_tree(name: str) -> None:
    fault = FAULTS["kalloc-nth"]
    assert files(ROOT, fault, STYLES[name]) == files(ROOT, fault, STYLES[name])


def test_the_functions_that_a_fault_calls_come_along() -> None:
    nth = texts(files(ROOT, FAULTS["kalloc-nth"], STYLES["2022"]))
    assert re.findall(r"^(\w+)\(", nth["kernel/dbg.c"], re.M) == ["count", "dbg_nth"]
    number = dict(FAULTS["kalloc-nth"].defines)["FAULT_N"]
    assert f"if (dbg_nth({number}))\n    return 0;\n" in nth["kernel/kalloc.c"]
    assert nth["kernel/defs.h"].endswith("\n// dbg.c\nbool dbg_nth(uint64_t n);\n")
    assert "$K/dbg.o" in nth["Makefile"]
    stacks = texts(files(ROOT, FAULTS["all-stacks-mapped"], STYLES["2022"]))
    assert re.findall(r"^(\w+)\(", stacks["kernel/dbg.c"], re.M) == ["dbg_map_stacks"]


def test_the_kernel_has_no_control_block_and_the_disk_no_probe(clean: dict[str, str]) -> None:
    assert "static struct pagestat counters;" in clean["kernel/kalloc.c"]
    assert "user/sh.c" in clean and "user/probe.c" not in clean


def test_style_2020() -> None:
    made = {one.path: one for one in files(ROOT, None, STYLES["2020"])}
    text = texts(list(made.values()))
    assert "force-legacy" not in text["Makefile"] and "-Ttext 0" in text["Makefile"]
    assert not any("pmpaddr0" in one for one in text.values())
    assert text["conf/lab.mk"] == "LAB=pgtbl\n"
    assert made["grade-lab-pgtbl"].mode == 0o644
    assert made["mkfs/mkfs"].mode == 0o644  # and not for this system
    assert not made["mkfs/mkfs"].content.startswith(b"\x7fELF")
    assert made["kernel/start.o"].time > made["kernel/start.c"].time
    assert "user/leaktest.c" not in made and "leaktest" not in text["Makefile"]


def test_style_2022(clean: dict[str, str]) -> None:
    assert "-global virtio-mmio.force-legacy=false" in clean["Makefile"]
    assert "-T $U/user.ld" in clean["Makefile"]
    assert "pmpaddr0" in clean["kernel/start.c"]
    assert "LAB" not in clean["Makefile"]


def test_style_renamed() -> None:
    style = STYLES["renamed"]
    kernel = {p: t for p, t in texts(files(ROOT, None, style)).items() if "kernel/" in p}
    words = set(re.findall(r"\w+", "".join(kernel.values())))
    assert "kpagetable" not in words and {"kpgtbl", "pagetable_t"} <= words
    assert "kernel/mirror.c" not in kernel and "u2kvmcopy(" in kernel["kernel/vm.c"]
    assert exported_name(style, "proc_kpagetable") == "kpgtbl_create"
    assert exported_name(style, "fork") == "fork"
    assert exported_path(style, "kernel/mirror.c") == "kernel/vm.c"
    assert exported_path(style, "kernel/usercopy.c") == "kernel/vmcopyin.c"
    assert exported_path(STYLES["2022"], "kernel/mirror.c") == "kernel/mirror.c"
    # An include that both have stays once.
    assert len(re.findall(r'^#include "memlayout.h"$', kernel["kernel/vm.c"], re.M)) == 1


def test_style_crlf() -> None:
    made = {one.path: one.content for one in files(ROOT, None, STYLES["crlf"])}
    for path, content in made.items():
        assert content.count(b"\n") == content.count(b"\r\n") > 0, path
    for path in ("Makefile", "kernel/main.c"):
        with pytest.raises(UnicodeDecodeError):
            made[path].decode("utf-8")


def test_style_subfolder() -> None:
    paths = {one.path for one in files(ROOT, None, STYLES["subfolder"])}
    assert {path for path in paths if not path.startswith("handin/xv6-labs/")} == {
        "notes.txt", "handin/time.txt",
    }  # fmt: skip


def test_kpt_is_the_makefile_s_default() -> None:
    for kpt in ("share", "copy"):
        tree = texts(files(ROOT, None, STYLES["2022"], kpt))
        assert f"\nKPT = {kpt}\n" in tree["Makefile"]


def test_what_is_written(tmp_path: Path) -> None:
    made = [File("a/b", b"x", 0o644, 1_600_000_000), File("run", b"y", 0o755, 1_600_000_001)]
    write(made, tmp_path / "out")
    for one in made:
        path = tmp_path / "out" / one.path
        status = path.stat()
        assert path.read_bytes() == one.content
        assert (stat.S_IMODE(status.st_mode), int(status.st_mtime)) == (one.mode, one.time)


def occupied(path: Path) -> None:
    path.mkdir()
    (path / "mine").touch()


@pytest.mark.parametrize("make", [occupied, Path.touch])
def test_what_is_there_is_not_written_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    make(out)
    with pytest.raises(UsageError, match="expected a new or empty folder; remove what is there"):
        write([File("mine", b"x", 0o644, 0)], out)
    assert out.is_file() or (out / "mine").read_bytes() == b""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style", "2019"], "there is no style '2019'; there are 2020, 2022, crlf"),
        (["--fault", "no-such"], "there is no fault 'no-such'; `faultline list faults` shows"),
    ],
)
def test_unknown_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert export.main([*words, str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"export-tree: {message}")
    assert not (tmp_path / "out").exists()


def test_an_edit_that_fits_no_more_names_style_and_file() -> None:
    edit = Edit("kernel/start.c", re.compile("no such text"), "")
    with pytest.raises(ExportError, match="style 2022: kernel/start.c: 'no such text' matches 0"):
        files(ROOT, None, replace(STYLES["2022"], edits=(edit,)))
    edit = Edit("kernel/start.c", re.compile("CSR_WRITE"), "")
    with pytest.raises(ExportError, match=r"matches \d+ times, expected once"):
        files(ROOT, None, replace(STYLES["2022"], edits=(edit,)))
    with pytest.raises(ExportError, match="style 2022: there is no kernel/gone.c to"):
        files(ROOT, None, replace(STYLES["2022"], move={"kernel/gone.c": "kernel/x.c"}))
    for old, new, words in (
        ("vanished", "x", "has no vanished"),
        ("fork", "wait", "already has a wait"),
    ):
        with pytest.raises(ExportError, match=f"style 2022: rename: the kernel {words}"):
            files(ROOT, None, replace(STYLES["2022"], rename={old: new}))


GOOD = 'summary = "s"\ntime = 2020-01-01T00:00:00Z\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time = 2020-01-01T00:00:00Z\n", "1: summary: missing"),
        ('summary = "s"\ntime = 2020-01-01T00:00:00\n', "2: time: expected a zone"),
        (GOOD + "virtio = 3\n", "3: virtio: is 3, expected one of 1, 2"),
        (GOOD + "lab = 3\n", "3: lab: expected a text, found 3"),
        (GOOD + "vitrio = 1\n", "3: vitrio: unknown key"),
        (GOOD + 'leave_out = "a"\n', "3: leave_out: expected a list of texts, found 'a'"),
        (GOOD + "leave_out = [1]\n", "3: leave_out: expected a list of texts, found 1 in it"),
        (GOOD + '[stale]\na = "pdp-11"\n', "4: stale.a: is 'pdp-11', expected one of mach-o"),
        (GOOD + "[stale]\na = []\n", "4: stale.a: is a list, expected one of mach-o"),
        (GOOD + "[rename]\na = 1\n", "4: rename.a: expected a text, found 1"),
        (GOOD + '[[edit]]\nfile = "a"\npattern = "("\nto = ""\n', "5: edit.pattern: "),
        (GOOD + '[[edit]]\nfile = "a"\npattern = "b"\n', "3: edit.to: missing"),
        (GOOD + 'like = "nothing"\n', "3: like: is 'nothing', expected a style"),
        ("not toml", "1: Expected"),
    ],
)
def test_errors_in_a_style_name_file_line_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(text)
    with pytest.raises(StyleError) as error:
        load_styles(tmp_path)
    assert str(error.value).startswith(f"{path}:{message}")


def test_a_style_like_another(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD + 'lab = "l"\nvirtio = 1\n')
    (tmp_path / "b.toml").write_text('like = "a"\nsummary = "other"\nvirtio = 2\n')
    style = load_styles(tmp_path)["b"]
    assert (style.summary, style.lab, style.virtio) == ("other", "l", 2)


def test_a_program_s_part_must_be_known(tmp_path: Path) -> None:
    base = load_base(DATA / "tree.toml")
    tree = {"user/cat.c": "int\nmain(void)\n", "user/lost.c": "int\nfind(void)\n"}
    with pytest.raises(ExportError, match="user/lost is no program and part of none"):
        export._parts(tree, base.parts, base.library, STYLES["2022"])


# Real builds ------------------------------------------------------------------------------


GOALS = ("kernel/kernel", "fs.img")
COMPILER = next((tool for tool in TOOLCHAINS if shutil.which(tool)), TOOLCHAINS[0])


def exported(folder: Path, fault: str, style: str) -> Path:
    write(files(ROOT, FAULTS[fault] if fault else None, STYLES[style]), folder)
    return folder / STYLES[style].folder


def make(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-s", f"TOOLPREFIX={COMPILER.removesuffix('gcc')}", *words],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.live
@pytest.mark.parametrize(
    ("fault", "style"), [("", "renamed"), ("kalloc-nth", "crlf"), ("kstack-not-freed", "subfolder")]
)
def test_plain_make_builds_it_and_it_boots(tmp_path: Path, fault: str, style: str) -> None:
    tree = exported(tmp_path / "tree", fault, style)
    done = make(tree, *GOALS)
    assert (done.returncode, done.stderr) == (0, "")
    config = Config(tree / "kernel/kernel", tree / "fs.img")
    with Machine(config, tmp_path) as machine:
        machine.wait_prompt()
        assert "usertests" in machine.shell("ls")


@pytest.mark.live
def test_what_a_tree_of_2020_meets_on_today_s_tools(tmp_path: Path) -> None:
    tree = exported(tmp_path / "tree", "", "2020")
    done = make(tree, *GOALS)
    assert done.returncode != 0 and "kernel/start.o" in done.stderr  # stale
    make(tree, "clean")
    done = make(tree, *GOALS)
    assert done.returncode != 0 and "user/sh.c" in done.stderr
    assert "-Werror=infinite-recursion" in done.stderr

    done = make(tree, f"CC={COMPILER} -Wno-error=infinite-recursion", *GOALS)
    assert done.returncode == 0, done.stderr
    config = Config(tree / "kernel/kernel", tree / "fs.img", legacy_virtio=True, pmp=False)
    with Machine(config, tmp_path) as machine:
        said = machine.wait_prompt()
    # The indices of the lab's example.
    indices = re.findall(r"^((?:\.\. )*)\.\.(\d+): pte", said, re.M)
    assert [(len(dots) // 3, int(index)) for dots, index in indices] == [
        (0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (0, 255), (1, 511), (2, 510), (2, 511),
    ]  # fmt: skip
