"""When to look at which transaction again: the earliest moment of each, cheap to move. Pure."""

from __future__ import annotations

import heapq
from datetime import datetime


class Schedule:
    """One moment for each name. A later one than before is not entered: the name then comes up once in vain."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    @property
    def next(self) -> datetime | None:
        """The earliest moment at which anything comes up."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # moved to an earlier moment, or dropped
        return self._heap[0][0] if self._heap else None

    def put(self, name: str, at: datetime | None) -> None:
        """Let the name come up at this moment at the latest; None: it need not."""
        if at is None:
            return
        known = self._at.get(name)
        if known is None or at < known:
            self._at[name] = at
            heapq.heappush(self._heap, (at, name))

    def drop(self, name: str) -> None:
        """It will not come up any more; again is harmless."""
        self._at.pop(name, None)

    def take(self, now: datetime) -> list[str]:
        """The names whose moment has come, each once; they are in the schedule no more."""
        taken = []
        while (at := self.next) is not None and at <= now:
            name = heapq.heappop(self._heap)[1]
            del self._at[name]
            taken.append(name)
        return taken
