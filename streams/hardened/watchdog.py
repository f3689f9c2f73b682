"""The watch over a worker's progress: one that stands still while something waits for it ends itself.

Faust and its client have many ways of falling silent: a coordination that ended with an exception, a fetcher that asks
for nothing any more, an agent that waits for ever, commits that do nothing. The process looks healthy in all of them.
So what counts is what others see: committed offsets against the ends of the partitions, asked for with clients of their
own, in a thread with a loop of its own. Before a worker is ended for events that wait, one of them has been read: ends
of partitions may also be markers of transactions, which nobody can commit.

A recovery stands still for ever when the last offsets of a changelog hold no record: the marker of a transaction (a
table's own producer makes none, but a copy or a repair by others may), or compacted away. After `quiet_s` the log is
asked; where it says that no record is left, the recovery goes on. Anything else that it waits for has `stall_s`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from streams.hardened import progress
from streams.hardened.ends import EXIT_STALLED, EXIT_SURROUNDINGS, end_process
from streams.hardened.fence import Fence
from streams.hardened.limits import Limits
from streams.hardened.outside import Outside
from streams.hardened.progress import Look, Progress
from streams.hardened.standing import Standing, read_past, standing

_LOOK_MAX_S: Final = 30.0
"""Then Kafka counts as one that does not answer."""
_ANSWER_MAX_S: Final = 5.0
"""Then the app's loop counts as one that does not turn."""
_RETRY_S: Final = 1.0
_WHY: Final[dict[Hashable, str]] = {
    progress.LOOP: "its event loop has not turned",
    progress.KAFKA: "Kafka has not answered",
    progress.JOINING: "its group has not taken it in",
    progress.HEARTBEAT: "its group has accepted no heartbeat",
    progress.STOPPING: "it was asked to stop and has not",
}

log = logging.getLogger(__name__)


class Watchdog:
    """One for a worker."""

    def __init__(
        self, app: Any, fence: Fence, limits: Limits, outside: Callable[[], AbstractAsyncContextManager[Outside]]
    ) -> None:
        """`outside` makes clients of their own."""
        self._app = app
        self._fence = fence
        self._limits = limits
        self._outside = outside
        self._progress = Progress(limits)
        self._missing: dict[TP, tuple[int, int]] = {}
        """What the recovery waits for, as last seen."""
        self._offsets: dict[TP, tuple[int, int]] = {}
        """The committed one and the end, as last seen."""
        self._empty: dict[TP, tuple[int, int]] = {}
        """Where no record is between the two."""
        self._awaited: dict[TP, tuple[int, int, int]] = {}
        """What the recovery of a partition waits for: behind which offset, up to which, and the first record there."""

    async def kafka(self, partitions: Mapping[str, int]) -> None:
        """Wait for Kafka to answer and for these topics, which must have so many partitions.

        A start without them would fail at once, and a supervisor's patience is short. With another number of partitions
        facts would count as misplaced, and be put aside.
        """
        began_s = time.monotonic()
        while True:
            try:
                async with self._outside() as outside:
                    found = await outside.partition_counts(partitions)
            except (KafkaError, OSError) as error:
                lacks, what = "Kafka has not answered", repr(error)
            else:
                if wrong := {topic: count for topic, count in found.items() if count != partitions[topic]}:
                    said = [f"{topic} has {count} and not {partitions[topic]}" for topic, count in wrong.items()]
                    end_process(EXIT_SURROUNDINGS, f"partitions are not as BRH_PARTITIONS says: {', '.join(said)}")
                if partitions.keys() <= found.keys():
                    return
                lacks = "topics that `brh setup` creates were not there"
                what = ", ".join(sorted(partitions.keys() - found.keys()))
            if (waited_s := time.monotonic() - began_s) > self._limits.stall_s:
                end_process(EXIT_STALLED, f"{lacks} for {waited_s:.0f} s: {what}")
            log.warning("waits for Kafka: %s: %s", lacks, what)
            await asyncio.sleep(_RETRY_S)

    def start(self) -> None:
        """Begin to watch, in a thread; call it in the loop of the app."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="watchdog", daemon=True).start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._watch(loop))
        except Exception as error:
            if not loop.is_closed():
                end_process(EXIT_STALLED, f"the watch over its progress failed: {error!r}", error)

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not loop.is_closed():
            try:
                async with self._outside() as outside:
                    while not loop.is_closed():
                        async with asyncio.timeout(_LOOK_MAX_S):
                            await self._look(loop, outside)
                        await asyncio.sleep(self._interval_s)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("Kafka does not answer: %r", error)
                self._progress.see_nothing(progress.KAFKA, time.monotonic())
                await self._judge(None)
            await asyncio.sleep(self._interval_s)

    @property
    def _interval_s(self) -> float:
        return min(self._limits.quiet_s, self._limits.stall_s / 10)

    async def _look(self, loop: asyncio.AbstractEventLoop, outside: Outside) -> None:
        asking = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._at(), loop))
        try:
            at = await asyncio.wait_for(asking, _ANSWER_MAX_S)
        except TimeoutError:
            self._progress.see_nothing(progress.LOOP, time.monotonic())
        else:
            self._progress.see(await self._seen(at, outside), time.monotonic())
            if self._progress.still_s(progress.RECOVERY, time.monotonic()) > self._limits.quiet_s:
                await self._ask_for_what_is_missing(at, loop, outside)
        await self._judge(outside)

    async def _at(self) -> Standing:
        return standing(self._app, joined=self._fence.accepted_s is not None)

    async def _seen(self, at: Standing, outside: Outside) -> Look:
        heartbeat: Look = {progress.HEARTBEAT: self._fence.accepted_s}
        match at.stage:
            case "joining":
                return {progress.JOINING: None}
            case "stopping":
                return {progress.STOPPING: None}
            case "recovering":
                self._missing = at.missing
                return {progress.RECOVERY: (at.generation, at.missing), **heartbeat}
            case "running":
                self._offsets = await outside.offsets(at.partitions)
                open_ = {each: offsets for each, offsets in self._offsets.items() if self._empty.get(each) != offsets}
                return {**progress.events(open_), **heartbeat}

    async def _ask_for_what_is_missing(self, at: Standing, loop: asyncio.AbstractEventLoop, outside: Outside) -> None:
        for partition, (offset, highwater) in at.missing.items():
            if self._awaited.get(partition, ())[:2] == (offset, highwater):
                continue
            record = await outside.first_record(partition, offset + 1, highwater + 1)
            if record is None:
                log.warning(
                    "%s/%d holds no record from offset %d to %d (markers of transactions, or compacted away): "
                    "the recovery goes on without",
                    *partition,
                    offset + 1,
                    highwater,
                )
                loop.call_soon_threadsafe(read_past, self._app, partition, offset, highwater)
            else:
                self._awaited[partition] = (offset, highwater, record)

    async def _judge(self, outside: Outside | None) -> None:
        """End the process when something is late; `outside` is None when it is Kafka that does not answer."""
        now_s = time.monotonic()
        for what in self._progress.late(now_s):
            limit = "BRH_STALL_MAX_S"
            why: str | None
            if what in _WHY:
                why = _WHY[what]
            elif what == progress.RECOVERY:
                why = self._why_no_recovery()
            else:
                assert outside is not None, "events are late only when Kafka has told so"
                if isinstance(what, TP):
                    limit, partitions = "BRH_PARTITION_STALL_MAX_S", {what}
                else:
                    partitions = set(self._offsets)
                why = await self._why_no_commit(partitions, outside)
            if why is not None:
                still_s = self._progress.still_s(what, now_s)
                end_process(EXIT_STALLED, f"no progress for {still_s:.0f} s ({limit}): {why}")

    def _why_no_recovery(self) -> str:
        awaited = [
            f"record {record} of {partition.topic}/{partition.partition} does not arrive"
            for partition, (*asked, record) in sorted(self._awaited.items())
            if self._missing.get(partition) == tuple(asked)
        ]
        return "a rebalance or a recovery stands still; " + ("; ".join(awaited) or "it waits for no record")

    async def _why_no_commit(self, partitions: Collection[TP], outside: Outside) -> str | None:
        """None: no record waits, what is left are markers of transactions."""
        for partition in partitions:
            committed, end = self._offsets[partition]
            if committed == end:
                continue
            record = await outside.first_record(partition, committed, end)
            if record is not None:
                return f"record {record} of {partition.topic}/{partition.partition} waits, and nothing is committed"
            self._empty[partition] = (committed, end)
        return None
