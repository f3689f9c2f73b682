"""What the owner of one partition holds in memory: an index over the tables, rebuilt whenever it is in doubt."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from bridge.contract.outbound import rfc3339
from streams.asked import Asked
from streams.counted import count_news
from streams.pace import Counts, Pace
from streams.recent import Recent
from streams.record import Record
from streams.schedule import Schedule
from streams.summary import Oldest, Tally
from tables.deadlines import Clock, Deadline, deadlines
from tables.receipts import outcome_key
from tables.transaction import FINAL, Series, State, Transaction
from tables.watermarks import Watermarks

_DRIVEN: Final = "retry"
"""The kind of deadline that needs no schedule: whoever wants something is looked at with every tick."""
_NOTHING: Final = Series()


class Partition:
    """Open transactions, when to look at them again, and the ids of closed ones."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        """Open ones."""
        self.keys: dict[str, list[str]] = {}
        """Of their rows."""
        self.unreadable: dict[str, str] = {}
        """Transactions with a row that this release cannot read, and why: what comes for them is put aside."""
        self.asked = Asked()
        self.recent = Recent()
        self.shown_s: dict[str, float] = {}
        """When the readable row of a transaction was written last, in monotonic seconds."""
        self.unshown: set[str] = set()
        """Transactions whose readable row is behind."""
        self.by_watermark = Schedule()
        self.by_clock = Schedule()
        self.closed: dict[str, State] = {}
        self.collectable = Schedule()
        """Closed transactions, and when they may be forgotten."""
        self.leftover: list[str] = []
        """Keys of rows of closed transactions, but for their outcomes."""
        self.watermarks: Watermarks | None = None
        self._since_s = time.monotonic()
        self._pace = Pace(self._since_s)
        self._states: Counter[State] = Counter()
        self._heard: tuple[datetime, float] | None = None

    def hear(self, at: datetime) -> None:
        """A record of the partition was taken at this moment of the broker's clock."""
        self._heard = at, time.monotonic()
        if self.watermarks is None:
            self.watermarks = Watermarks(since=at)

    def put(self, transaction: Transaction, record: Record | None = None) -> None:
        """The newest version of an open transaction; `record` is what has made it so, unless the tables have."""
        if record is not None:
            self.recent.learned(self.transactions.get(transaction.id), transaction, record)
        self._count(transaction)
        self.transactions[transaction.id] = transaction
        scheduled = [each for each in deadlines(transaction) if each.kind != _DRIVEN]
        self.by_watermark.put(transaction.id, _first(scheduled, by_watermark=True))
        self.by_clock.put(transaction.id, _first(scheduled, by_watermark=False))

    def clock(self, now: datetime) -> Clock:
        """What time it is at a record that the broker took at `now`."""
        return Clock(now, self.watermarks.reached if self.watermarks else None, time.monotonic() - self._since_s)

    def dated(self, record: Record) -> Record:
        """The record, not older than the watermark.

        The clock of a broker may be behind that of the one before it; what begins at such a record would be late at
        once.
        """
        reached = self.watermarks.reached if self.watermarks else None
        return record if reached is None or reached <= record.at else replace(record, at=reached)

    def close(self, transaction: Transaction, forget_at: datetime) -> None:
        """Forget an open transaction but for its id and state; its rows are left over, but for the outcome."""
        self._count(transaction)
        transaction_id = transaction.id
        self.transactions.pop(transaction_id, None)
        self.asked.forget(transaction_id)
        self.shown_s.pop(transaction_id, None)
        self.unshown.discard(transaction_id)
        self.by_watermark.drop(transaction_id)
        self.by_clock.drop(transaction_id)
        self.closed[transaction_id] = transaction.state
        self.collectable.put(transaction_id, forget_at)
        self.leftover += [key for key in self.keys.pop(transaction_id, ()) if key != outcome_key(transaction_id)]

    def forget(self, now: datetime) -> list[str]:
        """Ids of closed transactions whose time is over; they are not known any more."""
        forgotten = self.collectable.take(now)
        self._states.subtract(self.closed.pop(transaction_id) for transaction_id in forgotten)
        return forgotten

    def tally(self) -> Tally:
        """How many transactions we have, and how fast they come and go."""
        oldest = min(self.transactions.values(), key=lambda each: (each.created, each.id), default=None)
        states = {state.value: count for state, count in self._states.items()}
        return Tally(states, _shown(oldest) if oldest else None, self._pace.seconds(time.monotonic()))

    @property
    def wants_tick(self) -> bool:
        """Whether there is something to show, to ask for again, or to look at by now."""
        if self._heard is None or self.asked or self.unshown or self.leftover:
            return True
        at, heard_s = self._heard
        now = at + timedelta(seconds=time.monotonic() - heard_s)
        moments = (self.by_clock.next, self.collectable.next)
        return any(moment is not None and moment <= now for moment in moments)

    def _count(self, after: Transaction) -> None:
        before = self.transactions.get(after.id)
        if before is not None:
            self._states[before.state] -= 1
        self._states[after.state] += 1
        if self._heard is None:
            return  # found in the tables: it has come before
        count_news(before, after)
        self._pace.note(_between(before, after), time.monotonic())


def _between(before: Transaction | None, after: Transaction) -> Counts:
    """What a newer version tells of that has just happened."""
    known = before.series if before else {}
    counts = Counts(opened=int(before is None), closed=int(after.state in FINAL))
    for name, series in after.series.items():
        if (old := known.get(name, _NOTHING)) is not series:
            counts.add(Counts(series.received_count - old.received_count, series.bytes - old.bytes))
    return counts


def _shown(transaction: Transaction) -> Oldest:
    return Oldest(
        created=rfc3339(transaction.created),
        transaction_id=transaction.id,
        transaction_type=transaction.transaction_type,
        state=transaction.state.value,
        last_updated=rfc3339(transaction.updated),
    )


def _first(scheduled: list[Deadline], *, by_watermark: bool) -> datetime | None:
    return min((each.at for each in scheduled if each.by_watermark is by_watermark), default=None)
