"""What the product tells the world, taken from RabbitMQ and Kafka by consumers of our own, however often they die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

AGAIN_S: Final = 0.5
PREFETCH: Final = 50
TELLING, REPLIES, REJECTED, ORPHANS = "chaos.told", "chaos.replies", "brh.rejected", "brh.orphans"
_QUORUM: Final = {"x-queue-type": "quorum"}

Take = Callable[[str, AbstractIncomingMessage], None]
"""Is given the name of the queue, and a message; what it has taken is acknowledged."""


class ListenerBroken(Exception):
    """What takes the messages failed: a mistake in the checker."""


class Listener:
    """Consumes four queues until it is cancelled. The first two are its own: they miss nothing while it is away."""

    def __init__(self, amqp_url: str, take: Take) -> None:
        self._url = amqp_url
        self._take = take
        self.ready = asyncio.Event()
        """Its queues are there: nothing that is told from now on is missed."""

    async def run(self) -> None:
        while True:
            try:
                async with await aio_pika.connect(self._url, timeout=20) as connection:
                    await self._consume(connection)
            except (AMQPError, OSError, TimeoutError, RuntimeError):
                await asyncio.sleep(AGAIN_S)

    async def _consume(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        told = await channel.declare_queue(TELLING, durable=True, arguments=_QUORUM)
        await told.bind("brh.out", "#")
        replies = await channel.declare_queue(REPLIES, durable=True, arguments=_QUORUM)
        self.ready.set()
        closed, failures = asyncio.Event(), list[Exception]()
        connection.close_callbacks.add(lambda *_: closed.set())
        channel.close_callbacks.add(lambda *_: closed.set())

        def taker(queue: str) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
            async def take(message: AbstractIncomingMessage) -> None:
                try:
                    self._take(queue, message)
                except Exception as error:
                    failures.append(error)
                    closed.set()
                    raise
                await message.ack()

            return take

        for queue in (told, replies, await channel.get_queue(REJECTED), await channel.get_queue(ORPHANS)):
            await queue.consume(taker(queue.name))
        await closed.wait()
        if failures:
            raise ListenerBroken from failures[0]


async def follow_topic(bootstrap: str, topic: str, partitions: int, take: Callable[[bytes], None]) -> None:
    """Give each record's value of a topic, from its beginning, until cancelled."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    at = dict.fromkeys(places, 0)
    while True:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            await consumer.start()
            consumer.assign(places)
            for place, offset in at.items():
                consumer.seek(place, offset)
            while True:
                for place, records in (await consumer.getmany(timeout_ms=500)).items():
                    for record in records:
                        take(record.value)
                        at[place] = record.offset + 1
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(AGAIN_S)
        finally:
            await consumer.stop()
