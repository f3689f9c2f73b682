"""`faust.App` with everything of this package hooked in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import faust
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list
from faust.types.agents import AgentT
from faust.types.transports import ConsumerT, ProducerT
from faust.types.tuples import TP

from streams.hardened.ends import EXIT_AGENT, EXIT_SURROUNDINGS, count_ends, end_process
from streams.hardened.fence import Fence
from streams.hardened.flow import (
    CHANGELOG,
    fetch_nothing_of_none,
    say_committed,
    seek_from_the_beginning,
    stop_at_the_first_unacked,
)
from streams.hardened.limits import DEFAULTS, Limits
from streams.hardened.membership import Membership
from streams.hardened.outside import Outside, outside
from streams.hardened.outstanding import Outstanding
from streams.hardened.watchdog import Watchdog

PRODUCER_BUFFER_MAX: Final = 5_000
"""Records in Faust's own buffer before it stalls the stream; its default of 100 stalls an envelope of 100 facts."""


ENDS_FILE: Final = "ends"
"""In a worker's folder: the exit codes with which it has ended itself, and how often."""


class HardenedApp(faust.App):
    """`faust.App` whose committed offsets never run ahead of what its records have reached."""

    def __init__(
        self,
        *args: Any,
        row_partition: Callable[[bytes], int] | None = None,
        fenced: Set[str] = frozenset(),
        partitions: Mapping[str, int] = MappingProxyType({}),
        refusal: Callable[[faust.App], Awaitable[str]] | None = None,
        limits: Limits = DEFAULTS,
        **kwargs: Any,
    ) -> None:
        """`row_partition` tells the partition of a table row from its key, where that is not the key's own hash.

        `fenced` are the topics that only an owner of partitions may write to, besides the changelogs. `partitions` says
        how many those topics must have that it works with. `refusal` is asked when they are there, and before anything
        is read: what it answers ends the process, if it is not empty.
        """
        super().__init__(*args, **kwargs)
        self._fence = Fence(
            self.conf.broker_session_timeout, limits, lambda topic: topic.endswith(CHANGELOG) or topic in fenced
        )
        self._watchdog = Watchdog(self, self._fence, limits, self._outside)
        self._row_partition = row_partition
        self._partitions = partitions
        self._refusal = refusal
        self._outstanding = Outstanding()
        self.on_rebalance_complete.connect(self._hold_flow)
        if self.conf.producer_threaded or self.in_transaction:
            raise ValueError("producer_threaded and exactly_once are never flushed before a commit: leave them off")

    async def on_first_start(self) -> None:
        """Make the folders this worker needs; stock Faust makes only the last one of a path. Begin to watch it."""
        Path(self.conf.datadir).parent.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()
        count_ends(Path(self.conf.datadir) / ENDS_FILE)
        self._fence.watch_clock()
        await self._watchdog.kafka(self._partitions)
        if self._refusal is not None and (why := await self._refusal(self)):
            end_process(EXIT_SURROUNDINGS, why)
        self._watchdog.start()

    def _outside(self) -> AbstractAsyncContextManager[Outside]:
        transport: Any = self.transport
        servers = server_list(self.conf.broker_consumer, transport.default_port)
        auth = credentials_to_aiokafka_auth(self.conf.broker_credentials, self.conf.ssl_context)
        return outside(servers, self.conf.id, auth)

    async def _hold_flow(self, *_: Any, **__: Any) -> None:
        # Sent before the partitions are resumed; Faust lets the flow go itself when it has emptied its queues.
        self.consumer.stop_flow()

    async def _on_agent_error(self, agent: AgentT[Any], exc: BaseException) -> None:
        end_process(EXIT_AGENT, f"agent {agent.name} failed: {exc!r}", exc)

    def _new_consumer(self) -> ConsumerT:
        consumer = super()._new_consumer()
        hooked: Any = consumer
        hooked.seek_to_committed = seek_from_the_beginning(consumer)
        hooked._new_offset = stop_at_the_first_unacked(consumer)
        hooked._commit = say_committed(consumer)
        hooked._thread.subscribe = Membership(self._fence).hook_subscribe(hooked._thread)
        hooked._thread._fetch_records = fetch_nothing_of_none(hooked._thread._fetch_records)
        return consumer

    def _new_producer(self) -> ProducerT:
        producer = super()._new_producer()
        producer.buffer.max_messages = PRODUCER_BUFFER_MAX
        # Assigned on the instance: the producer's class is chosen by the transport, and there is one producer an app.
        hooked: Any = producer
        hooked.send_soon = self._outstanding.hook_send_soon(producer.send_soon)
        hooked.send = self._outstanding.hook_send(producer.send)
        hooked.flush = self._outstanding.wait
        hooked._new_producer = self._fence.hook_client(hooked._new_producer)
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
