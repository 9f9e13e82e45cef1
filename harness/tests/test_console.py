"""What the console's output as a whole tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from pexpect.spawnbase import SpawnBase

from faultline.console import TIMES, ConsoleLog
from faultline.emulator import WINDOW
from faultline.machine import Machine
from faultline.qemu import Config


@pytest.mark.parametrize(
    ("piece", "times", "kind"),
    [
        ("booting\nhart 1\n", 1, None),
        ("booting\nhart 1\n", 20, "reboot-loop"),
        ("booting\nhart 1\n", 1000, "reboot-loop"),  # and more than the limit, at once
        ("hello\n", 1000, "endless-output"),
    ],
)
def test_output_in_one_piece(piece: str, times: int, kind: str | None) -> None:
    log = ConsoleLog(1000)
    log.write(piece * times)
    assert (log.complaint[0] if log.complaint else None) == kind


def test_who_answers_may_say_more_in_all() -> None:
    log = ConsoleLog(1000)
    for _ in range(TIMES - 1):
        log.write("a line\n" * 142)
        log.answered()
        assert log.complaint is None
    assert len(log.text()) == log.size > 10 * log.limit
    log.write("x" * 1001)
    assert log.complaint == ("endless-output", "more than 1000 characters of output")
    log.answered()
    log.write("x")
    log.write("x" * 1000)
    assert log.complaint == ("endless-output", f"more than {1000 * TIMES} characters of output")


def test_the_text_grows_and_has_plain_line_ends() -> None:
    log = ConsoleLog()
    log.write("one\r")
    assert log.text() == "one"
    log.write("\ntwo\r\n")
    assert log.text() == log.text() == "one\ntwo\n"


def test_the_edge_of_what_is_searched_begins_no_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(Config(tmp_path / "kernel"), tmp_path)
    line = "it costs "
    rest = "$ 5" + "." * (WINDOW - 3)  # what is searched when all of it has come
    pieces = [line, rest[: WINDOW // 2], rest[WINDOW // 2 :], "\r\n$ "]
    guest = SpawnBase(searchwindowsize=WINDOW, encoding="utf-8")
    monkeypatch.setattr(guest, "read_nonblocking", lambda size, timeout: pieces.pop(0))
    monkeypatch.setattr(machine, "_running", lambda: guest)
    assert machine.wait_prompt() == line + rest
    for first in ("$ ", "\n$ "):  # and at the very beginning there is one
        pieces.append(first)
        assert machine.wait_prompt() == ""
