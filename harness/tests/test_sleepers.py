"""What each process of a machine waits for on which nothing goes on."""

from __future__ import annotations

import pytest
from audit_world import SOURCE, World
from conftest import Compile, FakeRam

from faultline.elf import ElfImage
from faultline.sleepers import sleepers, words

UNUSED, SLEEPING, RUNNABLE, ZOMBIE = 0, 2, 3, 5


@pytest.fixture
def world(compile_guest: Compile, fake_ram: FakeRam) -> World:
    world = World(ElfImage(compile_guest(SOURCE, "c")), fake_ram)
    world.finish()
    for index in range(2, 4):
        world.set("proc", UNUSED, index, "state")
    for index, function in enumerate(("usertrapret", "growproc")):
        world.set("proc", SLEEPING, index, "state")
        world.set("proc", world.elf.symbols[function][0] + 4, index, "context", "ra")
    return world


def functions(world: World) -> list[str | None]:
    found = sleepers(world.fake.ram(), world.elf)
    return [places[0].function if places else None for _, places in found]


def test_each_process_and_where_it_waits(world: World) -> None:
    assert functions(world) == ["usertrapret", "growproc"]
    first, second = words(sleepers(world.fake.ram(), world.elf)).splitlines()
    assert "waits at" in first and "usertrapret()" in first and "growproc()" in second


def test_if_one_could_go_on_that_is_not_why(world: World) -> None:
    world.set("proc", RUNNABLE, 1, "state")
    assert functions(world) == []


def test_a_state_that_is_not_known_may_be_one_that_goes_on(world: World) -> None:
    world.set("proc", 77, 1, "state")
    assert functions(world) == []


def test_who_has_ended_waits_for_nothing(world: World) -> None:
    world.set("proc", ZOMBIE, 1, "state")
    assert functions(world) == ["usertrapret"]


def test_a_process_that_never_ran_has_no_place(world: World) -> None:
    world.set("proc", 0, 1, "context", "ra")
    assert functions(world) == ["usertrapret", None]
    assert words(sleepers(world.fake.ram(), world.elf)).endswith("waits at an unknown place")


def test_a_kernel_of_which_nothing_is_known(compile_guest: Compile, fake_ram: FakeRam) -> None:
    elf = ElfImage(compile_guest("void _start(void) { for (;;) ; }", "c"))
    assert sleepers(fake_ram.ram(), elf) == []
