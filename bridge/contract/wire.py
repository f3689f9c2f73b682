"""The body of a header message as producers write it: what the JSON Schema for them is made from.

What a type alone cannot check, `bridge.header_body` does. A pattern or a list of values that stands here is for the
schema only: msgspec does not look at it.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bridge.contract.inbound import SERIES_MAX, TOTAL_COUNT_MAX, SeriesType, TransactionType, whole
from bridge.durations import DURATION

LABELS_MAX: Final = 64
LABEL_KEY_CHARS_MAX: Final = 128
LABEL_VALUE_CHARS_MAX: Final = 1_024
CONTENT_TYPE: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
"""Becomes an HTTP header of the blobs: printable ASCII, else storage would refuse the finished result."""
ON_TIMEOUT: Final[tuple[Literal["abandon", "partial"], ...]] = ("abandon", "partial")
ON_CONFLICT: Final[tuple[Literal["fail", "keep-first"], ...]] = ("fail", "keep-first")

_ContentType = Annotated[str, whole(CONTENT_TYPE.pattern)]
_Duration = Annotated[str, whole(DURATION.pattern)]
_OnTimeout = Annotated[str, Meta(extra_json_schema={"enum": [*ON_TIMEOUT]})]
_OnConflict = Annotated[str, Meta(extra_json_schema={"enum": [*ON_CONFLICT]})]
_LabelKey = Annotated[str, Meta(max_length=LABEL_KEY_CHARS_MAX)]
_LabelValue = Annotated[str, Meta(max_length=LABEL_VALUE_CHARS_MAX)]


# UNSET, not None: `null` is a value of another type, and another JSON value than no member.
class SeriesBody(msgspec.Struct, frozen=True, rename="camel"):
    """One series that a header announces."""

    type: SeriesType
    """No two series of a header have the same."""
    total_count: Annotated[int, Meta(ge=0, le=TOTAL_COUNT_MAX)] | UnsetType = UNSET
    """How many payloads the series has. Absent: the payloads tell. 0: an empty series."""
    content_type: _ContentType | UnsetType = UNSET
    """Content type of the blobs."""


class TimeoutsBody(msgspec.Struct, frozen=True, rename="camel"):
    """Waiting limits of one transaction: ISO 8601 durations from PT1S to P6D. Absent: those of its type."""

    idle: _Duration | UnsetType = UNSET
    """Without anything new, before the gaps are told."""
    awaiting: _Duration | UnsetType = UNSET
    """For everything, since the first message."""


class HeaderBody(msgspec.Struct, frozen=True, rename="camel"):
    """What a transaction consists of. JSON in UTF-8, at most 1 MiB; unknown members are ignored."""

    series: Annotated[list[SeriesBody], Meta(min_length=1, extra_json_schema={"maxItems": SERIES_MAX})]
    transaction_type: TransactionType = "default"
    timeouts: TimeoutsBody = TimeoutsBody()
    on_timeout: _OnTimeout | UnsetType = UNSET
    """What comes of a transaction that waited too long. Absent: as its type says."""
    on_conflict: _OnConflict | UnsetType = UNSET
    """What comes of messages that contradict each other. Absent: as the transaction's type says."""
    labels: Annotated[dict[_LabelKey, _LabelValue], Meta(max_length=LABELS_MAX)] = {}
    """Free; told again with `accepted`."""
