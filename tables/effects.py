"""What a transaction wants done, as plain data on Kafka's deliveries topic.

An effect is computed from the state alone and carries an id made from what it means, so sending it twice, or again
after a crash, is harmless.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET

from bridge.contract.events import Id, Moment, OutcomeKind
from bridge.contract.inbound import TOTAL_COUNT_MAX, Header, Trace
from bridge.contract.outbound import Problem, Ranges
from bridge.unreadable import Version, read

EFFECT_MAX_BYTES: Final = 4 << 20
"""Of one record. No transaction reaches it: `tables.limits` bounds the parts of a plan, `tables.tiling` what is said
of each, and `tables.plan` the blocks that are named."""


_Crc64s = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})*$")]


class PartPlan(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How to recognise the accepted blocks of one part among all that are staged."""

    part: Annotated[int, msgspec.Meta(ge=0, le=TOTAL_COUNT_MAX)]
    ordinals: int
    blocks: int
    bytes: int
    digest: str
    """32 hex digits: sum modulo 2^128 of the hashes of the accepted block ids."""
    content: str
    """32 hex digits: the same of what each ordinal contains, in whatever blocks: by it a committed part is known."""
    tiles: str = ""
    """See `tables.tiling`: which ordinals share a block, and which are missing."""
    named: tuple[_Crc64s, ...] | None = None
    """Of each tile in order the CRC-64s of its blocks in a row, 16 hex digits each; none for an empty payload. Only
    for a part that a delivery could not make out by the digest."""


class SeriesPlan(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One series to assemble; no parts where the verdict is not Completed."""

    series: str
    total_count: Annotated[int, msgspec.Meta(ge=0, le=TOTAL_COUNT_MAX)] | None
    content_type: str | None = None
    parts: tuple[PartPlan, ...] = ()


class OrphanSeries(msgspec.Struct, frozen=True, rename="camel"):
    """Payloads that belong to no result: nothing announced their series, or no header ever came."""

    series: str
    total_count: int | None
    received_count: int
    bytes: int
    received: Ranges
    ranges_truncated: bool


class _Versioned(msgspec.Struct, frozen=True, kw_only=True):
    v: Version = UNSET


class _Effect(_Versioned, frozen=True, tag_field="type", tag=str, rename="camel", omit_defaults=True):
    """A record of the deliveries topic; the tag names the class."""

    id: Id
    transaction: str


class Deliver(_Effect, frozen=True):
    """Commit the series, write the outcome, tell the consumers."""

    transaction_type: str
    outcome: OutcomeKind
    created: Moment
    series: tuple[SeriesPlan, ...]
    partial: bool = False
    """Of each series only what was received."""
    header_received: Moment | None = None
    problem: Problem | None = None
    orphans: tuple[OrphanSeries, ...] = ()
    reply_to: str | None = None
    trace: Trace = Trace()


NoticeKind: TypeAlias = Literal["accepted", "gap", "overdue"]


class Announce(_Effect, frozen=True):
    """Tell those who wait something that is no outcome."""

    transaction_type: str
    kind: NoticeKind
    at: Moment
    """When it became true."""
    sequence: int = 0
    """Running number of a gap."""
    problem: Problem | None = None
    header: Header | None = None
    """Of a transaction that was accepted."""
    reply_to: str | None = None
    trace: Trace = Trace()


class KeepAlive(_Effect, frozen=True):
    """Keep storage from dropping the uncommitted blocks of a transaction, as it does a week after the last one."""

    sequence: int


Effect: TypeAlias = Deliver | Announce | KeepAlive


def notice_id(transaction: str, kind: str, sequence: int = 0) -> str:
    """The id of an effect that is no delivery."""
    return blake2b(f"{kind}/{transaction}/{sequence}".encode(), digest_size=16).hexdigest()


def delivery_id(transaction: str, outcome: OutcomeKind) -> str:
    """The id of the one delivery a transaction can want with this outcome."""
    return blake2b(f"deliver/{transaction}/{outcome}".encode(), digest_size=16).hexdigest()


def block_hash(block_id: str) -> int:
    """What one accepted block adds to the digest of its part."""
    return int.from_bytes(blake2b(block_id.encode(), digest_size=16).digest(), "big")


def content_hash(ordinal: int, content: bytes) -> int:
    """What one accepted ordinal adds to the content of its part."""
    return int.from_bytes(blake2b(ordinal.to_bytes(4, "big") + content, digest_size=16).digest(), "big")


def digest_text(digest: int) -> str:
    """Such a sum as plans carry it."""
    return f"{digest % (1 << 128):032x}"


_decoder: msgspec.json.Decoder[Effect] = msgspec.json.Decoder(Effect)
_types: Final = frozenset(kind.__name__ for kind in get_args(Effect))
_encoder = msgspec.json.Encoder()


def encode(effect: Effect) -> bytes:
    """The effect as the JSON of a Kafka record."""
    return _encoder.encode(effect)


def decode(value: bytes) -> Effect:
    """The effect in a Kafka record. Raises Unreadable when it is none that this release knows."""
    return read(_decoder, value, _types)
