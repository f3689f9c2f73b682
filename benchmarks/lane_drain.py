"""The way in alone: lanes that take what is in a queue, and keep nothing.

`python -m benchmarks.lane_drain QUEUE COUNT`, with as many lanes and as much memory as the bridge has.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from benchmarks.told import tell
from bridge.amqp_address import AmqpAddress
from bridge.frames import Body
from bridge.inflow import StreamedBody, WholeBody
from bridge.lane import Incoming, Lane
from bridge.layout import MIB, sub_block_bytes
from bridge.memory import Memory
from bridge.settings import BridgeSettings, load
from bridge.topology import SMALL_PAYLOADS

ACK_EVERY = 100


class _Drain:
    """What becomes of the messages: nothing, but they are counted and acknowledged."""

    def __init__(self, settings: BridgeSettings, count: int) -> None:
        self._blocks_max = settings.blocks_in_flight
        self._memory = Memory(settings.memory_mb * MIB)
        self._count = count
        self._taken = 0
        self._tags: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.done = asyncio.Event()

    def small(self, incoming: Incoming) -> Body:
        """Whole bodies, acknowledged in batches."""

        def arrived(body: bytes, release: Callable[[], None]) -> None:
            release()
            self._taken += 1
            self._tags.append(incoming.tag)
            if len(self._tags) == ACK_EVERY or self._taken == self._count:
                incoming.lane.ack(self._tags)
                self._tags.clear()
            if self._taken == self._count:
                self.done.set()

        return WholeBody(incoming.size, memory=self._memory, proceed=incoming.lane.proceed, done=arrived)

    def large(self, incoming: Incoming) -> Body:
        """Sub-blocks in the bridge's own buffers, each released when it is full."""
        body = StreamedBody(
            incoming.size,
            sub_block_bytes(1),
            memory=self._memory,
            blocks_max=self._blocks_max,
            proceed=incoming.lane.proceed,
        )
        task = asyncio.create_task(self._read(body, incoming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return body

    async def _read(self, body: StreamedBody, incoming: Incoming) -> None:
        async for block in body:
            block.release()
        incoming.lane.ack([incoming.tag])
        self._taken += 1
        if self._taken == self._count:
            self.done.set()


async def drain(settings: BridgeSettings, queue: str, count: int) -> None:
    """Take so many messages and acknowledge them."""
    small = queue == SMALL_PAYLOADS
    taking = _Drain(settings, count)
    for number in range(1 if small else settings.lanes):
        await Lane.open(
            AmqpAddress.parse(settings.amqp_url),
            queue,
            prefetch=settings.small_prefetch if small else 1,
            accept=taking.small if small else taking.large,
            name=f"drain {number}",
        )
    await taking.done.wait()


if __name__ == "__main__":
    asyncio.run(tell(drain(load(BridgeSettings), sys.argv[1], int(sys.argv[2]))))
