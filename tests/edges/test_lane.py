"""Lanes on the real broker: bodies of every size within their memory, and what the broker does when a lane ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from pydantic import SecretStr

from bridge import lanes as lanes_module
from bridge.amqp_address import AmqpAddress
from bridge.frames import FRAME_MAX_BYTES
from bridge.hold import Breaker
from bridge.lane import Lane, LaneClosed
from bridge.lanes import Lanes
from bridge.layout import MIB
from tests.support.lane_reader import (
    Reader,
    WatchedMemory,
    declare,
    delete,
    depth,
    digests_of,
    open_lane,
    publish,
)
from tests.support.management import VirtualHost
from tests.support.scripted_broker import eventually

FRAME = FRAME_MAX_BYTES - 8
"""Bytes of a body in one frame."""
SIZES = [0, 1, FRAME - 1, FRAME, FRAME + 1, MIB - 1, MIB, MIB + 1, 0, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 32 * MIB + 1]
LARGEST = 256 * MIB


@pytest.fixture(scope="module")
def virtual_host(stack_env: dict[str, str]) -> Iterator[VirtualHost]:
    virtual_host = VirtualHost(stack_env, f"t{uuid4().hex[:10]}")
    virtual_host.make()
    yield virtual_host
    virtual_host.drop()


@pytest.fixture
def url(virtual_host: VirtualHost) -> str:
    return virtual_host.url


@pytest.fixture
async def queue(url: str) -> str:
    name = f"q{uuid4().hex[:10]}"
    await declare(url, name)
    return name


@pytest.fixture
async def closing() -> AsyncIterator[list[Lane]]:
    """Lanes that are closed after the test."""
    lanes: list[Lane] = []
    yield lanes
    await asyncio.gather(*(lane.close() for lane in lanes))


# Bodies


@pytest.mark.parametrize("stalls", [False, True], ids=["fast", "stalls"])
async def test_bodies_of_every_size_arrive_within_their_memory(
    url: str, queue: str, stalls: bool, closing: list[Lane]
) -> None:
    memory = WatchedMemory(24 * MIB)
    reader = Reader(memory, stalls=stalls)
    await publish(url, queue, SIZES)
    closing.append(await open_lane(url, queue, reader))
    await eventually(lambda: len(reader.digests) == len(SIZES), 60)
    assert reader.digests == digests_of(SIZES)
    assert [incoming.size for incoming in reader.incoming] == SIZES
    assert not any(incoming.redelivered for incoming in reader.incoming)
    await reader.finished()
    assert memory.most <= 16 * MIB, "the two blocks of one body"


@pytest.mark.parametrize("stalls", [False, True], ids=["fast", "stalls"])
async def test_the_largest_body_needs_no_more_memory_than_two_blocks(
    url: str, queue: str, stalls: bool, closing: list[Lane]
) -> None:
    memory = WatchedMemory(1_024 * MIB)
    reader = Reader(memory, stalls=stalls)
    await publish(url, queue, [LARGEST])
    closing.append(await open_lane(url, queue, reader))
    await eventually(lambda: reader.digests, 60)
    assert reader.digests == digests_of([LARGEST])
    assert memory.most <= 16 * MIB
    await reader.finished()


async def test_lanes_that_share_memory_for_less_than_a_block_each_do_not_stop_each_other(
    url: str, queue: str, closing: list[Lane]
) -> None:
    memory = WatchedMemory(64 * MIB)
    reader = Reader(memory, block_bytes=32 * MIB, stalls=True)
    sizes = [33 * MIB, 32 * MIB, 40 * MIB + 1, 5 * MIB, 31 * MIB, 65 * MIB, 1, 34 * MIB]
    await publish(url, queue, sizes)
    for number in range(4):
        closing.append(await open_lane(url, queue, reader, name=f"lane {number}"))
    await eventually(lambda: len(reader.digests) == len(sizes), 60)
    assert sorted(reader.digests) == sorted(digests_of(sizes))
    assert memory.most <= 64 * MIB
    await reader.finished()


async def test_many_small_messages_come_in_order_and_are_acknowledged_together(
    url: str, queue: str, closing: list[Lane]
) -> None:
    reader = Reader(WatchedMemory(64 * MIB))
    reader.acks = False
    sizes = list(range(1_000))
    await publish(url, queue, sizes)
    lane = await open_lane(url, queue, reader, prefetch=1_000)
    await eventually(lambda: len(reader.digests) == 1_000)
    assert sorted(reader.digests) == sorted(digests_of(sizes))
    lane.ack([incoming.tag for incoming in reader.incoming])
    await lane.close()
    assert await depth(url, queue) == 0


# Settling


async def test_messages_that_were_not_settled_come_again(url: str, queue: str, closing: list[Lane]) -> None:
    first, second = Reader(WatchedMemory(24 * MIB)), Reader(WatchedMemory(24 * MIB))
    first.acks = False
    sizes = [MIB, 10 * MIB, 3]
    await publish(url, queue, sizes)
    lane = await open_lane(url, queue, first, prefetch=3)
    await eventually(lambda: len(first.digests) == 3)
    lane.ack([first.incoming[1].tag])
    await lane.close()
    closing.append(await open_lane(url, queue, second))
    await eventually(lambda: len(second.digests) == 2)
    assert [incoming.size for incoming in second.incoming] == [MIB, 3]
    assert all(incoming.redelivered for incoming in second.incoming)


async def test_a_rejected_message_is_dead_lettered_before_its_body_has_come(url: str, closing: list[Lane]) -> None:
    queue, dead = f"q{uuid4().hex[:10]}", f"dead{uuid4().hex[:10]}"
    await declare(url, queue, dead)
    memory = WatchedMemory(24 * MIB)
    held = memory.request(24 * MIB, lambda: None, buffers=False)
    reader = Reader(memory)
    await publish(url, queue, [100 * MIB])
    lane = await open_lane(url, queue, reader)
    closing.append(lane)
    await eventually(lambda: reader.incoming)
    reader.acks = False
    lane.reject(reader.incoming[0].tag)
    async with asyncio.timeout(30):
        while await depth(url, dead) != 1:
            await asyncio.sleep(0.05)
    assert reader.digests == [], "not a byte of it was taken"
    held.cancel()
    await publish(url, queue, [5])
    await eventually(lambda: len(reader.digests) == 2)
    assert reader.digests == digests_of([100 * MIB, 5])


async def test_what_comes_while_a_lane_drains_goes_back(url: str, queue: str) -> None:
    reader = Reader(WatchedMemory(24 * MIB))
    reader.acks = False
    await publish(url, queue, [10, 20])
    lane = await open_lane(url, queue, reader, prefetch=10)
    await eventually(lambda: len(reader.digests) == 2)
    lane.drain()
    await publish(url, queue, [30, 40])
    lane.ack([1, 2])
    await lane.close()
    async with asyncio.timeout(30):
        while await depth(url, queue) != 2:
            await asyncio.sleep(0.05)
    assert len(reader.digests) == 2


# Ends


async def test_an_unknown_queue_is_an_error_of_the_broker(url: str) -> None:
    with pytest.raises(LaneClosed, match="no queue 'nowhere'") as caught:
        await open_lane(url, "nowhere", Reader(WatchedMemory(MIB)))
    assert caught.value.code == 404


async def test_an_unknown_virtual_host_is_an_error_of_the_broker(url: str) -> None:
    with pytest.raises(LaneClosed, match="vhost nowhere not found") as caught:
        await open_lane(url.rpartition("/")[0] + "/nowhere", "queue", Reader(WatchedMemory(MIB)))
    assert caught.value.code == 530


async def test_a_wrong_password_is_refused_and_shown_nowhere(url: str) -> None:
    wrong = url.rpartition(":")[0].rpartition(":")[0] + ":wrong@" + url.rpartition("@")[2]
    with pytest.raises(LaneClosed, match="ACCESS_REFUSED") as caught:
        await open_lane(wrong, "queue", Reader(WatchedMemory(MIB)))
    assert caught.value.code == 403
    assert ":wrong" not in repr(caught.value)


async def test_a_lane_whose_queue_is_deleted_ends(url: str, queue: str) -> None:
    lane = await open_lane(url, queue, Reader(WatchedMemory(MIB)))
    await delete(url, queue)
    async with asyncio.timeout(30):
        why = await lane.wait_closed()
    assert "its queue is gone" in str(why)


async def test_a_lane_that_an_operator_closes_is_opened_again_and_its_message_comes_again(
    virtual_host: VirtualHost, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "PAUSE_FIRST_S", 0.01)
    reader, address = Reader(WatchedMemory(24 * MIB)), AmqpAddress.parse(SecretStr(virtual_host.url))
    storage = Breaker("storage", OSError)
    lanes = Lanes(
        address, queue, count=1, prefetch=1, accept=reader.accept, name="bridge", storage=storage, crash=pytest.fail
    )
    reader.acks = False
    await publish(virtual_host.url, queue, [9 * MIB])
    await lanes.start()
    try:
        await eventually(lambda: reader.digests)
        async with asyncio.timeout(30):
            while not (found := await asyncio.to_thread(virtual_host.connections, f"bridge {queue} 1")):
                await asyncio.sleep(0.05)
        reader.acks = True
        await asyncio.to_thread(virtual_host.close_connection, found[0])
        async with asyncio.timeout(30):
            assert (await reader.incoming[0].lane.wait_closed()).code == 320
        await eventually(lambda: len(reader.digests) == 2)
        assert reader.incoming[1].redelivered
        assert reader.incoming[1].lane is not reader.incoming[0].lane
        assert reader.digests == digests_of([9 * MIB] * 2)
    finally:
        await lanes.stop()
    assert await depth(virtual_host.url, queue) == 0
    await reader.finished()
