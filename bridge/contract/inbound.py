"""What producers send on RabbitMQ: one header and many payloads a transaction.

The rules are the public contract; `bridge.envelope` applies them. Every limit stands here, once.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeGuard

import msgspec

HEADER_TYPE: Final = "brh.header.v1"
PAYLOAD_TYPE: Final = "brh.payload.v1"

TRANSACTION_ID: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
SERIES_TYPE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
TRANSACTION_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# Ask the three functions below: the patterns alone let `..` through.
_NO_DOTS: Final = r"(?!.*[.][.])"


def whole(pattern: str) -> msgspec.Meta:
    """That a text has to match the whole pattern, for JSON Schemas; msgspec itself does not look at it."""
    # To Python's `$` a line end behind the text is no part of it, to JavaScript's it is.
    return msgspec.Meta(extra_json_schema={"pattern": rf"^{pattern}(?!\n)$"})


TransactionId = Annotated[str, whole(_NO_DOTS + TRANSACTION_ID.pattern)]
SeriesType = Annotated[str, whole(_NO_DOTS + SERIES_TYPE.pattern)]
TransactionType = Annotated[str, whole(TRANSACTION_TYPE.pattern)]

HEADER_MAX_BYTES: Final = 1 << 20
PAYLOAD_MAX_BYTES: Final = 256 << 20
SERIES_MAX: Final = 1_000
TOTAL_COUNT_MAX: Final = 1_000_000
SMALL_PAYLOAD_BYTES: Final = 256 << 10
"""Payloads below this belong on the queue of small ones, where many are taken at once."""
TIMEOUT_MIN_S: Final = 1
TIMEOUT_MAX_S: Final = 6 * 24 * 3600
"""Azure drops uncommitted blocks after seven days without a Put Block; one day is kept as reserve."""


def is_transaction_id(value: object) -> TypeGuard[str]:
    """Whether the value can name a transaction, and so a folder of the container."""
    return isinstance(value, str) and TRANSACTION_ID.fullmatch(value) is not None and ".." not in value


def is_series_type(value: object) -> TypeGuard[str]:
    """Whether the value can name a series, and so a folder of its transaction."""
    return isinstance(value, str) and SERIES_TYPE.fullmatch(value) is not None and ".." not in value


def is_transaction_type(value: object) -> TypeGuard[str]:
    """Whether the value can name a transaction type, and so be a word of a routing key."""
    return isinstance(value, str) and TRANSACTION_TYPE.fullmatch(value) is not None


class RejectionCode(StrEnum):
    """Why a message was refused. The strings are public and stable."""

    BAD_TYPE = "bad-type"
    BAD_TRANSACTION_ID = "bad-transaction-id"
    BAD_SERIES_TYPE = "bad-series-type"
    BAD_ORDINAL = "bad-ordinal"
    BAD_TOTAL_COUNT = "bad-total-count"
    BAD_HEADER_BODY = "bad-header-body"
    HEADER_TOO_LARGE = "header-too-large"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    DIGEST_MISMATCH = "digest-mismatch"
    LENGTH_MISMATCH = "length-mismatch"
    TOO_MANY_SERIES = "too-many-series"
    RECORD_UNREADABLE = "record-unreadable"
    """The header that the transaction was accepted with is kept in storage, and is of a newer release."""


class Rejected(msgspec.Struct, frozen=True):
    """A message that can never be accepted: a value, because refusing is a normal day's work."""

    code: RejectionCode
    reason: str


class SeriesSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One series that a header announces."""

    type: SeriesType
    total_count: Annotated[int, msgspec.Meta(ge=0, le=TOTAL_COUNT_MAX)] | None = None
    """None: the payloads tell. 0: an empty series."""
    content_type: str | None = None


_Limit = Annotated[float, msgspec.Meta(ge=TIMEOUT_MIN_S, le=TIMEOUT_MAX_S)]


class Timeouts(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Waiting limits of one transaction in seconds; None: the default of its type."""

    idle_s: _Limit | None = None
    awaiting_s: _Limit | None = None


class Header(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a transaction consists of, as its first accepted header says."""

    series: tuple[SeriesSpec, ...]
    transaction_type: str = "default"
    timeouts: Timeouts = Timeouts()
    on_timeout: Literal["abandon", "partial"] | None = None
    on_conflict: Literal["fail", "keep-first"] | None = None
    labels: dict[str, str] = {}


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """W3C trace context, carried from the producer to the notification."""

    traceparent: str | None = None
    tracestate: str | None = None


class HeaderMessage(msgspec.Struct, frozen=True):
    """A header message that keeps the contract."""

    transaction: str
    header: Header
    digest: str
    """Of the body as a JSON value: equal for the same value in any spelling."""
    reply_to: str | None
    trace: Trace


class PayloadMessage(msgspec.Struct, frozen=True):
    """Everything known of a payload before its first body byte."""

    transaction: str
    series: str
    ordinal: int
    total_count: int
    size: int
    """Bytes."""
    sha256: str | None
    """Lower-case hex that the body must have, to be verified while it streams."""
    trace: Trace
