"""The main job on the real stack: from RabbitMQ to a verified, notified result."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from bridge.contract.events import Delivered, decode
from tables.effects import Deliver
from tables.effects import decode as decode_effect
from tests.support.outside import (
    Chunks,
    assert_result,
    kafka_records,
    listening,
    payload_message,
    publish,
    publish_header,
    publish_messages,
    publish_payloads,
)
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def txn() -> str:
    return f"T-{uuid4().hex[:12]}"


def sizes(seed: int, count: int, largest: int) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(0, largest) for _ in range(count)]


async def test_interleaved_transactions_in_any_order_each_get_their_own_bytes(world: World) -> None:
    """Five producers at once, each shuffled, two series each, sizes from empty to two blocks."""
    series = {
        f"T-{uuid4().hex[:8]}-{number}": {
            "cashflows": Chunks(f"a{number}", sizes(number, 20, 600 * KIB)),
            "log": Chunks(f"b{number}", [10 * MIB, *sizes(number, 3, 3 * MIB)]),
        }
        for number in range(5)
    }
    await asyncio.gather(
        *(publish(world, name, each, shuffle=index) for index, (name, each) in enumerate(series.items()))
    )
    for name, each in series.items():
        world.wait_state(name, {"Completed"})
        await assert_result(world, name, each)


async def test_a_body_is_kept_as_it_came_whatever_encoding_it_names(world: World, txn: str) -> None:
    """Nothing is unfolded: a bomb stays as small as it was sent, and its digest is that of the bytes on the wire."""
    bomb = gzip.compress(bytes(64 * MIB))
    digest = hashlib.sha256(bomb).hexdigest()
    messages = []
    for ordinal, encoding in enumerate(("gzip", "deflate", "nobody knows"), 1):
        message = payload_message(txn, "s", ordinal, 3, bomb, brh_sha256=digest)
        message.content_encoding = encoding
        messages.append(("payload.s" if ordinal == 1 else "small.s", message))
    await publish_header(world, txn, {"series": [{"type": "s"}]})
    await publish_messages(world, messages)
    world.wait_state(txn, {"Completed"})
    async with world.blobs() as blobs:
        content = await blobs.read(f"{txn}/_outcome.json")
        assert content is not None
        (series,) = json.loads(content.body)["series"]
        assert series["bytes"] == 3 * len(bomb)
        (part,) = series["parts"]
        name = part["uri"].partition(f"/{world.name}/")[2]
        assert b"".join([piece async for piece in blobs.stream(name, part["etag"])]) == 3 * bomb


async def test_duplicates_are_absorbed_and_counted(world: World, txn: str) -> None:
    series = {"s": Chunks(txn, sizes(1, 40, 100 * KIB))}
    async with listening(world) as heard:
        summary = await publish(world, txn, series, shuffle=1, duplicates=0.5, header_last=True)
        row = world.wait_state(txn, {"Completed"})
        assert summary.duplicates > 0
        assert row["duplicates"] <= summary.duplicates
        assert row["series"][0]["receivedCount"] == 40
        await heard.wait(txn)
        await assert_result(world, txn, series)
        assert {message.message_id for message in heard.of(txn)} == {heard.of(txn)[0].message_id}


async def test_payloads_before_the_header_wait_for_it(world: World, txn: str) -> None:
    """Everything but the header: staged, shown with `header: null`, open; then the header completes it."""
    series = {"s": Chunks(txn, [100, 200, 300])}
    await publish_payloads(world, txn, series, ordinals=[3, 1, 2])
    row = until(lambda: _with_received(world, txn, 3), 30, "three payloads are shown")
    assert row["state"] == "AwaitingResults"
    assert row["header"] is None
    await publish_header(world, txn, {"series": [{"type": "s"}]})
    world.wait_state(txn, {"Completed"})
    await assert_result(world, txn, series)


def _with_received(world: World, txn: str, count: int) -> dict | None:
    row = world.transaction(txn)
    return row if row and row["series"] and row["series"][0]["receivedCount"] == count else None


async def test_what_is_missing_is_shown_as_data(world: World, txn: str) -> None:
    series = {"s": Chunks(txn, [10] * 10)}
    await publish_header(world, txn, {"series": [{"type": "s"}, {"type": "unseen"}]})
    await publish_payloads(world, txn, series, ordinals=[1, 2, 3, 7])
    until(lambda: _with_received(world, txn, 4), 30, "four payloads are shown")
    status, gaps = world.get(f"/v1/transactions/{txn}/gaps")
    assert status == 200
    assert gaps["series"] == {"s": [[4, 6], [8, 10]]}
    assert gaps["unknownTotal"] == ["unseen"]


async def test_an_empty_payload_and_an_empty_series_are_results_too(world: World, txn: str) -> None:
    series = {"holes": Chunks(txn, [0, 5, 0, 7, 0]), "nothing": Chunks(txn, []), "blank": Chunks(txn, [0])}
    await publish(world, txn, series)
    world.wait_state(txn, {"Completed"})
    outcome = await assert_result(world, txn, series)
    assert [len(each["parts"]) for each in outcome["series"]] == [1, 1, 1]
    assert outcome["series"][1]["parts"][0]["bytes"] == 0


async def test_a_series_of_one_and_a_series_of_a_thousand(world: World, txn: str) -> None:
    series = {"one": Chunks(txn, [77]), "thousand": Chunks(f"{txn}k", [1_000] * 1_000)}
    await publish(world, txn, series, shuffle=3)
    world.wait_state(txn, {"Completed"}, timeout_s=120)
    await assert_result(world, txn, series)


async def test_a_body_of_250_million_bytes(world: World, txn: str) -> None:
    series = {"big": Chunks(txn, [250_000_000])}
    await publish(world, txn, series)
    world.wait_state(txn, {"Completed"}, timeout_s=180)
    await assert_result(world, txn, series)


async def test_every_copy_of_the_notification_has_one_id_and_the_same_bytes(world: World, txn: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    reply_to = f"reply-{txn}"
    async with listening(world) as heard, listening(world, "none", reply_to) as replied:
        await publish_payloads(world, txn, {"s": Chunks(txn, [1_000])}, ordinals=[1])
        body = {"transactionType": "valuation", "series": [{"type": "s", "contentType": "text/csv"}]}
        await publish_header(world, txn, body, reply_to=reply_to, headers={"traceparent": trace})
        (message,) = await heard.wait(txn)
        (reply,) = await replied.wait(txn)
        (accepted,) = await heard.wait(txn, "accepted")
        assert (await replied.wait(txn, "accepted"))[0].body == accepted.body
        row = world.wait_state(txn, {"Completed"})
        (on_kafka,) = await kafka_records(world, world.topics.outcomes, txn)
        assert message.body == reply.body == on_kafka
    assert message.routing_key == "transaction.completed.valuation"
    assert message.content_type == "application/cloudevents+json"
    event = json.loads(message.body)
    assert event["id"] == message.message_id
    assert event["traceparent"] == trace
    assert event["type"] == "brh.transaction.completed.v1"
    assert event["data"]["series"][0]["contentType"] == "text/csv"
    async with world.blobs() as blobs:
        outcome = await blobs.read(f"{txn}/_outcome.json")
        told = await blobs.read(f"{txn}/_told.json")
        assert outcome is not None
        assert told is not None
        assert json.loads(told.body)["notificationId"] == event["id"]
        assert event["data"] == {**json.loads(outcome.body), "outcomeEtag": outcome.etag}
    assert row["blobUri"] == outcome_folder(event["data"]["outcomeUri"])
    assert row["timestamps"]["notified"] is not None


def outcome_folder(uri: str) -> str:
    return uri.removesuffix("/_outcome.json")


async def test_fausts_table_view_shows_the_transaction_as_the_api_does(world: World) -> None:
    names = [f"T-{uuid4().hex[:8]}" for _ in range(4)]
    for name in names:
        await publish(world, name, {"s": Chunks(name, [5])})
    for name in names:
        row = world.wait_state(name, {"Completed"})
        assert world.get(f"/table/transactions/{name}/") == (200, row)


async def test_the_same_effect_delivered_again_does_nothing(world: World, txn: str) -> None:
    series = {"s": Chunks(txn, [1_000, 2_000])}
    async with listening(world) as heard:
        await publish(world, txn, series)
        world.wait_state(txn, {"Completed"})
        outcome = await assert_result(world, txn, series)
        asked = set(await kafka_records(world, world.topics.deliveries, txn))
        (effect,) = (each for each in asked if isinstance(decode_effect(each), Deliver))
        answers = len(await _delivered(world, txn))
        async with AIOKafkaProducer(bootstrap_servers=world.bootstrap) as producer:
            await producer.send_and_wait(world.topics.deliveries, effect, key=txn.encode())
        async with asyncio.timeout(30):
            while len(found := await _delivered(world, txn)) == answers:
                await asyncio.sleep(0.05)
        assert found[-1] == found[0]
        assert len(heard.of(txn)) == 1
        assert len(await kafka_records(world, world.topics.outcomes, txn)) == 1
        assert await assert_result(world, txn, series) == outcome


async def _delivered(world: World, txn: str) -> list[Delivered]:
    events = [decode(value) for value in await kafka_records(world, world.topics.events, txn)]
    return [event for event in events if isinstance(event, Delivered)]


async def test_everything_sent_again_after_completion_changes_nothing(world: World, txn: str) -> None:
    series = {"s": Chunks(txn, [1_000] * 5)}
    async with listening(world) as heard:
        await publish(world, txn, series)
        before = world.wait_state(txn, {"Completed"})
        await publish(world, txn, series, shuffle=1)
        after_name = f"{txn}-after"
        await publish(world, after_name, {"s": Chunks(after_name, [1])})
        world.wait_state(after_name, {"Completed"})
        after = world.transaction(txn)
        assert after is not None
        assert (after["state"], after["series"], after["timestamps"]["completed"]) == (
            before["state"],
            before["series"],
            before["timestamps"]["completed"],
        )
        assert len(heard.of(txn)) == 1
        await assert_result(world, txn, series)
