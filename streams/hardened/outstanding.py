"""The strict flush: what was handed to the producer is acknowledged by the broker before an offset is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bridge import metrics
from bridge.crash_points import crash_point
from streams.hardened.ends import EXIT_SEND, end_process


class Outstanding:
    """The records handed to the producer and not yet acknowledged by the broker."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[Any]] = set()

    def hook_send_soon(self, send_soon: Callable[[Any], None]) -> Callable[[Any], None]:
        """Table changes and effects: the future is there before the record is sent."""
        return lambda future: send_soon(self._track(future))

    def hook_send(self, send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Records on their way to the client."""

        async def tracked(topic: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return self._track(await send(topic, *args, **kwargs))
            except Exception as error:  # before there is a future: too large, unknown topic, metadata timeout
                end_process(EXIT_SEND, f"a record for {topic} could not be sent: {error!r}", error)

        return tracked

    async def wait(self) -> None:
        """Until everything handed over before this moment is acknowledged; later records belong to later offsets."""
        with metrics.timed(metrics.FLUSH_SECONDS):
            if self._futures:
                await asyncio.wait(set(self._futures))
        crash_point("worker.records-flushed")

    def _track(self, future: Any) -> Any:
        self._futures.add(future)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._futures.discard(future)
        if future.cancelled() or future.exception():
            end_process(EXIT_SEND, f"a record was not acknowledged: {future!r}")
