"""Whatever a broker sends, and however much of it, a bridge holds what its memory grants and hardly more."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands, frame, header
from pamqp.base import Frame

from bridge.contract.inbound import PAYLOAD_MAX_BYTES, SMALL_PAYLOAD_BYTES
from bridge.frames import READ_BYTES, Body, FrameError, FrameReader
from bridge.inflow import WHOLE_OVERHEAD_BYTES
from bridge.lane import Incoming, LaneClosed
from bridge.layout import MIB, sub_block_bytes
from bridge.memory import Memory
from bridge.outlets import Outlets
from bridge.payloads import PayloadIntake
from bridge.settings import BridgeSettings
from tests.support.scripted_broker import message

LIMIT_BYTES = 4 * MIB
SLACK_BYTES = 1 * MIB
"""The reader's own buffer, a frame while it is read, and the objects of a few messages."""
KIB = 1 << 10


class Lane:
    """A lane of whom nobody expects anything."""

    def proceed(self) -> None:
        pass

    def ack(self, tags: Iterable[int]) -> None:
        pass

    def reject(self, tag: int) -> None:
        pass


class Stuck:
    """Storage, Kafka and notices, that do not answer before the end."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def stage_block(self, *_: object) -> None:
        await self.end.wait()

    publish = stage_block


class Flooded:
    """An intake whose broker sends whatever it likes: it keeps to no prefetch, and need not make sense."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        stuck: Any = Stuck()
        self._end = stuck.end
        self.memory = Memory(limit_bytes)
        self.mistakes: list[Exception] = []
        self.messages = self.held_bytes = 0
        self.peak_bytes = 0
        self._lane: Any = Lane()
        outlets = Outlets(stuck, stuck, stuck, instance="test", hold_max_s=600)
        self._intake = PayloadIntake(outlets, self.memory, BridgeSettings(), self.mistakes.append)
        self._reader = FrameReader(self)

    async def receive(self, data: Iterable[bytes], step: int = READ_BYTES) -> None:
        """Take what there is room for, and remember how much memory of the heap that took."""
        with suppress(FrameError):
            for each in data:
                at = 0
                while at < len(each) and not self._reader.starved:
                    room = self._reader.buffer()
                    count = min(step, len(room), len(each) - at)
                    room[:count] = each[at : at + count]
                    at += count
                    self._reader.received(count)
                await asyncio.sleep(0)
        _, self.peak_bytes = tracemalloc.get_traced_memory()

    async def end(self) -> None:
        self._reader.end(LaneClosed("the test is over"))
        self._end.set()
        await self._intake.finish(60)
        assert self.memory.held_bytes == 0
        assert self.mistakes == []

    def on_message(self, deliver: commands.Basic.Deliver, size: int, properties: commands.Basic.Properties) -> Body:
        self.messages += 1
        return self._intake.accept("queue", Incoming(self._lane, deliver, size, properties))

    def on_method(self, channel: int, method: Frame) -> None:
        pass


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def headers(ordinal: int, **more: object) -> dict[str, Any]:
    return {"brh_series_type": "cashflows", "brh_ordinal": ordinal, "brh_total_count": 1_000, **more}


def payload(tag: int, content: bytes, **more: object) -> bytes:
    told = headers(tag % 1_000 + 1, **more)
    return b"".join(message(tag, content, message_type="brh.payload.v1", correlation_id="t-1", headers=told))


def flood(data: Iterator[bytes]) -> Flooded:
    async def run() -> Flooded:
        flooded = Flooded()
        with traced():
            await flooded.receive(data)
            flooded.held_bytes = flooded.memory.held_bytes
        await flooded.end()
        return flooded

    return asyncio.run(run())


@pytest.mark.parametrize("size", [SMALL_PAYLOAD_BYTES - 1, 40 * KIB, 1_000])
def test_small_payloads_that_nobody_takes_are_held_within_the_limit(size: int) -> None:
    content = bytes(size)
    flooded = flood(payload(tag, content) for tag in range(1, 5 * LIMIT_BYTES // (4 * size + 4 * WHOLE_OVERHEAD_BYTES)))
    assert LIMIT_BYTES // 2 < flooded.held_bytes <= LIMIT_BYTES
    assert flooded.peak_bytes <= LIMIT_BYTES + SLACK_BYTES


def test_refusals_that_nobody_hears_are_held_within_the_limit_whatever_was_refused() -> None:
    ballast = {f"h{number}": "x" * 1_000 for number in range(100)}
    flooded = flood(payload(tag, b"", brh_ordinal=0, **ballast) for tag in range(1, 201))
    assert flooded.messages == 200
    assert flooded.peak_bytes <= flooded.held_bytes + SLACK_BYTES


def announced(size: int, content: bytes, number: int) -> bytes:
    """A message whose header says `size` bytes, whatever comes."""
    properties = commands.Basic.Properties(
        message_type="brh.payload.v1", correlation_id="t-1", headers=headers(number % 1_000 + 1)
    )
    deliver = commands.Basic.Deliver("lane", number + 1, False, "exchange", "key")
    frames = message(1, content)[2:]
    head = frame.marshal(header.ContentHeader(0, size, properties), 1)
    return b"".join([frame.marshal(deliver, 1), head, *frames])


messages = st.builds(
    announced,
    st.one_of(st.integers(0, 300 * KIB), st.integers(0, PAYLOAD_MAX_BYTES), st.integers(0, (1 << 64) - 1)),
    st.integers(0, 200 * KIB).map(bytes),
    st.integers(0, 1_500),
)
whole_messages = st.builds(payload, st.integers(1, 1_500), st.integers(0, 200 * KIB).map(bytes))
claims = st.builds(
    lambda kind, size: bytes([kind, 0, 1]) + size.to_bytes(4, "big"), st.integers(0, 9), st.integers(0, (1 << 32) - 1)
)


@given(
    st.lists(st.one_of(messages, whole_messages, claims, st.binary(max_size=500)), min_size=1, max_size=6),
    st.integers(0, 300 * KIB),
    st.integers(1 * KIB, READ_BYTES),
)
@settings(max_examples=150)
def test_whatever_comes_and_wherever_it_ends_the_heap_holds_no_more_than_came(
    parts: list[bytes], cut: int, step: int
) -> None:
    data = b"".join(parts)
    data = data[: max(1, len(data) - cut)]

    async def run() -> None:
        with traced():
            flooded = Flooded(sub_block_bytes(1_000))
            await flooded.receive([data], step)
        await flooded.end()
        # Bodies twice for a moment: as they came, and as the bytes they become.
        assert flooded.peak_bytes <= 2 * len(data) + SMALL_PAYLOAD_BYTES + SLACK_BYTES

    asyncio.run(run())
