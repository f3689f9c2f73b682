"""What of a worker has to change if it makes progress, and for how long it has not.

A look at the worker is a mapping: for each thing that something waits for, how far it has come. What nothing waits for
is not in it, so an idle worker is never late, and whatever changes has come on, however slowly.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from faust.types.tuples import TP

from streams.hardened.limits import Limits

LOOP = "loop"
"""Of events: it has to turn."""
KAFKA = "kafka"
"""It has to answer."""
JOINING = "joining"
"""The group has to take the worker in."""
HEARTBEAT = "heartbeat"
"""The group has to accept one."""
RECOVERY = "recovery"
"""And rebalances: generations and offsets have to grow."""
EVENTS = "events"
"""Of all partitions: one of their committed offsets has to grow."""
STOPPING = "stopping"
"""It was asked to stop, and has to."""

Look = Mapping[Hashable, object]


def events(offsets: Mapping[TP, tuple[int, int]]) -> Look:
    """`offsets` are the committed one and the end of each partition of the worker."""
    waiting: Look = {partition: committed for partition, (committed, end) in offsets.items() if committed < end}
    # New events are no progress: how far the partitions have come that nothing waits in counts, how far they go not.
    return {**waiting, EVENTS: {each: committed for each, (committed, _) in offsets.items()}} if waiting else {}


class Progress:
    """What looks have seen, one after the other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: dict[Hashable, tuple[object, float]] = {}
        self._in_the_way: Hashable | None = None

    def see(self, look: Look, now_s: float) -> None:
        """`now_s` in seconds of any clock that does not jump."""
        self._in_the_way = None
        self._put(look, now_s)

    def see_nothing(self, in_the_way: Hashable, now_s: float) -> None:
        """There was no look, for the reason that `in_the_way` stands for: nothing else is known to have come on."""
        self._in_the_way = in_the_way
        self._put({**{what: value for what, (value, _) in self._seen.items()}, in_the_way: None}, now_s)

    def still_s(self, what: Hashable, now_s: float) -> float:
        """How long it has not come on; 0 when nothing waits for it."""
        return now_s - self._seen[what][1] if what in self._seen else 0.0

    def late(self, now_s: float) -> list[Hashable]:
        """What has not come on for longer than it may; what is in the way of looking goes before what it hides."""
        asked = self._seen if self._in_the_way is None else [self._in_the_way]
        return [what for what in asked if self.still_s(what, now_s) > self._max_s(what)]

    def _put(self, look: Look, now_s: float) -> None:
        self._seen = {
            what: (value, now_s if what not in self._seen or self._seen[what][0] != value else self._seen[what][1])
            for what, value in look.items()
        }

    def _max_s(self, what: Hashable) -> float:
        return self._limits.partition_stall_s if isinstance(what, TP) else self._limits.stall_s
