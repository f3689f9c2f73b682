"""Storage in trouble of every kind: what was delivered is held meanwhile, and completes afterwards, byte for byte.

What the delivery cannot commit or decide then is tried again, and told once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from itertools import cycle, product
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web

from bridge.layout import MIB
from bridge.topology import HEADERS, PAYLOADS, SMALL_PAYLOADS
from tests.support.azure import behind, endpoint
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.hurried import ATTEMPTS, start_hurried
from tests.support.inner_bridge import inner_bridge
from tests.support.lane_reader import depth
from tests.support.outside import Chunks, Heard, assert_completed, kafka_records, listening, publish
from tests.support.scripted_broker import eventually
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)

KINDS = [
    Fault.UNAVAILABLE,
    Fault.BROKEN,
    Fault.THROTTLED,
    Fault.RESET_IN_BODY,
    Fault.CUT_REPLY,
    Fault.HALF_REPLY,
    Fault.SILENCE,
]
LANES = 4
LARGE, SMALL = 6, 40
"""Payloads of a transaction: of two blocks, more than there are lanes; and small ones."""


@pytest.fixture(scope="module")
def world(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One without a bridge."""
    world = World(stack_env, tmp_path_factory.mktemp("world"), bridges=0)
    world.start()
    yield world
    world.stop()


@pytest.fixture
async def proxy(blob_connection_string: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(endpoint(blob_connection_string), keep_bodies=False) as proxy:
        yield proxy


def load(transaction: str) -> dict[str, Chunks]:
    return {
        "large": Chunks(f"{transaction}l", [9 * MIB + at for at in range(LARGE)]),
        "small": Chunks(f"{transaction}s", [100 * at for at in range(SMALL)]),
    }


def name() -> str:
    return f"T-{uuid4().hex[:12]}"


@pytest.mark.parametrize("fault", KINDS, ids=lambda fault: fault.name)
async def test_deliveries_are_held_while_storage_is_in_trouble_and_none_comes_twice(
    world: World, proxy: FaultProxy, fault: Fault
) -> None:
    transaction = name()
    series = load(transaction)
    in_hand = 1 + LANES + SMALL
    async with inner_bridge(world, proxy, answer_within_s=1, lanes=LANES) as bridge:
        lanes = bridge.open_lanes
        proxy.rule = lambda _: fault
        await publish(world, transaction, series)
        await eventually(lambda: bridge.storage.sick and len(bridge.deliveries) == in_hand, 30)
        asked = proxy.faults[fault]
        await eventually(lambda: proxy.faults[fault] >= asked + 3, 30)
        assert await depth(world.amqp_url, PAYLOADS) == LARGE - LANES, "more was consumed, or something given back"
        assert len(bridge.deliveries) == in_hand
        proxy.heal()
        await assert_completed(world, transaction, series)
        assert len(bridge.deliveries) == 1 + LARGE + SMALL
        assert bridge.redelivered == []
        assert bridge.open_lanes == lanes
        assert not bridge.storage.sick
        await eventually(lambda: bridge.memory.held_bytes == 0)


# The bridge as a process, as patient as it is shipped


def of_the_bridge(request: web.Request) -> bool:
    """Its requests, and not those of the delivery."""
    return request.method == "PUT" and ("comp=block&" in request.path_qs or "_header.json" in request.path)


async def start(make_world: Callable[..., World], proxy: FaultProxy, stack_env: Mapping[str, str]) -> World:
    through = behind(proxy.url, stack_env["BRH_BLOB_CONNECTION_STRING"])
    env = {"BRH_BLOB_CONNECTION_STRING": through, "BRH_LANES": "8"}
    return await asyncio.to_thread(partial(make_world, env=env))


def assert_each_was_delivered_once(world: World, messages: int) -> None:
    def settled() -> bool:
        queues = [world.queue(queue) for queue in (HEADERS, PAYLOADS, SMALL_PAYLOADS)]
        stats = [queue.get("message_stats", {}) for queue in queues]
        assert sum(each.get("redeliver", 0) for each in stats) == 0
        return sum(each.get("ack", 0) for each in stats) == messages

    until(settled, 30, "every message acknowledged, as the broker counts")
    assert "lane closed" not in world.log.read_text()


async def test_a_process_meets_trouble_of_every_kind_at_once(
    make_world: Callable[..., World], proxy: FaultProxy, stack_env: dict[str, str]
) -> None:
    world = await start(make_world, proxy, stack_env)
    transactions = {name(): kind for kind in KINDS}
    for transaction, kind in transactions.items():
        proxy.plan("PUT", f"/{transaction}/", kind, times=2)
    async with asyncio.TaskGroup() as tasks:
        for transaction in transactions:
            tasks.create_task(publish(world, transaction, load(transaction)))
    await eventually(lambda: proxy.planned == [], 60)
    proxy.heal()  # for those that wait for an answer
    for transaction in transactions:
        await assert_completed(world, transaction, load(transaction))
    assert set(proxy.faults) == set(KINDS)
    await asyncio.to_thread(assert_each_was_delivered_once, world, len(KINDS) * (1 + LARGE + SMALL))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_process_holds_what_it_has_through_an_outage_of_minutes(
    make_world: Callable[..., World], proxy: FaultProxy, stack_env: dict[str, str]
) -> None:
    """Longer than the client's own retries, and than its patience with a request that is not answered."""
    world = await start(make_world, proxy, stack_env)
    kinds = cycle(KINDS)
    proxy.rule = lambda request: next(kinds) if of_the_bridge(request) else None
    transaction = name()
    await publish(world, transaction, load(transaction))
    await asyncio.sleep(200)  # the outage
    log = world.log.read_text()
    assert "system is sick" in log
    assert set(proxy.faults) == set(KINDS)
    proxy.heal()
    await assert_completed(world, transaction, load(transaction), timeout_s=180)
    await asyncio.to_thread(assert_each_was_delivered_once, world, 1 + LARGE + SMALL)


# The delivery as a process, which gives up a request within seconds

STEPS = {"commit": ("/large/part-00000", "comp=blocklist"), "decide": ("/_outcome.json", "")}
"""What a delivery writes before it tells: the end of the blob's name, and what is in the query."""


class Trouble:
    """Of one blob, from the request on that is to write it: who looks at it afterwards meets the same."""

    def __init__(self, blob: str, query: str, fault: Fault) -> None:
        self._blob, self._query, self._fault = blob, query, fault
        self.met = 0
        """Requests."""

    def __call__(self, request: web.Request) -> Fault | None:
        writes = request.method == "PUT" and self._query in request.query_string
        if not request.path.endswith(self._blob) or not (writes or self.met):
            return None
        self.met += 1
        return self._fault


def light(transaction: str) -> dict[str, Chunks]:
    return {"large": Chunks(f"{transaction}l", [300_000, 300_001]), "small": Chunks(f"{transaction}s", [1, 0, 9])}


@pytest.fixture
async def hurried(stack_env: dict[str, str], proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[World]:
    through = behind(proxy.url, stack_env["BRH_BLOB_CONNECTION_STRING"])
    world = World(stack_env, tmp_path / "world", env={"BRH_BLOB_CONNECTION_STRING": through})
    await asyncio.to_thread(start_hurried, world)
    yield world
    await asyncio.to_thread(world.stop)


def is_kept_waiting(world: World, transaction: str) -> bool:
    row = world.transaction(transaction)
    assert row is None or row["state"] in ("AwaitingResults", "SendingCompletion"), row
    return row is not None and row["problem"] is not None and row["problem"]["code"] == "storage-unavailable"


async def assert_told_once(world: World, transaction: str, heard: Heard) -> None:
    """Under one id, in RabbitMQ, in Kafka and as the marker says."""
    await heard.wait(transaction)
    async with world.blobs() as blobs:
        marker = await blobs.read(f"{transaction}/_told.json")
    assert marker is not None
    told = {json.loads(marker.body)["notificationId"]}
    assert {message.message_id for message in heard.of(transaction)} == told
    assert {json.loads(each)["id"] for each in await kafka_records(world, world.topics.outcomes, transaction)} == told


async def test_a_delivery_that_storage_does_not_answer_waits_for_it_and_is_told_once(
    hurried: World, proxy: FaultProxy
) -> None:
    world = hurried
    faults = (Fault.UNAVAILABLE, Fault.SILENCE, Fault.HALF_REPLY)
    troubles = {
        (transaction := name()): Trouble(f"{transaction}{blob}", query, fault)
        for (blob, query), fault in product(STEPS.values(), faults)
    }
    proxy.rule = lambda request: next((fault for each in troubles.values() if (fault := each(request))), None)
    pid = world.pid("delivery-1")
    async with listening(world) as heard:
        for transaction in troubles:
            await publish(world, transaction, light(transaction))
        # Each has been given up once, and is being tried again.
        await eventually(lambda: all(trouble.met > ATTEMPTS for trouble in troubles.values()), 60)
        for transaction in troubles:
            waits = partial(is_kept_waiting, world, transaction)
            await asyncio.to_thread(until, waits, 20, f"{transaction} says what it waits for; see {world.log}")
            assert heard.of(transaction) == []
        assert set(proxy.faults) == set(faults)
        proxy.heal()
        for transaction in troubles:
            await assert_completed(world, transaction, light(transaction))
            await assert_told_once(world, transaction, heard)
    assert world.pid("delivery-1") == pid, "it waits, and does not end"
