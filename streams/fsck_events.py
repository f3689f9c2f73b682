"""Compare what the events topic tells with what the trackers show, partition by partition.

Each partition is folded anew (`streams/fold.py`) as far as the trackers had taken it when it was read: what waits for
them is no finding. Then every transaction that the fold knows is held against its row (`streams/check_events.py`), and
what seems wrong is looked at a second time, because a row may be a moment behind. One partition is held at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final

import msgspec

from bridge.blobs import Blobs
from bridge.contract.outbound import rfc3339
from bridge.layout import OUTCOME_BLOB, record_name
from streams.at_once import at_once
from streams.check_events import Reach, check_events, is_cut
from streams.findings import Finding
from streams.fold import Fold
from streams.fsck import LOOKS_IN_FLIGHT, Limits, Report, Rows
from streams.record import Record
from tables.transaction import Transaction

_BATCH: Final = 1_000
"""Transactions that are asked for in one go."""


class Bounds(msgspec.Struct, frozen=True):
    """Which offsets of a partition there are."""

    begin: int
    """The first one that is kept."""
    taken: int
    """The first one that the trackers have not taken."""
    end: int
    """Behind the last one."""


Read = Callable[[int, Callable[[Record], None]], Awaitable[Bounds]]
"""Gives each record of a partition that the trackers have taken to the function, in order."""


class EventsRead(msgspec.Struct, rename="camel"):
    """What was read of the events topic; it grows while the run goes on."""

    partitions: int = 0
    records: int = 0
    begins: str | None = None
    """When the broker took the oldest of them."""
    removed: int = 0
    """Records before those, which are not kept any more."""
    untaken: int = 0
    """Records that the trackers have not taken yet: these were not read."""
    unreadable: int = 0
    """Records that could not be read, or are in the wrong partition."""
    transactions: int = 0
    """That were compared."""
    unjudged: int = 0
    """Transactions of which the first events may be gone, so that the others prove nothing."""


class FsckEvents:
    """One run; what is found goes to a report."""

    def __init__(
        self,
        read: Read,
        fold: Callable[[int], Fold],
        rows: Rows,
        blobs: Blobs,
        limits: Limits,
        *,
        progress: Callable[[Report], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        """`fold` makes an empty one for a partition."""
        self._read, self._fold, self._rows, self._blobs = read, fold, rows, blobs
        self._limits, self._progress, self._now, self._pause = limits, progress, now, pause
        self._begins: datetime | None = None
        self.events = EventsRead()

    async def run(self, partitions: int, report: Report) -> EventsRead:
        """Look at all partitions. Raises BlobsError, and what reading and `rows` raise."""
        for partition in range(partitions):
            report.doing = f"events, partition {partition + 1} of {partitions}"
            self._progress(report)
            await self._partition(partition, report)
        return self.events

    async def _partition(self, partition: int, report: Report) -> None:
        fold, events = self._fold(partition), self.events
        bounds = await self._read(partition, fold.take)
        if fold.begins is not None:
            self._begins = min(fold.begins, self._begins or fold.begins)
            events.begins = rfc3339(self._begins)
        events.partitions += 1
        events.records += fold.records
        events.removed += bounds.begin
        events.untaken += max(0, bounds.end - max(bounds.taken, bounds.begin))
        events.unreadable += fold.unreadable
        limits = self._limits
        reach = Reach(bounds.begin == 0, self._now(), limits.remembered_s, limits.grace_s)
        told, suspects = fold.told(), list[Transaction]()
        while batch := list(islice(told, _BATCH)):
            seems = await at_once(LOOKS_IN_FLIGHT, [partial(self._suspected, each, reach) for each in batch])
            suspects += [each for each, suspected in zip(batch, seems, strict=True) if suspected]
        if suspects:
            await self._pause(limits.pause_s)
        for found in await at_once(LOOKS_IN_FLIGHT, [partial(self._again, each, reach) for each in suspects]):
            report.add(found)

    async def _suspected(self, told: Transaction, reach: Reach) -> bool:
        row = await self._rows.transaction(told.id)
        self.events.transactions += 1
        self.events.unjudged += is_cut(told, row, reach)
        return bool(check_events(told, row, reach))

    async def _again(self, told: Transaction, reach: Reach) -> list[Finding]:
        row = await self._rows.transaction(told.id)
        found = check_events(told, row, reach)
        if found and row is None and await self._blobs.properties(record_name(told.id, OUTCOME_BLOB)):
            return []  # closed: what is wrong about its row, storage tells
        return found
