"""Which n fail the same allocation, and which of them need not be tried.

A kernel that dies costs a boot. One that dies at every page that fork copies would cost a
boot a page; but all of these are the same allocation, asked for by the same call path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

ENOUGH = 2  # deaths of the same kind, one after the other, that speak for the whole group
LIVED = 6  # failures that a kernel has survived, after which a sparing sweep leaves the rest out


@dataclass
class Paths:
    """The call paths of a workload's kallocs, as the counting run met them."""

    hashes: Sequence[int] = ()  # of the first, second … kalloc; 0 for a path that is unknown
    _last: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last = {path: n for n, path in enumerate(self.hashes, 1)}

    def of(self, n: int) -> int:
        """Return the n-th kalloc's path as a number, 0 if it is not known."""
        return self.hashes[n - 1] if 1 <= n <= len(self.hashes) else 0

    def is_last(self, n: int) -> bool:
        """Tell whether no later kalloc has the n-th's path."""
        return self._last.get(self.of(n), n) == n


@dataclass
class Deaths:
    """How kernels died of which allocation, over all workloads and modes.

    With `exhaustive`, that is no reason to leave anything out. With `sparing`, not even the
    last of a group is tried, once two of any workload have died alike; and once some of a group
    have been survived in a row, in one workload and mode, only its last is.
    """

    exhaustive: bool = False
    sparing: bool = False
    _of: dict[int, list[Hashable]] = field(default_factory=dict)
    _lived: dict[int, int] = field(default_factory=dict)  # in this workload and mode

    def begin(self) -> None:
        """Begin another workload or mode."""
        self._lived.clear()

    def died(self, path: int, how: Hashable) -> None:
        """Note a death; `how` tells deaths apart."""
        self._of.setdefault(path, []).append(how)
        self._lived.pop(path, None)

    def survived(self, path: int) -> None:
        """Note that the kernel lived on: what was known of the group's deaths holds no longer."""
        self._of.pop(path, None)
        self._lived[path] = self._lived.get(path, 0) + 1

    def may_leave_out(self, n: int, paths: Paths, ahead: int = 0) -> bool:
        """Tell whether the n-th has been spoken for: the last of its group only if `sparing`.

        `ahead` of its group are to be tried before it, and may all be survived.
        """
        path = paths.of(n)
        if self.exhaustive or path == 0:
            return False
        known = self._of.get(path, [])
        if len(known) >= ENOUGH and len(set(known[-ENOUGH:])) == 1:
            return self.sparing or not paths.is_last(n)
        lived = self._lived.get(path, 0) + ahead
        return self.sparing and lived >= LIVED and not paths.is_last(n)

    def next_to_try(self, n: int, paths: Paths) -> int:
        """Return the first number from n on that must be tried."""
        while self.may_leave_out(n, paths):
            n += 1
        return n

    def last_to_try(self, first: int, paths: Paths) -> int:
        """Return the last number that must be tried before one may be left out; 0 if no
        later one may."""
        ahead = Counter([paths.of(first)])
        for n in range(first + 1, len(paths.hashes) + 1):
            if self.may_leave_out(n, paths, ahead[paths.of(n)]):
                return n - 1
            ahead[paths.of(n)] += 1
        return 0


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers in words: 3, 6 to 65."""
    found: list[list[int]] = []
    for n in sorted(set(numbers)):
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    words = [
        str(first) if first == last else f"{first}{', ' if last == first + 1 else ' to '}{last}"
        for first, last in found
    ]
    return ", ".join(words)
