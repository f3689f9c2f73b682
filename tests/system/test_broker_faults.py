"""A broker that restarts, is short of memory or loses its patience: nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web

from bridge.layout import MIB
from bridge.topology import NOTIFICATIONS, PAYLOADS
from tests.support.azure import behind, endpoint
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.inner_bridge import inner_bridge
from tests.support.lane_reader import depth
from tests.support.outside import (
    Chunks,
    assert_completed,
    dead_letters,
    kafka_records,
    listening,
    payload_message,
    publish,
    publish_messages,
)
from tests.support.own_broker import SHIPPED_LIMITS, OwnBroker
from tests.support.scripted_broker import eventually
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(300)

CONSUMER_TIMEOUT_S = 5
IMPATIENT_LIMITS = SHIPPED_LIMITS.replace(
    "consumer_timeout = 1800000", f"consumer_timeout = {CONSUMER_TIMEOUT_S * 1000}"
)


def name() -> str:
    return f"T-{uuid4().hex[:12]}"


def load(transaction: str) -> dict[str, Chunks]:
    """While no block is stored: bodies that are half on the wire, bodies that are all in memory, and small ones."""
    return {
        "large": Chunks(f"{transaction}l", [30 * MIB, 9 * MIB, 30 * MIB, 9 * MIB, 1 * MIB]),
        "small": Chunks(f"{transaction}s", [100 * at for at in range(40)]),
    }


@pytest.fixture
async def proxy(blob_connection_string: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(endpoint(blob_connection_string), keep_bodies=False) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    broker = OwnBroker(tmp_path_factory.mktemp("broker"))
    try:
        broker.up()
        yield broker
    finally:
        broker.down()


@pytest.fixture
def on_broker(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Installations on a broker of our own."""
    worlds: list[World] = []

    def make(broker: OwnBroker, **options: object) -> World:
        worlds.append(World({**stack_env, **broker.env}, tmp_path / f"world-{len(worlds)}", **options))
        worlds[-1].start()
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()


def depths(broker: OwnBroker, world: World) -> dict[str, tuple[int, int]]:
    """Of each queue of messages for us that is not empty: those that are ready, and those that somebody has in hand."""
    lines = broker.ctl(
        "list_queues", "-p", world.name, "--no-table-headers", "name", "messages_ready", "messages_unacknowledged"
    )
    rows = [line.split("\t") for line in lines.splitlines()]
    return {row[0]: (int(row[1]), int(row[2])) for row in rows if row[0] != NOTIFICATIONS and row[1:] != ["0", "0"]}


async def becomes(broker: OwnBroker, world: World, expected: dict[str, tuple[int, int]]) -> None:
    """Queues are as expected, at last: what the broker tells of quorum queues is some seconds old."""
    found: dict[str, tuple[int, int]] = {}

    def probe() -> bool:
        nonlocal found
        found = depths(broker, world)
        return found == expected

    try:
        await asyncio.to_thread(until, probe, 40, f"queues are {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}, they are {found}") from None


def notices_blocked(broker: OwnBroker) -> bool:
    """Whether the broker has stopped reading what a bridge publishes."""
    connections = broker.ctl("list_connections", "--no-table-headers", "client_properties", "state").splitlines()
    return [line.rpartition("\t")[2] for line in connections if "(notices)" in line] == ["blocked"]


# It restarts


@pytest.mark.parametrize("end", [OwnBroker.down, OwnBroker.kill], ids=["stopped", "killed"])
async def test_bodies_in_flight_come_again_after_the_broker_restarts(
    broker: OwnBroker,
    on_broker: Callable[..., World],
    proxy: FaultProxy,
    stack_env: dict[str, str],
    end: Callable[[OwnBroker], None],
) -> None:
    env = {"BRH_BLOB_CONNECTION_STRING": behind(proxy.url, stack_env["BRH_BLOB_CONNECTION_STRING"])}
    world = await asyncio.to_thread(partial(on_broker, broker, env=env))
    transactions = [name(), name()]
    proxy.rule = lambda request: Fault.SILENCE if "comp=block&" in request.path_qs else None
    for transaction in transactions:
        await publish(world, transaction, load(transaction))
    await eventually(lambda: proxy.faults[Fault.SILENCE] >= 5, 30)  # four large ones, and small ones
    await asyncio.to_thread(end, broker)
    proxy.heal()
    await asyncio.to_thread(broker.up)
    for transaction in transactions:
        await assert_completed(world, transaction, load(transaction))
    await becomes(broker, world, {})


# It is away when something is to be told


async def test_an_outcome_that_is_decided_while_the_broker_is_away_is_told_once_when_it_is_back(
    broker: OwnBroker, on_broker: Callable[..., World], proxy: FaultProxy, stack_env: dict[str, str]
) -> None:
    env = {"BRH_BLOB_CONNECTION_STRING": behind(proxy.url, stack_env["BRH_BLOB_CONNECTION_STRING"])}
    world = await asyncio.to_thread(partial(on_broker, broker, env=env))
    transaction = name()
    series = {"s": Chunks(transaction, [300_000, 1_000])}
    proxy.rule = lambda request: Fault.SILENCE if decides(request) else None
    async with listening(world) as heard:
        await publish(world, transaction, series)
        await heard.wait(transaction, "accepted")
        await eventually(lambda: proxy.faults[Fault.SILENCE], 30)
        assert heard.of(transaction) == []
    pid = world.pid("delivery-1")
    await asyncio.to_thread(broker.down)
    try:
        proxy.heal()
        refused = partial(is_refused, world, transaction, "notification-unconfirmed")
        await asyncio.to_thread(until, refused, 60, f"{transaction} cannot be told; see {world.log}")
    finally:
        await asyncio.to_thread(broker.up)
    await assert_completed(world, transaction, series)
    assert world.pid("delivery-1") == pid, "it waits for the broker, and does not end"
    accepted, completed = await dead_letters(world, 2, NOTIFICATIONS)
    assert await depth(world.amqp_url, NOTIFICATIONS) == 0
    assert (accepted.type, completed.type) == ("brh.transaction.accepted.v1", "brh.transaction.completed.v1")
    async with world.blobs() as blobs:
        marker = await blobs.read(f"{transaction}/_told.json")
    assert marker is not None
    assert completed.message_id == json.loads(marker.body)["notificationId"]
    # Kafka was told at every attempt, and each time the same.
    assert set(await kafka_records(world, world.topics.outcomes, transaction)) == {completed.body}


def decides(request: web.Request) -> bool:
    """Of the delivery: behind the verdict, and before anybody is told."""
    return request.method == "PUT" and request.path.endswith("/_outcome.json")


def is_refused(world: World, transaction: str, code: str) -> bool:
    row = world.transaction(transaction)
    assert row is not None
    assert row["state"] == "SendingCompletion", row
    return row["problem"] is not None and row["problem"]["code"] == code


# It is short of memory


async def test_an_alarm_holds_notices_but_no_acknowledgements_and_passes(
    broker: OwnBroker, on_broker: Callable[..., World], proxy: FaultProxy
) -> None:
    """One lane, so that what is refused comes behind what is good."""
    world = await asyncio.to_thread(partial(on_broker, broker, bridges=0))
    transaction = name()
    series = {"s": Chunks(transaction, [MIB, 300_000, 1_000])}
    bad = [payload_message(transaction, "s", 4, 3, bytes(300_000 + at)) for at in range(4)]
    async with (
        listening(world, "message.rejected.#") as refused,
        listening(world) as told,
        inner_bridge(world, proxy, lanes=1) as bridge,
    ):
        proxy.rule = lambda _: Fault.SILENCE
        await publish(world, transaction, series)
        await publish_messages(world, [("payload.s", message) for message in bad])
        await eventually(lambda: proxy.faults[Fault.SILENCE] >= 3, 30)  # the header, a large one, a small one
        await asyncio.to_thread(broker.ctl, "set_vm_memory_high_watermark", "0.00001")
        try:
            proxy.heal()
            await asyncio.to_thread(until, lambda: notices_blocked(broker), 30, "notices are not read")
            await becomes(broker, world, {PAYLOADS: (len(bad) - 1, 1)})  # what is good is acknowledged
            assert len(bridge.deliveries) == 1 + 3 + 1
            assert refused.messages == told.messages == []
        finally:
            await asyncio.to_thread(broker.ctl, "set_vm_memory_high_watermark", "0.6")
        await assert_completed(world, transaction, series)
        dead = await dead_letters(world, 4)
        assert sorted(message.body for message in dead) == sorted(message.body for message in bad)
        await refused.wait_rejected(transaction, len(bad))
        await told.wait(transaction)
        assert bridge.redelivered == []


# It loses its patience


@pytest.fixture(scope="module", params=[pytest.param(1, id="1 s"), pytest.param(60, id="60 s", marks=pytest.mark.slow)])
def impatient(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    """One that gives a consumer five seconds, and looks after them every so often; as it comes: once a minute."""
    tick_ms = request.param * 1000
    advanced = f"[{{rabbit, [{{channel_tick_interval, {tick_ms}}}]}}]."
    broker = OwnBroker(
        tmp_path_factory.mktemp("impatient"), IMPATIENT_LIMITS, advanced=advanced if tick_ms < 60_000 else ""
    )
    try:
        broker.up()
        yield broker
    finally:
        broker.down()


async def test_what_is_held_beyond_the_brokers_patience_comes_again(
    impatient: OwnBroker, on_broker: Callable[..., World], proxy: FaultProxy
) -> None:
    world = await asyncio.to_thread(partial(on_broker, impatient, bridges=0))
    transaction = name()
    async with inner_bridge(world, proxy, lanes=5) as bridge:
        proxy.rule = lambda _: Fault.SILENCE
        lanes = bridge.open_lanes
        await publish(world, transaction, load(transaction))
        # The header, the payloads that are in memory, the small ones; those on the wire when the lane goes on reading.
        again = 1 + 3 + 40
        await eventually(lambda: len(bridge.redelivered) >= again, 150)
        proxy.heal()
        await assert_completed(world, transaction, load(transaction))
        # A lane that was closed often waits for half a minute before it is opened again.
        await eventually(lambda: len(bridge.open_lanes) == len(lanes), 90)
        assert not bridge.open_lanes & lanes
        await becomes(impatient, world, {})
        await eventually(lambda: bridge.memory.held_bytes == 0, 30)
    assert IMPATIENT_LIMITS != SHIPPED_LIMITS
