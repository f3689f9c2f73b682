"""Messages that were put aside on the real broker: looked at without moving them, however large they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from bridge.settings import AmqpSettings
from bridge.topology import LOOKS_MAX
from streams.cli import brh
from streams.provision import provision_rabbitmq
from tests.support.management import VirtualHost
from tests.support.outside import payload_message

MIB = 1 << 20


@pytest.fixture
def virtual_host(stack_env: dict[str, str]) -> Iterator[VirtualHost]:
    virtual_host = VirtualHost(stack_env, f"t{uuid4().hex[:10]}")
    virtual_host.make()
    asyncio.run(provision_rabbitmq(AmqpSettings(amqp_url=SecretStr(virtual_host.url))))
    yield virtual_host
    virtual_host.drop()


def run(host: VirtualHost, *arguments: str) -> Result:
    return CliRunner(env={"BRH_AMQP_URL": host.url}).invoke(brh, ["dlq", *arguments])


def listed(host: VirtualHost, *arguments: str) -> list[dict[str, Any]]:
    result = run(host, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    messages: list[dict[str, Any]] = json.loads(result.stdout)["messages"]
    return messages


async def put_aside(host: VirtualHost, *messages: tuple[str, aio_pika.Message]) -> None:
    """Publish messages by routing key to `brh.in`, and refuse them as a bridge does."""
    queues = {"payload": "brh.payloads", "small": "brh.payloads.small", "header": "brh.headers"}
    async with await aio_pika.connect(host.url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("brh.in")
        for key, message in messages:
            await exchange.publish(message, key)
            got = await (await channel.get_queue(queues[key.partition(".")[0]])).get()
            await got.reject(requeue=False)
        await depth(channel, "brh.rejected", len(messages))


async def depth(channel: Any, queue: str, wanted: int) -> None:
    async with asyncio.timeout(30):
        while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count < wanted:
            await asyncio.sleep(0.02)


async def waiting(host: VirtualHost, wanted: int) -> None:
    async with await aio_pika.connect(host.url) as connection:
        await depth(await connection.channel(), "brh.rejected", wanted)


def test_dead_letters_are_listed_shown_and_left_where_they_are(virtual_host: VirtualHost, tmp_path: Path) -> None:
    big = payload_message("T2", "a", 2, 2, b"x" * (20 * MIB))
    messages = [
        ("payload.a", payload_message("T1", "a", 9, 2, b"body")),
        ("payload.a", big),
        ("small.a", payload_message("T3", "a", 1, 2, b"", brh_sha256="0" * 64)),
        ("header.x", aio_pika.Message(b"{}", type="brh.header.v1", correlation_id="T4", delivery_mode=2)),
    ]
    asyncio.run(put_aside(virtual_host, *messages))
    first = listed(virtual_host)
    seen = {each["transactionId"]: (each["queue"], each["routingKey"], each["bytes"]) for each in first}
    assert seen == {
        "T1": ("brh.payloads", "payload.a", 4),
        "T2": ("brh.payloads", "payload.a", 20 * MIB),
        "T3": ("brh.payloads.small", "small.a", 0),
        "T4": ("brh.headers", "header.x", 2),
    }
    problems = {each["transactionId"]: each["problem"] and each["problem"]["code"] for each in first}
    assert problems == {"T1": "bad-ordinal", "T2": None, "T3": None, "T4": "bad-header-body"}
    assert {each["reason"] for each in first} == {"rejected"}
    for limit in ("2", "3", "4"):
        asyncio.run(waiting(virtual_host, 4))
        assert len(listed(virtual_host, "--limit", limit)) == int(limit)
    asyncio.run(waiting(virtual_host, 4))
    assert listed(virtual_host) == first
    out = tmp_path / "body"
    names = {each["transactionId"]: each["id"] for each in first}
    asyncio.run(waiting(virtual_host, 4))
    assert run(virtual_host, "show", names["T2"], "--out", str(out)).exit_code == 0
    assert out.read_bytes() == b"x" * (20 * MIB)
    asyncio.run(waiting(virtual_host, 4))
    assert "transaction: 'T3'" in run(virtual_host, "show", names["T3"]).stdout
    asyncio.run(waiting(virtual_host, 4))
    assert run(virtual_host, "show", "nothing").exit_code == 3
    assert "brh.orphans is empty." in run(virtual_host, "list", "--queue", "orphans").stdout


def test_looking_is_counted_by_the_broker_and_its_limit_is_far_away(virtual_host: VirtualHost) -> None:
    for queue in ("brh.rejected", "brh.orphans"):
        assert virtual_host.queue(queue)["arguments"]["x-delivery-limit"] == LOOKS_MAX


def test_an_orphan_record_is_shown_whole(virtual_host: VirtualHost) -> None:
    event = {"type": "brh.transaction.orphaned.v1", "subject": "T1", "data": {"reason": "no-header"}}

    async def publish() -> None:
        async with await aio_pika.connect(virtual_host.url) as connection:
            channel = await connection.channel(publisher_confirms=True)
            message = aio_pika.Message(json.dumps(event).encode(), type=event["type"], correlation_id="T1")
            await channel.default_exchange.publish(message, "brh.orphans")

    asyncio.run(publish())
    (letter,) = listed(virtual_host, "--queue", "orphans")
    shown = run(virtual_host, "show", letter["id"], "--queue", "orphans", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["event"]) == (0, event), shown.output


def test_a_queue_that_is_not_there_says_what_to_do(stack_env: dict[str, str]) -> None:
    host = VirtualHost(stack_env, f"t{uuid4().hex[:10]}")
    host.make()
    result = run(host, "list")
    host.drop()
    assert (result.exit_code, "(no-queue)" in result.stderr, "brh setup" in result.stderr) == (1, True, True)
