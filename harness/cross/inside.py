#!/usr/bin/python3
"""Rewrite what the compiler made of a kernel's file, before it is assembled; cross.sh calls this.

    inside.py FILE.s [send] [fill] [leaves=OTHER.s]

Each change leaves the kernel's meaning as it is. The calls of kalloc() and kfree() where they
are defined must be seen (`send`); the others are for speed, each against what profiles of QEMU
showed. It looks a piece of code up each time that a function returns or calls across pages, and
leaves its inner loop at each access to a control register. xv6's wakeup() takes and gives back a
lock for each process, of which each does ten of the one and six of the other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Lines without code: comments, the compiler's marks around a programmer's assembler, line numbers
# and labels that only those use. What is jumped to is called .L and a number.
ASIDE = r"(?:[ \t]*(?:#.*|\.loc\s.*|\.L[A-Z]\w*:)\n)*"
# Two ways to write one bit of sstatus: to read it all, and to write it back; or at once.
CHANGE = re.compile(
    rf"^\tcsrr (?P<to>\w+), *sstatus\n(?P<aside>{ASIDE})"
    r"(?P<change>\t(?:andi\t(?P=to),(?P=to),-3|ori\t(?P=to),(?P=to),2)\n)"
    rf"(?P<after>{ASIDE})\tcsrw sstatus, *(?P=to)\n",
    re.M,
)
READ_TWICE = re.compile(
    rf"^\tcsrr (?P<first>\w+), *sstatus\n(?P<aside>{ASIDE})"
    r"\tcsrrci (?P<second>\w+), sstatus, 2\n",
    re.M,
)
FUNCTION = re.compile(
    r"^(?P<name>\w+):\n(?P<body>(?:.*\n)*?)\t\.size\t(?P=name), \.-(?P=name)\n", re.M
)
NO_CODE = re.compile(r"[ \t]*(?:#.*|\.(?:loc|cfi_\w+|file|L[A-Z]\w*:).*)?\n?")
# What a straight line of code has not: jumps, and what depends on who called.
ELSEWHERE = re.compile(
    r"^\t(?:call|tail|b\w+|j\w*|ret|ecall|ebreak|[sm]ret|wfi)\b|\.L|\bra\b", re.M
)
SAVED = re.compile(r"^\t[ls]d\tra,\d+\(sp\)\n", re.M)
RETURN = re.compile(r"\t(?:jr\tra|ret)\n\Z")
# What stands for memset() in string.c: the compiler would not have it call itself.
MEMSET = "faultline_memset"
# memset(a0, a1, a2), with up to 32 words a round; a0 is kept, as for its caller.
STORES = "\n".join(f"\tsd\ta1,{at}(t0)" for at in range(0, 256, 8))
FILL = f"""\
	andi	a1,a1,255
	slli	t0,a1,8
	or	a1,a1,t0
	slli	t0,a1,16
	or	a1,a1,t0
	slli	t0,a1,32
	or	a1,a1,t0
	mv	t0,a0
	add	a2,a2,a0
	li	a3,256
	li	a4,8
1:	beq	t0,a2,6f
	andi	t1,t0,7
	beqz	t1,2f
	sb	a1,0(t0)
	addi	t0,t0,1
	j	1b
2:	sub	t1,a2,t0
	bltu	t1,a3,4f
3:
{STORES}
	addi	t0,t0,256
	j	2b
4:	bltu	t1,a4,5f
	sd	a1,0(t0)
	addi	t0,t0,8
	addi	t1,t1,-8
	j	4b
5:	beq	t0,a2,6f
	sb	a1,0(t0)
	addi	t0,t0,1
	j	5b
6:
"""


def send(text: str, name: str, other: str) -> str:
    """Have a file that defines a function call another in its stead, but not in the allocator.

    That other name stands for the function, too, but weakly: the shim's takes its place, and a
    kernel without the shim calls the function.
    """
    if not re.search(rf"^{name}:$", text, re.M):
        return text

    def sent(function: re.Match[str]) -> str:
        if function["name"] in ("kalloc", "kfree"):
            return function[0]
        return call.sub(rf"\1{other}", function[0])

    call = re.compile(rf"^(\t(?:call|tail)\t){name}(?:@plt)?$", re.M)
    text = FUNCTION.sub(sent, text)
    alias = f".weak {other}; .type {other}, @function; {other}:\n"
    return re.sub(rf"^{name}:$", f"{alias}{name}:", text, flags=re.M)


def change_at_once(text: str) -> str:
    """Have intr_on() and intr_off(), in any function, access sstatus once, not three times.

    The Zicsr instructions (unprivileged specification) return what was there before, which is
    what the programmer's own first read, with nothing in between, would have.
    """

    def at_once(found: re.Match[str]) -> str:
        set_or_clear = "csrrsi" if "ori" in found["change"] else "csrrci"
        return f"\t{set_or_clear} {found['to']}, sstatus, 2\n" + "".join(
            found[part] for part in ("aside", "change", "after")
        )

    def read_once(found: re.Match[str]) -> str:
        first, second = found["first"], found["second"]
        copy = "" if first == second else f"\tmv\t{second},{first}\n"
        return f"\tcsrrci {first}, sstatus, 2\n{found['aside']}{copy}"

    return READ_TWICE.sub(read_once, CHANGE.sub(at_once, text))


def leaves(text: str) -> Iterator[tuple[str, str]]:
    """Find functions that are a straight line of code, and name nothing that only their file
    knows; return their names and code."""
    shown = set(re.findall(r"^\t\.globl\t(\w+)", text, re.M))
    own = set(re.findall(r"^(\w+):", text, re.M)) - shown
    for function in FUNCTION.finditer(text):
        code = "".join(
            line for line in function["body"].splitlines(True) if not NO_CODE.fullmatch(line)
        )
        straight, returns = RETURN.subn("", SAVED.sub("", code))
        named = set(re.findall(r"\w+", straight))
        if returns and not ELSEWHERE.search(straight) and not own & named:
            yield function["name"], straight


def inline(text: str, name: str, code: str) -> str:
    """Put another file's function's code in place of its calls. What it leaves in the registers
    is what a call would have left there, but for ra, which a caller has lost."""
    if re.search(rf"^{name}:", text, re.M):
        return text
    return re.sub(rf"^\tcall\t{name}(?:@plt)?\n", lambda _: code, text, flags=re.M)


def fill(text: str) -> str:
    """Have memset() done a word at a time, if the compiler has found that it is one."""

    def filled(function: re.Match[str]) -> str:
        if function["name"] != MEMSET:
            return function[0]
        called = re.sub(r"^\tcall\tmemset(?:@plt)?\n", FILL, function[0], flags=re.M)
        return re.sub(r"^\ttail\tmemset(?:@plt)?\n", f"{FILL}\tret\n", called, flags=re.M)

    return re.sub(rf"\b{MEMSET}\b", "memset", FUNCTION.sub(filled, text))


def main(path: str, *wanted: str) -> None:
    """Rewrite a file."""
    file = Path(path)
    text = file.read_text("utf-8", "surrogateescape")
    if "send" in wanted:
        text = send(text, "kalloc", "__wrap_kalloc")
        text = send(text, "kfree", "faultline_kfree_inside")
    if "fill" in wanted:
        text = fill(text)
    for word in wanted:
        if word.startswith("leaves="):
            other = Path(word.removeprefix("leaves=")).read_text("utf-8", "surrogateescape")
            for name, code in leaves(other):
                text = inline(text, name, code)
    file.write_text(change_at_once(text), "utf-8", "surrogateescape")


if __name__ == "__main__":
    main(*sys.argv[1:])
