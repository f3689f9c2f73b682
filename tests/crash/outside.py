"""What an installation tells the world, from its first process to its last: notifications, dead letters, outcomes."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple, TypeVar

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.world import World

REPLIES: Final = "replies"
"""A queue of ours, for headers that name one in `reply_to`."""
POLL_S: Final = 0.03
T = TypeVar("T")


class Late(AssertionError):
    """Something has not become true in its time."""


async def until(probe: Callable[[], T | Awaitable[T]], timeout_s: float, what: str) -> T:
    """What the probe answers as soon as it is true. Raises Late."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        found = probe()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise Late(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(POLL_S)


class Told(NamedTuple):
    """One copy of a CloudEvent."""

    message_id: str | None
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Outside:
    """One who listens to everything; an async context manager. Enter it before the processes start."""

    def __init__(self, world: World, amqp_url: str) -> None:
        """`amqp_url`: with the client's own heartbeat, because ours is one of many tasks."""
        self._world = world
        self._url = amqp_url
        self._exits = AsyncExitStack()
        self.told: dict[str, list[Told]] = defaultdict(list)
        """By transaction, everything that came to the outbound exchange."""
        self.replies: dict[str, list[Told]] = defaultdict(list)
        self.orphans: dict[str, list[Told]] = defaultdict(list)
        self.outcomes: dict[str, list[bytes]] = defaultdict(list)
        """By transaction, the records of the outcomes topic."""
        self.dead: list[str | None] = []
        """Ids of messages that the broker has put aside."""
        self.parked: list[bytes | None] = []
        """Records that were put aside."""

    async def __aenter__(self) -> Outside:
        connection = await self._exits.enter_async_context(await aio_pika.connect(self._url))
        channel = self.channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self.inbound: AbstractExchange = await channel.get_exchange("brh.in")
        mine = await channel.declare_queue("", exclusive=True)
        await mine.bind("brh.out", "#")
        await self._listen(mine.name, self.told)
        await channel.declare_queue(REPLIES, exclusive=True)
        await self._listen(REPLIES, self.replies)
        await self._listen("brh.orphans", self.orphans)
        await (await channel.get_queue("brh.rejected")).consume(self._take_dead, no_ack=True)
        bootstrap = self._world.bootstrap
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self.admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        topics = self._world.topics
        for start, stop in (
            (self.producer.start, self.producer.stop),
            (self.consumer.start, self.consumer.stop),
            (self.admin.start, self.admin.close),
        ):
            await start()
            self._exits.push_async_callback(stop)
        outcomes = [TopicPartition(topics.outcomes, number) for number in range(topics.partitions)]
        self.consumer.assign([*outcomes, TopicPartition(topics.parked, 0)])
        reading = asyncio.create_task(self._read())
        self._exits.callback(reading.cancel)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    async def caught_up(self, timeout_s: float) -> None:
        """Everything that stands in the topics now is read, and committed as read."""
        topics = self._world.topics
        groups = {topics.tracker_group: topics.events, topics.delivery_group: topics.deliveries}
        for group, topic in groups.items():
            partitions = [TopicPartition(topic, number) for number in range(topics.partitions)]
            ends = {each: end for each, end in (await self.consumer.end_offsets(partitions)).items() if end}

            async def behind(group: str = group, ends: dict[TopicPartition, int] = ends) -> bool:
                found = await self.admin.list_consumer_group_offsets(group)
                return all(each in found and found[each].offset >= end for each, end in ends.items())

            await until(behind, timeout_s, f"{group} has committed what was in {topic}")

    async def waiting(self, queue: str) -> int:
        """Messages that nobody has in hand."""
        found = await self.channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0

    async def _listen(self, queue: str, found: dict[str, list[Told]]) -> None:
        async def take(message: AbstractIncomingMessage) -> None:
            found[message.correlation_id or ""].append(Told(message.message_id, message.body))

        await (await self.channel.get_queue(queue)).consume(take, no_ack=True)

    async def _take_dead(self, message: AbstractIncomingMessage) -> None:
        self.dead.append(message.message_id)

    async def _read(self) -> None:
        async for record in self.consumer:
            if record.topic == self._world.topics.parked:
                self.parked.append(record.value)
            else:
                self.outcomes[record.key.decode()].append(record.value)
