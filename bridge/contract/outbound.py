"""What consumers and operators get: the outcome document, its CloudEvent, problems.

Times are RFC 3339 strings in UTC with milliseconds here, because these documents are read by other people's programs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from bridge.contract.inbound import SeriesSpec, SeriesType, TransactionId, TransactionType, whole
from bridge.unreadable import Version

Stage = Literal["ingest", "await", "assemble", "notify"]
Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of ordinals, ascending."""
Missing = dict[str, Ranges | None] | None
"""Per series the ordinals that are missing; None for a series of which nothing is known."""

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""As `rfc3339` writes it."""
Uri = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri"})]
Crc64 = Annotated[str, whole("[0-9a-f]{16}")]
"""CRC-64/NVME in hex."""

PROBLEM_TYPE_PREFIX: Final = "urn:brh:problem:"
CLOUDEVENT_CONTENT_TYPE: Final = "application/cloudevents+json"


class OutcomeCode(StrEnum):
    """Why a transaction has failed or was abandoned. The strings are public and stable."""

    CONFLICTING_PAYLOAD = "conflicting-payload"
    CONFLICTING_TOTAL_COUNT = "conflicting-total-count"
    CONFLICTING_HEADER = "conflicting-header"
    UNKNOWN_SERIES = "unknown-series"
    EARLY_LIMIT = "early-limit"
    TOO_MANY_SERIES = "too-many-series"
    TOO_MANY_PAYLOADS = "too-many-payloads"
    TOO_MANY_OPEN = "too-many-open"
    COMPLETION_TIMEOUT = "completion-timeout"
    NO_HEADER = "no-header"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class Public(msgspec.Struct, frozen=True, rename="camel"):
    """A document of the public interface: JSON with camelCase members, absent values as null."""


class Document(Public, frozen=True, kw_only=True):
    """A document that stays in storage, where other releases read it."""

    v: Version = UNSET


class Problem(Public, frozen=True):
    """RFC 9457 problem with the members that say what went wrong where, and whether trying again can help."""

    code: str
    title: str
    detail: str
    stage: Stage
    occurred_at: Time
    retryable: bool = False
    terminal: bool = True
    missing: Missing = None
    missing_truncated: bool | UnsetType = UNSET
    """There: true, more is missing than `missing` names. `GET /v1/transactions/{id}/gaps` tells what is missing now."""
    type: str = ""

    def __post_init__(self) -> None:
        if not self.type:
            msgspec.structs.force_setattr(self, "type", PROBLEM_TYPE_PREFIX + self.code)


class Part(Public, frozen=True):
    """One committed blob of a series."""

    uri: Uri
    bytes: int
    etag: str
    crc64: Crc64


class SeriesResult(Public, frozen=True):
    """One series of an outcome; its parts, in order, are the result.

    The last three members are there only in a partial outcome.
    """

    series_type: SeriesType
    total_count: int | None
    bytes: int
    content_type: str | None
    parts: tuple[Part, ...]
    received: Ranges | UnsetType = UNSET
    """What the parts hold, in this order and without filler."""
    missing: Ranges | UnsetType | None = UNSET
    """What they lack; None where the total count is not known."""
    ranges_truncated: bool | UnsetType = UNSET
    """There are more ranges than are shown."""


class OutcomeTimestamps(Public, frozen=True):
    """Milestones of a transaction up to its outcome."""

    created: Time | None
    header_received: Time | None
    completed: Time


class Outcome(Document, frozen=True):
    """`_outcome.json`: the one decision about a transaction."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    outcome: Literal["Completed", "Failed", "Abandoned"]
    partial: bool
    outcome_uri: Uri
    series: tuple[SeriesResult, ...]
    problem: Problem | None
    timestamps: OutcomeTimestamps


class Told(Document, frozen=True):
    """`_told.json`: the outcome was told to everybody who must hear it."""

    notification_id: str
    told_at: Time


class Accepted(Public, frozen=True):
    """Data of `brh.transaction.accepted.v1`: the header of a transaction has come, and says this."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    series: tuple[SeriesSpec, ...]
    labels: dict[str, str]
    header_received: Time


class Gap(Public, frozen=True):
    """Data of `brh.transaction.gap.v1`: nothing new comes, and something is missing."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    sequence: int
    """Running number of the transaction's gap events."""
    problem: Problem | None
    """Its `missing` names what is missing."""


class Overdue(Public, frozen=True):
    """Data of `brh.transaction.overdue.v1`: outcome or notification take longer than they should."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    problem: Problem | None


class OrphanSeries(Public, frozen=True):
    """Payloads of one series that belong to no result."""

    series_type: SeriesType
    total_count: int | None
    received_count: int
    bytes: int
    received: Ranges
    ranges_truncated: bool


class Orphaned(Document, frozen=True):
    """Data of `brh.transaction.orphaned.v1`: what came and is in no result; its blocks are removed."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    reason: str
    """Code of the outcome's problem, or `unknown-series` where the rest of the transaction completed."""
    series: tuple[OrphanSeries, ...]


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """CloudEvents 1.0 in structured JSON. Consumers deduplicate on (`source`, `id`)."""

    specversion: str
    id: str
    source: str
    type: str
    time: Time
    datacontenttype: str
    data: msgspec.Raw
    """JSON, byte for byte as it was written once."""
    subject: str | None = None
    correlationid: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class RejectedMessage(Public, frozen=True):
    """Data of `brh.message.rejected.v1`: which message was refused, and why."""

    transaction_id: TransactionId | None
    message_id: str | None
    app_id: str | None
    queue: str
    routing_key: str
    bytes: int
    problem: Problem


def rfc3339(moment: datetime) -> str:
    """The moment in UTC with milliseconds, such as `2026-01-31T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """The moment that `rfc3339` wrote. Raises ValueError."""
    return datetime.fromisoformat(text)
