"""Work on many events at once and acknowledge them in their order, so that a committed offset covers no open work.

Faust's own concurrency acknowledges out of order, and can then commit past an event that is still being worked on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from bridge.crash_points import crash_point

UNACKED_MAX: Final = 4_096
"""Finished events that may wait behind one that is not; then nothing new is taken."""

Work = Callable[[], Awaitable[None]]


class Window:
    """The events in hand; at most `concurrency` of them are worked on."""

    def __init__(self, concurrency: int, fail: Callable[[BaseException], None]) -> None:
        """`fail` is told of work that raised; it must end the process, for the event stays unacknowledged."""
        self._slots = asyncio.Semaphore(concurrency)
        self._room = asyncio.Semaphore(UNACKED_MAX)
        self._fail = fail
        self._queues: dict[int, deque[tuple[asyncio.Task[None], Callable[[], None]]]] = {}

    async def put(self, partition: int, work: Work, acknowledge: Callable[[], None]) -> None:
        """Begin to work as soon as there is a free place; `acknowledge` is called in the order of the calls."""
        await self._room.acquire()
        await self._slots.acquire()
        task = asyncio.create_task(self._run(work))
        self._queues.setdefault(partition, deque()).append((task, acknowledge))
        task.add_done_callback(lambda _: self._advance(partition))

    def forget(self) -> None:
        """Partitions came or went: what is being worked on goes on, but is acknowledged no more."""
        for queue in self._queues.values():
            for _ in queue:
                self._room.release()
        self._queues.clear()

    async def _run(self, work: Work) -> None:
        try:
            await work()
        except Exception as error:
            self._fail(error)
        finally:
            self._slots.release()

    def _advance(self, partition: int) -> None:
        queue = self._queues.get(partition)
        while queue and queue[0][0].done():
            _, acknowledge = queue.popleft()
            self._room.release()
            acknowledge()
            crash_point("delivery.acknowledged")
