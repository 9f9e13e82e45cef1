"""A kernel's or a program's ELF: symbols, source lines, inlined calls, types."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from . import dwarftypes
from .ctype import CType, Value
from .errors import HarnessError
from .finding import Where
from .ram import PAGE, Ram

# Where every xv6-like kernel maps its trampoline page: the top of Sv39's lower half.
TRAMPOLINE = (1 << 38) - PAGE
DW_OP_ADDR = 0x03  # in front of an address, where debug information says where things are
CALL_SITES = ("DW_TAG_call_site", "DW_TAG_GNU_call_site")


@dataclass(frozen=True)
class Loaded:
    """A section as it is loaded to an address; it begins at that offset of the file."""

    address: int
    offset: int
    content: bytes


class ElfImage:
    """Read-only view of one ELF file. Everything is looked up on first use and kept."""

    def __init__(self, path: Path) -> None:
        """Open `path`; raises HarnessError if it cannot be read as an ELF file."""
        self.path = path
        try:
            self._file = path.open("rb")
            self._elf = ELFFile(self._file)
        except (OSError, ELFError) as error:
            raise HarnessError(f"{path}: not a readable ELF file: {error}") from error
        self._units: dict[int, list[Any]] = {}

    @functools.cached_property
    def symbols(self) -> dict[str, tuple[int, int]]:
        """Address and size of each symbol; a global one counts before locals of its name, such
        as labels in assembly."""
        local: dict[str, tuple[int, int]] = {}
        known: dict[str, tuple[int, int]] = {}
        for section in self._elf.iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    if symbol.name and symbol["st_shndx"] != "SHN_UNDEF":
                        to = local if symbol["st_info"]["bind"] == "STB_LOCAL" else known
                        to.setdefault(symbol.name, (symbol["st_value"], symbol["st_size"]))
        return local | known

    def address(self, name: str) -> int | None:
        """Return a symbol's address, or None if there is no such symbol."""
        symbol = self.symbols.get(name)
        return symbol[0] if symbol else None

    def in_text(self, address: int) -> bool:
        """Tell whether an address lies in an executable section, or the trampoline."""
        address = self.linked(address)
        return any(start <= address < end for start, end in self._text)

    @functools.cached_property
    def _text(self) -> list[tuple[int, int]]:
        """Where the executable sections begin and end."""
        return [
            (section["sh_addr"], section["sh_addr"] + section["sh_size"])
            for section in self._elf.iter_sections()
            if section["sh_flags"] & 4 and section["sh_addr"]
        ]

    def data(self) -> list[Loaded]:
        """Return each section that is loaded and has content."""
        return [
            Loaded(section["sh_addr"], section["sh_offset"], section.data())
            for section in self._elf.iter_sections()
            if section["sh_flags"] & 2 and section["sh_type"] == "SHT_PROGBITS"
        ]

    def function_starts(self) -> set[int]:
        """Return the addresses at which functions begin."""
        return set(self._functions[0])

    @property
    def entry(self) -> int:
        """Where the program starts."""
        return int(self._elf.header["e_entry"])

    def segments(self) -> Iterator[tuple[int, int]]:
        """Yield the physical address and size in memory of each segment that is loaded."""
        for segment in self._elf.iter_segments():
            if segment["p_type"] == "PT_LOAD":
                yield segment["p_paddr"], segment["p_memsz"]

    def uses_csr(self, number: int) -> bool:
        """Tell whether any instruction reads or writes that control register."""
        for section in self._elf.iter_sections():
            if section["sh_flags"] & 4:
                code = section.data()
                for offset in range(0, len(code) - 3, 2):
                    word = int.from_bytes(code[offset : offset + 4], "little")
                    if word & 0x7F == 0x73 and word >> 20 == number and word >> 12 & 3:
                        return True
        return False

    def linked(self, address: int) -> int:
        """Return where the linker put the code that runs at `address`."""
        trampoline = self.address("trampoline")
        if trampoline is not None and TRAMPOLINE <= address < TRAMPOLINE + PAGE:
            return trampoline + address - TRAMPOLINE
        return address

    def frames(self, address: int, *, call: bool = False) -> list[Where]:
        """Return the source places that an instruction belongs to, innermost first.

        More than one if calls were inlined there; none if the address is no code. With
        `call`, the address is a return address, and the call before it is meant.
        """
        address = self.linked(address) - (1 if call else 0)
        return list(self._frames(address)) if self.in_text(address) else []

    @functools.lru_cache(maxsize=4096)
    def _frames(self, address: int) -> tuple[Where, ...]:
        file, line = self._line(address)
        frames = []
        for name, call_file, call_line in self._inlined(address):
            frames.append(Where(file, line, name))
            file, line = call_file, call_line
        return (*frames, Where(file, line, self.function(address)))

    def where(self, address: int, *, call: bool = False) -> Where:
        """Return the innermost source place of an address; all unknown if it is no code."""
        frames = self.frames(address, call=call)
        return frames[0] if frames else Where()

    def function(self, address: int) -> str | None:
        """Return the name of the function that the linker put at an address."""
        starts, names = self._functions
        index = bisect.bisect_right(starts, address) - 1
        return names[index] if index >= 0 else None

    def function_place(self, name: str) -> Where | None:
        """Return where a function is defined, or None if there is none of that name."""
        die = self._definition(name)
        return Where(*self._line(die.attributes["DW_AT_low_pc"].value), name) if die else None

    @functools.lru_cache(maxsize=None)
    def parameters(self, name: str) -> tuple[CType, ...]:
        """Return the types of a function's parameters; none if it is not known."""
        die = self._definition(name)
        if die is not None and "DW_AT_abstract_origin" in die.attributes:
            die = die.get_DIE_from_attribute("DW_AT_abstract_origin")
        return tuple(
            dwarftypes.type_of(child)
            for child in (die.iter_children() if die else ())
            if child.tag == "DW_TAG_formal_parameter"
        )

    def callees(self, name: str) -> set[str]:
        """Return the functions that a function calls, as far as they are not inlined."""
        die = self._definition(name)
        found: set[str] = set()
        for child in dwarftypes.below(die) if die else ():
            for link in ("DW_AT_call_origin", "DW_AT_abstract_origin"):
                if child.tag in CALL_SITES and link in child.attributes:
                    found.add(dwarftypes.name_of(child.get_DIE_from_attribute(link)))
        return found

    def _definition(self, name: str) -> Any:
        address = self.address(name)
        likely = [] if address is None else list(self._units_of_code(address))
        for unit in [*likely, *self._dwarf_units()]:
            for die in self._subprograms(unit):
                if "DW_AT_low_pc" in die.attributes and dwarftypes.name_of(die) == name:
                    return die
        return None

    @functools.lru_cache(maxsize=None)
    def enumerator(self, name: str) -> int | None:
        """Return the value of an enum's constant, or None if there is none of that name."""
        for unit in self._dwarf_units():
            for die in unit.get_top_DIE().iter_children():
                for child in die.iter_children() if die.tag == "DW_TAG_enumeration_type" else ():
                    if dwarftypes.name_of(child) == name:
                        return int(child.attributes["DW_AT_const_value"].value)
        return None

    def variable(self, ram: Ram, name: str) -> Value | None:
        """Return the global variable of that name as it is in `ram`, or None."""
        address, ctype = self.address(name), self.type_of(name)
        return None if address is None or ctype is None else Value(ram, address, ctype)

    @functools.lru_cache(maxsize=None)
    def type_of(self, variable: str) -> CType | None:
        """Return a global variable's type, or None if the debug information has none."""
        for unit in self._units_naming(self.address(variable)):
            for die in unit.get_top_DIE().iter_children():
                if die.tag == "DW_TAG_variable" and "DW_AT_type" in die.attributes:
                    if dwarftypes.name_of(die) == variable:
                        ctype = dwarftypes.type_of(die)
                        if ctype.size:  # an `extern a[];` leaves the size to another unit
                            return ctype
        return None

    @functools.cached_property
    def global_types(self) -> dict[str, CType]:
        """The types of all variables with an address of their own, by name."""
        found: dict[str, CType] = {}
        for unit in self._dwarf_units():
            for die in unit.get_top_DIE().iter_children():
                if die.tag == "DW_TAG_variable" and "DW_AT_location" in die.attributes:
                    name = dwarftypes.name_of(die)
                    if name and self.address(name) is not None:
                        found.setdefault(name, dwarftypes.type_of(die))
        return found

    @functools.cached_property
    def _functions(self) -> tuple[list[int], list[str]]:
        named: dict[int, str] = {}
        for section in self._elf.iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    kind = symbol["st_info"]["type"]
                    code = kind == "STT_FUNC" or (
                        kind == "STT_NOTYPE" and self._is_code(symbol["st_shndx"])
                    )
                    if symbol.name and code and not symbol.name.startswith((".L", "$")):
                        if kind == "STT_FUNC" or symbol["st_value"] not in named:
                            named[symbol["st_value"]] = symbol.name
        starts = sorted(named)
        return starts, [named[start] for start in starts]

    def _is_code(self, index: Any) -> bool:
        return isinstance(index, int) and bool(
            self._elf.get_section(index)["sh_flags"] & 4
        )

    @functools.cached_property
    def _dwarf(self) -> Any:
        return self._elf.get_dwarf_info() if self._elf.has_dwarf_info() else None

    def _dwarf_units(self) -> Iterator[Any]:
        if self._dwarf is not None:
            yield from self._dwarf.iter_CUs()

    def _units_naming(self, address: int | None) -> Iterator[Any]:
        """Yield the units in which an address stands, as a variable's does, then the others.

        Parsing a unit takes long, finding eight bytes does not.
        """
        first: list[Any] = []
        if address is not None and self._dwarf is not None:
            text = self._dwarf.debug_info_sec.stream.getvalue()
            operation = bytes([DW_OP_ADDR]) + address.to_bytes(8, "little")
            at = text.find(operation)
            while at >= 0:
                first.append(self._dwarf.get_CU_at(dwarftypes.unit_start(text, at)))
                at = text.find(operation, at + 1)
        yield from first
        yield from (unit for unit in self._dwarf_units() if unit not in first)

    def _units_of_code(self, address: int) -> Iterator[Any]:
        """Yield the unit that an instruction belongs to, or all if no table says which."""
        offset = self._ranges.cu_offset_at_addr(address) if self._ranges else None
        if offset is not None:
            yield self._dwarf.get_CU_at(offset)
        else:
            yield from self._dwarf_units()

    @functools.cached_property
    def _ranges(self) -> Any:
        return self._dwarf.get_aranges() if self._dwarf is not None else None

    def _line(self, address: int) -> tuple[str | None, int | None]:
        offset = self._ranges.cu_offset_at_addr(address) if self._ranges else None
        starts, rows = self._lines(offset)
        index = bisect.bisect_right(starts, address) - 1
        row = rows[index] if index >= 0 else None
        return row if row else (None, None)

    @functools.lru_cache(maxsize=None)
    def _lines(self, offset: int | None) -> tuple[list[int], list[tuple[str, int] | None]]:
        """Return the addresses where lines begin, and the lines: one unit's, or all."""
        rows: dict[int, tuple[str, int] | None] = {}
        units = self._dwarf_units() if offset is None else [self._dwarf.get_CU_at(offset)]
        for unit in units:
            program = self._dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            files = self._files(unit)
            for entry in program.get_entries():
                state = entry.state
                if state is None:
                    continue
                if state.end_sequence:
                    rows.setdefault(state.address, None)
                else:
                    rows[state.address] = (files.get(state.file, "?"), state.line)
        starts = sorted(rows)
        return starts, [rows[start] for start in starts]

    @functools.lru_cache(maxsize=None)
    def _files(self, unit: Any) -> dict[int, str]:
        """Return the unit's source files by their number, relative to where it was built."""
        program = self._dwarf.line_program_for_CU(unit)
        header = program.header
        top = unit.get_top_DIE()
        built = PurePosixPath(dwarftypes.text_of(top, "DW_AT_comp_dir"))
        new = header["version"] >= 5
        folders = [folder.decode("utf-8", "replace") for folder in header["include_directory"]]
        if not new:
            folders.insert(0, str(built))
        files = {}
        for number, entry in enumerate(header["file_entry"], 0 if new else 1):
            folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
            path = built / folder / entry.name.decode("utf-8", "replace")
            try:
                path = path.relative_to(built)
            except ValueError:
                pass
            files[number] = str(path)
        return files

    def _subprograms(self, unit: Any) -> list[Any]:
        if unit.cu_offset not in self._units:
            children = unit.get_top_DIE().iter_children()
            self._units[unit.cu_offset] = [
                die for die in children if die.tag == "DW_TAG_subprogram"
            ]
        return self._units[unit.cu_offset]

    @functools.lru_cache(maxsize=None)
    def _inlined(self, address: int) -> list[tuple[str, str | None, int | None]]:
        """Return (function, its caller's file, line) of each inlined call, innermost first."""
        for unit in self._units_of_code(address):
            for die in self._subprograms(unit):
                if self._covers(unit, die, address):
                    return list(self._inlined_in(unit, die, address))
        return []

    def _inlined_in(
        self, unit: Any, die: Any, address: int
    ) -> Iterator[tuple[str, str | None, int | None]]:
        for child in die.iter_children():
            scope = child.tag in ("DW_TAG_inlined_subroutine", "DW_TAG_lexical_block")
            if scope and self._covers(unit, child, address):
                yield from self._inlined_in(unit, child, address)
                if child.tag == "DW_TAG_inlined_subroutine":
                    attributes = child.attributes
                    file = line = None
                    if "DW_AT_call_file" in attributes and "DW_AT_call_line" in attributes:
                        file = self._files(unit).get(attributes["DW_AT_call_file"].value)
                        line = attributes["DW_AT_call_line"].value
                    yield dwarftypes.name_of(child), file, line
                return

    def _covers(self, unit: Any, die: Any, address: int) -> bool:
        attributes = die.attributes
        if "DW_AT_ranges" in attributes:
            base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
            start = base.value if base else 0
            lists = self._dwarf.range_lists()
            for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, unit):
                if isinstance(entry, BaseAddressEntry):
                    start = entry.base_address
                    continue
                offset = 0 if getattr(entry, "is_absolute", False) else start
                if entry.begin_offset + offset <= address < entry.end_offset + offset:
                    return True
            return False
        if "DW_AT_low_pc" not in attributes or "DW_AT_high_pc" not in attributes:
            return False
        low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        end = high.value if high.form == "DW_FORM_addr" else low + high.value
        return bool(low <= address < end)
