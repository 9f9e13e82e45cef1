"""The free list is not walked again where it is as it was: the result is that of a whole walk."""

from __future__ import annotations

import random
from typing import cast

import pytest
from conftest import FakeRam

from faultline.audit import freelist
from faultline.ctype import Scalar, Value
from faultline.ram import PAGE, RAM_BASE, Ram

PAGES = 64
HEADS = RAM_BASE + (PAGES - 1) * PAGE + 8  # not a list's page, nor the first word of one


class Lists:
    """Free lists of a small RAM, of which pages are taken and to which pages are given."""

    def __init__(self, fake: FakeRam, count: int, seed: int) -> None:
        self.chance, self.fake = random.Random(seed), fake
        del fake.memory[PAGES * PAGE :]
        self.lists: list[list[int]] = [[] for _ in range(count)]  # the heads last
        self.used = [RAM_BASE + n * PAGE for n in range(PAGES - 1)]

    def go_on(self) -> None:
        for pages in self.lists:
            for _ in range(self.chance.randrange(5)):
                if pages and self.chance.random() < 0.4:
                    page = pages.pop()
                    self.used.append(page)
                    self.fake.put(page, self.chance.getrandbits(64))
                elif self.used:
                    page = self.used.pop(self.chance.randrange(len(self.used)))
                    self.fake.put(page, pages[-1] if pages else 0)
                    pages.append(page)

    def damage(self) -> None:
        """Write over the link of a page, which may be on a list."""
        page = RAM_BASE + self.chance.randrange(PAGES) * PAGE
        wrong = (0, page, page + 8, RAM_BASE + PAGES * PAGE, HEADS - 8, RAM_BASE + 3 * PAGE)
        self.fake.put(page, self.chance.choice(wrong))

    def restore(self) -> None:
        for pages in self.lists:
            for page, link in zip(pages, [0, *pages]):
                self.fake.put(page, link)

    def look(self) -> tuple[Ram, list[Value]]:
        for number, pages in enumerate(self.lists):
            self.fake.put(HEADS + 8 * number, pages[-1] if pages else 0)
        ram = self.fake.ram()
        return ram, [Value(ram, HEADS + 8 * n, Scalar(8)) for n in range(len(self.lists))]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_if_all_of_it_were_walked(fake_ram: FakeRam, count: int, seed: int) -> None:
    lists, broken = Lists(fake_ram, count, seed), 0
    for step in range(150):
        lists.go_on()
        if step % 5 == 4:
            lists.damage()
        ram, heads = lists.look()
        whole = freelist._walked(ram, heads)
        sound = freelist._sound(ram, heads)
        broken += bool(whole.broken)
        assert (sound is None) == bool(whole.broken)
        assert sound is None or (sound.pages, sound.listed) == (whole.pages, bytes(whole.listed))
        lists.restore()
    assert 0 < broken < 30


def test_only_what_has_changed_is_walked(fake_ram: FakeRam) -> None:
    lists = Lists(fake_ram, 1, 0)
    while len(lists.lists[0]) < PAGES // 2:
        lists.go_on()
    walk, asked = freelist._Walk(), 0

    class Links:
        """The links of all pages, which counts how many are followed."""

        def __init__(self, ram: Ram) -> None:
            self.all = ram.words[:: PAGE // 8]

        def __len__(self) -> int:
            return len(self.all)

        def tobytes(self) -> bytes:
            return self.all.tobytes()

        def __getitem__(self, index: int) -> int:
            nonlocal asked
            asked += 1
            return self.all[index]

    for most in (PAGES, 0, 5):
        ram, (head,) = lists.look()
        asked = 0
        assert walk.again(cast(memoryview, Links(ram)), ram.base, int(head))
        assert asked <= most and (asked > PAGES // 3) == (most == PAGES)
        lists.go_on() if most == 0 else None
