"""The tracker's one job: take an event, keep its facts, ask for what is due.

decode -> advance -> write the rows -> send the effects, without waiting for anything: slow work belongs to the
delivery, because a tracker that waits would hold up the rebalance of the whole group.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Container, MutableMapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from bridge.contract import events
from bridge.contract.events import DeliveryRefused, PayloadsStaged, Tick
from bridge.contract.inbound import is_transaction_id
from bridge.contract.outbound import from_rfc3339
from streams.settings import TrackerSettings
from streams.topics import Topics
from tables import effects, receipts, rules
from tables.projection import view
from tables.transaction import FINAL, State, Transaction

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """Where the assembler's records go; sent before the event's offset is committed."""

    def deliver(self, effect: effects.Deliver) -> None:
        """Ask for a delivery."""

    def park(self, record: Record, reason: str) -> None:
        """Put a record aside that cannot be understood."""


class Record(msgspec.Struct, frozen=True):
    """One record of the events topic as it came."""

    partition: int
    offset: int
    at: datetime
    """When the broker took it."""
    key: bytes | None
    value: bytes | None


class _Owned:
    """What the owner of a partition holds in memory: an index over the tables, rebuilt whenever it is in doubt."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        self.sending: dict[str, float | None] = {}
        """Transactions that want a delivery, and when it was asked for (monotonic seconds; None: not yet)."""
        self.shown_s: dict[str, float] = {}
        """When the readable row of a transaction was written last."""
        self.unshown: set[str] = set()
        """Transactions whose readable row is behind."""

    def put(self, transaction: Transaction) -> None:
        self.transactions[transaction.id] = transaction
        if transaction.state is State.SENDING_COMPLETION:
            self.sending.setdefault(transaction.id, None)
        elif transaction.state in FINAL:
            self.sending.pop(transaction.id, None)


class Assembler:
    """Folds facts into transactions for the partitions that this worker owns."""

    def __init__(
        self,
        rows: MutableMapping[str, Any],
        shown: MutableMapping[str, Any],
        outbox: Outbox,
        partitions: Callable[[], Collection[int]],
        settings: TrackerSettings,
    ) -> None:
        self._rows = rows
        self._shown = shown
        self._outbox = outbox
        self._mine = partitions
        self._settings = settings
        self._topics = Topics(settings.namespace, settings.partitions)
        self._owned: dict[int, _Owned] | None = None

    def forget(self) -> None:
        """Drop the index: partitions came or went, and the tables are the truth."""
        self._owned = None

    def wants_tick(self, partition: int) -> bool:
        """Whether a partition has something to show or to ask for again, or has not been looked at yet."""
        if self._owned is None:
            return True
        owned = self._owned.get(partition)
        return owned is not None and bool(owned.sending or owned.unshown)

    def take(self, record: Record) -> None:
        """Take one record. Never raises for what a record says; what cannot be understood is parked."""
        owned = self._partition(record)
        try:
            event = events.decode(record.value or b"")
        except msgspec.DecodeError as error:
            self._outbox.park(record, str(error))
            return
        if isinstance(event, Tick):
            self._tick(owned, record.at)
        elif not is_transaction_id(event.transaction):
            self._outbox.park(record, f"{event.transaction!r} is no transaction id")
        elif self._topics.partition_of(event.transaction) != record.partition:
            self._outbox.park(record, f"transaction {event.transaction} does not belong to this partition")
        else:
            self._facts(owned, event, record)

    def _facts(self, owned: _Owned, event: events.TransactionEvent, record: Record) -> None:
        before = owned.transactions.get(event.transaction)
        opened = rules.opened(event.transaction, record.at)
        after = self._advance(before or opened, event, record)
        if after == opened:
            return  # nothing was said: not worth a row of its own
        owned.put(after)
        if isinstance(event, DeliveryRefused) and after.id in owned.sending:
            owned.sending[after.id] = None
        self._show(owned, after, at_once=before is None or before.state is not after.state)
        self._ask(owned, after, record.at)

    def _advance(self, transaction: Transaction, event: events.TransactionEvent, record: Record) -> Transaction:
        """The transaction after every fact of the event; those that change it get their row."""
        written: set[str] = set()
        for place, fact in enumerate(event.staged if isinstance(event, PayloadsStaged) else (event,)):
            key = receipts.key(transaction.id, fact)
            known = self._rows.get(key) if key is not None else None
            if known is not None and known["offset"] >= record.offset and key not in written:
                continue  # this very event again, after a crash between its row and its commit
            after = rules.advance(transaction, fact, record.at)
            new = known is None and receipts.says_more(transaction, after)
            if new and key is not None and not isinstance(fact, DeliveryRefused):
                self._rows[key] = receipts.row(fact, record.offset, record.at, place)
                written.add(key)
            transaction = after
        return transaction

    def _tick(self, owned: _Owned, now: datetime) -> None:
        for transaction_id in sorted(owned.unshown):
            self._show(owned, owned.transactions[transaction_id], at_once=True)
        for transaction_id in sorted(owned.sending):
            self._ask(owned, owned.transactions[transaction_id], now)

    def _show(self, owned: _Owned, transaction: Transaction, *, at_once: bool) -> None:
        """Write the readable row, but not for every payload: it is a view, and it costs a record each time."""
        now_s = time.monotonic()
        if not at_once and now_s - owned.shown_s.get(transaction.id, 0.0) < self._settings.row_interval_s:
            owned.unshown.add(transaction.id)
            return
        self._shown[transaction.id] = view(transaction)
        owned.unshown.discard(transaction.id)
        owned.shown_s[transaction.id] = now_s

    def _ask(self, owned: _Owned, transaction: Transaction, now: datetime) -> None:
        """Send what is due, unless it was sent a moment ago and may still be answered."""
        asked_s, now_s = owned.sending.get(transaction.id), time.monotonic()
        if asked_s is not None and now_s - asked_s < self._settings.redrive_interval_s:
            return
        for effect in rules.due(transaction, now):
            self._outbox.deliver(effect)
            owned.sending[transaction.id] = now_s

    def _partition(self, record: Record) -> _Owned:
        if self._owned is None:
            self._owned = {partition: _Owned() for partition in self._mine()}
            for transaction_id, rows in self._rows_of_mine(self._owned).items():
                self._recover(self._owned[self._topics.partition_of(transaction_id)], transaction_id, rows, record.at)
        return self._owned.setdefault(record.partition, _Owned())

    def _rows_of_mine(self, mine: Container[int]) -> dict[str, list[receipts.Row]]:
        """Rows by transaction. The table may hold rows of partitions that have gone: those are not even looked at."""
        grouped: dict[str, list[receipts.Row]] = {}
        for key, plain in self._rows.items():
            transaction_id = receipts.transaction_of(key)
            if self._topics.partition_of(transaction_id) in mine:
                grouped.setdefault(transaction_id, []).append(receipts.read(plain))
        return grouped

    def _recover(self, owned: _Owned, transaction_id: str, rows: list[receipts.Row], now: datetime) -> None:
        transaction = receipts.fold(transaction_id, rows)
        shown = self._shown.get(transaction_id)
        if shown is not None:
            recovered = shown["timestamps"]["recovered"]
            transaction = replace(
                transaction,
                duplicates=max(shown["duplicates"], transaction.duplicates),
                recoveries=shown["recoveries"],
                recovered=from_rfc3339(recovered) if recovered else None,
            )
        if transaction.state not in FINAL:
            transaction = replace(transaction, recovered=now, recoveries=transaction.recoveries + 1)
            owned.unshown.add(transaction_id)
        owned.put(transaction)


def moment(timestamp_s: float) -> datetime:
    """A record's timestamp, in seconds, as a moment with milliseconds."""
    return datetime.fromtimestamp(round(timestamp_s, 3), UTC)
