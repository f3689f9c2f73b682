"""How long the oldest message of a lane has been in hand, within a second. Pure; `now_s` is in the caller's clock."""

from __future__ import annotations

from collections import deque
from typing import Final

GRAIN_S: Final = 1.0
"""One moment is remembered for all messages that come within so long, so a lane remembers few."""


class Ages:
    """Moments at which messages came, by delivery tag."""

    def __init__(self) -> None:
        self._moments: deque[tuple[int, float]] = deque()

    def came(self, tag: int, now_s: float, oldest: int) -> None:
        """A message; tags only grow, and `oldest` is the first one that may be in hand."""
        if not self._moments or now_s - self._moments[-1][1] >= GRAIN_S:
            self._forget(oldest)  # here as well, because there may be nobody who asks
            self._moments.append((tag, now_s))

    def oldest_s(self, tag: int, now_s: float) -> float:
        """How long ago the message of this tag came, or up to `GRAIN_S` more; earlier ones are forgotten."""
        self._forget(tag)
        return now_s - self._moments[0][1] if self._moments else 0.0

    def _forget(self, oldest: int) -> None:
        while len(self._moments) > 1 and self._moments[1][0] <= oldest:
            self._moments.popleft()
