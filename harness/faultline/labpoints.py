"""Points: what each item of a lab is worth, what a tree has earned of it, and why not more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ItemPoints:
    """One item's points. `why` says, in a student's words, what is missing.

    `earned` is None if the harness could not find out. An item that does not count for this
    tree has 0 of 0 points, and `why` says so.
    """

    part: str
    title: str
    earned: float | None
    possible: float
    why: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the schema's item."""
        return {
            "part": self.part,
            "title": self.title,
            "earned": _plain(self.earned),
            "possible": _plain(self.possible),
            "why": list(self.why),
        }


@dataclass(frozen=True)
class Points:
    """All points of a tree in a lab. The lab says that it passes with `needed` of them."""

    lab: str
    title: str
    needed: float
    items: tuple[ItemPoints, ...]

    @property
    def earned(self) -> float | None:
        """The sum, or None if an item is not known."""
        return total(self.items)

    @property
    def possible(self) -> float:
        """What this tree could have earned."""
        return sum(item.possible for item in self.items)

    @property
    def takes(self) -> float:
        """How many it takes to pass: no more than this tree can earn."""
        return min(self.needed, self.possible)

    @property
    def passed(self) -> bool:
        """Whether it has earned as many as it takes."""
        return self.earned is not None and self.earned >= self.takes

    @property
    def parts(self) -> dict[str, list[ItemPoints]]:
        """The items of each part."""
        found: dict[str, list[ItemPoints]] = {}
        for item in self.items:
            found.setdefault(item.part, []).append(item)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the schema's points."""
        return {
            "lab": self.lab,
            "earned": _plain(self.earned),
            "possible": _plain(self.possible),
            "needed": _plain(self.takes),
            "parts": [
                {
                    "title": title,
                    "earned": _plain(total(items)),
                    "possible": _plain(sum(item.possible for item in items)),
                }
                for title, items in self.parts.items()
            ],
            "items": [item.as_json() for item in self.items],
        }


def total(items: list[ItemPoints] | tuple[ItemPoints, ...]) -> float | None:
    """Return what items have earned together, or None if one of them is not known."""
    earned: float = 0
    for item in items:
        if item.earned is None:
            return None
        earned += item.earned
    return earned


def shown(points: float | None) -> str:
    """Return points as people write them; a question mark if they are not known."""
    return "?" if points is None else f"{points:g}"


def _plain(points: float | None) -> float | None:
    """Return whole points as a whole number."""
    return int(points) if points is not None and points == int(points) else points
