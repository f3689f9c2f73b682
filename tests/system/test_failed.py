"""A transaction that fails leaves its records, one notification, and nothing to pay for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from bridge.contract.inbound import SERIES_MAX, TOTAL_COUNT_MAX
from tests.support.deliveries import below
from tests.support.outside import (
    Chunks,
    listening,
    payload_message,
    publish_header,
    publish_messages,
    publish_payloads,
)
from tests.support.world import World

pytestmark = pytest.mark.timeout(400)


async def test_a_conflict_fails_the_transaction_and_nothing_but_records_is_left(world: World) -> None:
    txn = "conflict"
    async with listening(world, "transaction.failed.#") as heard, world.blobs() as blobs:
        await publish_payloads(world, txn, {"a": Chunks("one", [100] * 3)}, [1, 2])
        await publish_payloads(world, txn, {"a": Chunks("other", [100] * 3)}, [2])
        await publish_header(world, txn, {"transactionType": "valuation", "series": [{"type": "a"}]})
        (message,) = await heard.wait(txn, timeout_s=150)
        assert message.routing_key == "transaction.failed.valuation"
        data = json.loads(message.body)["data"]
        assert (data["outcome"], data["problem"]["code"]) == ("Failed", "conflicting-payload")
        # All of it was removed before anybody was told.
        records = [f"{txn}/{record}" for record in ("_header.json", "_outcome.json", "_told.json")]
        assert {each.name for each in await below(blobs, txn)} <= set(records)
        world.wait_state(txn, ["Failed"])
        assert [each.name for each in await below(blobs, txn)] == records


async def test_a_transaction_for_which_there_is_no_room_fails_and_is_told(make_world: Callable[..., World]) -> None:
    world = await asyncio.to_thread(make_world, env={"BRH_OPEN_MAX": "1"})
    names = [name for number in range(99) if world.topics.partition_of(name := f"crowd-{number}") == 0]
    async with listening(world, "transaction.failed.#") as heard:
        await publish_header(world, names[0], {"series": [{"type": "a", "totalCount": 1}]})
        await asyncio.to_thread(world.wait_state, names[0], ["AwaitingResults"])
        await publish_header(world, names[1], {"series": [{"type": "a", "totalCount": 1}]})
        (message,) = await heard.wait(names[1], timeout_s=60)
        assert json.loads(message.body)["data"]["problem"]["code"] == "too-many-open"
        chunks = Chunks(names[0], [10])
        await publish_payloads(world, names[0], {"a": chunks}, [1])
        await asyncio.to_thread(world.wait_state, names[0], ["Completed"])


async def test_more_than_a_transaction_may_have_fails_it_and_nothing_but_records_is_left(world: World) -> None:
    wide, long = "too-wide", "too-long"
    async with listening(world, "transaction.failed.#") as heard, world.blobs() as blobs:
        series = [{"type": f"s{number}", "totalCount": TOTAL_COUNT_MAX} for number in range(6)]
        await publish_header(world, long, {"series": series})
        names = [f"s{number}" for number in range(SERIES_MAX + 1)]
        await publish_messages(world, [(f"small.{name}", payload_message(wide, name, 1, 1, b"x")) for name in names])
        for txn, code in ((long, "too-many-payloads"), (wide, "too-many-series")):
            (message,) = await heard.wait(txn, timeout_s=150)
            data = json.loads(message.body)["data"]
            assert (data["outcome"], data["problem"]["code"]) == ("Failed", code)
            left = {each.name.removeprefix(f"{txn}/") for each in await below(blobs, txn)}
            assert left <= {"_header.json", "_outcome.json", "_orphans.json", "_told.json"}
            world.wait_state(txn, ["Failed"])
