"""Small payloads, put together: neighbours become one block, and all of a transaction one fact.

Payloads wait here for their neighbours, in windows of ordinals that could become one block. A window is ripe when it is
complete, or when nothing has come into it for a few milliseconds. One batch of a transaction is under way at a time;
what arrives meanwhile makes the next one larger, so the slower storage is, the fewer requests it gets.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from bridge.checksums import crc64, hex16
from bridge.contract.events import PayloadsStaged, Staged
from bridge.contract.inbound import PayloadMessage, Trace
from bridge.hold import HeldTooLong, Hold
from bridge.lane import Incoming, Lane, LaneClosed
from bridge.layout import EMPTY_MARKER, BlockId, marker_id, part_name, part_of
from bridge.outlets import Outlets
from bridge.runs import RUN_ORDINALS_MAX, intervals

_log = structlog.get_logger()

LINGER_S: Final = 0.005
"""How long nothing may have come into a window before it is ripe. Neighbours of a producer that sends in order come
microseconds apart; a longer pause only delays."""
LINGER_MAX_S: Final = 0.1
"""How old a window becomes at most, when neighbours keep trickling in."""
BATCH_WINDOWS_MAX: Final = 64
"""Of one batch: what fails or comes again together."""
EVENT_ORDINALS_MAX: Final = 8_192
"""Of one fact, which keeps it near 1 MiB."""

REQUESTS_MAX: Final = 16
"""Under way to storage at once."""

WindowKey = tuple[str, int, int, int]
"""Series, total count, which window, and which copy: a second copy of an ordinal in hand goes to a window of its own,
so that it is counted. Windows never cross a part, whose length is a multiple of theirs."""


class Small:
    """A small payload, complete and not acknowledged."""

    __slots__ = ("arrived", "body", "crc64", "incoming", "message", "release")

    def __init__(self, message: PayloadMessage, body: bytes, incoming: Incoming, release: Callable[[], None]) -> None:
        self.message = message
        self.body = body
        self.crc64 = crc64((body,))
        self.incoming = incoming
        self.release = release
        self.arrived = asyncio.get_running_loop().time()


class _Window:
    """Payloads of neighbouring ordinals."""

    __slots__ = ("began", "grew", "payloads", "size")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        """Ordinals that there can be."""
        self.began = self.grew = now
        self.payloads: dict[int, Small] = {}

    @property
    def ripe_at(self) -> float:
        """When it is worth staging, in the loop's time."""
        if len(self.payloads) == self.size:
            return 0.0
        return min(self.grew + LINGER_S, self.began + LINGER_MAX_S)

    def runs(self, total_count: int) -> list[list[Small]]:
        """The payloads, those together that become one block."""
        sizes = {ordinal: len(small.body) for ordinal, small in self.payloads.items()}
        return [[self.payloads[at] for at in interval.ordinals] for interval in intervals(total_count, sizes)]


class _Hand:
    """What is in hand of one transaction and waits."""

    __slots__ = ("timer", "windows", "working")

    def __init__(self) -> None:
        self.windows: dict[WindowKey, _Window] = {}
        self.working = False
        self.timer: asyncio.TimerHandle | None = None

    def add(self, small: Small) -> _Window:
        """Put a payload into the window it belongs to."""
        message = small.message
        at, copy = (message.ordinal - 1) // RUN_ORDINALS_MAX, 0
        while (window := self.windows.get((message.series, message.total_count, at, copy))) is not None:
            if message.ordinal not in window.payloads:
                break
            copy += 1
        else:
            size = min(RUN_ORDINALS_MAX, message.total_count - at * RUN_ORDINALS_MAX)
            window = self.windows[message.series, message.total_count, at, copy] = _Window(size, small.arrived)
        window.payloads[message.ordinal] = small
        window.grew = small.arrived
        return window

    def take_ripe(self, now: float) -> dict[WindowKey, _Window]:
        """Some windows that are ripe, the oldest first."""
        ripe = [key for key, window in self.windows.items() if window.ripe_at <= now]
        return {key: self.windows.pop(key) for key in ripe[:BATCH_WINDOWS_MAX]}


class Gathering:
    """Small payloads of all lanes of a bridge."""

    def __init__(self, outlets: Outlets, begin: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """`begin` runs something that the process has to finish before it ends."""
        self._outlets = outlets
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._hands: dict[str, _Hand] = {}
        self._requests = asyncio.Semaphore(REQUESTS_MAX)

    @property
    def busy(self) -> bool:
        """Something is in hand."""
        return bool(self._hands)

    def take(self, small: Small) -> None:
        """Take charge of a payload: it is staged, published and acknowledged, or its lane is closed."""
        transaction = small.message.transaction
        if (hand := self._hands.get(transaction)) is None:
            hand = self._hands[transaction] = _Hand()
        window = hand.add(small)
        if hand.working:
            return
        if len(window.payloads) == window.size:
            self._work(transaction)
        elif hand.timer is None:
            hand.timer = self._loop.call_later(LINGER_S, self._work, transaction)

    def _work(self, transaction: str) -> None:
        """Begin a batch, or wait for one to be ripe."""
        hand = self._hands[transaction]
        if hand.timer is not None:
            hand.timer.cancel()
            hand.timer = None
        now = self._loop.time()
        if windows := hand.take_ripe(now):
            hand.working = True
            self._begin(self._batch(transaction, windows))
        elif hand.windows:
            ripe_at = min(window.ripe_at for window in hand.windows.values())
            hand.timer = self._loop.call_at(ripe_at, self._work, transaction)
        else:
            del self._hands[transaction]

    async def _batch(self, transaction: str, windows: dict[WindowKey, _Window]) -> None:
        payloads = [small for window in windows.values() for small in window.payloads.values()]
        hold = self._outlets.hold(since=min(small.arrived for small in payloads))
        try:
            await self._store(transaction, windows, hold)
            _settle(payloads)
        except HeldTooLong as error:
            for lane in {small.incoming.lane for small in payloads}:
                lane.abort(f"small payloads of {transaction} were {error}")
        finally:
            for small in payloads:
                small.release()
            self._hands[transaction].working = False
            self._work(transaction)

    async def _store(self, transaction: str, windows: dict[WindowKey, _Window], hold: Hold) -> None:
        received = datetime.now(UTC)
        try:
            async with asyncio.TaskGroup() as tasks:
                staging = [
                    tasks.create_task(self._stage(hold, run))
                    for (_, total_count, _, _), window in windows.items()
                    for run in window.runs(total_count)
                ]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the first failure cancelled the others
        trace = _trace(windows)
        for facts in _events([task.result() for task in staging]):
            await self._outlets.publish(hold, PayloadsStaged(transaction, facts, received, trace))

    async def _stage(self, hold: Hold, run: list[Small]) -> Staged:
        """One block, and what it holds."""
        first = run[0].message
        name = part_name(first.transaction, first.series, part_of(first.ordinal, first.total_count))
        pieces = [small.body for small in run if small.body]
        block = BlockId(first.ordinal, len(run), 0, 1, crc64(pieces)) if pieces else marker_id(first.ordinal)
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


def _trace(windows: dict[WindowKey, _Window]) -> Trace:
    """The first that a producer gave."""
    traces = (small.message.trace for window in windows.values() for small in window.payloads.values())
    return next((trace for trace in traces if trace != Trace()), Trace())


def _settle(payloads: list[Small]) -> None:
    tags: defaultdict[Lane, list[int]] = defaultdict(list)
    for small in payloads:
        tags[small.incoming.lane].append(small.incoming.tag)
    for lane, of_lane in tags.items():
        try:
            lane.ack(of_lane)
        except LaneClosed as error:
            _log.info("small payloads come again", count=len(of_lane), reason=str(error))
