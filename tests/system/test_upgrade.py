"""Two releases side by side on the real stack: what the newer one has written is put aside, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aio_pika
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from click.testing import CliRunner

from bridge.contract import events
from bridge.layout import HEADER_BLOB, OUTCOME_BLOB, record_name
from streams.cli import brh
from tests.golden.release_0_1_0 import EVENTS, WHOLE
from tests.support.outside import Chunks, listening, publish, publish_header, publish_payloads
from tests.support.world import World, until

PROCESSES = ("bridge-1", "tracker-1", "tracker-2", "delivery-1")
WAIT_S = 90.0


def newer(record: bytes, **members: Any) -> bytes:
    return json.dumps(json.loads(record) | {"v": 2} | members).encode()


async def parked(world: World) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
    """Keys, values and headers of what was put aside."""
    consumer = AIOKafkaConsumer(bootstrap_servers=world.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(world.topics.parked, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end, found = (await consumer.end_offsets([partition]))[partition], []
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=1_000)).get(partition, []):
                found.append((record.key, record.value, dict(record.headers)))
        return found
    finally:
        await consumer.stop()


async def test_an_event_that_no_tracker_knows_is_parked_whole_and_its_transaction_goes_on(world: World) -> None:
    txn = "upgrade-event"
    pids = {name: world.pid(name) for name in PROCESSES}
    await publish_header(world, txn, {"series": [{"type": "a", "totalCount": 2}]})
    await publish_payloads(world, txn, {"a": Chunks("one", [100] * 2)}, [1])
    strange = [
        newer(events.encode(msgspec.structs.replace(EVENTS["PayloadsStaged"], transaction=txn))),
        newer(events.encode(msgspec.structs.replace(EVENTS["Told"], transaction=txn)), v=1, type="Moved"),
    ]
    producer = AIOKafkaProducer(bootstrap_servers=world.bootstrap, acks="all")
    await producer.start()
    try:
        for value in strange:
            await producer.send_and_wait(world.topics.events, value, key=txn.encode())
    finally:
        await producer.stop()
    async with asyncio.timeout(WAIT_S):
        while len(found := [each for each in await parked(world) if each[0] == txn.encode()]) < 2:
            await asyncio.sleep(0.1)
    assert [value for _, value, _ in found] == strange
    for (_, _, headers), code in zip(found, ("newer-version", "unknown-type"), strict=True):
        assert headers["reason"].endswith(f"({code})".encode())
        assert headers["topic"] == world.topics.events.encode()
    await publish_payloads(world, txn, {"a": Chunks("one", [100] * 2)}, [2])
    row = await asyncio.to_thread(world.wait_state, txn, {"Completed"}, WAIT_S)
    assert row["series"][0]["receivedCount"] == 2
    assert {name: world.pid(name) for name in PROCESSES} == pids, "nobody was started again"


async def test_an_outcome_of_a_newer_release_stays_and_the_others_are_delivered(world: World) -> None:
    txn, name = "upgrade-outcome", record_name("upgrade-outcome", OUTCOME_BLOB)
    pids = {name: world.pid(name) for name in PROCESSES}
    body = newer(msgspec.json.encode(msgspec.structs.replace(WHOLE, transaction_id=txn)))
    async with world.blobs() as blobs, listening(world) as heard:
        await blobs.write_once(name, body, content_type="application/json", metadata={})
        await publish(world, txn, {"a": Chunks("one", [100] * 2)})
        await publish(world, "upgrade-other", {"a": Chunks("two", [100] * 2)})

        def refused() -> dict[str, Any] | None:
            row = world.transaction(txn) or {"problem": None}
            return row if row["problem"] and row["problem"]["code"] == "record-unreadable" else None

        row = await asyncio.to_thread(until, refused, WAIT_S, f"{txn} is refused; see {world.log}")
        assert row["state"] == "SendingCompletion"
        assert "newer-version" in row["problem"]["detail"]
        await asyncio.to_thread(world.wait_state, "upgrade-other", {"Completed"}, WAIT_S)
        kept = await blobs.read(name)
        assert kept is not None
        assert kept.body == body
        assert heard.of(txn) == []
        assert {name: world.pid(name) for name in PROCESSES} == pids, "nobody was started again"
        # The release that knows it runs again: here, as if it had never been.
        await blobs.delete(name, kept.etag)
        await asyncio.to_thread(world.wait_state, txn, {"Completed"}, WAIT_S)


async def test_a_header_beside_one_of_a_newer_release_is_rejected_and_put_back_later(world: World) -> None:
    txn, name = "upgrade-header", record_name("upgrade-header", HEADER_BLOB)
    pids = {name: world.pid(name) for name in PROCESSES}
    async with world.blobs() as blobs, listening(world, "message.rejected.#") as heard:
        await blobs.write_once(name, b'{"v":2}', content_type="application/json", metadata={})
        await publish(world, txn, {"a": Chunks("one", [100] * 2)})
        (rejected,) = await heard.wait_rejected(txn, timeout_s=WAIT_S)
        assert rejected.routing_key == "message.rejected.record-unreadable"
        assert "newer-version" in json.loads(rejected.body)["data"]["problem"]["detail"]
        kept = await blobs.read(name)
        assert kept is not None
        await blobs.delete(name, kept.etag)
    await _waits(world, "brh.rejected")
    runner = CliRunner(env={**world.env, "BRH_API_URL": world.api})
    result = await asyncio.to_thread(runner.invoke, brh, ["dlq", "redrive", "--transaction", txn])
    assert (result.exit_code, "1 put back" in result.stdout) == (0, True), result.output
    await asyncio.to_thread(world.wait_state, txn, {"Completed"}, WAIT_S)
    assert {name: world.pid(name) for name in PROCESSES} == pids, "nobody was started again"


async def _waits(world: World, queue: str) -> None:
    """Until something is in a queue."""
    async with await aio_pika.connect(world.amqp_url) as connection, asyncio.timeout(WAIT_S):
        channel = await connection.channel()
        while not (await channel.declare_queue(queue, passive=True)).declaration_result.message_count:
            await asyncio.sleep(0.05)
