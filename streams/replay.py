"""A transaction at a past moment, folded anew from the records of its partition. Pure.

The records are given to the tracker's own assembler, on empty tables and with nobody to ask anything of, so what comes
out is what an owner would have known that had read the partition from its beginning. Records of other transactions are
left out; watermarks and ticks are taken, because time decides by them. Only one thing an owner decides by its own
clock: that a delivery has failed for the time it took. Here that is known when the outcome says so.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any, Final, assert_never

import msgspec

from bridge.contract import events
from bridge.contract.events import (
    Command,
    Delivered,
    DeliveryRefused,
    HeaderReceived,
    MessageRefused,
    PayloadsStaged,
    Tick,
    Told,
    Watermark,
)
from bridge.contract.outbound import rfc3339
from streams.assemble import Assembler
from streams.explained import explanation
from streams.queries import Document
from streams.record import Record
from streams.settings import TrackerSettings
from tables import effects
from tables.policies import Policies
from tables.projection import closed_view, view
from tables.transaction import FINAL, Transaction

HISTORY_MAX: Final = 50
"""Events that are named, the last ones."""
ORDINALS_SAID_MAX: Final = 5
"""Of a batch of payloads."""


class Happened(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A record that told of the transaction, or by which time decided about it."""

    offset: int
    at: str
    kind: str
    text: str
    state: str | None = None
    """What it became by that."""


class Replayed(msgspec.Struct, frozen=True, rename="camel"):
    """A transaction as it was."""

    transaction_id: str
    partition: int
    offset: int
    """Of the last record that was taken into account."""
    at: str
    """When the broker took that one."""
    records: int
    """Of the transaction."""
    transaction: dict[str, Any]
    """As `GET /v1/transactions/{id}` would have shown it."""
    explanation: dict[str, Any]
    """As `GET /v1/transactions/{id}/explain` would have."""
    history: list[Happened]


class _Nobody:
    """Effects were carried out long ago, and what was parked is in its topic."""

    def deliver(self, effect: effects.Effect) -> None:
        pass

    def park(self, record: Record, reason: str) -> None:
        pass


class Replay:
    """Takes the records of one partition in their order."""

    def __init__(self, transaction_id: str, partition: int, settings: TrackerSettings, policies: Policies) -> None:
        self.first_at: datetime | None = None
        """When the broker took the first record of the transaction."""
        self.records = 0
        self._id = transaction_id
        self._key = transaction_id.encode()
        self._partition = partition
        self._shown: dict[str, Any] = {}
        self._assembler = Assembler({}, self._shown, _Nobody(), lambda: {partition}, settings, policies)
        self._known: Transaction | None = None
        self._closing: dict[str, Any] | None = None
        self._last: Record | None = None
        self._history: deque[Happened] = deque(maxlen=HISTORY_MAX)

    def take(self, record: Record) -> None:
        """Take one record; one that is not readable says nothing here, as it said nothing to the tracker."""
        self._last = record
        if record.key not in (self._key, None, b""):
            return
        try:
            event = events.decode(record.value or b"")
        except msgspec.DecodeError:
            return
        if not isinstance(event, Watermark | Tick):
            if event.transaction != self._id:
                return
            self.first_at = self.first_at or record.at
            self.records += 1
        before = self._known
        self._assembler.take(record)
        # Of a closed one that was forgotten meanwhile the last that was known is what there is to show.
        self._known = self._assembler.known(self._id) or before
        self._closing = self._shown.get(self._id, self._closing)
        self._note(record, event, before)

    def result(self) -> Replayed | None:
        """The transaction after the last record; None when nothing had been heard of it."""
        transaction, last = self._known, self._last
        if transaction is None or last is None:
            return None
        row = self._row(transaction)
        return Replayed(
            transaction_id=self._id,
            partition=self._partition,
            offset=last.offset,
            at=rfc3339(last.at),
            records=self.records,
            transaction=row,
            explanation=explanation(transaction, row, last.at),
            history=list(self._history),
        )

    def _row(self, transaction: Transaction) -> Document:
        if transaction.state in FINAL:
            return closed_view(transaction, self._closing)
        return view(transaction)

    def _note(self, record: Record, event: events.AnyEvent, before: Transaction | None) -> None:
        after = self._known
        became = after is not None and (before is None or before.state is not after.state)
        state = after.state.value if after is not None and became else None
        text = _decided(before, after) if isinstance(event, Watermark | Tick) else said(event)
        if text is not None:
            kind = "Time" if isinstance(event, Watermark | Tick) else type(event).__name__
            self._history.append(Happened(record.offset, rfc3339(record.at), kind, text, state))


def _decided(before: Transaction | None, after: Transaction | None) -> str | None:
    """What time has brought; None: nothing."""
    if (
        before is None
        or after is None
        or (before.gap, before.overdue, before.verdict)
        == (
            after.gap,
            after.overdue,
            after.verdict,
        )
    ):
        return None
    problem = after.problem
    return f"{problem.title}: {problem.detail}" if problem else "The limit of waiting passed."


def said(event: events.TransactionEvent) -> str:
    """What an event says, in a sentence."""
    match event:
        case HeaderReceived():
            other = event.conflicting_digest is not None
            return "Another header came than the first one." if other else "A header came."
        case PayloadsStaged():
            return f"Payloads came: {_ordinals(event)}."
        case MessageRefused():
            return f"A message was refused ({event.problem.code}): {event.problem.detail}"
        case Delivered():
            return f"The outcome {event.outcome} was written and told."
        case DeliveryRefused():
            return f"A delivery was refused ({event.problem.code}): {event.problem.detail}"
        case Told():
            return f"It was told or done: {event.effect}."
        case Command():
            return f"{event.by} asked to {event.action} it."
        case _:
            assert_never(event)


def _ordinals(event: PayloadsStaged) -> str:
    shown = [
        f"{each.series} {each.first}" + (f"-{each.first + each.count - 1}" if each.count > 1 else "")
        for each in event.staged[:ORDINALS_SAID_MAX]
    ]
    more = len(event.staged) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
