"""The figures of the TLB checker's benchmark."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from faultline import tlbspeed
from faultline.build import Build
from faultline.errors import HarnessError
from faultline.tlb import Report, Violation
from faultline.tlbspeed import Cost, Taken

BOOTING = Cost("boot", (Taken(1, 1.0), Taken(9, 9.0), Taken(2, 2.0)), (Taken(4, 4.0),) * 3)
FORKING = Cost("fork", (Taken(1, 1.0),) * 3, (Taken(3, 3.0), Taken(2, 2.0), Taken(3, 3.0)))


def test_times_slower() -> None:
    assert (BOOTING.ratio, FORKING.ratio) == (2.0, 3.0)
    both = tlbspeed.whole([BOOTING, FORKING])
    assert [one.cpu for one in both.without] == [2.0, 10.0, 3.0]
    assert both.ratio == pytest.approx(7.0 / 3.0)
    out = io.StringIO()
    Console(file=out, width=150).print(tlbspeed.table([BOOTING, FORKING]))
    shown = out.getvalue().replace("│", " ")
    assert re.search(r"boot +2\.00 +4\.00 +2\.00", shown)
    assert re.search(r"all +3\.00 +7\.00 +2\.33", shown)
    assert [one["workload"] for one in tlbspeed.as_json([BOOTING, FORKING])][-1] == "all"


class Says:
    """A machine that passes its tests, or not."""

    pid = 1

    def __init__(self, said: str) -> None:
        self.said = said

    def wait_prompt(self) -> None:
        pass

    def shell(self, line: str) -> str:
        return self.said


def boot(
    monkeypatch: pytest.MonkeyPatch, said: str, violations: tuple[Violation, ...]
) -> dict[str, Taken]:
    def bench(*unused: Any) -> SimpleNamespace:
        return SimpleNamespace(machine=machine)

    def machine(**unused: Any) -> AbstractContextManager[Says]:
        return nullcontext(Says(said))

    seconds = iter(range(100))
    monkeypatch.setattr(tlbspeed, "Bench", bench)
    monkeypatch.setattr(tlbspeed, "processor_state", lambda pid: (float(next(seconds)), ""))
    monkeypatch.setattr(tlbspeed, "look", lambda machine: Report(violations=violations))
    return tlbspeed.one_boot(cast(Build, None), Path(), "plugin.so")


def test_each_workload_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = boot(monkeypatch, "ALL TESTS PASSED", ())
    assert list(taken) == [tlbspeed.BOOT, *tlbspeed.WORKLOADS]
    assert [one.cpu for one in taken.values()][1:] == [1.0] * len(tlbspeed.WORKLOADS)


def test_what_does_not_work_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HarnessError, match="SOME TESTS FAILED"):
        boot(monkeypatch, "SOME TESTS FAILED", ())
    with pytest.raises(HarnessError, match="clean kernel"):
        boot(monkeypatch, "ALL TESTS PASSED", (cast(Violation, None),))
