"""One partition of the events topic, read from its beginning to a place, by nobody's consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bridge.kafka_access import client_options
from bridge.settings import KafkaSettings
from streams.cli.errors import EXIT_NOT_READY, EXIT_USAGE, CliError
from streams.fsck_events import Bounds
from streams.record import Record, moment
from streams.settings import TrackerSettings
from streams.topics import RECORD_MAX_BYTES, Topics

QUIET_MAX_S: Final = 30.0
"""Without a record that is known to be there: longer than a broker takes to fail over."""
_POLL_MS: Final = 1_000


Take = Callable[[Record, int, int], None]
"""Takes a record; with the bytes that were read so far, and the last offset."""


class EventsLog:
    """A partition; what it held when reading began is read, and no more."""

    def __init__(self, settings: TrackerSettings, partition: int) -> None:
        self.begin = 0
        """The first offset that is kept."""
        self._settings = settings
        self._topics = Topics(settings.namespace, settings.partitions)
        self._at = TopicPartition(self._topics.events, partition)

    async def read(self, until: int | None, take: Take) -> int:
        """Give each record to `take`, and return the last offset.

        `until`: the last offset; None: the last one that is there. Raises CliError.
        """
        async with self._opened() as (consumer, _):
            return await self._read(consumer, self._last(await self._seek(consumer), until), take)

    async def read_taken(self, take: Take) -> Bounds:
        """Give each record that the trackers had taken when reading began to `take`. Raises CliError."""
        async with self._opened() as (consumer, admin):
            group = await admin.list_consumer_group_offsets(self._topics.tracker_group, partitions=[self._at])
            end = await self._seek(consumer)
            committed = group[self._at].offset if self._at in group else -1
            # A group that has taken nothing has -1, and one of a topic that was made anew may be beyond its end.
            taken = min(max(committed, 0), end)
            await self._read(consumer, taken - 1, take)
            return Bounds(self.begin, taken, end)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
        """Clients of ours. Raises CliError, also for what is done with them."""
        settings: KafkaSettings = self._settings
        consumer = AIOKafkaConsumer(
            **client_options(settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=RECORD_MAX_BYTES,
        )
        admin = AIOKafkaAdminClient(**client_options(settings))
        try:
            await admin.start()
            await self._check_partitions(admin)
            await consumer.start()
            yield consumer, admin
        except (KafkaError, OSError) as error:
            raise _unavailable(str(error) or type(error).__name__) from error
        finally:
            await admin.close()
            await consumer.stop()

    async def _check_partitions(self, admin: AIOKafkaAdminClient) -> None:
        """Raises CliError for another count of partitions: another one would be the transaction's."""
        topic, wanted = self._at.topic, self._settings.partitions
        (found,) = await admin.describe_topics([topic])
        if (count := len(found["partitions"])) != wanted:
            message = f"BRH_PARTITIONS is {wanted}, but topic {topic} has {count} partitions"
            remedy = "Set BRH_PARTITIONS and BRH_NAMESPACE as the trackers have them; `brh setup` creates the topics."
            raise CliError(message, code="bad-settings", remedy=remedy, exit_code=EXIT_USAGE)

    async def _read(self, consumer: AIOKafkaConsumer, last: int, take: Take) -> int:
        read, loop = 0, asyncio.get_running_loop()
        heard_s = loop.time()
        while await consumer.position(self._at) <= last:
            found = await consumer.getmany(self._at, timeout_ms=_POLL_MS)
            for each in found.get(self._at, ()):
                if each.offset <= last:
                    read += len(each.value or b"")
                    at = moment(each.timestamp / 1000)
                    take(Record(each.partition, each.offset, at, each.key, each.value), read, last)
            if found:
                heard_s = loop.time()
            elif loop.time() - heard_s > QUIET_MAX_S:
                raise _unavailable(f"no record for {QUIET_MAX_S:g} s, and offset {last} has not come")
        return last

    async def _seek(self, consumer: AIOKafkaConsumer) -> int:
        """Begin with the first record that is kept; the offset behind the last one."""
        consumer.assign([self._at])
        self.begin = (await consumer.beginning_offsets([self._at]))[self._at]
        end: int = (await consumer.end_offsets([self._at]))[self._at]
        consumer.seek(self._at, self.begin)
        return end

    def _last(self, end: int, until: int | None) -> int:
        """The last offset that is to be read. Raises CliError."""
        topic, partition = self._at
        if until is not None and not self.begin <= until < end:
            message = (
                f"Partition {partition} of {topic} has offsets {self.begin} to {end - 1}, and {until} is none of them"
            )
            remedy = "Leave --until out to see the offsets that told of the transaction."
            raise CliError(message, code="no-offset", remedy=remedy, exit_code=EXIT_USAGE)
        return end - 1 if until is None else until


def _unavailable(reason: str) -> CliError:
    remedy = "Check that Kafka runs and that BRH_KAFKA_BOOTSTRAP is right, then run the same command again."
    return CliError(
        f"Kafka cannot be read: {reason}", code="kafka-unavailable", remedy=remedy, exit_code=EXIT_NOT_READY
    )
