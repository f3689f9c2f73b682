"""Publish again what storage tells of a transaction, where Kafka has lost it.

All of it may be known already: facts that are told again change nothing. What storage does not tell is lost: commands,
how long a transaction has waited, and which of two contradicting messages was first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import reduce
from typing import Final, TypeAlias

import msgspec

from bridge.blobs import Blobs
from bridge.contract.events import PayloadsStaged, Staged, TransactionEvent
from bridge.header_record import find_header
from streams.keep_alive import keep_alive
from streams.outcome import delivered, find_outcome, find_told
from streams.stock import announced, stock

BATCH_BYTES: Final = 1 << 20
"""Of the facts in one record, far below EVENT_MAX_BYTES: a tracker takes a record in one go."""
PARTS_IN_FLIGHT: Final = 4

Publish: TypeAlias = Callable[[TransactionEvent], Awaitable[None]]


class Restored(msgspec.Struct, frozen=True):
    """What was published, or would be."""

    transactions: int = 0
    headers: int = 0
    payloads: int = 0
    unclear: int = 0
    """Ordinals of which contradicting messages are staged, and all parts of a series without one total count."""
    outcomes: int = 0

    def plus(self, *others: Restored) -> Restored:
        """The sum."""
        return reduce(_sum, others, self)


def _sum(one: Restored, other: Restored) -> Restored:
    return Restored(*(getattr(one, name) + getattr(other, name) for name in Restored.__struct_fields__))


async def _nowhere(_: TransactionEvent) -> None:
    pass


async def restore(blobs: Blobs, transaction: str, publish: Publish | None = None) -> Restored:
    """Tell the tracker of a transaction; without `publish` only count.

    Raises BlobsError, what `publish` raises, and UNREADABLE for a record that is none of ours.
    """
    decided = await find_outcome(blobs, transaction)
    if decided is None:
        return await _restore_open(blobs, transaction, publish)
    told = await find_told(blobs, transaction)
    if told is None:
        return Restored()  # the sweep tells it, and reports it then
    if publish is not None:
        await publish(delivered(decided, told))
    return Restored(transactions=1, outcomes=1)


async def _restore_open(blobs: Blobs, transaction: str, publish: Publish | None) -> Restored:
    header = await find_header(blobs, transaction)
    if publish is not None:
        # The tracker counts from now, storage counts from the last block.
        await keep_alive(blobs, transaction, PARTS_IN_FLIGHT)
        if header is not None:
            await publish(header)  # first: without it a transaction may have so many payloads and no more
    batch = _Batch(transaction, publish or _nowhere)
    unclear = 0
    async for each in stock(blobs, transaction, announced(header)):
        unclear += len(each.found.unclear) + (len(each.total_counts) > 1)
        for fact in each.found.facts:
            await batch.add(fact)
    await batch.flush()
    return Restored(int(header is not None or batch.payloads > 0), int(header is not None), batch.payloads, unclear)


class _Batch:
    """Facts on their way into records."""

    def __init__(self, transaction: str, publish: Publish) -> None:
        self._transaction, self._publish = transaction, publish
        self._facts: list[Staged] = []
        self._bytes = 0
        self.payloads = 0

    async def add(self, fact: Staged) -> None:
        self._facts.append(fact)
        self._bytes += len(msgspec.json.encode(fact)) + len(b",")
        self.payloads += fact.count
        if self._bytes >= BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        if self._facts:
            facts, self._facts, self._bytes = tuple(self._facts), [], 0
            await self._publish(PayloadsStaged(self._transaction, facts, datetime.now(UTC)))
