"""Look at the messages of a queue and leave them there, however large they are.

A lane reads what AMQP sends ahead of a body and drops the bodies; it is cut as soon as the last wanted message has
begun, and the broker takes everything back. Giving messages back one by one would have a quorum queue write each body
again, and nothing else shows a message without fetching it whole. What was looked at may come behind what was not
(seen with RabbitMQ 3.10), so a place in the queue is no name for a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple

from bridge.amqp_address import AmqpAddress
from bridge.frames import Body, DroppedBody
from bridge.lane import Incoming, Lane, LaneClosed
from streams.cli.broker import inspected
from streams.cli.errors import EXIT_NOT_READY, CliError

QUIET_MAX_S: Final = 10.0
"""Without a byte: somebody else has the messages in hand."""


class Look(NamedTuple):
    """What was seen."""

    waiting: int
    """Messages in the queue, without those that somebody has in hand."""
    seen: list[Incoming]
    chosen: Incoming | None = None
    """The one that was looked for, with its body saved."""


def _nothing(_: Incoming) -> BinaryIO | None:
    return None


async def look(
    address: AmqpAddress,
    amqp_url: str,
    queue: str,
    limit: int,
    choose: Callable[[Incoming], bool] = lambda _: False,
    save: Callable[[Incoming], BinaryIO | None] = _nothing,
) -> Look:
    """At most `limit` messages of a queue, and fewer when somebody else has them in hand.

    It ends with the first one that is to be chosen; `save` may name where its body is to be written. Raises CliError.
    """
    waiting = await inspected(amqp_url, queue)
    wanted = min(limit, waiting)
    if not wanted:
        return Look(waiting, [])
    reading = _Reading(wanted, choose, save)
    try:
        lane = await Lane.open(address, queue, prefetch=wanted, accept=reading.accept, name="brh dlq")
        try:
            await reading.finish(lane)
        finally:
            lane.abort("seen enough")
    except (LaneClosed, OSError) as error:
        message, remedy = f"The connection to RabbitMQ was lost: {error}", "Run the same command again."
        raise CliError(message, code="amqp-lost", remedy=remedy, exit_code=EXIT_NOT_READY) from error
    return Look(waiting, reading.seen, reading.chosen if reading.done.is_set() else None)


class _Reading:
    def __init__(
        self, wanted: int, choose: Callable[[Incoming], bool], save: Callable[[Incoming], BinaryIO | None]
    ) -> None:
        self.seen: list[Incoming] = []
        self.chosen: Incoming | None = None
        self.done = asyncio.Event()
        self._wanted = wanted
        self._choose = choose
        self._save = save
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()

    def accept(self, incoming: Incoming) -> Body:
        self.hear()
        if self.chosen is not None or len(self.seen) == self._wanted:
            return DroppedBody()
        self.seen.append(incoming)
        file = None
        if self._choose(incoming):
            self.chosen = incoming
            file = self._save(incoming)
        if file is None and (self.chosen is not None or len(self.seen) == self._wanted):
            self.done.set()
        return _ReadBody(self, incoming.size, file)

    def hear(self) -> None:
        self._heard = self._loop.time()

    async def finish(self, lane: Lane) -> None:
        """Until everything wanted has come, or nothing comes any more. Raises LaneClosed."""
        gone = asyncio.create_task(lane.wait_closed())
        done = asyncio.create_task(self.done.wait())
        try:
            while not done.done() and self._loop.time() - self._heard < QUIET_MAX_S:
                await asyncio.wait({gone, done}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and not done.done():
                    raise gone.result()
        finally:
            gone.cancel()
            done.cancel()


class _ReadBody(DroppedBody):
    """A body that is written to a file, or dropped."""

    def __init__(self, reading: _Reading, size: int, file: BinaryIO | None) -> None:
        self._reading = reading
        self._left = size
        self._file = file

    def filled(self, count: int) -> None:
        """Keep what has come."""
        self._reading.hear()
        self._left -= count
        if self._file is not None:
            self._file.write(self._scratch[:count])
            if not self._left:
                self._reading.done.set()
