"""The last things that happened to transactions: what each record brought, and what was asked for because of it.

Only in memory. Whoever takes a partition over finds in the rows what records have brought to open transactions, and not
what was asked for; the events topic remembers all of it (`brh replay`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from heapq import nlargest
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from bridge.contract.events import Delivered, HeaderReceived, PayloadsStaged, Staged, Told, TransactionEvent
from streams.record import Record
from tables.effects import Announce, Deliver, Effect
from tables.receipts import CommandRow, HeaderRow, Row, StagedRow, ToldRow
from tables.transaction import Transaction

RECENT_MAX: Final = 50
"""Of one transaction; an explanation has no more."""
TRANSACTIONS_MAX: Final = 200
"""Of one partition, the last to hear something: with 50 each they take up to 3 MB, and up to 200 MB where one worker
holds 64 partitions."""
NAMED_MAX: Final = 3
"""Facts of one record that are named one by one."""


class Happened(msgspec.Struct, frozen=True):
    """One thing."""

    at: datetime
    kind: str
    text: str
    offset: int
    """Of the record that brought it, or because of which it was asked for."""


class Recent:
    """What happened last in one partition."""

    def __init__(self) -> None:
        self._by_transaction: dict[str, deque[Happened]] = {}
        self._brought: dict[str, dict[str, int]] = {}

    def brought(self, transaction_id: str) -> Mapping[str, int]:
        """Offsets of the records that brought what a transaction remembers by itself, as far as they are known here.

        Only of transactions of which something is known here, so that nothing is kept of those that were forgotten.
        By `problem_key` for problems, by id for commands.
        """
        return self._brought.get(transaction_id, {})

    def of(self, transaction_id: str) -> Sequence[Happened]:
        """The oldest first."""
        return tuple(self._by_transaction.get(transaction_id, ()))

    def heard(self, event: TransactionEvent, before: Transaction | None, after: Transaction, record: Record) -> None:
        """A record was taken; commands and refusals are among what every transaction remembers by itself."""
        match event:
            case HeaderReceived():
                self._add(after.id, Happened(record.at, "header", _header(event, before), record.offset))
            case PayloadsStaged():
                text = _payloads(event.staged) + _known(event, before, after)
                self._add(after.id, Happened(record.at, "payloads", text, record.offset))
            case Told():
                self._add(after.id, Happened(record.at, "told", _carried_out(event), record.offset))
            case Delivered():
                text = f"The outcome {event.outcome} was written and told."
                self._add(after.id, Happened(record.at, "delivered", text, record.offset))

    def recovered(self, transaction: Transaction, rows: Sequence[Row]) -> None:
        """What the rows of an open transaction tell, in any order."""
        last = nlargest(RECENT_MAX, rows, key=lambda row: (row.offset, row.place))
        for offset, together in groupby(reversed(last), attrgetter("offset")):
            for kind, text, at in _told_by(list(together)):
                self._add(transaction.id, Happened(at, kind, text, offset))
        found = {row.fact.id: row.offset for row in rows if isinstance(row, CommandRow)}
        moments = {datetime.fromisoformat(each.occurred_at) for each in transaction.problems}
        offsets = {row.at: row.offset for row in rows if row.at in moments} if moments else {}
        for each in transaction.problems:
            if (offset := offsets.get(datetime.fromisoformat(each.occurred_at))) is not None:
                found[problem_key(each.occurred_at, each.code)] = offset
        if transaction.id in self._by_transaction:
            self._brought[transaction.id] = found

    def learned(self, before: Transaction | None, after: Transaction, record: Record) -> None:
        """What a transaction remembers by itself, after a record: its problems and commands, without their offsets."""
        same = before is not None and before.problems is after.problems and before.commands is after.commands
        if same or after.id not in self._by_transaction:
            return
        old = frozenset(_remembered(before)) if before is not None else frozenset()
        known = {**dict.fromkeys(old), **self.brought(after.id)}
        found = {key: known.get(key, record.offset) for key in _remembered(after)}
        self._brought[after.id] = {key: offset for key, offset in found.items() if offset is not None}

    def asked(self, effect: Effect, record: Record) -> None:
        """Something was asked for."""
        self._add(effect.transaction, Happened(record.at, "asked", _asked(effect), record.offset))

    def _add(self, transaction_id: str, happened: Happened) -> None:
        # Behind all others, so that the first one is the one that has heard nothing for longest.
        known = self._by_transaction.pop(transaction_id, None)
        if known is None:
            known = deque(maxlen=RECENT_MAX)
            if len(self._by_transaction) >= TRANSACTIONS_MAX:
                forgotten = next(iter(self._by_transaction))
                del self._by_transaction[forgotten]
                self._brought.pop(forgotten, None)
        known.append(happened)
        self._by_transaction[transaction_id] = known


def problem_key(occurred_at: str, code: str) -> str:
    """By which a problem is known among those of its transaction."""
    return f"{occurred_at} {code}"


def _remembered(transaction: Transaction) -> tuple[str, ...]:
    problems = (problem_key(each.occurred_at, each.code) for each in transaction.problems)
    return (*problems, *(each.id for each in transaction.commands))


def _told_by(rows: Sequence[Row]) -> Iterable[tuple[str, str, datetime]]:
    """What the rows of one record tell, but for what every transaction remembers by itself."""
    staged = [row.fact for row in rows if isinstance(row, StagedRow)]
    if staged:
        yield "payloads", _payloads(staged), rows[0].at
    for row in rows:
        if isinstance(row, HeaderRow):
            yield "header", _header(row.fact, None), row.at
        elif isinstance(row, ToldRow):
            yield "told", _carried_out(row.fact), row.at


def _carried_out(fact: Told) -> str:
    return f"It was carried out: {fact.effect}."


def _header(event: HeaderReceived, before: Transaction | None) -> str:
    if event.conflicting_digest is not None:
        return "Another header came; the first one stays."
    if before is not None and before.header is not None:
        return "The header came again."
    count = len(event.header.series)
    return f"The header came, with {count} series."


def _payloads(staged: Sequence[Staged]) -> str:
    named = "; ".join(map(_named, staged[:NAMED_MAX]))
    more = f"; {len(staged) - NAMED_MAX} more" if len(staged) > NAMED_MAX else ""
    return f"Payloads came: {named}{more}."


def _known(event: PayloadsStaged, before: Transaction | None, after: Transaction) -> str:
    count = sum(fact.count for fact in event.staged)
    names = {fact.series for fact in event.staged}
    new = _received(after, names) - _received(before, names)
    return "" if new == count else f" {count - new} of {count} brought nothing new."


def _named(fact: Staged) -> str:
    last = f"-{fact.first + fact.count - 1}" if fact.count > 1 else ""
    return f"{fact.series} {fact.first}{last}"


def _received(transaction: Transaction | None, names: Set[str]) -> int:
    known = transaction.series if transaction is not None else {}
    return sum(known[name].received_count for name in names if name in known)


def _asked(effect: Effect) -> str:
    match effect:
        case Deliver():
            return f"The delivery was asked for the outcome {effect.outcome}."
        case Announce():
            return f"The delivery was asked to tell those who wait: {effect.kind}."
    return "The delivery was asked to keep the blocks in storage."
