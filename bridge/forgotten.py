"""Whether a broker has forgotten a consumer: messages wait, it has room for them, and none comes.

Nothing that we do leads there. But a connection on which only heartbeats flow looks well to both sides, and without
this it would for ever. Pure; moments are in the caller's clock.
"""

from __future__ import annotations

from typing import Final

from bridge.reached import Seen

FORGOTTEN_S: Final = 60.0
"""Far more than a broker needs to hand out a message, and little beside the time that a transaction may be idle."""


class Forgotten:
    """What was found of one consumer, look by look."""

    def __init__(self) -> None:
        self._taken = 0
        self._since_s: float | None = None

    def look(self, seen: Seen, in_hand: int, now_s: float) -> bool:
        """True once messages have waited for `FORGOTTEN_S`, while the consumer had none in hand and got none."""
        if not seen.waiting or in_hand or seen.taken != self._taken:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        self._taken = seen.taken
        return self._since_s is not None and now_s - self._since_s >= FORGOTTEN_S
