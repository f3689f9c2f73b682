"""A large body in sub-blocks: every byte in order, within its memory, and all of it given back however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.memory import Memory
from tests.support.bodies import BLOCK, BUFFER, CHARGED, Streamed, content_of, small_buffers, text_of

LOST = ConnectionError("cut")


@pytest.fixture(scope="module", autouse=True)
def _small_buffers() -> Iterator[None]:
    with small_buffers():
        yield


@pytest.mark.parametrize(
    "size", [1, 3, 4, 5, 8, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10 * BLOCK - 1, 10 * BLOCK + 1]
)
@pytest.mark.parametrize("blocks_max", [1, 2, 20])
@pytest.mark.parametrize("step", [1, 3, 1 << 20])
async def test_sub_blocks_are_the_body_in_order_and_all_full_but_the_last(
    size: int, blocks_max: int, step: int
) -> None:
    it = Streamed(size, blocks_max=blocks_max)
    it.pour(step=step)
    found = await it.rest()
    assert found == [it.content[start : start + BLOCK] for start in range(0, size, BLOCK)]
    assert it.memory.held_bytes == 0


async def test_a_body_holds_nothing_before_its_first_byte_is_wanted() -> None:
    it = Streamed(BLOCK)
    assert it.memory.held_bytes == 0
    assert it.body.room() is not None
    assert it.memory.held_bytes == CHARGED


async def test_a_short_last_sub_block_takes_only_the_memory_that_it_needs() -> None:
    it = Streamed(BLOCK + 1)
    it.pour()
    assert it.memory.held_bytes == CHARGED + BUFFER


@pytest.mark.parametrize("blocks_max", [1, 2, 3])
async def test_no_more_sub_blocks_are_held_than_allowed_and_the_lane_hears_when_there_is_room_again(
    blocks_max: int,
) -> None:
    it = Streamed(5 * BLOCK, blocks_max=blocks_max)
    assert it.pour() == blocks_max * BLOCK
    assert it.body.room() is None
    blocks = [await it.next() for _ in range(blocks_max)]
    assert it.body.room() is None, "reading gives no room: what was read is still being stored"
    assert it.proceeds == 0
    blocks[-1].release()  # in any order
    assert it.proceeds == 1
    assert it.pour() == BLOCK
    assert it.memory.held_bytes == blocks_max * CHARGED


async def test_without_memory_there_is_no_room_until_somebody_else_gives_some_back() -> None:
    memory = Memory(2 * CHARGED)
    other = memory.request(CHARGED + 1, lambda: None, buffers=False)
    it = Streamed(3 * BLOCK, memory=memory)
    assert it.body.room() is None
    assert it.body.room() is None, "asking again is not a second request"
    assert it.proceeds == 0
    other.cancel()
    assert it.proceeds == 1
    assert it.pour() == 2 * BLOCK
    assert memory.held_bytes == 2 * CHARGED


async def test_bodies_that_share_memory_for_one_sub_block_take_turns() -> None:
    memory = Memory(CHARGED)
    bodies = [Streamed(2 * BLOCK, memory=memory) for _ in range(3)]
    done = []
    while len(done) < 6:
        (running,) = [it for it in bodies if it.pour()]
        block = await running.next()
        done.append(text_of(block))
        block.release()
    assert sorted(done) == sorted([content_of(2 * BLOCK)[:BLOCK], content_of(2 * BLOCK)[BLOCK:]] * 3)
    assert memory.held_bytes == 0


async def test_a_reader_waits_for_a_sub_block_to_be_full() -> None:
    it = Streamed(BLOCK)
    it.pour(BLOCK - 1)
    reading = asyncio.create_task(it.next())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not reading.done()
    it.pour(1)
    assert text_of(await reading) == it.content


async def test_nobody_is_called_for_a_body_that_has_all_its_bytes() -> None:
    it = Streamed(2 * BLOCK)
    it.pour()
    for _ in range(2):
        (await it.next()).release()
    assert it.proceeds == 0


# Losing it


@pytest.mark.parametrize("poured", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1])
@pytest.mark.parametrize("reading", [False, True])
async def test_a_lost_body_gives_its_full_sub_blocks_and_then_raises(poured: int, reading: bool) -> None:
    it = Streamed(3 * BLOCK, blocks_max=5)
    it.pour(poured)
    for _ in range(poured // BLOCK if reading else 0):
        (await it.next()).release()
    waiting = asyncio.create_task(it.next()) if reading else None
    await asyncio.sleep(0)
    it.body.lose(LOST)
    if waiting is not None:
        with pytest.raises(ConnectionError, match="cut"):
            await waiting
    else:
        for at in range(poured // BLOCK):
            block = await it.next()
            assert text_of(block) == it.content[at * BLOCK :][:BLOCK]
            block.release()
        with pytest.raises(ConnectionError, match="cut"):
            await it.next()
    it.body.end()
    assert it.memory.held_bytes == 0


async def test_a_body_that_waits_for_memory_can_be_lost() -> None:
    memory = Memory(CHARGED)
    other = memory.request(CHARGED, lambda: None, buffers=False)
    it = Streamed(BLOCK, memory=memory)
    assert it.body.room() is None
    it.body.lose(LOST)
    with pytest.raises(ConnectionError, match="cut"):
        await it.next()
    it.body.end()
    other.cancel()
    assert memory.held_bytes == 0
    assert it.proceeds == 0


async def test_a_body_lost_after_its_last_byte_is_whole_all_the_same() -> None:
    it = Streamed(2 * BLOCK)
    it.pour()
    it.body.lose(LOST)
    assert b"".join(await it.rest()) == it.content


# The end


@given(
    size=st.integers(1, 6 * BLOCK),
    blocks_max=st.integers(1, 4),
    memory_blocks=st.integers(1, 3),
    acts=st.lists(st.tuples(st.sampled_from(["pour", "read", "release", "lose"]), st.integers(0, 25)), max_size=25),
)
def test_whenever_it_ends_everything_comes_back(
    size: int, blocks_max: int, memory_blocks: int, acts: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        memory = Memory(memory_blocks * CHARGED)
        it = Streamed(size, blocks_max=blocks_max, memory=memory)
        given, read = [], 0
        for act, number in acts:
            if act == "pour":
                it.pour(number)
            elif act == "read" and it.ready:
                given.append(await it.next())
                assert text_of(given[-1]) == it.content[read : read + BLOCK], "it was overwritten"
                read += BLOCK
            elif act == "release" and given:
                given.pop(number % len(given)).release()
            elif act == "lose":
                it.body.lose(LOST)
            assert memory.held_bytes <= min(memory_blocks, blocks_max) * CHARGED
        before = it.proceeds
        it.body.end()
        it.body.end()
        assert memory.held_bytes == sum(-(-block.size // BUFFER) * BUFFER for block in given)
        assert it.body.room() is None
        for block in given:
            block.release()
        assert memory.held_bytes == 0
        assert it.proceeds == before, "nobody reads any more, so nobody is to go on"

    asyncio.run(run())
