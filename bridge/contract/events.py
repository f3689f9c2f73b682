"""The facts on Kafka's events topic, keyed by transaction id.

Values are JSON, so any topic viewer shows them. A fact is never taken back; the tracker folds them, in partition
order, into what is known of a transaction. Decoding is strict: what does not fit is parked, not guessed at.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from bridge.contract.inbound import Header, Trace
from bridge.contract.outbound import Problem

OutcomeKind = Literal["Completed", "Failed", "Abandoned"]


class Event(msgspec.Struct, frozen=True, tag_field="type", tag=str, rename="camel", omit_defaults=True):
    """A record of the events topic; the tag names the class."""


class HeaderReceived(Event, frozen=True):
    """A header was accepted and its copy is in blob storage."""

    transaction: str
    header: Header
    """As `_header.json` holds it: the first header of the transaction, whichever message this is about."""
    digest: str
    received: datetime
    reply_to: str | None = None
    trace: Trace = Trace()
    conflicting_digest: str | None = None
    """Digest of the header in this message, where it is another JSON value than the one that came first."""


class Staged(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The ordinals `first` .. `first + count - 1` of a series are staged as uncommitted blocks."""

    series: str
    first: int
    count: int
    """1, or a power of two for a run of small payloads that share one block."""
    total_count: int
    sizes: tuple[int, ...]
    """Bytes of each ordinal."""
    crc64s: tuple[str, ...]
    """CRC-64/NVME of each ordinal's payload, 16 hex digits."""
    blocks: tuple[str, ...]
    """CRC-64/NVME of each block in order, 16 hex digits; none for an empty payload."""


class PayloadsStaged(Event, frozen=True):
    """Payloads of one transaction are staged; a bridge reports together what it has in hand."""

    transaction: str
    staged: tuple[Staged, ...]
    received: datetime
    trace: Trace = Trace()


class Delivered(Event, frozen=True):
    """The outcome of a transaction is written and told: nothing about it will change any more."""

    transaction: str
    outcome: OutcomeKind
    outcome_uri: str
    outcome_etag: str
    completed: datetime
    """When the outcome was decided, as the outcome document says."""
    told: datetime
    notification_id: str
    problem: Problem | None = None


class DeliveryRefused(Event, frozen=True):
    """A delivery could not be carried out; the tracker decides what comes next."""

    transaction: str
    delivery: str
    """Id of the effect that was tried."""
    problem: Problem


class Tick(Event, frozen=True):
    """The tracker's own clock in one partition: drive again what is due, refresh what is shown."""

    at: datetime


AnyEvent = HeaderReceived | PayloadsStaged | Delivered | DeliveryRefused | Tick

EVENT_MAX_BYTES: Final = 4 << 20
"""Of one record. A header may have 1 MiB in its body, and the facts of a batch are cut to stay below."""

_decoder = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder()


def encode(event: AnyEvent) -> bytes:
    """The event as the JSON of a Kafka record."""
    return _encoder.encode(event)


def decode(value: bytes) -> AnyEvent:
    """The event in a Kafka record.

    Raises msgspec.DecodeError (with the JSON path) when it is none that this version knows.
    """
    return _decoder.decode(value)
