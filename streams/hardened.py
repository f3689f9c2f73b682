"""A Faust app whose committed offsets follow its records: the only place that touches Faust's private surface.

Measured on faust-streaming 0.15.3 with aiokafka 0.14.0; both are pinned exactly because of this file.

strict flush    Stock Faust commits source offsets while changelog records are still on their way, and commits them
                even when such a record has failed. Here a commit waits for every record that was handed over before
                it, and a failed record ends the process.
agent failure   Stock Faust acknowledges the event on which an agent raised. Here the process ends without a commit,
                and the event is read again.
start of flow   At the end of a recovery stock Faust lets events flow, seeks to the committed offsets, and then empties
                its queues: an event that was queued in between is lost, and its offset is committed all the same
                (measured with 20 events waiting: 7 of 59 starts lost one). Here nothing flows until the queues have
                been emptied.
backlog         For a moment in a recovery no partition is active. Stock Faust then asks the client for the records of
                none, which the client takes for all, and drops them; a group without committed offsets never goes
                back (measured with the flow already held: 5 of 20 starts read nothing of what was waiting). Here none
                means none, and without a committed offset a partition is read from its beginning.
table views     Stock Faust's fail until a worker has written to the changelog; here they find the row's owner at once.
ghost rows      Stock Faust's memory store keeps the rows of partitions that have gone to other workers, and its table
                views show them. Here they are dropped when a recovery ends.
static member   A worker with a stable name takes its partitions back at once when it is started again.

Every end is `os._exit`: no clean-up code runs, so nothing is committed on the way out. A supervisor starts the process
again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Set
from pathlib import Path
from typing import Any, Final, NoReturn

import faust
from faust.types.agents import AgentT
from faust.types.transports import ConsumerT, ProducerT
from faust.types.tuples import TP

EXIT_AGENT: Final = 70
EXIT_SEND: Final = 71
PRODUCER_BUFFER_MAX: Final = 5_000
"""Records in Faust's own buffer before it stalls the stream; its default of 100 stalls an envelope of 100 facts."""

_CHANGELOG: Final = "-changelog"

log = logging.getLogger(__name__)


def end_process(code: int, why: str, error: BaseException | None = None) -> NoReturn:
    """End at once, without acknowledging or committing anything."""
    log.critical("ends itself with exit code %d: %s", code, why, exc_info=error)
    logging.shutdown()
    os._exit(code)


class HardenedApp(faust.App):
    """`faust.App` whose committed offsets never run ahead of what its records have reached."""

    def __init__(self, *args: Any, row_partition: Callable[[bytes], int] | None = None, **kwargs: Any) -> None:
        """`row_partition` tells the partition of a table row from its key, where that is not the key's own hash."""
        super().__init__(*args, **kwargs)
        self._row_partition = row_partition
        self.on_rebalance_complete.connect(self._hold_flow)
        if self.conf.producer_threaded or self.in_transaction:
            raise ValueError("producer_threaded and exactly_once are never flushed before a commit: leave them off")

    async def on_first_start(self) -> None:
        """Make the folders this worker needs; stock Faust makes only the last one of a path."""
        Path(self.conf.datadir).parent.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def _hold_flow(self, *_: Any, **__: Any) -> None:
        # Sent before the partitions are resumed; Faust lets the flow go itself when it has emptied its queues.
        self.consumer.stop_flow()

    async def _on_agent_error(self, agent: AgentT[Any], exc: BaseException) -> None:
        end_process(EXIT_AGENT, f"agent {agent.name} failed: {exc!r}", exc)

    def _new_consumer(self) -> ConsumerT:
        consumer = super()._new_consumer()
        hooked: Any = consumer
        hooked.seek_to_committed = _seek_from_the_beginning(consumer)
        hooked._thread._fetch_records = _fetch_nothing_of_none(hooked._thread._fetch_records)
        return consumer

    def _new_producer(self) -> ProducerT:
        producer = super()._new_producer()
        producer.buffer.max_messages = PRODUCER_BUFFER_MAX
        outstanding = _Outstanding()
        # Assigned on the instance: the producer's class is chosen by the transport, and there is one producer an app.
        hooked: Any = producer
        hooked.send_soon = outstanding.hook_send_soon(producer.send_soon)
        hooked.send = outstanding.hook_send(producer.send)
        hooked.flush = outstanding.wait
        if (row_partition := self._row_partition) is not None:
            # Table views ask the producer for a row's partition. Stock Faust fails there until this worker has written
            # to that changelog, and it knows of no keys that are kept in another partition than their hash.
            hooked.key_partition = lambda topic, key: TP(topic, row_partition(key))
        return producer


def drop_ghosts(table: Any, is_ours: Callable[[str], bool]) -> int:
    """Drop the rows of a table in memory whose keys are not ours; nothing is sent to the changelog.

    Returns how many there were.
    """
    rows: dict[str, Any] = table.data.data
    ghosts = [key for key in rows if not is_ours(key)]
    for key in ghosts:
        del rows[key]
    return len(ghosts)


def _seek_from_the_beginning(consumer: Any) -> Callable[[], Awaitable[Mapping[TP, int | None]]]:
    seek_to_committed = consumer.seek_to_committed

    async def seek() -> Mapping[TP, int | None]:
        offsets: Mapping[TP, int | None] = await seek_to_committed()
        for partition, offset in offsets.items():
            if (offset is None or offset < 0) and not partition.topic.endswith(_CHANGELOG):
                await consumer.seek(partition, 0)  # below the first record the client's reset policy, earliest, applies
        return offsets

    return seek


def _fetch_nothing_of_none(fetch_records: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def fetch(client: Any, active: Set[TP], **limits: Any) -> Any:
        wanted = set(active)  # a copy: the recovery empties the original while the client waits for records
        return await fetch_records(client, wanted, **limits) if wanted else {}

    return fetch


class _Outstanding:
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
        if self._futures:
            await asyncio.wait(set(self._futures))

    def _track(self, future: Any) -> Any:
        self._futures.add(future)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._futures.discard(future)
        if future.cancelled() or future.exception():
            end_process(EXIT_SEND, f"a record was not acknowledged: {future!r}")
