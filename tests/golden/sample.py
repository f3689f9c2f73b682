"""One record that a release has written: its value, and how this release writes and reads it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from bridge.contract import events
from bridge.contract.outbound import CloudEvent
from bridge.header_record import read_header
from bridge.layout import BlockId, PartName, part_name
from bridge.runs import Interval
from streams.orphans import read_orphans
from streams.outcome import Audience, read_audience, read_outcome, read_told
from tables import effects, receipts, tiling


class Sample(NamedTuple):
    """Something that stays, or travels between processes of different releases."""

    value: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]

    @property
    def written(self) -> bytes:
        """As this release writes it."""
        return self.encode(self.value)


def event(value: events.AnyEvent) -> Sample:
    """A record of `brh.events`."""
    return Sample(value, events.encode, events.decode)


def effect(value: effects.Effect) -> Sample:
    """A record of `brh.deliveries`."""
    return Sample(value, effects.encode, effects.decode)


def receipt(transaction: str, fact: receipts.Kept, offset: int, place: int) -> Sample:
    """A row of the table `receipts`: the key and the JSON that its changelog carries."""

    def encode(found: tuple[str, receipts.Row]) -> bytes:
        return _json([found[0], receipts.row(found[1].fact, found[1].offset, found[1].at, found[1].place)])

    def decode(body: bytes) -> tuple[str, receipts.Row]:
        key, plain = json.loads(body)
        return key, receipts.read(plain)

    key = receipts.key(transaction, fact)
    assert key is not None
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    return Sample((key, receipts.read(receipts.row(fact, offset, at, place))), encode, decode)


def view(value: dict[str, Any]) -> Sample:
    """A row of the table `transactions`: a view, that may show more in a later release."""
    return Sample(json.loads(_json(value)), _json, json.loads)


def document(value: Any) -> Sample:
    """A document in storage."""
    readers = {"Outcome": read_outcome, "Told": read_told, "Orphaned": read_orphans, "HeaderRecord": read_header}
    return Sample(value, msgspec.json.encode, readers[type(value).__name__])


def audience(value: Audience) -> Sample:
    """Who is to be told, as metadata of the outcome's document."""

    def encode(found: Audience) -> bytes:
        return base64.b64encode(msgspec.json.encode(found))

    return Sample(value, encode, lambda body: read_audience({"brh_audience": body.decode()}))


def told(value: CloudEvent) -> Sample:
    """What consumers are told: the same bytes in every release, or a copy would differ from the one before."""
    return Sample(value, msgspec.json.encode, lambda body: msgspec.json.decode(body, type=CloudEvent))


def block(value: BlockId) -> Sample:
    """The id of a block that is staged."""
    return Sample(value, lambda found: str(found).encode(), lambda body: BlockId.parse(body.decode()))


def part(value: PartName) -> Sample:
    """The name of a part's blob."""
    return Sample(value, lambda found: part_name(*found).encode(), lambda body: PartName.parse(body.decode()))


def tiles(value: list[Interval], counts: bytes, ordinals: range) -> Sample:
    """How the ordinals of a part are tiled, as plans and metadata of parts say it."""
    return Sample(value, lambda _: tiling.encode(counts).encode(), lambda body: tiling.decode(body.decode(), ordinals))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
