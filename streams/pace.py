"""How fast things go: counts of the last minute, second by second. Pure; `now_s` is in monotonic seconds."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

WINDOW_S: Final = 60
"""Long enough to be calm, and short enough to show what has just changed."""


class Counts(msgspec.Struct, rename="camel"):
    """What happened in some time."""

    payloads: int = 0
    """That were taken, not those that repeat what is known."""
    bytes: int = 0
    opened: int = 0
    closed: int = 0

    def add(self, other: Counts) -> None:
        """Count this as well."""
        self.payloads += other.payloads
        self.bytes += other.bytes
        self.opened += other.opened
        self.closed += other.closed


class Pace:
    """Counts of the last `WINDOW_S` seconds."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._seconds: deque[tuple[int, Counts]] = deque()

    def note(self, counts: Counts, now_s: float) -> None:
        """This has happened now."""
        second = int(now_s)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counts()))
            self._drop(second)
        self._seconds[-1][1].add(counts)

    def seconds(self, now_s: float) -> list[Counts]:
        """Of each second that was watched, at most `WINDOW_S`; the one that is going on is the last of them."""
        this = int(now_s)
        self._drop(this)
        watched = min(WINDOW_S, this - int(self._since_s) + 1)
        found = [Counts() for _ in range(watched)]
        for second, counts in self._seconds:
            found[second - this - 1] = counts
        return found

    def _drop(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - WINDOW_S:
            self._seconds.popleft()
