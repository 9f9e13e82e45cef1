"""The kernel's processes and page tables, read from guest RAM."""

from __future__ import annotations

from dataclasses import dataclass

from .ctype import Array, Scalar, Struct, Value
from .elf import ElfImage
from .errors import HarnessError
from .procmembers import (
    TABLE_TYPES, Members, is_kernel_root, members_of, tables_of,
)  # fmt: skip
from .ram import Ram

KERNEL_ROOT = "kernel_pagetable"  # what xv6 calls the global kernel page table


@dataclass(frozen=True)
class Process:
    """One entry of proc[] that is in use. Addresses of memory are physical."""

    address: int
    pid: int
    name: str
    state: str
    pagetable: int
    kpagetable: int  # 0 if this kernel has none
    sz: int = 0  # bytes of user memory
    trapframe: int = 0
    sp: int = 0  # kernel stack pointer when it last gave its hart away; virtual
    ra: int = 0  # return address and frame pointer of that moment
    s0: int = 0
    kstack: int = 0  # lowest virtual address of its kernel stack, if the kernel notes it

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


def processes(ram: Ram, elf: ElfImage) -> list[Process]:
    """Return the processes in use; raises HarnessError if the ELF does not tell where."""
    table = elf.variable(ram, "proc")
    if table is None or not len(table):
        raise HarnessError(f"{elf.path}: no proc[] with debug information")
    members = members_of(table)
    for kind in ("pid", "name", "state", "pagetable"):
        if not getattr(members, kind):
            raise HarnessError(f"{elf.path}: no member of struct proc is the {kind}")
    found = [_process(value, members) for value in table]
    return [process for process in found if process.state != "UNUSED"]


def _process(value: Value, members: Members) -> Process:
    def number(member: str) -> int:
        return int(value[member]) if member else 0

    def saved(register: str) -> int:
        context = value[members.context] if members.context else None
        return int(context[register]) if context is not None and register in context else 0

    return Process(
        value.address,
        number(members.pid),
        value[members.name].text(),
        value[members.state].enumerator() if number(members.state) else "UNUSED",
        number(members.pagetable),
        number(members.kpagetable),
        number(members.sz),
        number(members.trapframe),
        saved("sp"),
        saved("ra"),
        saved("s0"),
        number(members.kstack),
    )


def kernel_table_member(table: Value) -> str:
    """Return the name of the member of proc[]'s struct with the kernel page table, or nothing."""
    return members_of(table).kpagetable


def has_kernel_tables(elf: ElfImage) -> bool:
    """Tell whether struct proc has a member for a kernel page table of the process's own."""
    table = elf.type_of("proc")
    if not isinstance(table, Array) or not isinstance(table.element, Struct):
        return False
    return len(tables_of(table.element)) > 1


def kernel_root(ram: Ram, elf: ElfImage) -> int:
    """Return the physical address of the global kernel page table; 0 if not made yet.

    If no variable has the usual name, it is the one of that type that holds a kernel page
    table, and before any does, the only one of that type.
    """
    value = elf.variable(ram, KERNEL_ROOT)
    if value is not None:
        return int(value)
    found = []
    for name, ctype in elf.global_types.items():
        if isinstance(ctype, Scalar) and ctype.to in TABLE_TYPES:
            candidate = elf.variable(ram, name)
            if candidate is not None:
                found.append(int(candidate))
    roots = [root for root in found if is_kernel_root(ram, root)]
    if roots:
        return roots[0]
    if len(found) == 1:
        return found[0]
    raise HarnessError(f"{elf.path}: no {KERNEL_ROOT} with debug information, nor the like of it")


def has_kernel_root(elf: ElfImage) -> bool:
    """Tell whether there is a variable that can hold the global kernel page table."""
    return elf.type_of(KERNEL_ROOT) is not None or any(
        isinstance(ctype, Scalar) and ctype.to in TABLE_TYPES
        for ctype in elf.global_types.values()
    )
