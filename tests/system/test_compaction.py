"""What the broker's own compaction leaves of a closed transaction, and what that is still good for."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable, Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.supervisor import children
from tests.support.outside import (
    Chunks,
    assert_completed,
    kafka_keys,
    listening,
    publish_header,
    publish_payloads,
    staged_facts,
    until_read,
)
from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAYLOADS = 400
MARGIN_S = 240.0
EAGER = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "0",
}
"""Compaction with everything that is not being written to, as soon as the broker comes round, every 15 s."""


async def test_of_a_closed_transaction_compaction_leaves_one_record_and_duplicates_are_known_by_it(
    make_world: Callable[..., World],
) -> None:
    world = make_world()
    txn, changelog = "compacted", f"{world.topics.tracker_group}-receipts-changelog"
    series = {"a": Chunks(txn, [1_000] * PAYLOADS)}
    # No neighbours in hand at once, so that none share a row.
    for ordinals in (range(1, PAYLOADS + 1, 2), range(2, PAYLOADS + 1, 2)):
        await publish_payloads(world, txn, series, list(ordinals))
    await publish_header(world, txn, {"series": [{"type": "a"}]})
    await assert_completed(world, txn, series)
    before = world.transaction(txn)
    most = 0
    async with asyncio.timeout(MARGIN_S):
        while (now := await records_of(world, changelog, txn)) <= PAYLOADS or now > most:
            most = now  # until the last tombstone is there
            await asyncio.sleep(1)
    await alter(world, changelog)
    async with asyncio.timeout(MARGIN_S):
        for name in same_partition(world, txn):
            # Only what is not being written to is compacted: something has to come behind it.
            await publish_payloads(world, name, {"a": Chunks(name, [1])}, [1])
            if (left := await records_of(world, changelog, txn)) == 1:
                break
            await asyncio.sleep(0.5)
    print(f"{most} records of the transaction in the changelog, {left} after compaction")

    world.end_processes()
    shutil.rmtree(world.env["BRH_DATA_DIR"])
    world.env["BRH_WORKER_ID"] = f"{world.name}-other"
    world.run(children(1, 1, 1, world.env))
    world.wait_ready()
    async with listening(world) as heard:
        await publish_payloads(world, txn, series, list(range(1, PAYLOADS + 1)))
        await publish_header(world, txn, {"series": [{"type": "a"}]})
        await staged_facts(world, {txn: 2 * PAYLOADS})
        await until_read(world, txn)
        assert txn not in {message.correlation_id for message in heard.messages}
    assert world.transaction(txn) == before
    await assert_completed(world, txn, series)


async def records_of(world: World, topic: str, txn: str) -> int:
    """How many records, tombstones too, a table's changelog has of a transaction."""
    return sum(json.loads(key).startswith(f"{txn}/") for key in await kafka_keys(world, topic))


def same_partition(world: World, txn: str) -> Iterator[str]:
    """Names of other transactions."""
    mine = world.topics.partition_of(txn)
    names = (f"other-{number}" for number in itertools.count())
    return (name for name in names if world.topics.partition_of(name) == mine)


async def alter(world: World, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, EAGER)])
        assert [error[0] for error in answer.resources] == [0], answer
    finally:
        await admin.close()
