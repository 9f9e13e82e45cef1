"""What the console's output as a whole tells."""

from __future__ import annotations

import pytest

from faultline.console import ConsoleLog


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


def test_the_text_grows_and_has_plain_line_ends() -> None:
    log = ConsoleLog()
    log.write("one\r")
    assert log.text() == "one"
    log.write("\ntwo\r\n")
    assert log.text() == log.text() == "one\ntwo\n"
