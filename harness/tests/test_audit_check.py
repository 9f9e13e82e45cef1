"""What the check `audit` goes on with, whatever its first looks have found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from faultline.bench import Bench
from faultline.checks import Unchecked
from faultline.checks import audit as check
from faultline.finding import Finding, Where
from faultline.machine import Death, GuestDied, Machine

STALE = Finding("mirror-stale", "error", "stale", Where(function="exec"))
SATP = Finding("satp-not-restored", "error", "satp", Where(function="scheduler"))
DIED = GuestDied(cast(Machine, None), Death("panic", "kerneltrap", "", ()))

Look = list[Finding] | GuestDied


def audited(
    monkeypatch: pytest.MonkeyPatch, poses: list[Look], load: list[Look], tables: bool = True
) -> list[str]:
    def looks(those: list[Look]) -> Iterator[list[Finding]]:
        for one in those:
            if isinstance(one, GuestDied):
                raise one
            yield one

    monkeypatch.setattr(check, "ask", lambda bench: None)
    monkeypatch.setattr(check, "look_at_poses", lambda bench: looks(poses))
    monkeypatch.setattr(check, "look_under_load", lambda bench: looks(load))
    monkeypatch.setattr(check, "has_kernel_tables", lambda elf: tables)

    class Fake:
        elf = None

    return [one.rule for one in check.audit.run(cast(Bench, Fake())) if isinstance(one, Finding)]


def test_what_harts_have_loaded_is_looked_at_even_if_tables_are_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = audited(monkeypatch, [[STALE]], [[], [SATP], [SATP]])
    assert found == ["mirror-stale", "satp-not-restored"]


def test_an_old_entry_whose_page_has_a_new_owner_is_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    freed = Finding("mapped-free-page", "error", "free", Where(function="exec"))
    assert audited(monkeypatch, [[freed], [STALE]], [[]]) == ["mapped-free-page"]


def test_a_death_under_load_is_no_news_of_a_kernel_with_wrong_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert audited(monkeypatch, [[STALE]], [[], DIED]) == ["mirror-stale"]
    with pytest.raises(GuestDied):
        audited(monkeypatch, [[]], [[], DIED])


def test_without_tables_of_its_own_a_process_is_not_done_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Unchecked, match="not done yet"):
        audited(monkeypatch, [[]], [[]], tables=False)
    assert audited(monkeypatch, [[STALE]], [[]], tables=False) == ["mirror-stale"]
