"""What consumers find in RabbitMQ: outcomes, notices and orphans, by the real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pydantic import SecretStr

from bridge import topology
from bridge.contract.events import Delivered, DeliveryRefused, Told
from bridge.contract.outbound import CloudEvent
from bridge.memory_blobs import MemoryBlobs
from bridge.notices import Notices
from streams.courier import Courier
from streams.post import Post
from tables.effects import Announce
from tests.support.deliveries import SETTINGS
from tests.support.management import VirtualHost
from tests.support.result import START, Result, problem


@pytest.fixture
def virtual_host(stack_env: dict[str, str]) -> Iterator[VirtualHost]:
    virtual_host = VirtualHost(stack_env, f"t{uuid4().hex[:10]}")
    virtual_host.make()
    yield virtual_host
    virtual_host.drop()


@pytest.fixture
async def broker(virtual_host: VirtualHost) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    """The broker as `brh setup` leaves it."""
    async with await aio_pika.connect(virtual_host.url) as connection:
        await topology.declare(connection)
        yield connection


@pytest.fixture
async def notices(virtual_host: VirtualHost, broker: Any) -> AsyncIterator[Notices]:
    async with Notices(SecretStr(virtual_host.url), "test") as notices:
        yield notices


async def no_kafka(_: str, __: CloudEvent) -> None:
    """Told elsewhere."""


def courier(notices: Notices, blobs: MemoryBlobs) -> Courier:
    return Courier(blobs, Post(notices, no_kafka, "lab"), SETTINGS)


async def taken(broker: aio_pika.abc.AbstractConnection, queue: str, count: int) -> list[AbstractIncomingMessage]:
    """What is in a queue, and no more than that."""
    async with broker.channel() as channel:
        there = await channel.get_queue(queue, ensure=True)
        async with asyncio.timeout(20):
            found = []
            while len(found) < count:
                message = await there.get(no_ack=True, fail=False)
                if message is not None:
                    found.append(message)
        assert await there.get(no_ack=True, fail=False) is None
        return found


async def test_a_notice_is_a_persistent_cloudevent_in_both_places(broker: Any, notices: Notices) -> None:
    async with broker.channel() as channel:
        asked = await channel.declare_queue("asked", durable=True)
        effect = Announce("e-1", "T1", "valuation", "gap", START, 3, problem("gap"), reply_to="asked")
        assert isinstance(await courier(notices, MemoryBlobs()).carry_out(effect), Told)
        (one,), (other,) = await taken(broker, topology.NOTIFICATIONS, 1), await taken(broker, asked.name, 1)
    assert one.body == other.body
    assert (one.exchange, one.routing_key) == ("brh.out", "transaction.gap.valuation")
    event = json.loads(one.body)
    for message in (one, other):
        assert message.content_type == "application/cloudevents+json"
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert (message.message_id, message.correlation_id, message.type) == (event["id"], "T1", event["type"])
    assert event["data"]["sequence"] == 3


async def test_an_orphan_record_is_in_its_queue_before_the_outcome_is_told(broker: Any, notices: Notices) -> None:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1"]})
    await result.stage_all(blobs)
    assert isinstance(await courier(notices, blobs).carry_out(result.abandoned()), Delivered)
    (message,) = await taken(broker, topology.ORPHANS, 1)
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert json.loads(message.body)["type"] == "brh.transaction.orphaned.v1"
    await taken(broker, topology.NOTIFICATIONS, 1)


async def test_a_missing_queue_of_orphans_is_a_refusal_and_nobody_is_told(broker: Any, notices: Notices) -> None:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1"]})
    await result.stage_all(blobs)
    async with broker.channel() as channel:
        await channel.queue_delete(topology.ORPHANS)
    one = courier(notices, blobs)
    answer = await one.carry_out(result.abandoned())
    assert isinstance(answer, DeliveryRefused)
    assert "brh setup" in answer.problem.detail
    await taken(broker, topology.NOTIFICATIONS, 0)
    await topology.declare(broker)
    assert isinstance(await one.carry_out(result.abandoned()), Delivered)
    await taken(broker, topology.ORPHANS, 1)


async def test_a_missing_reply_to_keeps_nobody_from_being_told(broker: Any, notices: Notices) -> None:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1"]}, reply_to="nobody")
    await result.stage_all(blobs)
    assert isinstance(await courier(notices, blobs).carry_out(result.completed()), Delivered)
    await taken(broker, topology.NOTIFICATIONS, 1)
