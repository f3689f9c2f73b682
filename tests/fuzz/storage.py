"""What comes from blob storage: documents beside a result, and the names of blobs and blocks."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from bridge.contract import events
from bridge.contract.outbound import Told
from bridge.header_record import HeaderRecord, read_header
from bridge.layout import BlockId, PartName, part_name
from bridge.unreadable import Unreadable
from streams.notification import notification, orphan_record
from streams.orphans import read_orphans
from streams.outcome import Audience, Decided, delivered, read_audience, read_outcome, read_told
from tables import tiling
from tests.fuzz.target import Target, says_why
from tests.golden.release_0_1_0 import AUDIENCE, HEADER, MOMENT, ORPHANED, OUTCOMES, TIME, TRACE

TOLD: Final = Told("n-1", TIME)


def read_an_outcome(data: bytes) -> None:
    """The document, up to the fact and the notification that are made of it."""
    try:
        outcome = read_outcome(data)
    except Unreadable as error:
        says_why(error)
        return
    decided = Decided(outcome, "0x1", AUDIENCE)
    fact = delivered(decided, TOLD)
    assert events.decode(events.encode(fact)) == fact
    assert msgspec.json.encode(notification(decided, "lab"))
    assert msgspec.json.encode(orphan_record(decided, ORPHANED, "lab"))
    assert read_outcome(msgspec.json.encode(outcome)) == outcome


def read_records(data: bytes) -> None:
    """The other documents; the first byte says which."""
    readers: tuple[Any, ...] = (read_told, read_orphans, read_header)
    try:
        record = readers[data[0] % len(readers)](data[1:]) if data else None
    except Unreadable as error:
        says_why(error)
        return
    if record is not None:
        assert readers[data[0] % len(readers)](msgspec.json.encode(record)) == record
    if isinstance(record, HeaderRecord):
        fact = events.HeaderReceived("T1", record.header, record.digest, record.received, record.reply_to, record.trace)
        assert events.decode(events.encode(fact)) == fact


def read_metadata(data: bytes) -> None:
    """Who is to be told, as metadata of the outcome carry it."""
    try:
        audience = read_audience({"brh_audience": data.decode("latin-1")})
    except Unreadable as error:
        says_why(error)
        return
    assert isinstance(audience, Audience)


def read_names(data: bytes) -> None:
    """Names of blobs and blocks in a list, and the tiling of a part."""
    text = data.decode("latin-1")
    block, part = BlockId.parse(text), PartName.parse(text)
    if block is not None:
        assert BlockId.parse(str(block)) == block
    if part is not None:
        assert part_name(*part) == text
    ordinals = range(4_097, 8_190)
    try:
        tiles = tiling.decode(text, ordinals)
    except tiling.BadTiling:
        return
    assert all(tile.first in ordinals and tile.count >= 1 for tile in tiles)


def _records() -> Iterator[bytes]:
    for first, record in enumerate((TOLD, ORPHANED, HeaderRecord("T1", HEADER, "d" * 32, MOMENT, "queue", TRACE))):
        yield bytes((first,)) + msgspec.json.encode(record)


def _names() -> Iterator[bytes]:
    yield str(BlockId(1_000, 17, 1, 0, 1, 7)).encode()
    yield part_name("T1", "a", 3).encode()
    yield tiling.encode(bytes([9] * 256 + [1] * 3_837)).encode()
    yield tiling.encode(bytes([1, 0] * 2_046 + [1])).encode()


def _audiences() -> Iterator[bytes]:
    for body in (msgspec.json.encode(AUDIENCE), b'{"reply_to":"\xff"}', b"{}", b"[" * 9_999):
        yield base64.b64encode(body)


TARGETS: Final = (
    Target(
        "outcome", read_an_outcome, lambda: map(msgspec.json.encode, OUTCOMES.values()), json=True,
        tokens=(b'"v":2', b'"completed":', b'"received":[[', b'"missing":null'),
    ),
    Target("records", read_records, _records, tokens=(b'"v":2', b'"toldAt":"', b'"received":')),
    Target(
        "audience", read_metadata, _audiences,
        tokens=(b"eyJ2IjoyfQ==",),
    ),
    Target("names", read_names, _names, tokens=(b"part-00000", b".000", b"=")),
)  # fmt: skip
