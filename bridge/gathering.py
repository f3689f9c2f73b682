"""Small payloads, put together: neighbours become one block, and all of a transaction one fact.

One batch of a transaction is under way at a time. What arrives meanwhile waits in its hand (`bridge.hand`) and makes
the next one larger, so the slower storage is, the fewer requests it gets.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import structlog
from structlog.contextvars import bind_contextvars

from bridge import metrics, tracing
from bridge.checksums import crc64, hex16
from bridge.contract.events import PayloadsStaged, Staged
from bridge.contract.inbound import Trace
from bridge.crash_points import crash_point
from bridge.hand import Hand, Small
from bridge.hold import HeldTooLong, Hold
from bridge.lane import Lane, LaneClosed
from bridge.layout import EMPTY_MARKER, BlockId, marker_id, part_name, part_of
from bridge.outlets import Outlets
from bridge.tracing import LINKS_MAX, Note, Notes, Step

_log = structlog.get_logger()

EVENT_ORDINALS_MAX: Final = 8_192
"""Of one fact, which keeps it near 1 MiB."""
SMALL: Final = "small"
REQUESTS_MAX: Final = 16
"""Under way to storage at once, for small payloads of all transactions."""


class Gathering:
    """Small payloads of all lanes of a bridge."""

    def __init__(self, outlets: Outlets, begin: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """`begin` runs something that the process has to finish before it ends."""
        self._outlets = outlets
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._hands: dict[str, Hand] = {}
        self._working: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._requests = asyncio.Semaphore(REQUESTS_MAX)

    @property
    def busy(self) -> bool:
        """Something is in hand."""
        return bool(self._hands or self._working)

    def take(self, small: Small) -> None:
        """Take charge of a payload: it is staged, published and acknowledged, or its lane is closed."""
        transaction = small.message.transaction
        if (hand := self._hands.get(transaction)) is None:
            hand = self._hands[transaction] = Hand()
        completed = hand.add(small)
        if transaction in self._working:
            return
        if completed:
            self._work(transaction)
        elif transaction not in self._timers:
            self._timers[transaction] = self._loop.call_at(hand.ripe_at, self._work, transaction)

    def give_up(self) -> None:
        """Begin nothing more: what waits in a hand is delivered again."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._hands.clear()

    def _work(self, transaction: str) -> None:
        """Begin a batch, or wait for one to be ripe."""
        if (timer := self._timers.pop(transaction, None)) is not None:
            timer.cancel()
        if (hand := self._hands.get(transaction)) is None:
            return
        if runs := hand.take_ripe(self._loop.time()):
            self._working.add(transaction)
            self._begin(_traced(transaction, runs, self._batch(transaction, runs)))
        if hand.empty:
            del self._hands[transaction]
        elif not runs:
            self._timers[transaction] = self._loop.call_at(hand.ripe_at, self._work, transaction)

    async def _batch(self, transaction: str, runs: list[list[Small]]) -> None:
        payloads = [small for run in runs for small in run]
        hold = self._outlets.hold(since=min(small.arrived for small in payloads))
        try:
            crash_point("bridge.batch-gathered")
            await self._store(transaction, runs, hold)
            acknowledged = _settle(payloads)
            crash_point("bridge.batch-acked")
            metrics.PAYLOADS.labels(SMALL).inc(len(acknowledged))
            metrics.PAYLOAD_BYTES.labels(SMALL).inc(sum(len(small.body) for small in acknowledged))
        except HeldTooLong as error:
            for lane in {small.lane for small in payloads}:
                lane.abort(f"small payloads of {transaction} were {error}")
        finally:
            for small in payloads:
                small.release()
            self._working.discard(transaction)
            self._work(transaction)

    async def _store(self, transaction: str, runs: list[list[Small]], hold: Hold) -> None:
        received = datetime.now(UTC)
        try:
            with metrics.timed(metrics.STAGE_SECONDS.labels(SMALL)):
                async with asyncio.TaskGroup() as tasks:
                    staging = [tasks.create_task(self._stage(hold, run)) for run in runs]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the first failure cancelled the others
        crash_point("bridge.batch-staged")
        trace = next(_traces(runs), Trace())
        for facts in _events([task.result() for task in staging]):
            await self._outlets.publish(hold, PayloadsStaged(transaction, facts, received, trace))
            crash_point("bridge.batch-published")

    async def _stage(self, hold: Hold, run: list[Small]) -> Staged:
        """One block, and what it holds."""
        metrics.RUN_PAYLOADS.observe(len(run))
        first = run[0].message
        bind_contextvars(series=first.series, ordinal=first.ordinal)
        name = part_name(first.transaction, first.series, part_of(first.ordinal, first.total_count))
        pieces = [small.body for small in run if small.body]
        total_count, at = first.total_count, first.ordinal
        block = BlockId(total_count, at, len(run), 0, 1, crc64(pieces)) if pieces else marker_id(total_count, at)
        async with self._requests:
            await self._outlets.stage_block(hold, name, block, pieces or [EMPTY_MARKER])
        return Staged(
            series=first.series,
            first=first.ordinal,
            count=len(run),
            total_count=first.total_count,
            sizes=tuple(len(small.body) for small in run),
            crc64s=tuple(hex16(small.crc64) for small in run),
            blocks=(hex16(block.crc64),) if pieces else (),
        )


def _traces(runs: list[list[Small]]) -> Iterator[Trace]:
    """What the producers of these said, each thing once."""
    return iter(dict.fromkeys(small.message.trace for run in runs for small in run if small.message.trace != Trace()))


def _traced(transaction: str, runs: list[list[Small]], work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    # Nobody looks at each payload where nothing is traced.
    traces = [*islice(_traces(runs), LINKS_MAX + 1)] if tracing.active() else []
    first, *others = traces or [Trace()]
    said: Notes = {Note.TRANSACTION: transaction, Note.PAYLOADS: sum(map(len, runs))}
    return tracing.around(Step.STAGE, tracing.of(transaction, first), said, work, others)


def _events(facts: list[Staged]) -> Iterator[tuple[Staged, ...]]:
    """The facts in groups that one record can hold."""
    group: list[Staged] = []
    ordinals = 0
    for fact in facts:
        if group and ordinals + fact.count > EVENT_ORDINALS_MAX:
            yield tuple(group)
            group, ordinals = [], 0
        group.append(fact)
        ordinals += fact.count
    yield tuple(group)


def _settle(payloads: list[Small]) -> list[Small]:
    """Acknowledge them. Returns those of lanes that are still open; the others come again."""
    by_lane: defaultdict[Lane, list[Small]] = defaultdict(list)
    for small in payloads:
        by_lane[small.lane].append(small)
    acknowledged: list[Small] = []
    for lane, of_lane in by_lane.items():
        try:
            lane.ack([small.tag for small in of_lane])
            acknowledged += of_lane
        except LaneClosed as error:
            _log.info("small payloads come again", count=len(of_lane), reason=str(error))
    return acknowledged
