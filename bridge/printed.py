"""What is printed instead of logged, as lines of the log: so all that a process says can be read as JSON."""

from __future__ import annotations

import io
import logging
from typing import Final, TextIO

PRINTED_MAX_CHARS: Final = 4_096
"""Without a line end, as dots that tell of progress are: they become a line of their own, and no memory grows."""


class Printed(io.TextIOBase):
    """Stands for stdout or stderr."""

    def __init__(self, name: str, stream: TextIO) -> None:
        """`stream` is what the log is written to."""
        self.stream = stream
        self._log = logging.getLogger(name)
        self._said: list[str] = []
        self._chars = 0

    def write(self, text: str) -> int:
        """Log what was printed, as soon as a line is at its end or too long to be waited for."""
        self._said.append(text)
        self._chars += len(text)
        if text.endswith("\n") or self._chars >= PRINTED_MAX_CHARS:
            said, self._said, self._chars = "".join(self._said).strip(), [], 0
            if said:
                self._log.warning("%s", said)
        return len(text)

    def fileno(self) -> int:
        """Of the stream beneath, for whom a file is asked for."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True
