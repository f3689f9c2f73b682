"""Up to which moment one bridge can answer for what was in the queues: counted, and never by a clock of ours. Pure.

A *sample* is a moment: when Kafka's brokers took a record of this bridge in each partition. A message that was in a
queue by then is, afterwards, waiting there; or it was handed out, to a lane of this bridge or to another bridge, which
answers for it; or it is done. So the moment is *reached* when all that was handed to us so far is settled, and nothing
waits any more of what waited then.

The lanes ask in *rounds*: each of them asks its queue how many messages wait, and a round is over when all have been
answered. Three things are counted.

* What is on the wire. An answer comes behind the deliveries that were sent before it, but not behind all that were
  handed out before: while RabbitMQ's channel waits for the queue to answer, it does not look at what the queue has sent
  it in the meantime, and the answer goes first. Those deliveries come before the answer of the next round.
* What waited. It has left when a later round finds nothing waiting. Under steady load that may never be; but a queue
  hands out in order, so it has left, too, once as many as waited have been taken since. Messages that come a second
  time do not count, because they were put back in front of those that waited.
* What is settled. A message is when its fact has been acknowledged, or its rejection announced; a lane settles only
  then. Of each lane everything has to be settled that it had been given when the rest was known to have left.

RabbitMQ says that nothing waits, and that nobody consumes, when a queue does not answer it within 250 ms
(`rabbit_quorum_queue:stat/1`). We consume, so such an answer is known to be none.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec

from bridge.contract.events import Watermark

Stamps: TypeAlias = tuple[datetime, ...]
"""A moment, as each partition's broker saw it; the first is that of partition 0."""
Round: TypeAlias = Mapping[str, Mapping[Hashable, "Seen"]]
"""What every lane of every queue has seen."""


class Seen(msgspec.Struct, frozen=True):
    """What a lane knew when its question was answered."""

    waiting: int
    """Messages in the queue that nobody has in hand."""
    consumers: int
    """Of the queue; we are one of them."""
    taken: int
    """Deliveries so far."""
    in_order: int
    """Those of them that came in the order of the queue."""
    settled: int
    """The first so many of the deliveries are settled."""


class _Passing:
    """One queue, from the first round after a moment to the settlement of what was in it."""

    def __init__(self, lanes: Mapping[Hashable, Seen]) -> None:
        self._waited = max(seen.waiting for seen in lanes.values())
        self._left = not self._waited
        """Before the last round was asked, nothing waited any more of what waited in the first."""
        self._taken_before: int | None = None
        self._enough = False
        self._to_settle: dict[Hashable, int] | None = None

    def look(self, lanes: Mapping[Hashable, Seen]) -> bool:
        """Take the next round; whether everything is settled."""
        if self._left:
            self._to_settle = self._to_settle or {lane: seen.taken for lane, seen in lanes.items()}
            return all(lanes[lane].settled >= taken for lane, taken in self._to_settle.items())
        # The most that any lane was told is what waited before the first of them was told.
        self._left = self._enough or not max(seen.waiting for seen in lanes.values())
        in_order = sum(seen.in_order for seen in lanes.values())
        if self._taken_before is None:
            # Only now: what came up to here may have been handed out before the moment.
            self._taken_before = in_order
        self._enough = in_order - self._taken_before >= self._waited
        return False


class Reckoning:
    """Samples, one after the other, of some lanes on some queues."""

    def __init__(self, queues: Collection[str]) -> None:
        self._queues = frozenset(queues)
        self._moment: Stamps = ()
        self._lanes: dict[str, frozenset[Hashable]] = {}
        self._passing: dict[str, _Passing] = {}

    def look(self, moment: Stamps, found: Round) -> Stamps | None:
        """Take a round.

        Args:
            moment: any that was known before the round was asked; it becomes the next sample when there is none.
            found: what the lanes have seen.

        Returns:
            The moment that is reached now, if one is.
        """
        if found.keys() != self._queues or not all(map(_answered, found.values())):
            return None
        lanes = {queue: frozenset(seen) for queue, seen in found.items()}
        reached = None
        if lanes == self._lanes:
            settled = [passing.look(found[queue]) for queue, passing in self._passing.items()]
            if not all(settled):
                return None
            reached = self._moment
        # A lane that is new may have been given what another one had, and the old counts do not know of it.
        self._moment, self._lanes = moment, lanes
        self._passing = {queue: _Passing(seen) for queue, seen in found.items()}
        return reached


def _answered(lanes: Mapping[Hashable, Seen]) -> bool:
    return bool(lanes) and all(seen.consumers for seen in lanes.values())


class Claims:
    """What a bridge says of itself, and under which name.

    A lane that ends gives back what it had at a time that only the broker knows, and another bridge may take it whose
    claims are beyond it already. So the bridge goes on as another one: under its old name nothing more is heard, and
    `tables.watermarks` holds on to the old claim until everybody has looked again.
    """

    def __init__(self, bridge: str, queues: Collection[str]) -> None:
        """`bridge` has to be unique among all runs of all bridges."""
        self._bridge = bridge
        self._queues = queues
        self._number = 0
        self._newest: Stamps = ()
        self.lane_ended()

    def lane_ended(self) -> None:
        """Go on as another bridge, that has claimed nothing yet."""
        self._number += 1
        self._begin()

    def stamped(self, moment: Stamps) -> None:
        """Take the stamps of what was said last.

        Where one is before the last one, a broker's clock was set back, or another broker's counts now. What was
        claimed by the old clock would be believed as soon as the new one gets there, so it is claimed no more.
        """
        if _any_later(self._newest, moment):
            self._begin()
        self._newest = moment

    def _begin(self) -> None:
        self._claim: Stamps | None = None
        self._reckoning = Reckoning(self._queues)

    @property
    def name(self) -> str:
        """Until the next lane ends."""
        return f"{self._bridge}.{self._number}"

    def words(self, partitions: int, *, gone: bool = False) -> list[Watermark]:
        """What is to be said in each partition now, from 0."""
        claim: Collection[datetime | None] = self._claim or (None,) * partitions
        return [Watermark(self.name, reached, gone) for reached in claim]

    def look(self, name: str, moment: Stamps, found: Round) -> None:
        """Take a round that was asked under a name; for what the others mean see `Reckoning.look`."""
        if _any_later(moment, self._newest):
            return  # a clock was set back while it was asked
        if name == self.name and (reached := self._reckoning.look(moment, found)) is not None:
            self._claim = reached


def _any_later(some: Stamps, others: Stamps) -> bool:
    return any(one > other for one, other in zip(some, others, strict=False))
