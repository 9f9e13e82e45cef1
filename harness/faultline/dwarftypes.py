"""Turning DWARF type entries into C types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .ctype import Array, CType, Scalar, Struct

POINTER_SIZE = 8
QUALIFIERS = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type",
              "DW_TAG_atomic_type", "DW_TAG_restrict_type")  # fmt: skip


def text_of(die: Any, attribute: str) -> str:
    """Return a string attribute of an entry, or nothing if it has none."""
    found = die.attributes.get(attribute)
    return str(found.value.decode("utf-8", "replace")) if found else ""


def unit_start(debug_info: bytes, offset: int) -> int:
    """Return where the unit begins that holds an offset of .debug_info (DWARF 5, 7.5.1)."""
    start = 0
    while True:
        length = int.from_bytes(debug_info[start : start + 4], "little")
        header = 4
        if length == 0xFFFF_FFFF:  # 64-bit DWARF
            length, header = int.from_bytes(debug_info[start + 4 : start + 12], "little"), 12
        if offset < start + header + length:
            return start
        start += header + length


def name_of(die: Any) -> str:
    """Return an entry's name, its own or that of the entry it completes."""
    for link in ("DW_AT_abstract_origin", "DW_AT_specification"):
        if "DW_AT_name" not in die.attributes and link in die.attributes:
            return name_of(die.get_DIE_from_attribute(link))
    return text_of(die, "DW_AT_name")


def below(die: Any) -> Iterator[Any]:
    """Yield all entries in an entry, however deep."""
    for child in die.iter_children():
        yield child
        yield from below(child)


def type_of(die: Any) -> CType:
    """Return the type that an entry's DW_AT_type names, its own or that of the entry it
    completes; size 0 if it cannot be known."""
    if "DW_AT_type" not in die.attributes and "DW_AT_specification" in die.attributes:
        return type_of(die.get_DIE_from_attribute("DW_AT_specification"))
    if "DW_AT_type" not in die.attributes:
        return CType(0, "void")
    return _convert(die.get_DIE_from_attribute("DW_AT_type"))


def _convert(die: Any) -> CType:
    name = text_of(die, "DW_AT_name")
    if die.tag in QUALIFIERS:
        return type_of(die)
    if die.tag == "DW_TAG_pointer_type":
        return Scalar(POINTER_SIZE, "pointer", to=_pointed(die))
    if "DW_AT_declaration" in die.attributes:
        return CType(0, name)
    if die.tag == "DW_TAG_array_type":
        return _array(die)
    size_attribute = die.attributes.get("DW_AT_byte_size")
    size = size_attribute.value if size_attribute else 0
    if die.tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
        return Struct(size, name, tuple(_members(die)))
    if die.tag == "DW_TAG_enumeration_type":
        names = tuple(
            (child.attributes["DW_AT_const_value"].value, text_of(child, "DW_AT_name"))
            for child in die.iter_children()
            if child.tag == "DW_TAG_enumerator"
        )
        return Scalar(size, name, False, names)
    if die.tag == "DW_TAG_base_type":
        signed = die.attributes["DW_AT_encoding"].value in (5, 6, 13)  # signed, char
        return Scalar(size, name, signed)
    return CType(size, name)


def _pointed(die: Any) -> str:
    """Return the name of what a pointer points to, behind typedefs; nothing for void."""
    while "DW_AT_type" in die.attributes:
        die = die.get_DIE_from_attribute("DW_AT_type")
        if die.tag not in QUALIFIERS:
            return text_of(die, "DW_AT_name") or str(die.tag)
    return ""


def _members(die: Any) -> list[tuple[str, int, CType]]:
    members = []
    for child in die.iter_children():
        if child.tag == "DW_TAG_member":
            location = child.attributes.get("DW_AT_data_member_location")
            offset = location.value if location else 0
            members.append((text_of(child, "DW_AT_name"), offset, type_of(child)))
    return members


def _array(die: Any) -> CType:
    element = type_of(die)
    counts = []
    for child in die.iter_children():
        if child.tag == "DW_TAG_subrange_type":
            if "DW_AT_count" in child.attributes:
                counts.append(child.attributes["DW_AT_count"].value)
            elif "DW_AT_upper_bound" in child.attributes:
                counts.append(child.attributes["DW_AT_upper_bound"].value + 1)
            else:
                counts.append(0)
    for count in reversed(counts):
        element = Array(element.size * count, "", element, count)
    return element
