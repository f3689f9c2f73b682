"""The tracker's one job: take an event, keep its facts, ask for what is due.

decode -> advance -> write the rows -> send the effects, without waiting for anything: slow work belongs to the
delivery, because a tracker that waits would hold up the rebalance of the whole group.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, MutableMapping
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from bridge.contract import events
from bridge.contract.events import Delivered, DeliveryRefused, PayloadsStaged, Tick, Watermark
from bridge.contract.inbound import is_transaction_id
from streams.partition import Partition
from streams.record import Record
from streams.recovery import closed_until, recover
from streams.settings import TrackerSettings
from streams.topics import Topics
from tables import effects, receipts, rules
from tables.deadlines import Clock, lapsed, retry_at
from tables.due import due
from tables.policies import DEFAULTS, Policies
from tables.projection import closed_view, view
from tables.transaction import FINAL, Transaction
from tables.watermarks import hear

DECISIONS_MAX: Final = 8
"""Of one transaction at one moment: each of them postpones what comes next, so more would be a mistake of ours."""

_MESSAGES: Final = (events.HeaderReceived, events.Staged)
_ANSWERS: Final = (events.DeliveryRefused, events.Told, events.Command)
"""Facts that mean something only for a transaction of which something else is known."""


class Outbox(Protocol):
    """Where the assembler's records go; sent before the event's offset is committed."""

    def deliver(self, effect: effects.Effect) -> None:
        """Ask for something to be done."""

    def park(self, record: Record, reason: str) -> None:
        """Put a record aside that cannot be understood."""


class Assembler:
    """Folds facts into transactions for the partitions that this worker owns."""

    def __init__(
        self,
        rows: MutableMapping[str, Any],
        shown: MutableMapping[str, Any],
        outbox: Outbox,
        partitions: Callable[[], Collection[int]],
        settings: TrackerSettings,
        policies: Policies = DEFAULTS,
    ) -> None:
        self._rows = rows
        self._shown = shown
        self._outbox = outbox
        self._mine = partitions
        self._settings = settings
        self._policies = policies
        self._topics = Topics(settings.namespace, settings.partitions)
        self._owned: dict[int, Partition] | None = None

    def forget(self) -> None:
        """Drop the index: partitions came or went, and the tables are the truth."""
        self._owned = None

    def wants_tick(self, partition: int) -> bool:
        """Whether a partition has something to show or to ask for again, or has not been looked at yet."""
        if self._owned is None:
            return True
        owned = self._owned.get(partition)
        return owned is not None and owned.wants_tick

    def take(self, record: Record) -> None:
        """Take one record. Never raises for what a record says; what cannot be understood is parked."""
        owned = self._partition(record)
        try:
            event = events.decode(record.value or b"")
        except msgspec.DecodeError as error:
            self._outbox.park(record, str(error))
            return
        if isinstance(event, Tick):
            self._tick(owned, record)
        elif isinstance(event, Watermark):
            self._watermark(owned, event, record)
        elif not is_transaction_id(event.transaction):
            self._outbox.park(record, f"{event.transaction!r} is no transaction id")
        elif self._topics.partition_of(event.transaction) != record.partition:
            self._outbox.park(record, f"transaction {event.transaction} does not belong to this partition")
        elif event.transaction not in owned.closed:
            self._facts(owned, event, record)
        elif isinstance(event, Delivered):
            self._mend(event.transaction)

    def _facts(self, owned: Partition, event: events.TransactionEvent, record: Record) -> None:
        before = owned.transactions.get(event.transaction)
        if before is None and isinstance(event, _ANSWERS):
            return  # of a transaction that was forgotten, or never was: nothing may come into being by it
        after = opened = rules.opened(event.transaction, record.at, self._policies) if before is None else before
        written: set[str] = set()
        for place, fact in enumerate(event.staged if isinstance(event, PayloadsStaged) else (event,)):
            after = self._take(owned, after, fact, record, place, written)
        if before is None and after == opened:
            return  # nothing was said: not worth a row of its own
        if isinstance(event, DeliveryRefused) and after.id in owned.wanting:
            owned.wanting[after.id].pop(event.delivery, None)
        if isinstance(event, events.Command):
            owned.wanting.pop(after.id, None)
        asks = not isinstance(event, PayloadsStaged) or before is None or before.state is not after.state
        self._put(owned, after, record.at, at_once=before is None or before.state is not after.state, asks=asks)

    def _take(
        self,
        owned: Partition,
        transaction: Transaction,
        fact: rules.Fact,
        record: Record,
        place: int,
        written: set[str],
    ) -> Transaction:
        """The transaction after one fact, which gets its row if it says more; `written` are those of this record."""
        key = receipts.key(transaction.id, fact)
        known = self._rows.get(key) if key is not None else None
        if known is not None and not isinstance(fact, _MESSAGES):
            return transaction
        if known is not None and known["offset"] >= record.offset and key not in written:
            return transaction  # this very event again, after a crash between its row and its commit
        after = rules.advance(transaction, fact, record.at, self._policies)
        new = known is None and receipts.says_more(transaction, after)
        if new and key is not None and not isinstance(fact, DeliveryRefused):
            self._rows[key] = receipts.row(fact, record.offset, record.at, place)
            owned.keys.setdefault(transaction.id, []).append(key)
            written.add(key)
        return after

    def _watermark(self, owned: Partition, said: Watermark, record: Record) -> None:
        assert owned.watermarks is not None, "every record of a partition is heard"
        owned.watermarks = hear(owned.watermarks, said, record.at, self._settings.bridge_silence_s)
        if (reached := owned.watermarks.reached) is not None:
            for transaction_id in owned.by_watermark.take(reached):
                self._look(owned, transaction_id, record)

    def _tick(self, owned: Partition, record: Record) -> None:
        for transaction_id in owned.by_clock.take(record.at):
            self._look(owned, transaction_id, record)
        for transaction_id in sorted(owned.unshown):
            self._show(owned, owned.transactions[transaction_id], at_once=True)
        for transaction_id in sorted(owned.wanting):
            transaction = owned.transactions[transaction_id]
            if retry_at(transaction) is not None or not self._is_asked(owned.wanting[transaction_id]):
                self._ask(owned, transaction, record.at)
        self._collect(owned, record.at)

    def _is_asked(self, asked: Mapping[str, float]) -> bool:
        """Whether everything was asked for a moment ago: what is due takes a while to compute for a large series."""
        latest_s = time.monotonic() - self._settings.redrive_interval_s
        return bool(asked) and min(asked.values()) > latest_s

    def _collect(self, owned: Partition, now: datetime) -> None:
        """Forget closed transactions whose time is over, and rows that a crash has left behind."""
        forgotten = owned.collectable.take(now)
        owned.closed.difference_update(forgotten)
        for key in (*owned.leftover, *map(receipts.outcome_key, forgotten)):
            self._rows.pop(key, None)
        owned.leftover.clear()
        for transaction_id in forgotten:
            self._shown.pop(transaction_id, None)

    def _look(self, owned: Partition, transaction_id: str, record: Record) -> None:
        """Find out what time has brought for a transaction, keep it, and act on it."""
        before = after = owned.transactions[transaction_id]
        clock = Clock(record.at, owned.watermarks.reached if owned.watermarks else None)
        for place in range(DECISIONS_MAX):
            if (decision := lapsed(after, clock)) is None:
                break
            after = self._take(owned, after, decision, record, place, set())
        self._put(owned, after, record.at, at_once=after is not before, asks=True)

    def _put(self, owned: Partition, transaction: Transaction, now: datetime, *, at_once: bool, asks: bool) -> None:
        if transaction.state in FINAL:
            self._close(owned, transaction)
            return
        owned.put(transaction)
        self._show(owned, transaction, at_once=at_once)
        if asks:
            self._ask(owned, transaction, now)

    def _close(self, owned: Partition, transaction: Transaction) -> None:
        """Keep of a closed transaction its outcome, by which late messages are known, and its readable row."""
        self._shown[transaction.id] = view(transaction)
        until = closed_until(transaction, self._settings.dedupe_retention_s)
        for key in owned.close(transaction.id, until):
            if key != receipts.outcome_key(transaction.id):
                del self._rows[key]

    def _mend(self, transaction_id: str) -> None:
        """Show an outcome that is read again: a crash may have taken the readable row and left the outcome's own."""
        shown = self._shown.get(transaction_id)
        if shown is None or shown["state"] not in FINAL:
            row = receipts.read(self._rows[receipts.outcome_key(transaction_id)])
            self._shown[transaction_id] = closed_view(receipts.fold(transaction_id, [row], self._policies), shown)

    def _show(self, owned: Partition, transaction: Transaction, *, at_once: bool) -> None:
        """Write the readable row, but not for every payload: it is a view, and it costs a record each time."""
        now_s = time.monotonic()
        if not at_once and now_s - owned.shown_s.get(transaction.id, 0.0) < self._settings.row_interval_s:
            owned.unshown.add(transaction.id)
            return
        self._shown[transaction.id] = view(transaction)
        owned.unshown.discard(transaction.id)
        owned.shown_s[transaction.id] = now_s

    def _ask(self, owned: Partition, transaction: Transaction, now: datetime) -> None:
        """Send what is due, but for what was sent a moment ago and may still be answered."""
        now_s, interval_s = time.monotonic(), self._settings.redrive_interval_s
        known = owned.wanting.get(transaction.id, {})
        asked: dict[str, float] = {}
        for effect in due(transaction, now):
            asked_s = known.get(effect.id)
            if asked_s is None or now_s - asked_s >= interval_s:
                self._outbox.deliver(effect)
                asked_s = now_s
            asked[effect.id] = asked_s
        if asked or retry_at(transaction) is not None:
            owned.wanting[transaction.id] = asked
        else:
            owned.wanting.pop(transaction.id, None)

    def _partition(self, record: Record) -> Partition:
        if self._owned is None:
            retention_s = self._settings.dedupe_retention_s
            self._owned = recover(
                self._rows, self._shown, self._mine(), self._topics, self._policies, record.at, retention_s
            )
        owned = self._owned.setdefault(record.partition, Partition())
        owned.hear(record.at)
        return owned
