"""Bodies at every boundary of size, through RabbitMQ and the bridge into storage of any temper, come out equal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import count, cycle
from uuid import uuid4

import pytest
from aiohttp import web

from bridge.blobs import Block
from bridge.checksums import crc64
from bridge.contract.inbound import PAYLOAD_MAX_BYTES, SMALL_PAYLOAD_BYTES
from bridge.frames import FRAME_MAX_BYTES
from bridge.layout import LONG_SUB_BLOCK_BYTES, MIB, SHORT_SERIES, SUB_BLOCK_BYTES, BlockId, part_name
from tests.support.azure import endpoint
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.inner_bridge import InnerBridge, inner_bridge
from tests.support.outside import (
    Chunks,
    Repeated,
    assert_completed,
    dead_letters,
    listening,
    payload_message,
    publish_header,
    publish_messages,
    purge,
    staged_facts,
)
from tests.support.scripted_broker import eventually
from tests.support.world import World

pytestmark = pytest.mark.timeout(240)

FRAME = FRAME_MAX_BYTES - 8
"""Bytes of a body in one frame."""
BLOCK = SUB_BLOCK_BYTES
SMALL = [0, 1, FRAME - 1, FRAME, FRAME + 1, SMALL_PAYLOAD_BYTES - 1]
LARGE = [SMALL_PAYLOAD_BYTES, BLOCK - 1, BLOCK, BLOCK + 1]
LONG = SHORT_SERIES + 1
"""Payloads of the shortest series with the larger blocks."""
Rule = Callable[[web.Request], Fault | None]


@pytest.fixture(scope="module")
def world(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One without a bridge: each test has its own, with storage of its own temper."""
    world = World(stack_env, tmp_path_factory.mktemp("world"), bridges=0)
    world.start()
    yield world
    world.stop()


@pytest.fixture
async def proxy(blob_connection_string: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(endpoint(blob_connection_string), keep_bodies=False) as proxy:
        yield proxy


@pytest.fixture
async def bridge(world: World, proxy: FaultProxy) -> AsyncIterator[InnerBridge]:
    async with inner_bridge(world, proxy) as bridge:
        yield bridge
        await eventually(lambda: bridge.memory.held_bytes == 0)


async def send_all(world: World, transaction: str, queue: str, series: str, chunks: Chunks) -> None:
    await send(world, transaction, queue, series, chunks, range(chunks.total_count, 0, -1))


async def send(
    world: World, transaction: str, queue: str, series: str, chunks: Chunks, ordinals: Iterable[int]
) -> None:
    total = chunks.total_count
    await publish_messages(
        world,
        [
            (f"{queue}.{series}", payload_message(transaction, series, ordinal, total, chunks.chunk(ordinal)))
            for ordinal in ordinals
        ],
    )


def name() -> str:
    return f"T-{uuid4().hex[:12]}"


# Tempers of storage


def good() -> Rule:
    return lambda _: None


def slow() -> Rule:
    return lambda request: Fault.SLOW if _stages(request) else None


def stalling() -> Rule:
    """Every other request stops in the middle of its body for a while."""
    numbers = count()
    return lambda request: Fault.STALL if _stages(request) and next(numbers) % 2 else None


FAILURES = [Fault.UNAVAILABLE, Fault.RESET_IN_BODY, Fault.CUT_REPLY, Fault.BROKEN, Fault.HALF_REPLY, Fault.THROTTLED]


def failing() -> Rule:
    """Every other request fails, each time in another way."""
    numbers, faults = count(), cycle(FAILURES)
    return lambda request: next(faults) if _stages(request) and next(numbers) % 2 else None


def _stages(request: web.Request) -> bool:
    return "comp=block&" in request.path_qs


@pytest.mark.parametrize("temper", [good, slow, stalling, failing])
async def test_bodies_of_every_boundary_size_come_out_equal_whatever_storage_is_like(
    world: World, proxy: FaultProxy, bridge: InnerBridge, temper: Callable[[], Rule]
) -> None:
    proxy.rule = temper()
    transaction = name()
    series = {
        "mixed": Chunks(f"{transaction}m", [*SMALL, *LARGE]),
        "small": Chunks(f"{transaction}s", SMALL),
        "alone": Chunks(f"{transaction}a", [1]),
    }
    header = {"series": [{"type": each, "totalCount": chunks.total_count} for each, chunks in series.items()]}
    await publish_header(world, transaction, header)
    await send_all(world, transaction, "payload", "mixed", series["mixed"])
    await send_all(world, transaction, "small", "small", series["small"])
    await send_all(world, transaction, "small", "alone", series["alone"])
    await assert_completed(world, transaction, series)
    assert len(bridge.deliveries) == 1 + sum(chunks.total_count for chunks in series.values())
    assert bridge.redelivered == []
    expected = {good: set(), slow: {Fault.SLOW}, stalling: {Fault.STALL}, failing: set(FAILURES)}
    assert set(proxy.faults) == expected[temper], "what storage did"


def cut(total_count: int, ordinal: int, body: bytes, block_bytes: int) -> list[Block]:
    """The blocks that a payload has to be staged as."""
    cuts = [body[at : at + block_bytes] for at in range(0, len(body), block_bytes)]
    return [
        Block(BlockId(total_count, ordinal, 1, sub, len(cuts), crc64([each])), len(each))
        for sub, each in enumerate(cuts)
    ]


@pytest.mark.parametrize("temper", [good, failing])
async def test_bodies_around_the_larger_block_of_a_long_series_are_staged_as_they_are_and_come_out_equal(
    world: World, proxy: FaultProxy, bridge: InnerBridge, temper: Callable[[], Rule]
) -> None:
    proxy.rule = temper()
    transaction = name()
    large = {1: LONG_SUB_BLOCK_BYTES - 1, 512: LONG_SUB_BLOCK_BYTES, LONG: LONG_SUB_BLOCK_BYTES + 1}
    chunks = Chunks(transaction, [large.get(ordinal, 1 + ordinal % 3) for ordinal in range(1, LONG + 1)])
    await publish_header(world, transaction, {"series": [{"type": "long", "totalCount": LONG}]})
    await send(world, transaction, "payload", "long", chunks, large)
    await staged_facts(world, {transaction: len(large)})
    async with world.blobs() as blobs:
        staged = await blobs.uncommitted(part_name(transaction, "long", 0))
    expected = [cut(LONG, ordinal, chunks.chunk(ordinal), LONG_SUB_BLOCK_BYTES) for ordinal in large]
    assert [len(blocks) for blocks in expected] == [1, 1, 2]
    assert sorted(staged) == sorted(block for blocks in expected for block in blocks)
    await send(world, transaction, "small", "long", chunks, [each for each in range(1, LONG + 1) if each not in large])
    await assert_completed(world, transaction, {"long": chunks})
    assert len(bridge.deliveries) == 1 + LONG
    assert bridge.redelivered == []
    assert bool(proxy.faults) == (temper is failing), "what storage did"


@pytest.mark.parametrize("temper", [good, failing])
async def test_the_largest_body_comes_out_equal_and_one_byte_more_is_refused_and_kept_whole(
    world: World, proxy: FaultProxy, bridge: InnerBridge, temper: Callable[[], Rule]
) -> None:
    proxy.rule = temper()
    await purge(world, "brh.rejected")
    transaction = name()
    largest = Repeated(transaction, [PAYLOAD_MAX_BYTES])
    too_large = Repeated(f"{transaction}+", [PAYLOAD_MAX_BYTES + 1])
    async with listening(world, "message.rejected.#") as heard:
        await publish_header(world, transaction, {"series": [{"type": "huge", "totalCount": 1}]})
        await send_all(world, transaction, "payload", "huge", too_large)
        (dead,) = await dead_letters(world, 1)
        assert dead.body == too_large.chunk(1)
        (event,) = await heard.wait_rejected(transaction)
        assert event.routing_key == "message.rejected.payload-too-large"
    await send_all(world, transaction, "payload", "huge", largest)
    await assert_completed(world, transaction, {"huge": largest})
    assert bridge.redelivered == []
    assert set(proxy.faults) == (set() if temper is good else set(FAILURES)), "what storage did"


async def test_a_streamed_body_that_is_not_what_was_declared_is_kept_whole_and_harms_nothing(
    world: World, bridge: InnerBridge
) -> None:
    await purge(world, "brh.rejected")
    transaction = name()
    good_one, other = Chunks(transaction, [20 * MIB, 20 * MIB]), Chunks(f"{transaction}+", [20 * MIB, 20 * MIB])
    wrong = {1: {"brh_sha256": "0" * 64}, 2: {"brh_content_length": 20 * MIB + 1}}
    async with listening(world, "message.rejected.#") as heard:
        await publish_header(world, transaction, {"series": [{"type": "s", "totalCount": 2}]})
        messages = [payload_message(transaction, "s", at, 2, other.chunk(at), **what) for at, what in wrong.items()]
        await publish_messages(world, [("payload.s", message) for message in messages])
        dead = await dead_letters(world, 2)
        assert {message.message_id: message.body for message in dead} == {
            message.message_id: message.body for message in messages
        }
        events = await heard.wait_rejected(transaction, 2)
        assert sorted(event.routing_key or "" for event in events) == [
            "message.rejected.digest-mismatch",
            "message.rejected.length-mismatch",
        ]
    row = world.transaction(transaction)
    assert row is not None
    assert (row["state"], row["problem"], row["series"][0]["receivedCount"]) == ("AwaitingResults", None, 0)
    await send_all(world, transaction, "payload", "s", good_one)
    await assert_completed(world, transaction, {"s": good_one})
    assert bridge.redelivered == []
