"""One installation per measurement, on the stack that all share: filled queues, and how far a bridge has come."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import aio_pika
from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.contract.events import PayloadsStaged, decode
from bridge.contract.inbound import SMALL_PAYLOAD_BYTES
from bridge.topology import INBOUND_EXCHANGE
from tests.support.world import World

DONE_S = 600.0
TRANSACTION = "T"
SERIES = "s"


class Progress:
    """What the facts say."""

    def __init__(self) -> None:
        self.payloads = 0
        self.blocks = 0
        self.last_s = 0.0
        """Unix time of the last fact, by the broker's clock, which is this machine's."""


def installation(stack_env: dict[str, str], folder: Path) -> World:
    """An empty one, without processes."""
    world = World(stack_env, folder, env={"BRH_LOG_FORMAT": "console"})
    world.provision()
    return world


async def fill(world: World, size: int, ordinals: Sequence[int], total_count: int, *, producers: int = 1) -> None:
    """Put payloads of random bytes into their queue; each producer sends its share, all at the same time."""
    body = os.urandom(size)
    share = -(-len(ordinals) // producers)
    shares = [ordinals[start : start + share] for start in range(0, len(ordinals), share)]
    await asyncio.gather(*(_produce(world, body, each, total_count) for each in shares))


async def _produce(world: World, body: bytes, ordinals: Sequence[int], total_count: int) -> None:
    kind = "small" if len(body) < SMALL_PAYLOAD_BYTES else "payload"
    async with await aio_pika.connect(world.amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange(INBOUND_EXCHANGE, ensure=False)
        unconfirmed: set[asyncio.Task[object]] = set()
        for ordinal in ordinals:
            # Bodies differ, because equal ones could be told apart by nobody; and they cost nothing to make.
            unique = ordinal.to_bytes(8, "big")[-min(8, len(body)) :] + body[8:]
            message = aio_pika.Message(
                unique,
                type="brh.payload.v1",
                correlation_id=TRANSACTION,
                delivery_mode=2,
                headers={"brh_series_type": SERIES, "brh_ordinal": ordinal, "brh_total_count": total_count},
            )
            unconfirmed.add(asyncio.create_task(exchange.publish(message, f"{kind}.{SERIES}", mandatory=True)))
            if len(unconfirmed) >= max(1, min(200, (16 << 20) // max(1, len(body)))):
                done, unconfirmed = await asyncio.wait(unconfirmed, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        await asyncio.gather(*unconfirmed)


async def until_staged(world: World, payloads: int) -> Progress:
    """Read the facts until they tell of so many payloads."""
    topic = world.topics.events
    consumer = AIOKafkaConsumer(bootstrap_servers=world.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    progress = Progress()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(world.topics.partitions)])
        deadline = time.monotonic() + DONE_S
        while progress.payloads < payloads:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{progress.payloads} of {payloads} payloads within {DONE_S} s; see {world.log}")
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    event = decode(record.value)
                    if not isinstance(event, PayloadsStaged):
                        continue  # how far bridges have come, which they say every few seconds
                    progress.payloads += sum(fact.count for fact in event.staged)
                    progress.blocks += sum(max(1, len(fact.blocks)) for fact in event.staged)
                    progress.last_s = max(progress.last_s, record.timestamp / 1000)
    finally:
        await consumer.stop()
    return progress
