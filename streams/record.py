"""A record of the events topic, as the tracker is given it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class Record(msgspec.Struct, frozen=True):
    """One record of the events topic as it came."""

    partition: int
    offset: int
    at: datetime
    """When the broker took it."""
    key: bytes | None
    value: bytes | None


def moment(timestamp_s: float) -> datetime:
    """A record's timestamp, in seconds, as a moment with milliseconds."""
    return datetime.fromtimestamp(round(timestamp_s, 3), UTC)
