"""Where the tracker's records go, besides its tables."""

from __future__ import annotations

from typing import Protocol

from streams.record import Record
from tables.effects import Effect


class Outbox(Protocol):
    """What is handed over here is sent before the event's offset is committed."""

    def deliver(self, effect: Effect) -> None:
        """Ask for something to be done."""

    def park(self, record: Record, reason: str) -> None:
        """Put a record aside that cannot be understood."""
