"""What can be seen of the product from outside: what producers sent, what storage holds, what consumers were told."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.checksums import crc64, hex16
from bridge.contract.events import PayloadsStaged, Staged, decode
from streams.cli.producer import SendSummary, send
from tests.support.public import wrong, wrong_event
from tests.support.world import World, until


class Chunks:
    """A series of random payloads of these sizes, the same for the same name."""

    def __init__(self, name: str, sizes: Sequence[int]) -> None:
        self._name = name
        self._sizes = sizes

    @property
    def size(self) -> int:
        return sum(self._sizes)

    @property
    def total_count(self) -> int:
        return len(self._sizes)

    def chunk(self, ordinal: int) -> bytes:
        return random.Random(f"{self._name}/{ordinal}").randbytes(self._sizes[ordinal - 1])

    def digest(self) -> str:
        whole = hashlib.sha256()
        for ordinal in range(1, self.total_count + 1):
            whole.update(self.chunk(ordinal))
        return whole.hexdigest()


class Repeated(Chunks):
    """For bodies that are larger than random bytes can be made in a moment."""

    def chunk(self, ordinal: int) -> bytes:
        size = self._sizes[ordinal - 1]
        part = Chunks(self._name, [(8 << 20) + 1]).chunk(1)  # a length that no block and no frame divides
        return (part * (size // len(part) + 1))[:size]


async def publish(world: World, transaction: str, series: Mapping[str, Chunks], **options: Any) -> SendSummary:
    """Send a transaction with the product's own producer."""
    return await send(world.amqp_url, transaction, series, **options)


async def publish_header(
    world: World, txn: str, body: object, *, reply_to: str | None = None, headers: dict[str, str] | None = None
) -> None:
    """Send a header with this body."""
    message = header_message(txn, body, reply_to=reply_to, headers=headers)
    await publish_messages(world, [("header.default", message)])


def header_message(
    transaction: str, body: object, *, reply_to: str | None = None, headers: dict[str, str] | None = None
) -> aio_pika.Message:
    return aio_pika.Message(
        json.dumps(body).encode(),
        type="brh.header.v1",
        correlation_id=transaction,
        content_type="application/json",
        reply_to=reply_to,
        headers=headers,
        delivery_mode=2,
    )


async def publish_payloads(world: World, txn: str, series: dict[str, Chunks], ordinals: list[int]) -> None:
    """Send some payloads of some series, in this order."""
    messages = [
        (f"small.{name}", payload_message(txn, name, ordinal, chunks.total_count, chunks.chunk(ordinal)))
        for name, chunks in series.items()
        for ordinal in ordinals
    ]
    await publish_messages(world, messages)


def payload_message(
    transaction: str, series: str, ordinal: int, total: int, body: bytes, **more: object
) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        type="brh.payload.v1",
        correlation_id=transaction,
        message_id=f"{transaction}/{series}/{ordinal}/{uuid4().hex}",
        headers={"brh_series_type": series, "brh_ordinal": ordinal, "brh_total_count": total, **more},
        delivery_mode=2,
    )


async def publish_messages(world: World, messages: list[tuple[str, aio_pika.Message]]) -> None:
    """Messages by routing key, one after the other."""
    async with await aio_pika.connect(world.amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("brh.in")
        for routing_key, message in messages:
            await exchange.publish(message, routing_key)


async def assert_result(world: World, transaction: str, series: Mapping[str, Chunks]) -> dict[str, Any]:
    """The outcome is Completed and its parts are the payloads in order, byte for byte; returns the outcome document."""
    async with world.blobs() as blobs:
        content = await blobs.read(f"{transaction}/_outcome.json")
        assert content is not None, f"{transaction} has no outcome"
        outcome: dict[str, Any] = json.loads(content.body)
        assert outcome["outcome"] == "Completed", outcome
        assert wrong("outcome", outcome) == []
        assert [each["seriesType"] for each in outcome["series"]] == list(series)
        for result in outcome["series"]:
            expected = series[result["seriesType"]]
            assert result["totalCount"] == expected.total_count
            assert result["bytes"] == expected.size
            whole = hashlib.sha256()
            for part in result["parts"]:
                name = part["uri"].partition(f"/{world.name}/")[2]
                pieces = [chunk async for chunk in blobs.stream(name, part["etag"])] if part["bytes"] else []
                assert sum(map(len, pieces)) == part["bytes"]
                assert hex16(crc64(pieces)) == part["crc64"]
                for piece in pieces:
                    whole.update(piece)
            assert whole.hexdigest() == expected.digest(), f"{transaction}/{result['seriesType']} has other bytes"
    return outcome


async def dead_letters(world: World, count: int, queue_name: str = "brh.rejected") -> list[AbstractIncomingMessage]:
    """What came to a queue of messages that were put aside, with its bodies."""
    found = []
    # The largest body takes longer than the client's own limit of 5 s where other work goes on.
    async with await aio_pika.connect(world.amqp_url) as connection, asyncio.timeout(60):
        queue = await (await connection.channel()).get_queue(queue_name)
        while len(found) < count:
            if (message := await queue.get(no_ack=True, fail=False, timeout=60)) is not None:
                found.append(message)
            else:
                await asyncio.sleep(0.05)
    return found


async def assert_completed(world: World, transaction: str, series: Mapping[str, Chunks], timeout_s: float = 90) -> None:
    """The transaction comes to its end, with the bytes that were sent. Other tasks of this loop go on meanwhile."""
    await asyncio.to_thread(world.wait_state, transaction, {"Completed"}, timeout_s)
    await assert_result(world, transaction, series)


class Heard:
    """Messages that came to a queue of our own."""

    def __init__(self) -> None:
        self.messages: list[AbstractIncomingMessage] = []

    def of(self, transaction: str, *kinds: str) -> list[AbstractIncomingMessage]:
        """What is told of a transaction; its outcomes, where no kinds are asked for."""
        types = [f"brh.transaction.{kind}.v1" for kind in kinds or ("completed", "failed", "abandoned")]
        mine = [message for message in self.messages if message.correlation_id == transaction]
        return [message for message in mine if json.loads(message.body)["type"] in types]

    async def wait(
        self, transaction: str, *kinds: str, count: int = 1, timeout_s: float = 60
    ) -> list[AbstractIncomingMessage]:
        async with asyncio.timeout(timeout_s):
            while len(self.of(transaction, *kinds)) < count:
                await asyncio.sleep(0.02)
        return self.of(transaction, *kinds)

    async def wait_rejected(
        self, transaction: str, count: int = 1, timeout_s: float = 60
    ) -> list[AbstractIncomingMessage]:
        """The rejections of messages that name a transaction, each once, as soon as there are `count`."""
        async with asyncio.timeout(timeout_s):
            while len(found := {each.message_id: each for each in self.rejected(transaction)}) < count:
                await asyncio.sleep(0.02)
        return list(found.values())

    def rejected(self, transaction: str) -> list[AbstractIncomingMessage]:
        mine = [message for message in self.messages if message.correlation_id == transaction]
        return [message for message in mine if json.loads(message.body)["type"] == "brh.message.rejected.v1"]


@asynccontextmanager
async def listening(world: World, binding: str = "transaction.#", queue_name: str = "") -> AsyncIterator[Heard]:
    """Everything that is published to the outbound exchange while the context is open."""
    heard = Heard()
    # Not by the address of the processes, whose heartbeat may be a second: a test has other things to do.
    async with await aio_pika.connect(world.virtual_host.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(queue_name, exclusive=True)
        await queue.bind("brh.out", binding)

        async def take(message: AbstractIncomingMessage) -> None:
            heard.messages.append(message)

        await queue.consume(take, no_ack=True)
        yield heard
    # Whatever a test looks at: nothing is told that the published schemas do not describe.
    assert [fault for message in heard.messages for fault in wrong_event(message.body)] == []


async def kafka_records(
    world: World, topic: str, key: str | None = None, *, partition: int | None = None
) -> list[bytes]:
    """The values of all records in a topic or one of its partitions, or of those with a key."""
    found = await _records(world, topic, partition)
    return [value for name, value in found if value is not None and key in (None, name and name.decode())]


async def staged_facts(world: World, payloads: Mapping[str, int], timeout_s: float = 90) -> dict[str, list[Staged]]:
    """What bridges have said of transactions, in order, once it is so many payloads of each or more."""
    async with asyncio.timeout(timeout_s):
        while True:
            found: dict[str, list[Staged]] = {transaction: [] for transaction in payloads}
            for value in await kafka_records(world, world.topics.events):
                event = decode(value)
                if isinstance(event, PayloadsStaged) and event.transaction in found:
                    found[event.transaction] += event.staged
            if all(sum(fact.count for fact in found[each]) >= count for each, count in payloads.items()):
                return found


async def until_read(world: World, transaction: str, timeout_s: float = 90) -> None:
    """The owner of a transaction has read all that is on the events topic by now: it shows what came behind it."""
    mine = world.topics.partition_of(transaction)
    names = (f"{transaction}-{number}" for number in itertools.count())
    name = next(name for name in names if world.topics.partition_of(name) == mine)
    await publish_payloads(world, name, {"a": Chunks(name, [1])}, [1])
    await asyncio.to_thread(until, lambda: world.transaction(name), timeout_s, f"{name} is shown; see {world.log}")


async def kafka_rows(world: World, topic: str) -> dict[str, bytes | None]:
    """What a table's changelog says last of each key: its value, or None where the row was deleted."""
    return {json.loads(name): value for name, value in await _records(world, topic) if name is not None}


async def kafka_keys(world: World, topic: str) -> list[bytes]:
    """The key of every record that a topic still has."""
    return [name for name, _ in await _records(world, topic) if name is not None]


async def _records(world: World, topic: str, only: int | None = None) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values, in the order of each partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=world.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number)
            for number in consumer.partitions_for_topic(topic) or await _found(consumer, topic)
            if only in (None, number)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[tuple[bytes | None, bytes | None]] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                records = (await consumer.getmany(partition, timeout_ms=1_000)).get(partition, [])
                found += [(record.key, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def _found(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()
    consumer.subscribe([topic])
    async with asyncio.timeout(20):
        while not (found := consumer.partitions_for_topic(topic)):
            await asyncio.sleep(0.05)
    consumer.unsubscribe()
    return found


async def consumed_by(world: World, queue_name: str, count: int, timeout_s: float = 60) -> None:
    """Until a queue has so many consumers."""
    async with await aio_pika.connect(world.amqp_url) as connection, asyncio.timeout(timeout_s):
        channel = await connection.channel()
        while True:
            queue = await channel.declare_queue(queue_name, passive=True)
            if (queue.declaration_result.consumer_count or 0) >= count:
                return
            await asyncio.sleep(0.05)


async def purge(world: World, queue_name: str) -> None:
    """Empty a queue."""
    async with await aio_pika.connect(world.amqp_url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(queue_name)).purge()
