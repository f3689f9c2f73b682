"""What comes from RabbitMQ: properties, header bodies, frames, and a whole connection."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from pamqp import body, commands, frame, header
from pamqp.base import Frame

from bridge.amqp_connection import LaneClosed
from bridge.contract import events
from bridge.contract.events import HeaderReceived
from bridge.contract.inbound import HEADER_MAX_BYTES, Header, HeaderMessage, PayloadMessage, Rejected, Trace
from bridge.decoding import decode_whatever_comes
from bridge.envelope import check_header, parse_header, parse_payload
from bridge.frames import FRAME_MAX_BYTES, Begin, Body, FrameError, FrameReader
from bridge.header_body import parse_body
from bridge.lane import Incoming, Lane
from bridge.rejection import Refused, rejection
from streams.cli import show_letters
from streams.cli.dead_letter import dead_letter, letter_id
from streams.cli.put_back import put_back
from tests.fuzz.target import Target
from tests.golden.release_0_1_0 import MOMENT
from tests.support.scripted_broker import message

_PREFIX: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQ")
_LENGTH: Final = struct.Struct(">I")
_DELIVER: Final = frame.marshal(commands.Basic.Deliver("lane", 1, False, "brh.in", "payload.a"), 1)

HEADER_BODIES: Final = (
    b'{"series":[{"type":"a"}]}',
    b'{"transactionType":"valuation","series":[{"type":"cashflows","totalCount":128,"contentType":"text/csv"},'
    b'{"type":"log"}],"timeouts":{"awaiting":"PT2H","idle":"PT10M"},"onTimeout":"partial","onConflict":"keep-first",'
    b'"labels":{"book":"EUR"}}',
    b'{"series":[{"type":"a","totalCount":0}],"x":[1.5e3,-0.0,1e400,[null,true,{"a":"\\u00e9\\ud83d\\ude00"}]]}',
)


class Kept:
    """A body that is kept, up to a bound: what a message announces may be larger than any memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = bytearray()
        self.lost: Exception | None = None
        self.filled_bytes = 0
        self._scratch = memoryview(bytearray(4_096))

    def room(self) -> memoryview | None:
        return self._scratch

    def filled(self, count: int) -> None:
        self.filled_bytes += count
        if len(self.bytes) < HEADER_MAX_BYTES:
            self.bytes += self._scratch[:count]

    def lose(self, why: Exception) -> None:
        assert self.lost is None, "lost twice"
        self.lost = why

    @property
    def whole(self) -> bool:
        return self.filled_bytes == self.size


class Messages:
    """Whom a reader's frames are for; it does with each message what the bridge and the command line do."""

    def __init__(self) -> None:
        self.reader = FrameReader(self)
        self.bodies: list[Kept] = []
        self.incoming: list[Incoming] = []

    def on_method(self, channel: int, method: Frame) -> None:
        assert method.name

    def on_message(self, deliver: Begin, size: int, properties: commands.Basic.Properties) -> Body:
        lane: Any = None
        incoming = Incoming(lane, deliver, size, properties, self.reader.properties)
        judge(incoming)
        self.incoming.append(incoming)
        self.bodies.append(Kept(size))
        return self.bodies[-1]


def judge(incoming: Incoming) -> None:
    """Everything that is decided from what comes ahead of a body."""
    found, size = incoming.properties, incoming.size
    payload = parse_payload(found, size)
    assert isinstance(payload, PayloadMessage | Rejected)
    if isinstance(payload, PayloadMessage):
        assert 1 <= payload.ordinal <= payload.total_count
        assert payload.size == size
    for refused in (payload, check_header(found, size)):
        if isinstance(refused, Rejected):
            said = rejection(Refused("brh.payloads", incoming.routing_key, found, size, refused), "lab")
            assert len(msgspec.json.encode(said.event)) < 16 << 10
    letter = dead_letter(found, size, HEADER_MAX_BYTES)
    assert letter.id == letter_id(found, size)
    for line in show_letters.letter(letter, found.headers, b""):
        assert line.isascii()
    msgspec.json.encode(show_letters.plain(found.headers))
    try:
        again = put_back(incoming.as_sent, letter.redriven)
    except ValueError:
        return
    assert put_back(again, letter.redriven) == again, "what is put back can be put back again"


def read_header(data: bytes) -> None:
    """A header's body, up to the fact, the record and the row that it becomes."""
    read = parse_body(data)
    if isinstance(read, Rejected):
        assert 0 < len(read.reason) < 2_000
        return
    header_, digest = read
    assert isinstance(header_, Header)
    assert len(digest) == 32
    fact = HeaderReceived("T1", header_, digest, MOMENT, None, Trace())
    record = events.encode(fact)
    assert events.decode(record) == fact
    assert len(record) <= events.EVENT_MAX_BYTES, "its fact would be refused by Kafka"


def read_envelope(data: bytes) -> None:
    """Two bytes say how long the properties are; the rest is the body."""
    decode_whatever_comes()
    length = int.from_bytes(data[:2], "big") % (FRAME_MAX_BYTES - 32)
    properties, content = data[2 : 2 + length], data[2 + length :]
    head = _CONTENT.pack(60, 0, len(content)) + properties
    messages = Messages()
    assert feed(messages.reader, _DELIVER + _PREFIX.pack(2, 1, len(head)) + head + b"\xce", 1 << 20)
    (incoming,) = messages.incoming
    assert isinstance(parse_header(incoming.properties, content), HeaderMessage | Rejected)


def feed(reader: FrameReader, data: bytes, step: int) -> bool:
    """Give bytes to a reader; whether it took them."""
    at = 0
    try:
        while at < len(data):
            room = reader.buffer()
            count = min(step, len(room), len(data) - at)
            assert count > 0
            room[:count] = data[at : at + count]
            at += count
            reader.received(count)
    except FrameError as error:
        reader.end(error)
        return False
    return True


def read_frames(data: bytes) -> None:
    """The first two bytes say in what steps the others come; the steps must make no difference."""
    decode_whatever_comes()
    if len(data) < 2:
        return
    step = int.from_bytes(data[:2], "big") + 1
    seen = []
    for each in (step, 1 << 20):
        messages = Messages()
        taken = feed(messages.reader, data[2:], each)
        messages.reader.end(LaneClosed("done"))
        assert all(kept.whole != (kept.lost is not None) for kept in messages.bodies), "whole, or lost"
        seen.append((taken, [bytes(kept.bytes) for kept in messages.bodies if kept.whole]))
    assert seen[0] == seen[1], "it depends on how the bytes come"


class _Wire:
    """A transport that leads nowhere."""

    def __init__(self) -> None:
        self.written = 0
        self.open = True

    def write(self, data: bytes) -> None:
        assert self.open, "written to what was closed"
        self.written += len(data)

    def abort(self) -> None:
        self.open = False

    def close(self) -> None:
        self.open = False

    def pause_reading(self) -> None:
        """Nothing comes then."""

    def resume_reading(self) -> None:
        """It comes again."""


def read_lane(data: bytes) -> None:
    """A lane that consumes, and the bytes that its broker sends: it ends cleanly, and each body is whole or lost."""
    decode_whatever_comes()
    asyncio.run(_read_lane(data))


async def _read_lane(data: bytes) -> None:
    mistakes: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: mistakes.append(context))
    bodies: list[Kept] = []

    def accept(incoming: Incoming) -> Body:
        judge(incoming)
        bodies.append(Kept(incoming.size))
        return bodies[-1]

    lane = Lane(accept, "lane", "queue")
    connection, wire = lane._connection, _Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]
    lane._consumes = True
    asked = asyncio.ensure_future(lane.look())
    await asyncio.sleep(0)
    for start in range(0, len(data), 1_000):
        at = start
        while at < min(start + 1_000, len(data)) and not lane.closed:
            room = connection.get_buffer(-1)
            count = min(len(room), start + 1_000 - at, len(data) - at)
            room[:count] = data[at : at + count]
            at += count
            connection.buffer_updated(count)
    connection.connection_lost(None)
    assert lane.closed
    assert isinstance(await lane.wait_closed(), LaneClosed)
    await asyncio.gather(asked, return_exceptions=True)
    assert not mistakes
    assert "a mistake of ours" not in str(connection.closed)
    assert all(kept.whole != (kept.lost is not None) for kept in bodies)


def _envelopes() -> Iterator[bytes]:
    payload = {"brh_series_type": "a", "brh_ordinal": 3, "brh_total_count": 8}
    death = {"queue": "brh.payloads", "reason": "rejected", "exchange": "brh.in", "routing-keys": ["payload.a"]}
    nested: dict[str, Any] = {"t": MOMENT, "n": [1, 2.5, None, True, {"deep": [b"\xff".decode("latin-1")]}]}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for kind, headers in (
        ("brh.payload.v1", payload),
        ("brh.payload.v1", {**payload, "brh_sha256": "0" * 64, "brh_content_length": 4, "traceparent": trace}),
        ("brh.payload.v1", {**payload, "x-death": [death], "brh_redriven": 2, **nested}),
        ("brh.header.v1", {"tracestate": "a=b", "traceparent": trace}),
        ("brh.header.v2", {}),
    ):
        properties = commands.Basic.Properties(
            content_type="application/json", content_encoding="utf-8", headers=headers, delivery_mode=2, priority=1,
            correlation_id="T1", reply_to="q", expiration="1000", message_id="m", timestamp=MOMENT, message_type=kind,
            user_id="guest", app_id="job",
        )  # fmt: skip
        content = b"body" if kind == "brh.payload.v1" else HEADER_BODIES[0]
        encoded = header.ContentHeader(0, 0, properties).marshal()[_CONTENT.size :]
        yield len(encoded).to_bytes(2, "big") + encoded + content
    yield from _tables()


def nested(levels: int, in_array: bool) -> bytes:
    """A table that holds a table that holds a table."""
    inner = b"\x01nV"
    for _ in range(levels):
        inner = _LENGTH.pack(len(inner)) + inner
        inner = b"\x01nA" + _LENGTH.pack(len(inner) + 1) + b"F" + inner if in_array else b"\x01nF" + inner
    return _LENGTH.pack(len(inner)) + inner


def _tables() -> Iterator[bytes]:
    """Headers alone, such as no client of good will sends."""
    wide = b"\x01nA" + _LENGTH.pack(30_000) + b"V" * 30_000
    for table in (
        nested(4_000, False),
        nested(3_000, True),
        _LENGTH.pack(len(wide)) + wide,
        _LENGTH.pack(9) + b"\x01\xffV",
    ):
        encoded = (1 << 13).to_bytes(2, "big") + table
        yield len(encoded).to_bytes(2, "big") + encoded


def _header_bodies() -> Iterator[bytes]:
    yield from HEADER_BODIES
    for levels in (60, 70, 600, 100_000):
        yield b'{"series":[{"type":"a"}],"x":' + b"[" * levels + b"]" * levels + b"}"
    for number in (b"9" * 500, b"9" * 5_000, b"-0.0e-999", b"1" + b"0" * 400 + b"e-400"):
        yield b'{"series":[{"type":"a"}],"x":' + number + b"}"
    yield b'{"series":[' + b",".join(b'{"type":"s%d"}' % at for at in range(1_001)) + b"]}"


def _frames() -> Iterator[bytes]:
    step = (6).to_bytes(2, "big")
    got = commands.Basic.GetOk(1, False, "brh.dead", "k", 0)
    yield step + b"".join(message(1, b"content" * 9, 20, headers={"n": 1}, message_type="brh.payload.v1"))
    yield step + b"".join([*message(1, b""), *message(2, b"x")])
    yield step + frame.marshal(got, 1) + b"".join(message(1, b"abc")[1:])
    answer = frame.marshal(commands.Queue.DeclareOk("q", 5, 1), 1)
    yield step + answer + b"\x08\0\0\0\0\0\0\xce"
    yield step + answer + answer
    yield step + frame.marshal(commands.Basic.QosOk(), 1)
    yield step + frame.marshal(commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0)
    yield step + frame.marshal(commands.Channel.Close(404, "NOT_FOUND", 0, 0), 1)
    yield step + frame.marshal(commands.Basic.Cancel("lane", True), 1)
    yield step + frame.marshal(body.ContentBody(b"alone"), 1)


TARGETS: Final = (
    Target("amqp-envelope", read_envelope, _envelopes, tokens=(b"brh_ordinal", b"brh_sha256", b"x-death", b"F", b"A")),
    Target(
        "header-body", read_header, _header_bodies, json=True, factor=400,
        tokens=(b'"series"', b'"type"', b'"totalCount"', b"1e999", b"-0", b"NaN"),
    ),
    Target("frames", read_frames, _frames, tokens=(b"\xce", b"\x01\0\x01", b"\x02\0\x01", b"\x03\0\x01")),
    Target("lane", read_lane, lambda: (each[2:] for each in _frames()), tokens=(b"\xce", b"\x01\0\x01", b"\x03\0\x01")),
)  # fmt: skip
