"""Frames become messages, however the bytes are cut; anything else is a clean error and costs no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header, heartbeat
from pamqp.base import Frame

from bridge.frames import FRAME_MAX_BYTES, READ_BYTES, Body, DroppedBody, FrameError, FrameReader

PAYLOAD_MAX = FRAME_MAX_BYTES - 8


class Collected:
    """A body that has room for `step` bytes at a time, and every so often for none."""

    def __init__(self, size: int, step: int, stall_every: int) -> None:
        self.bytes = bytearray(size)
        self.at = 0
        self.step = step
        self.stall_every = stall_every
        self.asked = 0
        self.lost: Exception | None = None

    def room(self) -> memoryview | None:
        self.asked += 1
        if self.stall_every and self.asked % self.stall_every == 0:
            return None
        return memoryview(self.bytes)[self.at : self.at + self.step]

    def filled(self, count: int) -> None:
        self.at += count

    def lose(self, why: Exception) -> None:
        self.lost = why

    @property
    def whole(self) -> bool:
        return self.at == len(self.bytes)


class Receiver:
    def __init__(self, step: int = 1 << 30, stall_every: int = 0) -> None:
        self.step, self.stall_every = step, stall_every
        self.messages: list[tuple[int, commands.Basic.Properties, Collected]] = []
        self.methods: list[str] = []

    def on_message(self, deliver: commands.Basic.Deliver, size: int, properties: commands.Basic.Properties) -> Body:
        collected = Collected(size, self.step, self.stall_every)
        self.messages.append((deliver.delivery_tag or 0, properties, collected))
        return collected

    def on_method(self, channel: int, method: Frame) -> None:
        self.methods.append(method.name)


class Dropping(Receiver):
    """For messages that say they are larger than memory."""

    def on_message(self, deliver: commands.Basic.Deliver, size: int, properties: commands.Basic.Properties) -> Body:
        return DroppedBody()


def message(tag: int, content: bytes, frame_bytes: int = PAYLOAD_MAX, **properties: Any) -> list[bytes]:
    """A message as frames."""
    deliver = commands.Basic.Deliver("tag", tag, False, "exchange", "key")
    head = header.ContentHeader(0, len(content), commands.Basic.Properties(**properties))
    frames = [frame.marshal(deliver, 1), frame.marshal(head, 1)]
    for start in range(0, len(content), frame_bytes):
        frames.append(frame.marshal(body.ContentBody(content[start : start + frame_bytes]), 1))
    return frames


def feed(reader: FrameReader, data: bytes, steps: Iterable[int]) -> None:
    """Let the reader receive the bytes in steps of these lengths, the last one again and again."""
    lengths = iter(steps)
    step, at = next(lengths), 0
    while at < len(data):
        room = reader.buffer()
        assert 0 < len(room) <= READ_BYTES + PAYLOAD_MAX
        count = min(step, len(room), len(data) - at)
        room[:count] = data[at : at + count]
        at += count
        reader.received(count)
        while reader.starved:
            reader.proceed()
        step = next(lengths, step)


def pattern(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


@pytest.mark.parametrize("step", [1, 8, 65_536, READ_BYTES])
@pytest.mark.parametrize("room", [1, 65_536, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 3 * PAYLOAD_MAX])
def test_bodies_of_boundary_sizes_arrive_whole(size: int, room: int, step: int) -> None:
    if min(step, room) == 1 and size > 1:
        size = size // PAYLOAD_MAX * 64 + size % 64  # a byte at a time: the same shape, smaller
    receiver = Receiver(room)
    reader = FrameReader(receiver)
    frame_bytes = PAYLOAD_MAX if min(step, room) > 1 else 64
    frames = [*message(1, pattern(size), frame_bytes), *message(2, b"next")]
    feed(reader, b"".join(frames), [step])
    assert [(tag, bytes(collected.bytes)) for tag, _, collected in receiver.messages] == [
        (1, pattern(size)),
        (2, b"next"),
    ]


@given(
    st.lists(st.integers(0, 150_000), min_size=1, max_size=5),
    st.lists(st.integers(1, 300_000), min_size=1, max_size=20),
    st.integers(1, PAYLOAD_MAX),
    st.integers(100, 1 << 20),
    st.integers(2, 9),
)
def test_however_bytes_are_cut_bodies_are_equal(
    sizes: list[int], steps: list[int], frame_bytes: int, room: int, stall_every: int
) -> None:
    frame_bytes = max(frame_bytes, max(sizes) // 50)
    receiver = Receiver(room, stall_every)
    frames: list[bytes] = []
    for tag, size in enumerate(sizes, 1):
        frames += message(tag, pattern(size), min(frame_bytes, PAYLOAD_MAX), message_type=f"type {tag}")
        frames.append(frame.marshal(heartbeat.Heartbeat(), 0))
    feed(FrameReader(receiver), b"".join(frames), [max(step, sum(sizes) // 500) for step in steps])
    assert [bytes(collected.bytes) for _, _, collected in receiver.messages] == [pattern(size) for size in sizes]
    assert all(collected.whole for _, _, collected in receiver.messages)
    assert [found.message_type for _, found, _ in receiver.messages] == [
        f"type {tag}" for tag in range(1, len(sizes) + 1)
    ]


def cuts() -> Iterator[int]:
    """Every frame boundary of a message in four frames, and places inside of each frame."""
    at = 0
    for part in message(1, pattern(300), 100):
        yield from {at, at + 1, at + 6, at + 7, at + 8, at + len(part) // 2, at + len(part) - 1}
        at += len(part)


@pytest.mark.parametrize("cut", sorted(set(cuts())))
def test_a_body_that_ends_early_is_lost_and_never_looks_whole(cut: int) -> None:
    receiver = Receiver()
    reader = FrameReader(receiver)
    data = b"".join(message(1, pattern(300), 100))
    feed(reader, data[:cut], [READ_BYTES])
    reader.end(ConnectionError("cut"))
    for _, _, collected in receiver.messages:
        # Before its last octet, which ends the last frame, all bytes of the body are there.
        assert collected.whole == (cut == len(data) - 1)
        assert isinstance(collected.lost, ConnectionError) != collected.whole


def test_a_whole_body_is_not_lost_when_the_connection_is() -> None:
    receiver = Receiver()
    reader = FrameReader(receiver)
    feed(reader, b"".join(message(1, pattern(300), 100)), [READ_BYTES])
    reader.end(ConnectionError("cut"))
    assert receiver.messages[0][2].lost is None


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (message(1, b"abc")[2:], "without a message"),
        (message(1, b"abc")[1:], "content header without"),
        ([*message(1, b"abc")[:1], *message(2, b"abc")], "inside another"),
        ([*message(1, b"abc")[:2], *message(2, b"abc")], "inside another"),
        ([*message(1, b"abc")[:2], frame.marshal(body.ContentBody(b"abcd"), 1)], "longer"),
        ([*message(1, b"abc")[:2], frame.marshal(body.ContentBody(b"abc"), 2)], "without a message"),
        ([b"\x03\x00\x01\xff\xff\xff\xff"], "larger"),
        ([b"\x01\x00\x01\x00\x02\x00\x00" + b"x" * 8], "larger"),
        ([b"\x07\x00\x01\x00\x00\x00\x01x\xce"], "type 7"),
        ([b"\x01\x00\x01\x00\x00\x00\x04\x00\x0a\x00\xff\xce"], "cannot be read"),
        ([b"\x01\x00\x01\x00\x00\x00\x04\x00\x0a\x00\x0b\xcd"], "does not end"),
        ([message(1, b"")[0], b"\x02\x00\x01\x00\x00\x00\x01x\xce"], "content header without"),
        ([message(1, b"")[0], b"\x02\x00\x01\x00\x00\x00\x0e\x00\x32" + bytes(12) + b"\xce"], "class 50"),
    ],
)
def test_what_amqp_forbids_is_a_clean_error(frames: list[bytes], why: str) -> None:
    with pytest.raises(FrameError, match=why):
        feed(FrameReader(Receiver()), b"".join(frames), [READ_BYTES])


@pytest.mark.parametrize("negotiated", [4_096, 8_192, FRAME_MAX_BYTES])
def test_a_frame_is_as_large_as_was_negotiated_and_not_a_byte_larger(negotiated: int) -> None:
    receiver = Receiver()
    reader = FrameReader(receiver)
    reader.frame_max = negotiated
    fits = negotiated - 8
    feed(reader, b"".join([*message(1, pattern(2 * fits), fits), *message(2, b"next")]), [READ_BYTES])
    assert [bytes(collected.bytes) for _, _, collected in receiver.messages] == [pattern(2 * fits), b"next"]
    with pytest.raises(FrameError, match="larger than negotiated"):
        feed(reader, b"".join(message(3, pattern(2 * fits), fits + 1)), [READ_BYTES])
    assert receiver.messages[-1][2].at == 0


def test_properties_that_cannot_be_read_are_a_bad_message_and_not_a_bad_connection() -> None:
    receiver = Receiver()
    flags = b"\xff\xfe" + b"\xff" * 40
    content = b"\x00\x3c\x00\x00" + (3).to_bytes(8, "big") + flags
    head = b"\x02\x00\x01" + len(content).to_bytes(4, "big") + content + b"\xce"
    feed(FrameReader(receiver), b"".join([message(1, b"")[0], head, message(1, b"abc")[2], *message(2, b"ok")]), [99])
    assert [bytes(collected.bytes) for _, _, collected in receiver.messages] == [b"abc", b"ok"]
    assert receiver.messages[0][1].message_type is None


def test_nothing_is_read_after_the_end() -> None:
    receiver = Receiver()
    reader = FrameReader(receiver)
    reader.end(ConnectionError("done"))
    feed(reader, b"".join(message(1, b"abc")), [READ_BYTES])
    assert receiver.messages == []


VALID = b"".join(
    [*message(1, pattern(500), 200), *message(2, b"", message_id="m"), *message(3, b"x", headers={"n": 1})]
)


@given(st.binary(max_size=2_000), st.integers(1, 700))
@example(b"AMQP\x00\x00\x09\x01", 8)
def test_arbitrary_bytes_are_frames_or_an_error(data: bytes, step: int) -> None:
    reader = FrameReader(Receiver())
    with suppress(FrameError):
        feed(reader, data, [step])
    assert len(reader.buffer()) <= READ_BYTES


@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(1, 999),
)
def test_damaged_frames_are_frames_or_an_error(damage: list[tuple[int, int]], step: int) -> None:
    data = bytearray(VALID)
    for at, value in damage:
        data[at] = value
    reader = FrameReader(Dropping())
    with suppress(FrameError):
        feed(reader, bytes(data), [step])
    assert len(reader.buffer()) <= READ_BYTES


def test_an_empty_message_can_be_kept_waiting_as_well() -> None:
    receiver = Receiver(stall_every=1)
    reader = FrameReader(receiver)
    data = b"".join([*message(1, b""), *message(2, b"abc")])
    reader.buffer()[: len(data)] = data
    reader.received(len(data))
    assert reader.starved
    assert [tag for tag, _, _ in receiver.messages] == [1], "the next one has to wait behind it"
    for _, _, collected in receiver.messages:
        collected.stall_every = 0
    receiver.stall_every = 0
    reader.proceed()
    assert [bytes(collected.bytes) for _, _, collected in receiver.messages] == [b"", b"abc"]
