"""What Kafka says of this worker's partitions, asked by clients of their own: the worker's may be what has died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from faust.types.tuples import TP

_REQUEST_MS: Final = 10_000
_POLL_MS: Final = 1_000


class Outside:
    """The group and the log of one cluster. Everything raises KafkaError."""

    def __init__(self, group: str, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer) -> None:
        self._group = group
        self._admin = admin
        self._reader = reader

    async def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        """How many partitions each of these topics has; those are left out that are not there, or not to be seen."""
        if not topics:
            return {}
        found = await self._admin.describe_topics(list(topics))
        return {each["topic"]: len(each["partitions"]) for each in found if not each["error_code"]}

    async def offsets(self, partitions: Collection[TP]) -> dict[TP, tuple[int, int]]:
        """For each partition the committed offset, or the beginning where there is none, and the end."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        ends = await self._reader.end_offsets(asked)
        committed = await self._admin.list_consumer_group_offsets(self._group, partitions=asked)
        without = [each for each in asked if each not in committed or committed[each].offset < 0]
        beginnings = await self._reader.beginning_offsets(without) if without else {}
        return {
            TP(*each): (beginnings[each] if each in beginnings else committed[each].offset, ends[each])
            for each in asked
        }

    async def first_record(self, partition: TP, start: int, end: int) -> int | None:
        """The offset of the first record in a range that holds one.

        None: offsets in it belong to markers of transactions, or were compacted away. Waits while the broker gives
        neither a record nor a reason.
        """
        asked = TopicPartition(*partition)
        self._reader.assign([asked])
        self._reader.seek(asked, start)
        while await self._reader.position(asked) < end:
            records = await self._reader.getmany(asked, timeout_ms=_POLL_MS, max_records=1)
            for record in records.get(asked, []):
                return int(record.offset) if record.offset < end else None
        return None


@asynccontextmanager
async def outside(servers: list[str], group: str, auth: Mapping[str, Any]) -> AsyncIterator[Outside]:
    """Raises KafkaError when the cluster cannot be reached."""
    options = {"bootstrap_servers": servers, "request_timeout_ms": _REQUEST_MS, **auth}
    async with AsyncExitStack() as stack:
        admin = AIOKafkaAdminClient(**options)
        stack.push_async_callback(admin.close)
        await admin.start()
        reader = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
        stack.push_async_callback(reader.stop)
        await reader.start()
        # The client waits for tasks that it has cancelled, and one that has not begun ends with the cancellation.
        await asyncio.sleep(0)
        yield Outside(group, admin, reader)
