"""What is rewritten of a kernel's files before they are assembled, and what is left alone."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from faultline.treebuild import SOURCES


@pytest.fixture(scope="module")
def inside() -> ModuleType:
    path = SOURCES / "harness/cross/inside.py"
    spec = importlib.util.spec_from_file_location("inside", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ASIDE = ' #APP\n# 76 "kernel/riscv.h" 1\n\t.loc 1 2 3\n.LVL12:\n'


def code(text: str) -> list[str]:
    """Return the instructions and labels of some assembler, with one space between words."""
    words = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in words if line and not re.match(r"[#]|\.loc|\.L[A-Z]|#APP", line)]


@pytest.mark.parametrize("aside", ["", ASIDE], ids=["plain", "with-debug-information"])
@pytest.mark.parametrize(
    "change, done", [("andi\ta5,a5,-3", "csrrci"), ("ori\ta5,a5,2", "csrrsi")]
)
def test_a_bit_of_sstatus_is_changed_at_once(
    inside: ModuleType, aside: str, change: str, done: str
) -> None:
    text = f"\tcsrr a5, sstatus\n{aside}\t{change}\n{aside}\tcsrw sstatus, a5\n\tret\n"
    kept = " ".join(change.split())
    assert code(inside.change_at_once(text)) == [f"{done} a5, sstatus, 2", kept, "ret"]


def test_what_was_read_just_before_is_not_read_again(inside: ModuleType) -> None:
    text = (
        f"\tcsrr s1, sstatus\n{ASIDE}\tcsrr a5, sstatus\n{ASIDE}"
        f"\tandi\ta5,a5,-3\n{ASIDE}\tcsrw sstatus, a5\n"
    )
    assert code(inside.change_at_once(text)) == [
        "csrrci s1, sstatus, 2", "mv a5,s1", "andi a5,a5,-3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "\tcsrr a5, sstatus\n.L3:\n\tandi\ta5,a5,-3\n\tcsrw sstatus, a5\n",
        "\tcsrr a5, sstatus\n\tandi\ta5,a5,-3\n.L3:\n\tcsrw sstatus, a5\n",
        "\tcsrr a5, sstatus\n\tandi\ta5,a5,-3\n\tsd\ta5,0(s1)\n\tcsrw sstatus, a5\n",
        "\tcsrr a5, sstatus\n\tandi\ta4,a5,-3\n\tcsrw sstatus, a4\n",
        "\tcsrr a5, sstatus\n\tandi\ta5,a5,-257\n\tcsrw sstatus, a5\n",
        "\tcsrr a5, sstatus\n\tori\ta5,a5,2\n\tcsrw sstatus, a4\n",
        "\tcsrr a5, sie\n\tori\ta5,a5,2\n\tcsrw sie, a5\n",
    ],
    ids=["jumped-to", "jumped-to-later", "used-between", "another", "SPP", "not-it", "sie"],
)
def test_other_accesses_are_left_alone(inside: ModuleType, text: str) -> None:
    assert inside.change_at_once(text) == text


def test_two_reads_with_a_label_between_stay_two(inside: ModuleType) -> None:
    change = "\tcsrr a5, sstatus\n\tandi\ta5,a5,-3\n\tcsrw sstatus, a5\n"
    found = code(inside.change_at_once(f"\tcsrr s1, sstatus\n.L7:\n{change}"))
    assert found == ["csrr s1, sstatus", ".L7:", "csrrci a5, sstatus, 2", "andi a5,a5,-3"]


def function(name: str, body: str) -> str:
    head = f"\t.globl\t{name}\n\t.type\t{name}, @function\n{name}:\n.LFB1:\n"
    return f"{head}{body}.LFE1:\n\t.size\t{name}, .-{name}\n"


DATA = "\t.globl\tcpus\n\t.bss\ncpus:\n\t.zero\t64\nhidden:\n\t.zero\t8\n"


@pytest.mark.parametrize("returns", ["ret", "jr\tra"])
def test_a_straight_line_is_a_leaf(inside: ModuleType, returns: str) -> None:
    body = f"\tsd\tra,8(sp)\n{ASIDE}\tmv a5, tp\n\tlla\ta0,cpus\n\tld\tra,8(sp)\n\t{returns}\n"
    found = dict(inside.leaves(function("mycpu", body) + DATA))
    assert code(found["mycpu"]) == ["mv a5, tp", "lla a0,cpus"]


@pytest.mark.parametrize(
    "body",
    [
        "\tbeq\ta0,zero,.L2\n.L2:\n\tret\n",
        "\tcall\tcpuid\n\tret\n",
        "\ttail\tcpuid\n",
        "\tmv\ta0,ra\n\tret\n",
        "\tlla\ta0,.LANCHOR0\n\tret\n",
        "\tlla\ta0,hidden\n\tret\n",
        "\tjr\ta5\n",
        "\tret\n\tnop\n",
        "\tecall\n\tret\n",
    ],
    ids=["branch", "call", "tail", "caller", "anchor", "static", "jump", "ends-early", "trap"],
)
def test_what_is_not_a_straight_line_is_no_leaf(inside: ModuleType, body: str) -> None:
    assert not dict(inside.leaves(function("mycpu", body) + DATA))


def test_a_leaf_stands_for_its_calls_but_not_for_another_of_that_name(inside: ModuleType) -> None:
    caller = function("hold", "\tcall\tmycpu\n\tcall\tmycpus\n\tcall\tmycpu@plt\n\tret\n")
    leaf = "\tlla\ta0,cpus\n"
    assert code(inside.inline(caller, "mycpu", leaf))[3:7] == [
        "lla a0,cpus", "call mycpus", "lla a0,cpus", "ret",
    ]  # fmt: skip
    own = caller + function("mycpu", "\tret\n")
    assert inside.inline(own, "mycpu", leaf) == own


def test_only_memset_itself_is_filled(inside: ModuleType) -> None:
    text = function("faultline_memset", "\tcall\tmemset\n\tret\n") + function(
        "strncpy", "\tcall\tfaultline_memset\n\tret\n"
    )
    made = inside.fill(text)
    assert "faultline" not in made
    assert made.count("call\tmemset") == 1 and made.index("call\tmemset") > made.index("strncpy:")
    assert "\tsd\ta1,248(t0)\n" in made


def test_a_memset_that_is_none_keeps_its_code(inside: ModuleType) -> None:
    text = function("faultline_memset", "\tsb\ta1,0(a0)\n\tret\n")
    assert inside.fill(text) == text.replace("faultline_memset", "memset")
