"""What the audit makes of the probe's poses, on recorded output."""

from __future__ import annotations

import re
from typing import cast

import pytest

from faultline.bench import Bench
from faultline.checks.audit import PoseFailed, _poses
from faultline.machine import Machine


class Recorded:
    """A machine that has said all that it will say, and a bench with the nonce for it."""

    nonce = "N"

    def __init__(self, said: str) -> None:
        self.left = said

    def send(self, words: str) -> None:
        assert words == "probe N pose"

    def expect(self, pattern: str, what: str) -> re.Match[str]:
        found = re.search(pattern, self.left)
        assert found, what
        self.left = self.left[found.end() :]
        return found


def poses(said: str) -> list[str]:
    recorded = Recorded(said)
    return list(_poses(cast(Bench, recorded), cast(Machine, recorded)))


def test_poses_end_with_ok() -> None:
    assert poses("@N pose fresh\r\n\n@N pose child-grown\r\n@N pose ok\r\n$ ") == [
        "fresh",
        "child-grown",
    ]


@pytest.mark.parametrize(
    ("end", "words"),
    [("@N pose fail=pipe\r\n", "pipe"), ("usage: probe NONCE\r\n$ ", "the probe, which is gone")],
)
def test_a_probe_that_does_not_reach_the_end(end: str, words: str) -> None:
    with pytest.raises(PoseFailed, match=words):
        poses("@N pose fresh\r\n" + end)
