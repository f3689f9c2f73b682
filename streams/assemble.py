"""The tracker's one job: take an event, keep its facts, ask for what is due.

decode -> advance -> write the rows -> send the effects, without waiting for anything: slow work belongs to the
delivery, because a tracker that waits would hold up the rebalance of the whole group.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, MutableMapping
from datetime import datetime
from typing import Any, Final

import msgspec

from bridge import metrics
from bridge.contract import events
from bridge.contract.events import Delivered, DeliveryRefused, MessageRefused, PayloadsStaged, Tick, Watermark
from bridge.contract.inbound import is_transaction_id
from bridge.crash_points import crash_point
from bridge.quoting import quoted
from streams.counted import count_late
from streams.outbox import Outbox
from streams.partition import Partition
from streams.record import ANSWERS, BESIDE, MESSAGES, Record, facts_of
from streams.recovery import closed, closed_until, recover
from streams.settings import TrackerSettings
from streams.topics import Topics
from tables import receipts, rules
from tables.deadlines import lapsed
from tables.limits import too_many_open
from tables.policies import DEFAULTS, Policies
from tables.projection import closed_view, view
from tables.transaction import FINAL, Transaction
from tables.watermarks import hear

DECISIONS_MAX: Final = 8
"""Of one transaction at one moment: each of them postpones what comes next, so more would be a mistake of ours."""
LEFTOVER_ROWS_MAX: Final = 2_000
"""Rows of closed transactions that one tick of a partition drops: a large one has a million, and each is a record."""


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

    def known(self, transaction_id: str) -> Transaction | None:
        """The newest of an open transaction of ours, or the outcome of a closed one.

        None where nothing was heard of it, and for a moment after a recovery, until the first record is taken.
        """
        owned = self.partition(self._topics.partition_of(transaction_id))
        found = owned.transactions.get(transaction_id) if owned else None
        return found or closed(self._rows, transaction_id, self._policies)

    def partition(self, number: int) -> Partition | None:
        """What we hold of a partition of ours; None until the first record was taken after a recovery."""
        return (self._owned or {}).get(number)

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
        metrics.EVENTS.labels(type(event).__name__).inc()
        if isinstance(event, Tick):
            self._tick(owned, record)
        elif isinstance(event, Watermark):
            self._watermark(owned, event, record)
        elif not is_transaction_id(event.transaction):
            self._outbox.park(record, f"the transaction's id is {quoted(event.transaction)} (bad-transaction-id)")
        elif self._topics.partition_of(event.transaction) != record.partition:
            self._outbox.park(record, f"transaction {event.transaction} belongs to another partition (misplaced)")
        elif (why := owned.unreadable.get(event.transaction)) is not None:
            self._outbox.park(record, f"a row of transaction {event.transaction} cannot be read: {why}")
        elif event.transaction not in owned.closed:
            # Answers are waited for by the broker's own clock.
            self._facts(owned, event, record if isinstance(event, ANSWERS) else owned.dated(record))
        elif isinstance(event, Delivered):
            self._mend(event.transaction)
        else:
            count_late(event, self._shown.get(event.transaction))

    def _facts(self, owned: Partition, event: events.TransactionEvent, record: Record) -> None:
        before = owned.transactions.get(event.transaction)
        if before is None and isinstance(event, BESIDE):
            return  # of a transaction that was forgotten, or never was: nothing may come into being by it
        opened = before or rules.opened(event.transaction, record.at, self._policies)
        after = opened
        written: set[str] = set()
        facts = facts_of(event)
        for place, fact in enumerate(facts):
            after = self._take(owned, after, fact, record, place, written)
        if before is None and after == opened:
            return  # nothing was said: not worth a row of its own
        open_max = self._settings.open_max
        if before is None and after.verdict is None and len(owned.transactions) >= open_max:
            after = self._take(owned, after, too_many_open(open_max, record.at), record, len(facts), written)
        owned.recent.heard(event, before, after, record)
        if isinstance(event, events.Command):
            owned.asked.forget(after.id)
        turned = before is None or before.state is not after.state
        obeyed = isinstance(event, events.Command) and after is not before  # whoever gave it looks at once
        # Among payloads only the one that brings the verdict wants something done, and there are many of them.
        asks = turned or (not isinstance(event, PayloadsStaged) and receipts.says_more(opened, after))
        self._put(owned, after, record, at_once=turned or obeyed, asks=asks)

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
        if known is not None and not isinstance(fact, MESSAGES):
            return transaction
        if known is not None and known["offset"] >= record.offset and key not in written:
            return transaction  # this very event again, after a crash between its row and its commit
        after = rules.advance(transaction, fact, record.at, self._policies)
        new = known is None and receipts.says_more(transaction, after)
        if new and key is not None and not isinstance(fact, DeliveryRefused | MessageRefused):
            self._rows[key] = receipts.row(fact, record.offset, record.at, place)
            crash_point("tracker.row-written")
            owned.keys.setdefault(transaction.id, []).append(key)
            written.add(key)
        return after

    def _watermark(self, owned: Partition, said: Watermark, record: Record) -> None:
        assert owned.watermarks is not None, "every record of a partition is heard"
        owned.watermarks = hear(owned.watermarks, said, record.at, self._settings.bridge_silence_s)
        crash_point("tracker.watermark-heard")
        if (reached := owned.watermarks.reached) is not None:
            for transaction_id in owned.by_watermark.take(reached):
                self._look(owned, transaction_id, record)

    def _tick(self, owned: Partition, record: Record) -> None:
        for transaction_id in owned.by_clock.take(record.at):
            self._look(owned, transaction_id, record)
        for transaction_id in sorted(owned.unshown):
            self._show(owned, owned.transactions[transaction_id], at_once=True)
        now_s, interval_s = time.monotonic(), self._settings.redrive_interval_s
        for transaction_id in owned.asked.names:
            transaction = owned.transactions[transaction_id]
            if not owned.asked.is_asked(transaction, record.at, now_s, interval_s):
                self._ask(owned, transaction, record)
                crash_point("tracker.asked-again")
        self._collect(owned, record.at)
        crash_point("tracker.tick-taken")

    def _collect(self, owned: Partition, now: datetime) -> None:
        """Drop rows that nobody needs any more, and forget closed transactions whose time is over."""
        for key in owned.leftover[-LEFTOVER_ROWS_MAX:]:
            self._rows.pop(key, None)
            crash_point("tracker.leftover-dropped")
        del owned.leftover[-LEFTOVER_ROWS_MAX:]
        if owned.leftover:
            return  # an outcome goes last: by it the others are known to be left over
        for transaction_id in owned.forget(now):
            self._rows.pop(receipts.outcome_key(transaction_id), None)
            crash_point("tracker.outcome-forgotten")
            self._shown.pop(transaction_id, None)

    def _look(self, owned: Partition, transaction_id: str, record: Record) -> None:
        """Find out what time has brought for a transaction, keep it, and act on it."""
        before = after = owned.transactions[transaction_id]
        clock, record = owned.clock(record.at), owned.dated(record)
        for place in range(DECISIONS_MAX):
            if (decision := lapsed(after, clock)) is None:
                break
            after = self._take(owned, after, decision, record, place, set())
            crash_point("tracker.decision-kept")
        self._put(owned, after, record, at_once=after is not before, asks=True)

    def _put(self, owned: Partition, transaction: Transaction, record: Record, *, at_once: bool, asks: bool) -> None:
        if transaction.state in FINAL:
            self._close(owned, transaction)
            return
        owned.put(transaction, record)
        self._show(owned, transaction, at_once=at_once)
        if asks:
            self._ask(owned, transaction, record)

    def _close(self, owned: Partition, transaction: Transaction) -> None:
        """Keep of a closed transaction its outcome, by which late messages are known, and its readable row."""
        self._shown[transaction.id] = view(transaction)
        crash_point("tracker.outcome-shown")
        owned.close(transaction, closed_until(transaction, self._settings.dedupe_retention_s))
        crash_point("tracker.transaction-closed")

    def _mend(self, transaction_id: str) -> None:
        """Show an outcome where the readable row does not: a crash may have taken it, and left the outcome's own."""
        shown = self._shown.get(transaction_id)
        state = shown.get("state") if shown is not None else None
        if not (isinstance(state, str) and state in FINAL):
            transaction = closed(self._rows, transaction_id, self._policies)
            assert transaction is not None, "it is known as closed by its outcome"
            self._shown[transaction_id] = closed_view(transaction, shown)

    def _show(self, owned: Partition, transaction: Transaction, *, at_once: bool) -> None:
        """Write the readable row, but not for every payload: it is a view, and it costs a record each time."""
        now_s = time.monotonic()
        if not at_once and now_s - owned.shown_s.get(transaction.id, 0.0) < self._settings.row_interval_s:
            owned.unshown.add(transaction.id)
            return
        self._shown[transaction.id] = view(transaction)
        crash_point("tracker.view-written")
        owned.unshown.discard(transaction.id)
        owned.shown_s[transaction.id] = now_s

    def _ask(self, owned: Partition, transaction: Transaction, record: Record) -> None:
        """Send what is due, but for what was sent a moment ago and may still be answered."""
        for effect in owned.asked.ask(transaction, record.at, time.monotonic(), self._settings.redrive_interval_s):
            self._outbox.deliver(effect)
            owned.recent.asked(effect, record)

    def _partition(self, record: Record) -> Partition:
        if self._owned is None:
            retention_s = self._settings.dedupe_retention_s
            self._owned = recover(
                self._rows, self._shown, self._mine(), self._topics, self._policies, record.at, retention_s
            )
            crash_point("tracker.index-rebuilt")
            # An owner that was frozen may have written over the readable row of what was closed meanwhile.
            for transaction_id in (each for recovered in self._owned.values() for each in recovered.closed):
                self._mend(transaction_id)
        if (owned := self._owned.get(record.partition)) is None:
            owned = self._owned[record.partition] = Partition()
        owned.hear(record.at)
        return owned
