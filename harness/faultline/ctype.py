"""C types as an ELF's debug information describes them, and values of them in RAM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .ram import Ram


@dataclass(frozen=True)
class CType:
    """A type that takes `size` bytes."""

    size: int
    name: str = ""


@dataclass(frozen=True)
class Scalar(CType):
    """An integer, enum, bool or pointer."""

    signed: bool = False
    names: tuple[tuple[int, str], ...] = ()  # of an enum's values
    to: str = ""  # the type that a pointer points to


@dataclass(frozen=True)
class Array(CType):
    """`count` elements of one type."""

    element: CType = field(default_factory=lambda: CType(0))
    count: int = 0


@dataclass(frozen=True)
class Struct(CType):
    """Members by name: (offset, type)."""

    members: tuple[tuple[str, int, CType], ...] = ()

    def member(self, name: str) -> tuple[int, CType]:
        """Return a member's offset and type; raises KeyError if there is none."""
        for found, offset, ctype in self.members:
            if found == name:
                return offset, ctype
        raise KeyError(f"struct {self.name} has no member {name}")


@dataclass(frozen=True)
class Value:
    """An object in guest RAM. Nothing is read before it is asked for."""

    ram: Ram
    address: int
    ctype: CType

    def __getitem__(self, key: str | int) -> Value:
        if isinstance(key, str):
            if not isinstance(self.ctype, Struct):
                raise KeyError(f"not a struct, so no member {key}")
            offset, ctype = self.ctype.member(key)
            return Value(self.ram, self.address + offset, ctype)
        if not isinstance(self.ctype, Array) or not 0 <= key < self.ctype.count:
            raise IndexError(key)
        element = self.ctype.element
        return Value(self.ram, self.address + key * element.size, element)

    def __len__(self) -> int:
        return self.ctype.count if isinstance(self.ctype, Array) else 0

    def __iter__(self) -> Iterator[Value]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, name: object) -> bool:
        return isinstance(self.ctype, Struct) and any(
            found == name for found, _, _ in self.ctype.members
        )

    def bytes(self) -> bytes:
        """Return the object's memory."""
        return self.ram.read(self.address, self.ctype.size)

    def __int__(self) -> int:
        signed = isinstance(self.ctype, Scalar) and self.ctype.signed
        return int.from_bytes(self.bytes(), "little", signed=signed)

    def text(self) -> str:
        """Return a char array up to its first zero byte."""
        return self.bytes().split(b"\0")[0].decode("latin-1")

    def enumerator(self) -> str:
        """Return the name of an enum's value, or its number."""
        number = int(self)
        names = self.ctype.names if isinstance(self.ctype, Scalar) else ()
        return dict(names).get(number, str(number))
