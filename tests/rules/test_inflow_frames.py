"""Frames, bodies and memory together: however bytes are cut and whoever stalls, each body arrives and none is stuck."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from pamqp.base import Frame

from bridge import frames as frames_module
from bridge import inflow as inflow_module
from bridge.checksums import crc64
from bridge.frames import Body, DroppedBody, FrameReader
from bridge.inflow import StreamedBody, WholeBody
from bridge.memory import Memory
from tests.support.bodies import content_of, small_buffers

BUFFER, BLOCK, CHARGED = 32, 80, 96
"""So that a frame and what follows it find room in one buffer."""
SMALL = 6
"""Smaller bodies come whole."""


@pytest.fixture(scope="module", autouse=True)
def _small_sizes() -> Iterator[None]:
    with small_buffers(BUFFER), pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "DIRECT_FROM_BYTES", 3)
        patch.setattr(inflow_module, "WHOLE_OVERHEAD_BYTES", 0)
        yield


def frames_of(tag: int, content: bytes, frame_bytes: int) -> bytes:
    deliver = commands.Basic.Deliver("lane", tag, False, "exchange", "key")
    head = header.ContentHeader(0, len(content), commands.Basic.Properties())
    parts = [content[start : start + frame_bytes] for start in range(0, len(content), frame_bytes)]
    return b"".join(frame.marshal(each, 1) for each in (deliver, head, *map(body.ContentBody, parts)))


class Wire:
    """A lane without a connection: it receives when it is not starved, and its readers take their time."""

    def __init__(self, memory: Memory, blocks_max: int, chance: random.Random) -> None:
        self.memory, self.blocks_max, self.chance = memory, blocks_max, chance
        self.reader = FrameReader(self)
        self.found: dict[int, bytes] = {}
        self.lost: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._resumed = asyncio.Event()

    def on_method(self, channel: int, method: Frame) -> None:
        raise AssertionError(method)

    def on_message(self, deliver: commands.Basic.Deliver, size: int, properties: commands.Basic.Properties) -> Body:
        tag = deliver.delivery_tag or 0
        if not size:
            self.found[tag] = b""
            return DroppedBody()
        if size < SMALL:
            return WholeBody(
                size, memory=self.memory, proceed=self.proceed, done=lambda *done: self._start(self._keep(tag, *done))
            )
        streamed = StreamedBody(size, BLOCK, memory=self.memory, blocks_max=self.blocks_max, proceed=self.proceed)
        self._start(self._read(tag, streamed))
        return streamed

    def proceed(self) -> None:
        self.reader.proceed()
        if not self.reader.starved:
            self._resumed.set()

    async def feed(self, data: bytes, steps: list[int]) -> None:
        at = 0
        while at < len(data):
            if self.reader.starved:
                self._resumed.clear()
                await self._resumed.wait()
            room = self.reader.buffer()
            count = min(self.chance.choice(steps), len(room), len(data) - at)
            room[:count] = data[at : at + count]
            at += count
            self.reader.received(count)
            if self.chance.random() < 0.3:
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """All that was received has been read."""
        while self.reader.starved:
            self._resumed.clear()
            await self._resumed.wait()
        await asyncio.gather(*self.tasks)

    async def _read(self, tag: int, streamed: StreamedBody) -> None:
        parts = []
        try:
            async for block in streamed:
                await self._dawdle()
                assert block.crc64 == crc64(block.pieces)
                parts.append(b"".join(block.pieces))
                block.release()
            self.found[tag] = b"".join(parts)
        except ConnectionError:
            self.lost.append(tag)
        finally:
            streamed.end()

    async def _keep(self, tag: int, content: bytes, release: Callable[[], None]) -> None:
        await self._dawdle()
        self.found[tag] = content
        release()

    async def _dawdle(self) -> None:
        for _ in range(self.chance.randint(0, 5)):
            await asyncio.sleep(0)
            assert self.memory.held_bytes <= self.memory.limit_bytes

    def _start(self, work: object) -> None:
        self.tasks.append(asyncio.ensure_future(work))


sizes = st.lists(st.one_of(st.integers(0, 8), st.integers(0, 5 * BLOCK)), min_size=1, max_size=6)


@given(
    lanes=st.lists(sizes, min_size=1, max_size=4),
    frame_bytes=st.integers(3, 60),
    steps=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    blocks_max=st.integers(1, 3),
    memory_blocks=st.integers(1, 3),
    seed=st.integers(0, 1 << 16),
)
def test_bodies_of_lanes_that_share_memory_all_arrive(
    lanes: list[list[int]], frame_bytes: int, steps: list[int], blocks_max: int, memory_blocks: int, seed: int
) -> None:
    async def run() -> None:
        memory, chance = Memory(memory_blocks * CHARGED), random.Random(seed)
        wires = [Wire(memory, blocks_max, chance) for _ in lanes]
        async with asyncio.timeout(60):
            await asyncio.gather(
                *(
                    wire.feed(
                        b"".join(frames_of(tag, content_of(size), frame_bytes) for tag, size in enumerate(lane)), steps
                    )
                    for wire, lane in zip(wires, lanes, strict=True)
                )
            )
            await asyncio.gather(*(wire.settle() for wire in wires))
        for wire, lane in zip(wires, lanes, strict=True):
            assert wire.found == {tag: content_of(size) for tag, size in enumerate(lane)}
        assert memory.held_bytes == 0

    asyncio.run(run())


@given(size=st.integers(1, 4 * BLOCK), cut=st.floats(0, 1), frame_bytes=st.integers(3, 60), seed=st.integers(0, 999))
def test_a_body_that_is_cut_anywhere_is_lost_and_holds_nothing(
    size: int, cut: float, frame_bytes: int, seed: int
) -> None:
    async def run() -> None:
        memory = Memory(2 * CHARGED)
        wire = Wire(memory, 2, random.Random(seed))
        data = frames_of(1, content_of(size), frame_bytes)
        at = int(cut * (len(data) - 2))  # before the last byte of the body at the latest
        async with asyncio.timeout(60):
            await wire.feed(data[:at], [1, 7, 100])
            wire.reader.end(ConnectionError("cut"))
            await asyncio.gather(*wire.tasks)
        assert wire.found == {}
        assert wire.lost == [1] * (len(wire.tasks) > 0)
        assert memory.held_bytes == 0

    asyncio.run(run())
