"""Outcomes of transactions that the trackers have forgotten: storage has them for as long as the results.

A closed transaction is known by its row for `BRH_DEDUPE_RETENTION_S`. Whoever asks for it later, or after Kafka's
topics were lost, is answered from `_outcome.json`, which says all of it but the commands and counters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import Final

import msgspec
from aiohttp import web

from bridge.blobs import Blobs, BlobsError
from bridge.contract.outbound import SeriesResult, Told, from_rfc3339
from bridge.unreadable import Unreadable
from streams.explained import explanation
from streams.outcome import Decided, delivered, find_outcome, find_told
from streams.queries import Document, Row
from streams.routing import NotReady
from tables.projection import view
from tables.rules import advance, opened
from tables.transaction import Transaction

LOOKS_IN_FLIGHT: Final = 8
"""Ids that are looked for at once: whoever asks for many that never were waits for himself."""
LOOK_MAX_S: Final = 5.0
"""As long as another tracker may take to answer."""


class Archive:
    """The container, read only; without one nothing is found."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Blobs]] | None) -> None:
        """`connect` is called when somebody asks for the first time."""
        self._connect = connect
        self._blobs: Blobs | None = None
        self._connecting = asyncio.Lock()
        self._slots = asyncio.Semaphore(LOOKS_IN_FLIGHT)
        self._open = AsyncExitStack()

    async def serve(self, _: web.Application) -> AsyncIterator[None]:
        """Keeps the connections, once there are any, while the server runs."""
        async with self._open:
            yield

    async def row(self, transaction_id: str) -> Row | None:
        """A transaction as its outcome tells it. Raises NotReady when storage does not answer."""
        found = await self._found(transaction_id)
        return forgotten_row(*found) if found else None

    async def explanation(self, transaction_id: str, now: datetime) -> Document | None:
        """That it is over, and how. Raises NotReady."""
        found = await self._found(transaction_id)
        return explanation(_transaction(*found), forgotten_row(*found), now) if found else None

    async def _found(self, transaction_id: str) -> tuple[Decided, Told | None] | None:
        if (blobs := await self._container()) is None:
            return None
        try:
            async with asyncio.timeout(LOOK_MAX_S), self._slots:
                decided = await find_outcome(blobs, transaction_id)
                return (decided, await find_told(blobs, transaction_id)) if decided else None
        except (TimeoutError, BlobsError, Unreadable) as error:
            raise NotReady(f"storage, which may have the outcome, does not tell: {error!r}") from error

    async def _container(self) -> Blobs | None:
        async with self._connecting:
            if self._blobs is None and self._connect is not None:
                self._blobs = await self._open.enter_async_context(self._connect())
        return self._blobs


def forgotten_row(decided: Decided, told: Told | None) -> Row:
    """A transaction as the API shows it, from its outcome; `fromOutcome` says that no tracker remembers it."""
    outcome = decided.outcome
    shown = view(_transaction(decided, told))
    times = {"created": outcome.timestamps.created, "headerReceived": outcome.timestamps.header_received}
    if told is None:
        times["notified"] = None
    return {
        **shown,
        "transactionType": outcome.transaction_type,
        "series": [_series(each) for each in outcome.series],
        "timestamps": shown["timestamps"] | times,
        "fromOutcome": True,
    }


def _transaction(decided: Decided, told: Told | None) -> Transaction:
    outcome = decided.outcome
    told = told or Told("", outcome.timestamps.completed)
    at = from_rfc3339(told.told_at)
    return advance(opened(outcome.transaction_id, at), delivered(decided, told), at)


def _series(result: SeriesResult) -> Document:
    total = result.total_count
    whole = ((1, total),) if total else ()
    received = whole if result.received is msgspec.UNSET else result.received
    return {
        "seriesType": result.series_type,
        "totalCount": total,
        "receivedCount": sum(last - first + 1 for first, last in received),
        "bytes": result.bytes,
        "received": received,
        "missing": () if result.missing is msgspec.UNSET else result.missing or (),
        "rangesTruncated": result.ranges_truncated is True,
    }
