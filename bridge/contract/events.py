"""The facts on Kafka's events topic, keyed by transaction id.

Values are JSON, so any topic viewer shows them. A fact is never taken back; the tracker folds them, in partition
order, into what is known of a transaction. Decoding is strict: what does not fit is parked, not guessed at. Other
releases read them too (`bridge.unreadable`): a new kind gets a new name, a new meaning a new version.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import UNSET

from bridge.contract.inbound import TIMEOUT_MAX_S, TOTAL_COUNT_MAX, Header, Trace
from bridge.contract.outbound import Problem
from bridge.runs import RUN_MAX_BYTES, RUN_ORDINALS_MAX, RUN_PAYLOAD_MAX_BYTES, is_aligned
from bridge.unreadable import Version, read

_Ordinal = Annotated[int, msgspec.Meta(ge=1, le=TOTAL_COUNT_MAX)]
Id = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
"""Of an effect or a command, and so a part of a row's key."""
_Crc64 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With a zone, as all of ours have: one without cannot be compared with them."""

YEARS: Final = range(1970, 9_000)
"""Of a moment that is reckoned with: Python knows none beyond the year 9999."""

OutcomeKind = Literal["Completed", "Failed", "Abandoned"]


class Event(msgspec.Struct, frozen=True, tag_field="type", tag=str, rename="camel", omit_defaults=True, kw_only=True):
    """A record of the events topic; the tag names the class."""

    v: Version = UNSET


def check_clock(moment: datetime) -> None:
    """Raises ValueError for a moment that no clock shows."""
    if moment.year not in YEARS:
        raise ValueError(f"{moment.year} is no year of ours")


class HeaderReceived(Event, frozen=True):
    """A header was accepted and its copy is in blob storage."""

    transaction: str
    header: Header
    """As `_header.json` holds it: the first header of the transaction, whichever message this is about."""
    digest: str
    received: Moment
    reply_to: str | None = None
    trace: Trace = Trace()
    conflicting_digest: str | None = None
    """Digest of the header in this message, where it is another JSON value than the one that came first."""


class Staged(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The ordinals `first` .. `first + count - 1` of a series are staged as uncommitted blocks.

    One payload has as many blocks as it was cut into. A run, `count` 2, 4, ... or 256, holds small payloads in one
    block; it is aligned (see `bridge.runs`), which also keeps it within one part.

    A run that was found in storage has `run_bytes`, and neither `sizes` nor `crc64s`: its block tells which ordinals it
    holds, but not what each of them is.
    """

    series: str
    first: _Ordinal
    count: Annotated[int, msgspec.Meta(ge=1, le=RUN_ORDINALS_MAX)]
    total_count: _Ordinal
    sizes: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    """Bytes of each ordinal."""
    crc64s: tuple[_Crc64, ...]
    """CRC-64/NVME of each ordinal's payload."""
    blocks: tuple[_Crc64, ...]
    """CRC-64/NVME of each block in order; none for an empty payload, and one for a run: of its payloads in a row."""
    run_bytes: Annotated[int, msgspec.Meta(ge=0, le=RUN_MAX_BYTES)] = 0
    """Bytes of a run that was found in storage; 0 for everything else."""

    @property
    def found(self) -> bool:
        """Only storage tells of it, so what each of its ordinals contains is not known."""
        return self.run_bytes > 0

    def __post_init__(self) -> None:
        if self.first + self.count - 1 > self.total_count:
            raise ValueError("ordinals beyond the total count")
        if self.count > 1:
            self._check_run()
        if self.found:
            if self.count == 1 or self.sizes or self.crc64s:
                raise ValueError("only a run has bytes of its own, and then it has neither sizes nor crc64s")
            return
        if not len(self.sizes) == len(self.crc64s) == self.count:
            raise ValueError("sizes and crc64s must have one entry an ordinal")
        if bool(self.blocks) != any(self.sizes):
            raise ValueError("an empty payload has no blocks, any other at least one")

    def _check_run(self) -> None:
        if not is_aligned(self.first, self.count):
            raise ValueError("a run has 2, 4, 8, ... ordinals and starts behind a multiple of as many")
        if len(self.blocks) != 1:
            raise ValueError("a run has one block")
        if max(self.sizes, default=0) >= RUN_PAYLOAD_MAX_BYTES:
            raise ValueError("a payload of a run is too large for one")


class PayloadsStaged(Event, frozen=True):
    """Payloads of one transaction are staged; a bridge reports together what it has in hand."""

    transaction: str
    staged: tuple[Staged, ...]
    received: Moment
    trace: Trace = Trace()


class MessageRefused(Event, frozen=True):
    """A message of a producer was refused and dead-lettered: it brought nothing, and may be what is missing."""

    transaction: str
    """That the message named."""
    problem: Problem


class Delivered(Event, frozen=True):
    """The outcome of a transaction is written and told: nothing about it will change any more."""

    transaction: str
    outcome: OutcomeKind
    outcome_uri: str
    outcome_etag: str
    completed: Moment
    """When the outcome was decided, as the outcome document says."""
    told: Moment
    notification_id: str
    problem: Problem | None = None

    def __post_init__(self) -> None:
        check_clock(self.told)


class DeliveryRefused(Event, frozen=True):
    """A delivery could not be carried out; the tracker decides what comes next."""

    transaction: str
    delivery: str
    """Id of the effect that was tried."""
    problem: Problem
    unclear: dict[str, tuple[int, ...]] = {}
    """Parts, by series, of which more is staged than the plan can tell apart: the next one has to name their blocks."""


class Told(Event, frozen=True):
    """Something other than an outcome was said or done for a transaction, and need not be again."""

    transaction: str
    effect: Id
    """Id of the effect that was carried out."""
    at: Moment


class Command(Event, frozen=True):
    """Somebody wants something done to a transaction."""

    transaction: str
    id: Id
    """Of this wish: the same one again changes nothing."""
    action: Literal["retry", "cancel", "extend"]
    by: Annotated[str, msgspec.Meta(max_length=128)]
    """Who."""
    at: Moment
    """When it was said, by the clock of whoever took it."""
    extend_s: Annotated[float, msgspec.Meta(ge=0, le=TIMEOUT_MAX_S)] = 0.0


class Watermark(Event, frozen=True):
    """How far one bridge has come, told to each partition: what waits is judged by this and by no clock.

    Every message that was in the queues before `reached` and went through this bridge has its facts before this
    record. `reached` is the broker's timestamp of an earlier record of this kind in the same partition, so no clock of
    a bridge takes part in it.
    """

    bridge: str
    """One run of a bridge: it is another one when the process is started again, and when it has lost a lane with what
    it had in hand."""
    reached: Moment | None = None
    """None: a bridge that is about to consume, and has not come round once."""
    gone: bool = False
    """It has nothing in hand, had nothing to give back, and will be silent from now on."""


class Tick(Event, frozen=True):
    """The tracker's own clock in one partition: drive again what is due, refresh what is shown."""

    at: Moment


TransactionEvent = HeaderReceived | PayloadsStaged | MessageRefused | Delivered | DeliveryRefused | Told | Command
AnyEvent = TransactionEvent | Watermark | Tick

EVENT_MAX_BYTES: Final = 4 << 20
"""Of one record. A header may have 1 MiB in its body, and the facts of a batch are cut to stay below."""


def topic_name(namespace: str) -> str:
    """The events topic of an installation."""
    return f"{namespace}.events"


_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_types: Final = frozenset(kind.__name__ for kind in get_args(AnyEvent))
_encoder = msgspec.json.Encoder()


def encode(event: AnyEvent) -> bytes:
    """The event as the JSON of a Kafka record."""
    return _encoder.encode(event)


def decode(value: bytes) -> AnyEvent:
    """The event in a Kafka record.

    Raises Unreadable (with a code, and the JSON path) when it is none that this release knows.
    """
    return read(_decoder, value, _types)
