"""What a guest has said: kept, bounded, and watched for a kernel that starts over."""

from __future__ import annotations

OUTPUT_LIMIT = 4 << 20  # characters until it says what is waited for
TIMES = 16  # so many times that in all
TAIL = 4000  # characters of evidence
REBOOTS = 3  # times that a first line comes back before it is a loop


class ConsoleLog:
    """The serial console's output so far."""

    def __init__(self, limit: int = OUTPUT_LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self._answered = 0  # of it when something that was waited for had come
        self._text = ""
        self._parts: list[str] = []  # not yet in _text
        self._line = ""
        self._first = ""
        self._others = False  # another line came since the first one
        self._returns = 0

    def write(self, text: str) -> None:
        """Take in output. What comes after the limit is counted but not kept."""
        if not self.endless:
            self._parts.append(text)
            self._watch(text)
        self.size += len(text)

    def answered(self) -> None:
        """Note that the guest has said what was waited for: many small things are not endless."""
        self._answered = self.size

    def text(self) -> str:
        """Return everything kept, with the guest's line ends made plain."""
        if self._parts:
            self._text += "".join(self._parts).replace("\r", "")
            self._parts.clear()
        return self._text

    def tail(self, size: int = TAIL) -> str:
        """Return the last `size` characters, from the start of a line if possible."""
        text = self.text()
        if len(text) <= size:
            return text
        end = text[-size:]
        return end.partition("\n")[2] or end

    @property
    def endless(self) -> bool:
        """Whether the guest has said more than anybody will read."""
        return self.size - self._answered > self.limit or self.size > TIMES * self.limit

    @property
    def rebooting(self) -> bool:
        """Whether the first line has come back time and again, with others between."""
        return self._returns >= REBOOTS

    @property
    def complaint(self) -> tuple[str, str] | None:
        """What is wrong with the output as a whole: the kind of death, and words for it.

        A reboot loop comes first: it may have passed the limit in one piece of output.
        """
        if self.rebooting:
            return "reboot-loop", f"its first line comes again and again: {self.banner}"
        if self.endless:
            most = self.limit * (TIMES if self.size > TIMES * self.limit else 1)
            return "endless-output", f"more than {most} characters of output"
        return None

    @property
    def banner(self) -> str:
        """The first line that is not blank."""
        return self._first

    def _watch(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        self._line = self._line[-1024:]
        for line in lines:
            line = line.strip()
            if line and not self._first:
                self._first = line
            elif line == self._first and line:
                self._returns += self._others
                self._others = False
            elif line:
                self._others = True
