"""Which member of struct proc is what, whatever it is called.

By the name that xv6 gives it, if there is a member of that name; else by its type and, where
several have that type, by what the members of running processes hold: a root whose table
maps the trampoline and memory for the user is a user page table's, one whose table maps the
kernel's text at its own address a kernel page table's, and the number under which the user's
memory ends is its size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .ctype import Array, CType, Scalar, Struct, Value
from .elf import TRAMPOLINE
from .ram import PAGE, Ram
from .sv39 import LEVELS, R, U, V, W, X, pte_pa

TABLE_TYPES = ("long unsigned int", "long long unsigned int")  # that pagetable_t points to
# What people call the member with the kernel page table.
KERNEL_TABLE = re.compile(r"(proc_?)?k(ernel)?_?(page_?table|pgtbl|pgt|pt)")
TRAPFRAME = TRAMPOLINE - PAGE
PROCESSES = 8  # that are looked at: those that run, or sleep, speak for all
NAME_LENGTHS = range(8, 65)  # characters that a process's name may have


@dataclass(frozen=True)
class Members:
    """Names of struct proc's members; empty where there is none of that kind."""

    pagetable: str = ""
    kpagetable: str = ""
    state: str = ""
    pid: str = ""
    name: str = ""
    sz: str = ""
    trapframe: str = ""
    context: str = ""
    kstack: str = ""


def members_of(table: Value) -> Members:
    """Return which member of proc[]'s struct is what, as far as that shows by now."""
    element = table.ctype.element if isinstance(table.ctype, Array) else CType(0)
    struct = element if isinstance(element, Struct) else Struct(0)
    members = {name: ctype for name, _, ctype in struct.members}
    tables = tables_of(struct)
    state = _named(members, "state", lambda ctype: isinstance(ctype, Scalar) and bool(ctype.names))
    used = [value for value in table if not state or int(value[state])][:PROCESSES]
    user = _user_table(tables, used)
    context = _named(members, "context", _holds("ra", "sp"))
    return Members(
        user,
        _kernel_table(tables, user, used),
        state,
        _pid(members, used),
        _named(members, "name", _is_name),
        _size(members, user, used),
        _trapframe(members, user, used),
        context,
        _kstack(members, context, used),
    )


def tables_of(struct: Struct) -> list[str]:
    """Return the members that may be page tables, by their type."""
    return [
        name
        for name, _, ctype in struct.members
        if isinstance(ctype, Scalar) and ctype.to in TABLE_TYPES
    ]


def entry_of(ram: Ram, root: int, va: int) -> int:
    """Return the leaf that translates an address, 0 if none does."""
    table = root
    for level in reversed(range(LEVELS)):
        if table % PAGE or not ram.holds(table, PAGE):
            return 0
        pte = ram.u64(table + 8 * (va >> 12 + 9 * level & 511))
        if not pte & V:
            return 0
        if pte & (R | W | X):
            return pte
        table = pte_pa(pte)
    return 0


def is_user_root(ram: Ram, root: int) -> bool:
    """Tell whether a table has what a user page table has, and no kernel's."""
    return bool(
        root
        and entry_of(ram, root, TRAMPOLINE) & X
        and entry_of(ram, root, TRAPFRAME)
        and not is_kernel_root(ram, root)
    )


def is_kernel_root(ram: Ram, root: int) -> bool:
    """Tell whether a table maps the kernel's first page at its own address."""
    pte = entry_of(ram, root, ram.base)
    return bool(root and pte & X and not pte & U)


def _user_table(tables: list[str], used: Iterable[Value]) -> str:
    seen = [name for name in tables if any(is_user_root(v.ram, int(v[name])) for v in used)]
    if "pagetable" in tables or not tables:
        return "pagetable" if "pagetable" in tables else ""
    likely = [name for name in tables if not KERNEL_TABLE.fullmatch(name)]
    return (seen or likely or tables)[0]


def _kernel_table(tables: list[str], user: str, used: Iterable[Value]) -> str:
    others = [name for name in tables if name != user]
    named = [name for name in others if KERNEL_TABLE.fullmatch(name)]
    if named or len(others) == 1:
        return (named or others)[0]
    seen = [name for name in others if any(is_kernel_root(v.ram, int(v[name])) for v in used)]
    return seen[0] if seen else ""


def _named(members: dict[str, CType], name: str, fits: Callable[[CType], bool]) -> str:
    """Return the member of that name, or the first of a fitting type."""
    if name in members:
        return name
    return next((other for other, ctype in members.items() if fits(ctype)), "")


def _holds(*wanted: str) -> Callable[[CType], bool]:
    def fits(ctype: CType) -> bool:
        return isinstance(ctype, Struct) and set(wanted) <= {name for name, _, _ in ctype.members}

    return fits


def _is_name(ctype: CType) -> bool:
    return (
        isinstance(ctype, Array) and ctype.element.size == 1 and ctype.count in NAME_LENGTHS
    )


def _is_number(ctype: CType, size: int) -> bool:
    return isinstance(ctype, Scalar) and ctype.size == size and not ctype.to and not ctype.names


def _pid(members: dict[str, CType], used: list[Value]) -> str:
    """Return the first int that differs from process to process and is never 0."""
    if "pid" in members:
        return "pid"
    for name, ctype in members.items():
        values = [int(value[name]) for value in used] if _is_number(ctype, 4) else []
        if values and min(values) > 0 and len(set(values)) == len(values):
            return name
    return ""


def _size(members: dict[str, CType], user: str, used: list[Value]) -> str:
    """Return the number under which the last of the user's pages lies, in every process."""
    if "sz" in members or not user:
        return "sz" if "sz" in members else ""

    def ends(value: Value, end: int) -> bool:
        root = int(value[user])
        last = (end - 1) // PAGE * PAGE
        return (
            0 < end < TRAPFRAME
            and bool(entry_of(value.ram, root, last))
            and not entry_of(value.ram, root, last + PAGE)
        )

    return _by_value(members, used, lambda ctype: _is_number(ctype, 8), ends)


def _trapframe(members: dict[str, CType], user: str, used: list[Value]) -> str:
    """Return the pointer to the page that the user's table maps under the trampoline."""
    if "trapframe" in members or not user:
        return "trapframe" if "trapframe" in members else ""

    def maps(value: Value, pa: int) -> bool:
        pte = entry_of(value.ram, int(value[user]), TRAPFRAME)
        return bool(pte) and pte_pa(pte) == pa

    return _by_value(
        members, used, lambda ctype: isinstance(ctype, Scalar) and ctype.size == 8, maps
    )


def _kstack(members: dict[str, CType], context: str, used: list[Value]) -> str:
    """Return the address in whose page, or the one after it, each stack pointer is."""
    if "kstack" in members or not context:
        return "kstack" if "kstack" in members else ""

    def below(value: Value, bottom: int) -> bool:
        sp = int(value[context]["sp"])
        return bottom % PAGE == 0 and bottom != 0 and bottom < sp <= bottom + PAGE

    return _by_value(members, used, lambda ctype: _is_number(ctype, 8), below)


def _by_value(
    members: dict[str, CType],
    used: list[Value],
    fits: Callable[[CType], bool],
    holds: Callable[[Value, int], bool],
) -> str:
    """Return the first member of a fitting type of which something holds for every process."""
    for name, ctype in members.items():
        if fits(ctype) and used and all(holds(value, int(value[name])) for value in used):
            return name
    return ""
