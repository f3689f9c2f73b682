"""What is in hand of one transaction's small payloads: which ones wait for neighbours, and which are worth a request.

Storage pays by the request, and a request is best spent on neighbours. So payloads wait in windows of ordinals that
could become one block. A complete window is ripe at once. The others are when nothing has come for a few milliseconds,
because then nobody is about to fill them: the producers are done, or wait for us; and after `LINGER_MAX_S`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.checksums import crc64
from bridge.contract.inbound import PayloadMessage
from bridge.lane import Lane
from bridge.runs import RUN_ORDINALS_MAX, intervals

LINGER_S: Final = 0.005
"""How long nothing may have come of a transaction before what there is of it is ripe. Its payloads come microseconds
apart while they come, in whatever order; a longer pause only delays."""
LINGER_MAX_S: Final = 5.0
"""How long a payload waits at most while others keep coming: what nobody has acknowledged comes again after a crash."""
BATCH_REQUESTS_MAX: Final = 64
"""Of one batch, but for the last window in it: what fails, and what is published together."""

WindowKey = tuple[str, int, int, int]
"""Series, total count, which window, and which copy: a second copy of an ordinal in hand goes to a window of its own,
so that it is counted. Windows never cross a part, whose length is a multiple of theirs."""


class Small:
    """A small payload, complete and not acknowledged."""

    __slots__ = ("arrived", "body", "crc64", "lane", "message", "release", "tag")

    def __init__(
        self, message: PayloadMessage, body: bytes, lane: Lane, tag: int, release: Callable[[], None], arrived: float
    ) -> None:
        self.message = message
        self.body = body
        self.crc64 = crc64((body,))
        self.lane = lane
        self.tag = tag
        self.release = release
        self.arrived = arrived
        """In the event loop's time."""


class _Window:
    """Payloads of neighbouring ordinals."""

    __slots__ = ("began", "payloads", "size")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        """Ordinals that there can be."""
        self.began = now
        self.payloads: dict[int, Small] = {}

    @property
    def full(self) -> bool:
        return len(self.payloads) == self.size

    def runs(self, total_count: int) -> list[list[Small]]:
        """The payloads, those together that become one block."""
        sizes = {ordinal: len(small.body) for ordinal, small in self.payloads.items()}
        return [[self.payloads[at] for at in interval.ordinals] for interval in intervals(total_count, sizes)]


class Hand:
    """What waits of one transaction. No clock: `now` is an argument."""

    def __init__(self) -> None:
        self._windows: dict[WindowKey, _Window] = {}
        self._grew = 0.0

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not self._windows

    @property
    def ripe_at(self) -> float:
        """When everything is ripe, if nothing more comes."""
        return min(self._grew + LINGER_S, min(window.began for window in self._windows.values()) + LINGER_MAX_S)

    def add(self, small: Small) -> bool:
        """Put a payload into the window it belongs to; whether it has completed it."""
        message = small.message
        at, copy = (message.ordinal - 1) // RUN_ORDINALS_MAX, 0
        while (window := self._windows.get((message.series, message.total_count, at, copy))) is not None:
            if message.ordinal not in window.payloads:
                break
            copy += 1
        else:
            size = min(RUN_ORDINALS_MAX, message.total_count - at * RUN_ORDINALS_MAX)
            window = self._windows[message.series, message.total_count, at, copy] = _Window(size, small.arrived)
        window.payloads[message.ordinal] = small
        self._grew = small.arrived
        return window.full

    def take_ripe(self, now: float) -> list[list[Small]]:
        """Runs that are worth a request each, for one batch; none when nothing is ripe."""
        if self.empty:
            return []
        late = now - LINGER_MAX_S
        quiet = now >= self._grew + LINGER_S

        def order(key: WindowKey) -> tuple[bool, bool, int]:
            window = self._windows[key]
            return not window.full, window.began > late, -len(window.payloads)

        batch: list[list[Small]] = []
        for key in sorted(self._windows, key=order):
            window = self._windows[key]
            if len(batch) >= BATCH_REQUESTS_MAX or not (window.full or quiet or window.began <= late):
                break
            del self._windows[key]
            batch += window.runs(key[1])
        return batch
