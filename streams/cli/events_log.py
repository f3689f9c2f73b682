"""One partition of the events topic, read from its beginning to a place, by nobody's consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bridge.kafka_access import client_options
from bridge.settings import KafkaSettings
from streams.cli.errors import EXIT_NOT_READY, EXIT_USAGE, CliError
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
        self._at = TopicPartition(Topics(settings.namespace, settings.partitions).events, partition)

    async def read(self, until: int | None, take: Take) -> int:
        """Give each record to `take`, and return the last offset.

        `until`: the last offset; None: the last one that is there. Raises CliError.
        """
        settings: KafkaSettings = self._settings
        consumer = AIOKafkaConsumer(
            **client_options(settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=RECORD_MAX_BYTES,
        )
        try:
            await self._check_partitions(settings)
            await consumer.start()
            return await self._read(consumer, until, take)
        except (KafkaError, OSError) as error:
            raise _unavailable(str(error) or type(error).__name__) from error
        finally:
            await consumer.stop()

    async def _check_partitions(self, settings: KafkaSettings) -> None:
        """Raises CliError for another count of partitions: another one would be the transaction's."""
        topic, wanted = self._at.topic, self._settings.partitions
        admin = AIOKafkaAdminClient(**client_options(settings))
        try:
            await admin.start()
            (found,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        if (count := len(found["partitions"])) != wanted:
            message = f"BRH_PARTITIONS is {wanted}, but topic {topic} has {count} partitions"
            remedy = "Set BRH_PARTITIONS and BRH_NAMESPACE as the trackers have them; `brh setup` creates the topics."
            raise CliError(message, code="bad-settings", remedy=remedy, exit_code=EXIT_USAGE)

    async def _read(self, consumer: AIOKafkaConsumer, until: int | None, take: Take) -> int:
        last = await self._bounds(consumer, until)
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

    async def _bounds(self, consumer: AIOKafkaConsumer, until: int | None) -> int:
        """Begin with the first record that is kept; the last offset that is to be read. Raises CliError."""
        topic, partition = self._at
        consumer.assign([self._at])
        self.begin = (await consumer.beginning_offsets([self._at]))[self._at]
        end = (await consumer.end_offsets([self._at]))[self._at]
        last = end - 1 if until is None else until
        if until is not None and not self.begin <= until < end:
            message = (
                f"Partition {partition} of {topic} has offsets {self.begin} to {end - 1}, and {until} is none of them"
            )
            remedy = "Leave --until out to see the offsets that told of the transaction."
            raise CliError(message, code="no-offset", remedy=remedy, exit_code=EXIT_USAGE)
        consumer.seek(self._at, self.begin)
        return last


def _unavailable(reason: str) -> CliError:
    remedy = "Check that Kafka runs and that BRH_KAFKA_BOOTSTRAP is right, then run the same command again."
    return CliError(
        f"Kafka cannot be read: {reason}", code="kafka-unavailable", remedy=remedy, exit_code=EXIT_NOT_READY
    )
