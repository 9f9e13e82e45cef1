"""Finding somebody's tree, building it, and what is said when that does not work."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, Compile

from faultline import treebuild
from faultline.board import Board, board_of, qemu_words
from faultline.build import Build
from faultline.elf import ElfImage
from faultline.errors import UsageError
from faultline.finding import Finding, Where
from faultline.grade import BUILD, put_probe, tree_verdict
from faultline.sandbox import Ended, Sandbox, SandboxUnusable
from faultline.treebuild import (
    LIBRARY_HINT, DoesNotBuild, Tools, build_tree, failure, make_tools,
)  # fmt: skip
from faultline.treesource import Source, fetch, find_tree, sources_of
from faultline.verdict import CheckResult

FILES = ("main.c", "proc.c", "vm.c", "kalloc.c")


def make_source(folder: Path) -> Path:
    """Make what looks like a tree."""
    (folder / "kernel").mkdir(parents=True)
    for name in FILES:
        (folder / "kernel" / name).write_text("int x;\n")
    (folder / "Makefile").write_text("kernel/kernel:\n")
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


# Finding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "xv6", "labs/2020/xv6-labs"])
def test_a_tree_is_found_in_the_folder_or_below(tmp_path: Path, into: Path, below: str) -> None:
    make_source(tmp_path / "given" / below)
    tree, _ = fetch(Source(tmp_path / "given"), into)
    assert (tree / "kernel/proc.c").is_file()
    assert tree.is_relative_to(into)


@pytest.mark.parametrize("end", ["tar", "tar.gz", "tgz", "zip"])
def test_a_tree_is_found_in_an_archive(tmp_path: Path, into: Path, end: str) -> None:
    source = make_source(tmp_path / "source")
    path = tmp_path / f"handin.{end}"
    if end == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for file in source.rglob("*"):
                packed.write(file, f"xv6/{file.relative_to(source)}")
    else:
        with tarfile.open(path, "w" if end == "tar" else "w:gz") as packed_tar:
            packed_tar.add(source, "xv6")
    tree, _ = fetch(Source(path), into)
    assert tree == into / "xv6"
    assert Source(path).id == "handin"


def test_the_uppermost_tree_is_meant(tmp_path: Path) -> None:
    make_source(tmp_path / "old/copy/of/it")
    tree = make_source(tmp_path / "xv6")
    assert find_tree(tmp_path, "given") == tree


def test_of_two_trees_one_must_be_named(tmp_path: Path) -> None:
    make_source(tmp_path / "a")
    make_source(tmp_path / "b")
    with pytest.raises(UsageError, match="2 xv6 trees; name one of 'a', 'b'"):
        find_tree(tmp_path, "given")


def only_half(folder: Path) -> None:
    (folder / "kernel").mkdir()
    (folder / "kernel/main.c").write_text("")


def without_makefile(folder: Path) -> None:
    (make_source(folder / "x") / "Makefile").unlink()


def for_x86(folder: Path) -> None:
    for name in ("vm.c", "bootasm.S", "Makefile"):
        (folder / name).write_text("")


def bare_repository(folder: Path) -> None:
    (folder / "objects").mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")


def something_else(folder: Path) -> None:
    (folder / "essay.doc").write_text("")


@pytest.mark.parametrize(
    ("fill", "found"),
    [
        (lambda folder: None, "found nothing"),
        (something_else, "found 'essay.doc'"),
        (only_half, "only kernel/main.c and no Makefile"),
        (without_makefile, "and no Makefile"),
        (for_x86, "the x86 xv6"),
        (bare_repository, "--ref"),
    ],
)
def test_no_tree_is_an_error_of_the_user_that_says_what_was_found(
    tmp_path: Path, fill: object, found: str
) -> None:
    assert callable(fill)
    fill(tmp_path)
    with pytest.raises(UsageError, match="no xv6 tree for RISC-V") as error:
        find_tree(tmp_path, "given")
    assert found in str(error.value)


def test_neither_file_nor_archive(tmp_path: Path, into: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        fetch(Source(tmp_path / "nowhere"), into)
    (tmp_path / "essay.doc").write_text("")
    with pytest.raises(UsageError, match="expected a folder"):
        fetch(Source(tmp_path / "essay.doc"), into)


def test_sources_have_names_of_their_own() -> None:
    names = [source.id for source in sources_of(["a/xv6", "b/xv6", "c.tar.gz", "a/xv6"])]
    assert names == ["a/xv6", "b/xv6", "c"]


# Git ----------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a tree on the branch lab, and settings and hooks that do harm."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def git(*words: str) -> None:
        identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER")
                    for what in ("NAME", "EMAIL")}  # fmt: skip
        subprocess.run(
            ["git", *words], cwd=folder, check=True, capture_output=True,
            env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null"},
        )  # fmt: skip

    git("init", "-q", "-b", "main")
    (folder / "essay.doc").write_text("")
    git("add", ".")
    git("commit", "-qm", "essay")
    git("checkout", "-qb", "lab")
    make_source(folder)
    (folder / ".gitattributes").write_text("*.c filter=evil\n")
    git("add", ".")
    git("commit", "-qm", "lab")
    git("checkout", "-q", "main")
    evil = f"touch {tmp_path}/harm; cat"
    git("config", "filter.evil.smudge", evil)
    git("config", "tar.tar.command", evil)
    git("config", "core.fsmonitor", evil)
    return folder


@pytest.mark.parametrize("ref", ["lab", "refs/heads/lab", "lab~0"])
def test_a_branch_is_unpacked_and_nothing_of_the_repository_is_run(
    repository: Path, into: Path, ref: str
) -> None:
    before = sorted(path.name for path in repository.rglob("*"))
    tree, _ = fetch(Source(repository, ref), into)
    assert sorted(path.name for path in (tree / "kernel").iterdir()) == sorted(FILES)
    assert not (repository.parent / "harm").exists()
    assert sorted(path.name for path in repository.rglob("*")) == before


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("labs", "there is no branch, tag or commit 'labs'; there is lab, main"),
        ("--output=x", "expected the name of a branch"),
        ("x; rm -rf /", "expected the name of a branch"),
        ("main", "no xv6 tree"),
    ],
)
def test_a_wrong_ref_is_an_error_of_the_user(
    repository: Path, into: Path, ref: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        fetch(Source(repository, ref), into)


def test_ref_without_a_repository(tmp_path: Path, into: Path) -> None:
    with pytest.raises(UsageError, match="--ref needs a git repository"):
        fetch(Source(make_source(tmp_path / "x"), "main"), into)


# Building -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return make_tools(tmp_path_factory.mktemp("tools"))


KERNEL_C = """\
#include <stdint.h>
void *kalloc(void); void kfree(void *); uint64_t sys_uptime(void);
void *myproc(void) { return 0; }
int argaddr(int n, uint64_t *out) { *out = 0; return n; }
void main(void) { int unused; kfree(kalloc()); sys_uptime(); for (;;) ; }
"""
KALLOC_C = "void *kalloc(void) { return 0; }\nvoid kfree(void *pa) { (void)pa; }\n"
PROC_C = "unsigned long sys_uptime(void) { return 0; }\n"
MAKEFILE = """\
CC = $(TOOLPREFIX)gcc
LD = $(TOOLPREFIX)ld
CFLAGS = -Wall -Wextra -Werror -O -mcmodel=medany -ffreestanding -nostdlib -mno-relax
OBJS = kernel/entry.o kernel/main.o kernel/kalloc.o kernel/proc.o kernel/vm.o
kernel/kernel: $(OBJS) kernel/kernel.ld
\t$(LD) -T kernel/kernel.ld -o kernel/kernel $(OBJS)
mkfs/mkfs: mkfs/mkfs.c
\tgcc -Werror -Wall -o mkfs/mkfs mkfs/mkfs.c
fs.img: mkfs/mkfs
\tmkfs/mkfs > fs.img
QEMUOPTS = -machine virt -bios none -kernel kernel/kernel -m 64M -smp 3 -nographic
QEMUOPTS += -drive file=fs.img,if=none,format=raw,id=x0
qemu: kernel/kernel fs.img
\tqemu-system-riscv64 $(QEMUOPTS)
"""
TREE = {
    "Makefile": MAKEFILE,
    "kernel/main.c": KERNEL_C,
    "kernel/kalloc.c": KALLOC_C,
    "kernel/proc.c": PROC_C,
    "kernel/vm.c": "int vm;\n",
    "kernel/entry.S": ".globl _entry\n_entry: la sp, stack + 4096\n call main\n"
    ".bss\nstack: .skip 4096\n",
    "kernel/kernel.ld": "ENTRY(_entry) SECTIONS { . = 0x80000000; .text : { *(.text*) }\n"
    " .data : { *(.data*) *(.rodata*) } .bss : { *(.bss*) *(.sbss*) } PROVIDE(end = .); }\n",
    "mkfs/mkfs.c": '#include <stdio.h>\nint main() { int unused; puts("an image"); }\n',
}


def build(tmp_path: Path, tools: Tools, change: dict[str, str | bytes | None]) -> Build:
    """Build TREE with some of its files changed, or left out."""
    job, out = tmp_path / "job", tmp_path / "out"
    out.mkdir()
    files: dict[str, str | bytes | None] = {**TREE, **change}
    for name, content in files.items():
        path = job / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return build_tree(job, job, out, tools)


def test_a_tree_is_built_with_the_shim_and_debug_information(tmp_path: Path, tools: Tools) -> None:
    made = build(tmp_path, tools, {})
    assert made.elf.address("faultline_ctl") is not None
    place = made.elf.function_place("kalloc")
    assert place is not None and (place.file, place.line) == ("kernel/kalloc.c", 1)
    assert made.board == Board(pmp=False, legacy_virtio=True, memory=64, asked=3)
    assert made.disk.read_text() == "an image\n"


@pytest.mark.parametrize(
    "change",
    [
        {"kernel/main.o": b"stale", "kernel/kernel": b"stale", "mkfs/mkfs": b"stale"},
        {"Makefile": MAKEFILE.replace("\n", "\r\n")},
        {"Makefile": MAKEFILE.replace("$(LD) -T", "$(CC) -nostdlib -static -T")},
        {"Makefile": MAKEFILE.replace("$(TOOLPREFIX)", "riscv64-linux-gnu-")},
        {"Makefile": MAKEFILE.replace("PREFIX)gcc", "PREFIX)gcc -march=rv64imac -mabi=lp64")},
        {"Makefile": "TOOLPREFIX = nonsense-\n" + MAKEFILE},
        {"kernel/caf\udce9.h": "", "kernel/vm.c": b"// \xff\xfe\nint vm;\n"},
        {"kernel/vm.c": "int f(void) { return undeclared(); }\nint undeclared(void) { return 1; }"},
    ],
    ids=["stale", "crlf", "linked-by-gcc", "other-prefix", "soft-float", "own-prefix",
         "any-encoding", "implicit"],
)  # fmt: skip
def test_what_old_trees_are_like_does_not_matter(
    tmp_path: Path, tools: Tools, change: dict[str, str | bytes | None]
) -> None:
    if "caf" in "".join(change):
        change = {os.fsdecode(os.fsencode(name)): content for name, content in change.items()}
    assert build(tmp_path, tools, change).elf.address("faultline_ctl") is not None


def test_a_kernel_that_the_shim_does_not_fit_is_built_without(
    tmp_path: Path, tools: Tools
) -> None:
    made = build(tmp_path, tools, {"kernel/main.c": KERNEL_C.replace("argaddr", "argument")})
    assert made.elf.address("faultline_ctl") is None


def test_a_tree_is_built_at_the_first_go(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[list[str], int]] = []
    make = treebuild._make

    def noted(sandbox: Sandbox, below: Path, tools: Tools, words: list[str]) -> Ended:
        done = make(sandbox, below, tools, words)
        made.append((words, done.status))
        return done

    monkeypatch.setattr(treebuild, "_make", noted)
    build(tmp_path, tools, {})
    assert made == [(["-j2", "kernel/kernel", "fs.img"], 0), (["-n", "qemu"], 0)]


def test_options_that_a_compiler_does_not_know_are_left_out(tools: Tools) -> None:
    gcc = f"{tools.cross}gcc"
    flags = ("-O2", "-fno-such-thing", "-fwrapv")
    assert treebuild._known(gcc, flags) == ["-O2", "-fwrapv"]
    assert treebuild._known(gcc, flags[::2]) == ["-O2", "-fwrapv"]


def test_a_plain_kernel_has_no_shim(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    plain = make_tools(tmp_path / "tools", plain=True)
    made = build(tmp_path, plain, {})
    assert made.elf.address("faultline_ctl") is None
    assert "KERNEL=''" in (plain.folder / "settings").read_text()


def test_an_object_without_a_source_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    for name in ("given.o", "made.o", "made.c"):
        (tmp_path / "kernel" / name).write_text("")
    treebuild.clean(tmp_path)
    assert sorted(path.name for path in (tmp_path / "kernel").iterdir()) == ["given.o", "made.c"]


TOP, NOWHERE = ("Makefile", None), (None, None)


def making(command: str) -> dict[str, str | bytes | None]:
    """A Makefile whose kernel and image are made in that way."""
    return {"Makefile": f"kernel/kernel fs.img:\n\t{command}\n"}


@pytest.mark.parametrize(
    ("change", "words", "where"),
    [
        ({"kernel/vm.c": "int vm;\nint x = ;\n"}, "does not compile: expected", ("kernel/vm.c", 2)),
        ({"kernel/vm.c": '#include "gone.h"\n'}, "gone.h: No such file", ("kernel/vm.c", 1)),
        ({"kernel/vm.c": None}, "kernel/vm.o is missing, which kernel/kernel needs", TOP),
        ({"mkfs/mkfs.c": None}, "mkfs/mkfs.c is missing, which mkfs/mkfs needs", TOP),
        ({"kernel/proc.c": "\n"}, "undefined reference to `sys_uptime'", ("kernel/main.c", 5)),
        ({"Makefile": MAKEFILE + "nonsense\n"}, "make stops: missing", ("Makefile", 15)),
        ({"Makefile": "all:\n"}, "does not say how to make kernel/kernel", TOP),
        ({"mkfs/mkfs.c": "int main() { return 3; }"}, "failed, with exit status", NOWHERE),
        (making("ln -s /etc/passwd $@"), "leads out", NOWHERE),
        (making("mkdir $@"), "cannot be used", NOWHERE),
        (making("mkfifo $@"), "no ordinary file", NOWHERE),
        (making("echo x > $@"), "no program for 64-bit RISC-V", NOWHERE),
        (making("echo 100/100 points; exit 1"), "failed", NOWHERE),
    ],
    ids=["syntax", "include", "no-source", "no-mkfs", "undefined", "makefile", "no-target",
         "mkfs-fails", "link-out", "folder", "pipe", "no-elf", "prints-a-score"],
)  # fmt: skip
def test_a_tree_that_does_not_build_gets_the_first_error_and_its_place(
    tmp_path: Path,
    tools: Tools,
    change: dict[str, str | bytes | None],
    words: str,
    where: tuple[str | None, int | None],
) -> None:
    with pytest.raises(DoesNotBuild) as failed:
        build(tmp_path, tools, change)
    found: Finding = failed.value.finding
    assert words in found.message
    assert (found.where.file, found.where.line) == where
    assert found.rule == "does-not-build"


def test_a_build_that_is_stopped_is_said_so(tmp_path: Path) -> None:
    done = Ended(-9, b"compiling\n", "it printed more than 4 MiB")
    found = failure(done, "kernel/kernel", ".", tmp_path)
    assert found.message == "The build was stopped: it printed more than 4 MiB."


LAB_IMAGE = 200_000 * 1024  # bytes that the file system lab's image has


def test_the_image_of_the_file_system_lab_is_taken_and_its_zeros_take_no_room(
    tmp_path: Path, tools: Tools
) -> None:
    makefile = MAKEFILE.replace("mkfs/mkfs >", f"head -c {LAB_IMAGE} /dev/zero >")
    made = build(tmp_path, tools, {"Makefile": makefile})
    assert made.disk.stat().st_size == LAB_IMAGE
    assert made.disk.stat().st_blocks * 512 < 1 << 20


def test_a_file_beyond_the_limit_is_said_so_with_the_limit(tmp_path: Path, tools: Tools) -> None:
    makefile = MAKEFILE.replace("mkfs/mkfs > fs.img", "truncate -s 100G fs.img")
    with pytest.raises(DoesNotBuild) as failed:
        build(tmp_path, tools, {"Makefile": makefile})
    assert failed.value.finding.message == (
        "`make fs.img` failed: a file may have 256 MiB here, one became larger."
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("make: *** [Makefile:9: fs.img] File size limit exceeded\n", "a file may have 256 MiB"),
        ("ld: final link failed: File too large\n", "a file may have 256 MiB"),
        ("make: *** [Makefile:9: x] CPU time limit exceeded\n", "may compute for 600 s"),
        ("cc1: out of memory allocating 65536 bytes\n", "may use 2048 MiB of memory"),
        ("sh: fork: retry: Resource temporarily unavailable\n", "may be 200 processes"),
        # lines of a source that a compiler shows are nobody's complaint
        (
            "vm.c:7:3: error: 'x' undeclared\n"
            '    7 |     panic("kalloc: out of memory", x);\n'
            '12345 |   f("cannot allocate memory");\n',
            "vm.c does not compile: 'x' undeclared",
        ),
        ("vm.c:1: note: File too large to be shown\nmake: *** Error 1\n", "exit status 2"),
    ],
)
def test_which_limit_a_build_met_is_said(tmp_path: Path, said: str, words: str) -> None:
    found = failure(Ended(2, said.encode()), "fs.img", ".", tmp_path)
    assert words in found.message and found.evidence


def test_a_tree_is_never_built_outside_of_the_sandbox(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable() -> None:
        raise SandboxUnusable("it cannot be contained")

    monkeypatch.setattr("faultline.sandbox.require", unusable)
    harm = tmp_path / "harm"
    with pytest.raises(SandboxUnusable):
        build(tmp_path, tools, {"Makefile": f"kernel/kernel:\n\ttouch {harm}\n"})
    assert not harm.exists()


# The machine --------------------------------------------------------------------------------

QEMU = "qemu-system-riscv64 -machine virt -bios none -kernel kernel/kernel"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", Board(pmp=False)),
        (f"{QEMU} -m 128M -smp 3", Board(pmp=False, legacy_virtio=True, asked=3)),
        (f"{QEMU} -global virtio-mmio.force-legacy=false", Board(pmp=False)),
        (f"make: x\n{QEMU} -m 1G", Board(pmp=False, legacy_virtio=True, memory=1024)),
        (f"{QEMU} -m 999999999G", Board(pmp=False, legacy_virtio=True, memory=2048)),
        (f"{QEMU} -smp 1", Board(pmp=False, legacy_virtio=True, harts=1)),
        (
            f"{QEMU} -drive file=disk.img,if=none",
            Board(pmp=False, legacy_virtio=True, disk="disk.img"),
        ),
        (f"{QEMU} -m 'unbalanced", Board(pmp=False, legacy_virtio=True)),
    ],
)
def test_the_board_is_what_make_qemu_says(
    compile_guest: Compile, said: str, expected: Board
) -> None:
    elf = ElfImage(compile_guest("void _start(void) { for (;;) ; }", "c"))
    assert board_of(elf, qemu_words(said)) == expected


def test_a_kernel_that_sets_pmp_entries_gets_pmp(compile_guest: Compile) -> None:
    source = ".globl _start\n_start: csrw pmpaddr0, t0\n"
    assert board_of(ElfImage(compile_guest(source, "S")), []).pmp


# The rest -----------------------------------------------------------------------------------


def test_an_image_that_takes_no_probe_is_said_so(tmp_path: Path) -> None:
    disk = tmp_path / "fs.img"
    disk.write_bytes(b"an image\n")
    assert "too few for a super block" in put_probe(disk, b"probe")
    assert disk.read_bytes() == b"an image\n"


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "skip"], "pass"),
        (["pass", "fail"], "fail"),
        (["fail", "skip", "skip"], "fail"),
        (["pass", "fail", "error"], "error"),
        (["skip"], "fail"),
    ],
)
def test_a_tree_passes_if_no_check_fails(statuses: list[str], verdict: str) -> None:
    results = [CheckResult(str(n), status, 0.0) for n, status in enumerate(statuses)]
    assert tree_verdict(results) == verdict


@pytest.mark.parametrize(("header", "library"), [("stdlib.h", True), ("user.h", False)])
def test_a_header_of_the_c_library_is_told_from_one_that_was_forgotten(
    tmp_path: Path, header: str, library: bool
) -> None:
    said = f"kernel/a.c:10:10: fatal error: {header}: No such file or directory\n"
    found = failure(Ended(2, said.encode()), "kernel/kernel", ".", tmp_path)
    assert found.where == Where("kernel/a.c", 10)
    assert (found.hint == LIBRARY_HINT) == library


def test_a_tree_that_only_builds_has_not_passed_what_could_not_look_at_it() -> None:
    built = CheckResult(BUILD, "pass", 0.0)
    skipped = CheckResult("tlb", "skip", 0.0, "QEMU is too old")
    assert tree_verdict([built, skipped]) == "fail"
    assert tree_verdict([built, CheckResult("tlb", "pass", 0.0)]) == "pass"


def test_the_tools_are_those_of_the_project(tools: Tools) -> None:
    wrapper = (tools.folder / "cross.sh").read_bytes()
    assert wrapper == (ROOT / "harness/cross/cross.sh").read_bytes()
    assert dataclasses.asdict(tools)["cross"].startswith("riscv64-")
