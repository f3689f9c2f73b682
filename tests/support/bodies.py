"""Bodies of a few bytes, in buffers of four: what `bridge.inflow` does with mebibytes, at a size that can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bridge import inflow, memory
from bridge.checksums import crc64
from bridge.inflow import StreamedBody, SubBlock, WholeBody
from bridge.memory import Memory

BUFFER = 4
BLOCK = 10
CHARGED = 12
"""What a full sub-block counts in memory: three buffers."""


@contextmanager
def small_buffers(size: int = BUFFER) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inflow, "BUFFER_BYTES", size)
        patch.setattr(memory, "BUFFER_BYTES", size)
        patch.setattr(inflow, "WHOLE_OVERHEAD_BYTES", 1)
        yield


def content_of(size: int) -> bytes:
    return bytes(at % 251 for at in range(size))


def text_of(block: SubBlock) -> bytes:
    assert block.size == sum(map(len, block.pieces))
    assert block.crc64 == crc64(block.pieces)
    return b"".join(block.pieces)


class Streamed:
    """A body that counts how often it lets its lane go on; `pour` is the lane, the other methods are the reader."""

    def __init__(self, size: int, *, blocks_max: int = 2, memory: Memory | None = None) -> None:
        self.memory = memory or Memory(100 * CHARGED)
        self.proceeds = 0
        self.content = content_of(size)
        self.poured = 0
        self.ready = 0
        """Sub-blocks that are full and not read."""
        self.body = StreamedBody(size, BLOCK, memory=self.memory, blocks_max=blocks_max, proceed=self._proceed)
        self._blocks = aiter(self.body)

    def _proceed(self) -> None:
        self.proceeds += 1

    def pour(self, most: int = 1 << 20, step: int = 1 << 20) -> int:
        """Bytes that found room, up to `most` and `step` at a time."""
        before = self.poured
        while (left := min(most - (self.poured - before), len(self.content) - self.poured)) > 0:
            room = self.body.room()
            if room is None:
                break
            assert len(room) > 0
            count = min(left, step, len(room))
            room[:count] = self.content[self.poured : self.poured + count]
            self.poured += count
            self.body.filled(count)
            self.ready += self.poured % BLOCK == 0 or self.poured == len(self.content)
        return self.poured - before

    async def next(self) -> SubBlock:
        async with asyncio.timeout(5):
            block = await anext(self._blocks)
        self.ready -= 1
        return block

    async def rest(self) -> list[bytes]:
        """The sub-blocks that are left, with a lane that pours whenever there is room."""
        found = []
        while self.pour() or self.ready:
            block = await self.next()
            found.append(text_of(block))
            block.release()
        with pytest.raises(StopAsyncIteration):
            await self.next()
        return found


class Whole:
    """A small body, and what it was done with."""

    def __init__(self, size: int, memory: Memory) -> None:
        self.proceeds = 0
        self.done: list[tuple[bytes, Callable[[], None]]] = []
        self.body = WholeBody(size, memory=memory, proceed=self._proceed, done=lambda *done: self.done.append(done))

    def _proceed(self) -> None:
        self.proceeds += 1

    def pour(self, content: bytes, step: int) -> None:
        for start in range(0, len(content), step):
            part = content[start : start + step]
            room = self.body.room()
            assert room is not None
            room[: len(part)] = part
            self.body.filled(len(part))
