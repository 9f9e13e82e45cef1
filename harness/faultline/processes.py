"""The kernel's processes and page tables, read from guest RAM."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .ctype import Array, CType, Scalar, Struct, Value
from .elf import ElfImage
from .errors import HarnessError
from .ram import Ram

# What people call the member of struct proc with the process's kernel page table, and of
# which type it is if they call it something else.
KERNEL_TABLE = re.compile(r"(proc_?)?k(ernel)?_?(page_?table|pgtbl|pgt|pt)")
TABLE_TYPES = ("long unsigned int", "long long unsigned int")  # that pagetable_t points to
USER_TABLE = "pagetable"


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
    kstack: int = 0  # lowest virtual address of its kernel stack, if the kernel notes it

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


def processes(ram: Ram, elf: ElfImage) -> list[Process]:
    """Return the processes in use; raises HarnessError if the ELF does not tell where."""
    table = elf.variable(ram, "proc")
    if table is None or not len(table):
        raise HarnessError(f"{elf.path}: no proc[] with debug information")
    try:
        found = [_process(value) for value in table]
    except KeyError as error:
        raise HarnessError(f"{elf.path}: {error.args[0]}") from error
    return [process for process in found if process.state != "UNUSED"]


def _process(value: Value) -> Process:
    kernel_table = kernel_table_member(value)
    return Process(
        value.address,
        int(value["pid"]),
        value["name"].text(),
        value["state"].enumerator(),
        int(value["pagetable"]),
        int(value[kernel_table]) if kernel_table else 0,
        int(value["sz"]) if "sz" in value else 0,
        int(value["trapframe"]) if "trapframe" in value else 0,
        int(value["context"]["sp"]) if "context" in value else 0,
        int(value["kstack"]) if "kstack" in value else 0,
    )


def kernel_table_member(proc: Value) -> str:
    """Return the name of struct proc's member with the kernel page table, or nothing.

    It is the one with such a name; or, under whatever name, the only other pagetable_t.
    """
    return _kernel_member(proc.ctype)


def _kernel_member(proc: CType) -> str:
    members = proc.members if isinstance(proc, Struct) else ()
    named = [name for name, _, _ in members if KERNEL_TABLE.fullmatch(name)]
    typed = [
        name
        for name, _, ctype in members
        if isinstance(ctype, Scalar) and ctype.to in TABLE_TYPES and name != USER_TABLE
    ]
    if named:
        return named[0]
    return typed[0] if len(typed) == 1 else ""


def has_kernel_tables(elf: ElfImage) -> bool:
    """Tell whether struct proc has a member for a kernel page table of the process's own."""
    table = elf.type_of("proc")
    if not isinstance(table, Array) or not isinstance(table.element, Struct):
        return False
    return bool(_kernel_member(table.element))


def kernel_root(ram: Ram, elf: ElfImage) -> int:
    """Return the physical address of the global kernel page table; 0 if not made yet."""
    value = elf.variable(ram, "kernel_pagetable")
    if value is None:
        raise HarnessError(f"{elf.path}: no kernel_pagetable with debug information")
    return int(value)
