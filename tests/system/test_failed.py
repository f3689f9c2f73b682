"""A transaction that fails leaves its records, one notification, and nothing to pay for."""

from __future__ import annotations

import json

from tests.support.deliveries import below
from tests.support.outside import Chunks, listening, publish_header, publish_payloads
from tests.support.world import World


async def test_a_conflict_fails_the_transaction_and_nothing_but_records_is_left(world: World) -> None:
    txn = "conflict"
    async with listening(world, "transaction.failed.#") as heard, world.blobs() as blobs:
        await publish_payloads(world, txn, {"a": Chunks("one", [100] * 3)}, [1, 2])
        await publish_payloads(world, txn, {"a": Chunks("other", [100] * 3)}, [2])
        await publish_header(world, txn, {"transactionType": "valuation", "series": [{"type": "a"}]})
        (message,) = await heard.wait(txn)
        assert message.routing_key == "transaction.failed.valuation"
        data = json.loads(message.body)["data"]
        assert (data["outcome"], data["problem"]["code"]) == ("Failed", "conflicting-payload")
        # All of it was removed before anybody was told.
        records = [f"{txn}/{record}" for record in ("_header.json", "_outcome.json", "_told.json")]
        assert {each.name for each in await below(blobs, txn)} <= set(records)
        world.wait_state(txn, ["Failed"])
        assert [each.name for each in await below(blobs, txn)] == records
