"""What is printed instead of logged, as lines of the log: so all that a process says can be read as JSON."""

from __future__ import annotations

import io
import logging
from typing import TextIO


class Printed(io.TextIOBase):
    """Stands for stdout or stderr."""

    def __init__(self, name: str, stream: TextIO) -> None:
        """`stream` is what the log is written to."""
        self.stream = stream
        self._log = logging.getLogger(name)
        self._said: list[str] = []

    def write(self, text: str) -> int:
        """Log what was printed, as soon as a line is at its end."""
        self._said.append(text)
        if text.endswith("\n"):
            said, self._said = "".join(self._said).strip(), []
            if said:
                self._log.warning("%s", said)
        return len(text)

    def fileno(self) -> int:
        """Of the stream beneath, for whom a file is asked for."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True
