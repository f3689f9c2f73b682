"""What goes wrong with a stack, as a sentence with a stable code and a remedy."""

from __future__ import annotations


class StackError(Exception):
    """A stack could not be installed, started, reached or stopped: see the code and the remedy."""

    def __init__(self, message: str, *, code: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy
