"""What the owner of one partition holds in memory: an index over the tables, rebuilt whenever it is in doubt."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from streams.schedule import Schedule
from tables.deadlines import Deadline, deadlines
from tables.transaction import Transaction
from tables.watermarks import Watermarks

_DRIVEN: Final = "retry"
"""The kind of deadline that needs no schedule: whoever wants something is looked at with every tick."""


class Partition:
    """Open transactions, when to look at them again, and the ids of closed ones."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        """Open ones."""
        self.keys: dict[str, list[str]] = {}
        """Of their rows."""
        self.wanting: dict[str, dict[str, float]] = {}
        """Transactions that may want something done: when each effect was asked for, in monotonic seconds."""
        self.shown_s: dict[str, float] = {}
        """When the readable row of a transaction was written last, in monotonic seconds."""
        self.unshown: set[str] = set()
        """Transactions whose readable row is behind."""
        self.by_watermark = Schedule()
        self.by_clock = Schedule()
        self.closed: set[str] = set()
        self.collectable = Schedule()
        """Closed transactions, and when they may be forgotten."""
        self.leftover: list[str] = []
        """Keys of rows of closed transactions, which a crash has left behind."""
        self.watermarks: Watermarks | None = None
        self._heard: tuple[datetime, float] | None = None

    def hear(self, at: datetime) -> None:
        """A record of the partition was taken at this moment of the broker's clock."""
        self._heard = at, time.monotonic()
        if self.watermarks is None:
            self.watermarks = Watermarks(since=at)

    def put(self, transaction: Transaction) -> None:
        """The newest version of an open transaction."""
        self.transactions[transaction.id] = transaction
        scheduled = [each for each in deadlines(transaction) if each.kind != _DRIVEN]
        self.by_watermark.put(transaction.id, _first(scheduled, by_watermark=True))
        self.by_clock.put(transaction.id, _first(scheduled, by_watermark=False))

    def close(self, transaction_id: str, forget_at: datetime) -> list[str]:
        """Forget an open transaction but for its id; returns the keys of its rows."""
        self.transactions.pop(transaction_id, None)
        self.wanting.pop(transaction_id, None)
        self.shown_s.pop(transaction_id, None)
        self.unshown.discard(transaction_id)
        self.by_watermark.drop(transaction_id)
        self.by_clock.drop(transaction_id)
        self.closed.add(transaction_id)
        self.collectable.put(transaction_id, forget_at)
        return self.keys.pop(transaction_id, [])

    @property
    def wants_tick(self) -> bool:
        """Whether there is something to show, to ask for again, or to look at by now."""
        if self._heard is None or self.wanting or self.unshown or self.leftover:
            return True
        at, heard_s = self._heard
        now = at + timedelta(seconds=time.monotonic() - heard_s)
        moments = (self.by_clock.next, self.collectable.next)
        return any(moment is not None and moment <= now for moment in moments)


def _first(scheduled: list[Deadline], *, by_watermark: bool) -> datetime | None:
    return min((each.at for each in scheduled if each.by_watermark is by_watermark), default=None)
