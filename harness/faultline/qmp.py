"""QEMU's machine protocol, as much of it as a Machine needs."""

from __future__ import annotations

import json
import select
import socket
from typing import Any

from .errors import HarnessError


class QmpClosed(Exception):
    """QEMU closed the connection: it is gone, or going."""


class Qmp:
    """A connection that QEMU has made to a unix socket of ours."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        """Greet QEMU over `connection`; every answer must come within `timeout` seconds."""
        self._timeout = timeout
        self._pending = b""
        self.events: list[dict[str, Any]] = []
        self._socket = connection
        self._socket.settimeout(timeout)
        self._next()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: Any) -> Any:
        """Run a command; return its answer. Events that arrive meanwhile are kept."""
        message = json.dumps({"execute": name, "arguments": arguments}).encode()
        try:
            self._socket.sendall(message)
        except OSError as error:
            raise QmpClosed(str(error)) from error
        while True:
            answer = self._next()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise HarnessError(f"QEMU refuses {name}: {answer['error'].get('desc')}")
            else:
                return answer["return"]

    def monitor(self, line: str) -> str:
        """Run a command of the human monitor; return what it prints."""
        text = self.command("human-monitor-command", **{"command-line": line})
        return str(text)

    def poll(self) -> None:
        """Take in events that have already arrived. Does not wait."""
        while b"\n" in self._pending or select.select([self._socket], [], [], 0)[0]:
            answer = self._next()
            if "event" in answer:
                self.events.append(answer)

    def event(self, name: str) -> dict[str, Any] | None:
        """Return the first event of that name so far, or None."""
        return next((event for event in self.events if event["event"] == name), None)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _next(self) -> dict[str, Any]:
        while b"\n" not in self._pending:
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError as error:
                raise HarnessError(
                    f"QEMU did not answer on its control socket in {self._timeout:g} s"
                ) from error
            except OSError as error:
                raise QmpClosed(str(error)) from error
            if not chunk:
                raise QmpClosed("connection closed")
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer
