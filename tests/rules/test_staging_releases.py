"""However staging ends, each sub-block it was given is released once, no request is left and nobody's error is lost."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence

import pytest

from bridge import staging as module
from bridge.blobs import BlobsUnavailable
from bridge.checksums import Piece
from bridge.contract.events import Staged
from bridge.contract.inbound import PayloadMessage, Rejected
from bridge.layout import MIB
from bridge.memory import Memory
from bridge.staging import stage_payload
from tests.support.bodies import BLOCK as TINY
from tests.support.bodies import CHARGED, Streamed, small_buffers
from tests.support.sub_blocks import Gate, SubBlocks, body_of, message_of, name_of, until

BLOCK = 1_000
"""Staging takes sub-blocks as they come; only how many there are follows from the size that the message names."""
SUB = 8 * MIB


def four_blocks(sha256: str | None = "right", **options: int | Exception | None) -> tuple[PayloadMessage, SubBlocks]:
    body = body_of(4 * BLOCK)
    return message_of(body, size=4 * SUB, sha256=sha256), SubBlocks(body, BLOCK, **options)


def under_way() -> int:
    """Requests whose tasks are not done."""
    return sum(getattr(task.get_coro(), "__name__", "") == "stage_block" for task in asyncio.all_tasks())


async def test_blocks_but_the_last_are_sent_at_once_and_may_be_stored_in_any_order() -> None:
    blobs, (message, body) = Gate(), four_blocks()
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await blobs.holds(3)
    assert (under_way(), body.released) == (3, {})
    for count, sub in enumerate((2, 0, 1, 3), 1):
        await until(lambda sub=sub: sub in blobs.waiting)
        blobs.waiting[sub].set_result(None)
        await until(lambda count=count: body.released.total() == count)
        assert body.released[sub] == 1
    assert isinstance(await staging, Staged)
    assert body.all_released_once


@pytest.mark.parametrize("slowest", [0, 1, 2])
async def test_the_last_block_is_sent_when_all_others_are_stored(slowest: int) -> None:
    blobs, (message, body) = Gate(), four_blocks()
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await blobs.holds(3)
    for sub in {0, 1, 2} - {slowest}:
        blobs.waiting[sub].set_result(None)
    await blobs.stored(2)
    await until(lambda: body.given == 4)
    for _ in range(20):
        await asyncio.sleep(0)
    assert list(blobs.waiting) == [slowest]
    blobs.waiting[slowest].set_result(None)
    await until(lambda: list(blobs.waiting) == [3])
    assert not staging.done()
    blobs.waiting[3].set_result(None)
    assert isinstance(await staging, Staged)


async def test_a_body_in_small_memory_is_read_as_it_is_stored() -> None:
    with small_buffers():
        memory = Memory(2 * CHARGED)
        arriving, blobs = Streamed(5 * TINY + 1, memory=memory), Gate()
        message = message_of(arriving.content, size=5 * SUB + 1)
        staging = asyncio.create_task(stage_payload(blobs.stage_block, message, arriving.body))
        for finished in range(6):
            arriving.pour()
            await blobs.holds(2 if finished < 4 else 1)  # the last one waits for the one before it
            assert memory.held_bytes <= 2 * CHARGED
            blobs.waiting[max(blobs.waiting)].set_result(None)
            await blobs.stored(finished + 1)
            await asyncio.sleep(0)
    fact = await staging
    assert isinstance(fact, Staged)
    assert (blobs.most, memory.held_bytes) == (2, 0)
    assert sum(block.size for block in await blobs.uncommitted(name_of(message))) == len(arriving.content)


async def test_another_digest_is_said_when_no_request_is_under_way_any_more() -> None:
    blobs, (message, body) = Gate(), four_blocks(sha256="0" * 64)
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await blobs.holds(3)
    await until(lambda: body.given == 4)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not staging.done()
    for answer in blobs.waiting.values():
        answer.set_result(None)
    assert isinstance(await staging, Rejected)
    assert (body.all_released_once, blobs.stores) == (True, 3), "the last one is never sent"


@pytest.mark.parametrize("arrived", [1, 3])
async def test_one_failing_block_ends_the_others_and_is_what_the_caller_sees(arrived: int) -> None:
    blobs, (message, body) = Gate(), four_blocks(arrived=arrived)
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await blobs.holds(arrived)
    failure = BlobsUnavailable("try again later")
    blobs.waiting[arrived - 1].set_exception(failure)
    with pytest.raises(BlobsUnavailable) as caught:
        await staging
    assert caught.value is failure
    assert sorted(blobs.cancelled) == list(range(arrived - 1))
    assert under_way() == 0
    assert await blobs.uncommitted(name_of(message)) == []
    assert (body.given, body.all_released_once) == (arrived, True)


async def test_a_block_that_fails_at_once_stops_the_reading() -> None:
    message, body = four_blocks()

    async def fail(name: str, block: object, pieces: Sequence[Piece]) -> None:
        raise BlobsUnavailable("try again later")

    with pytest.raises(BlobsUnavailable):
        await stage_payload(fail, message, body)
    assert body.all_released_once


@pytest.mark.parametrize("arrived", [0, 1, 3])
async def test_a_body_that_is_lost_is_what_the_caller_sees(arrived: int) -> None:
    blobs = Gate()
    lost = ConnectionResetError("the broker went away")
    message, body = four_blocks(arrived=arrived, then=lost)
    with pytest.raises(ConnectionResetError) as caught:
        await stage_payload(blobs.stage_block, message, body)
    assert caught.value is lost
    assert under_way() == 0
    assert (body.given, body.all_released_once) == (arrived, True)


async def test_who_is_cancelled_before_he_began_was_given_nothing() -> None:
    blobs, (message, body) = Gate(), four_blocks()
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    assert (body.given, blobs.most) == (0, 0)


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_turn_nothing_is_kept(turns: int) -> None:
    blobs, (message, body) = Gate(), four_blocks(arrived=3)
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    for _ in range(turns):
        await asyncio.sleep(0)
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    assert under_way() == 0
    assert body.all_released_once


async def test_requests_that_never_began_are_released_too() -> None:
    blobs, (message, body) = Gate(), four_blocks(sha256=None, arrived=3)
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await until(lambda: body.given == 3)
    assert blobs.most == 0, "their tasks exist and have not run"
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    assert body.all_released_once


@pytest.mark.parametrize("also_failing", [False, True])
async def test_cancellation_reaches_every_block_and_is_never_lost(also_failing: bool) -> None:
    blobs, (message, body) = Gate(), four_blocks(arrived=2)
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await blobs.holds(2)
    if also_failing:
        blobs.waiting[0].set_exception(BlobsUnavailable("try again later"))
        await until(lambda: 0 not in blobs.waiting)
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    assert under_way() == 0
    assert body.all_released_once


async def test_who_is_cancelled_while_he_hashes_releases_what_he_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hashing, go_on = threading.Event(), threading.Event()

    def slowly(digest: hashlib._Hash, pieces: Sequence[Piece]) -> None:
        hashing.set()
        go_on.wait(10)

    monkeypatch.setattr(module, "HASH_IN_THREAD_FROM_BYTES", 1)
    monkeypatch.setattr(module, "_update", slowly)
    blobs, (message, body) = Gate(), four_blocks()
    staging = asyncio.create_task(stage_payload(blobs.stage_block, message, body))
    await until(hashing.is_set)
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    go_on.set()
    assert (body.given, body.all_released_once) == (1, True)
