"""A record of the events topic, as the tracker is given it, and what its event tells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from bridge.contract import events
from bridge.contract.events import PayloadsStaged
from tables import rules

MESSAGES: Final = (events.HeaderReceived, events.Staged)
"""Facts that tell of messages of producers."""
ANSWERS: Final = (events.DeliveryRefused, events.Told, events.Command)
"""Facts that somebody here has waited for."""
BESIDE: Final = (*ANSWERS, events.MessageRefused)
"""Facts that mean something only for a transaction of which something else is known."""


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


def facts_of(event: events.TransactionEvent) -> Sequence[rules.Fact]:
    """What an event says, one by one."""
    return event.staged if isinstance(event, PayloadsStaged) else (event,)


def message_count(event: events.TransactionEvent) -> int:
    """How many messages of producers an event tells of."""
    return sum(
        fact.count if isinstance(fact, events.Staged) else 1 for fact in facts_of(event) if isinstance(fact, MESSAGES)
    )
