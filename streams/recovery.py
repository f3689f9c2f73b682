"""Rebuild what an owner holds in memory from the rows of the tables, which are the truth."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from bridge.contract.outbound import Problem
from bridge.unreadable import ReadCode, Unreadable, convert
from streams.partition import Partition
from streams.topics import Topics
from tables import receipts
from tables.policies import Policies
from tables.problems import PROBLEMS_MAX
from tables.transaction import FINAL, Transaction

_log = structlog.get_logger()


class _Remembered(msgspec.Struct, frozen=True):
    """What of a readable row nothing else tells."""

    duplicates: int
    recoveries: int
    contradictions: dict[str, int] = {}
    problems: tuple[Problem, ...] = ()


def recover(
    rows: Mapping[str, Any],
    shown: Mapping[str, Any],
    mine: Collection[int],
    topics: Topics,
    policies: Policies,
    now: datetime,
    retention_s: float,
) -> dict[int, Partition]:
    """An index for each of our partitions. The tables may hold rows of others: those are not even looked at."""
    owned = {partition: Partition() for partition in mine}
    for transaction_id, keys in _keys_by_transaction(rows, owned, topics).items():
        partition = owned[topics.partition_of(transaction_id)]
        try:
            found = [receipts.read(rows[key]) for key in keys]
            transaction = _folded(transaction_id, found, keys, policies)
        except Unreadable as error:
            # Without one of its facts it would be another transaction; the others must not wait for it.
            _log.warning("transaction is left alone", transaction=transaction_id, unreadable_row=str(error))
            partition.unreadable[transaction_id] = str(error)
            continue
        partition.keys[transaction_id] = keys
        if transaction.state in FINAL:
            partition.close(transaction, closed_until(transaction, retention_s))
        else:
            partition.put(_reminded(transaction, shown.get(transaction_id), now))
            partition.recent.recovered(partition.transactions[transaction_id], found)
            partition.unshown.add(transaction_id)
            partition.asked.remember(transaction_id)
    return owned


def _folded(transaction_id: str, rows: list[receipts.Row], keys: list[str], policies: Policies) -> Transaction:
    """Raises Unreadable."""
    transaction = receipts.fold(transaction_id, rows, policies)
    if transaction.state in FINAL and receipts.outcome_key(transaction_id) not in keys:
        raise Unreadable(ReadCode.UNREADABLE, "the row of its outcome has another key")
    return transaction


def closed(rows: Mapping[str, Any], transaction_id: str, policies: Policies) -> Transaction | None:
    """A closed transaction, as far as the one row tells that is left of it; None when there is none to be read."""
    row = rows.get(receipts.outcome_key(transaction_id))
    if row is None:
        return None
    try:
        return receipts.fold(transaction_id, [receipts.read(row)], policies)
    except Unreadable as error:
        _log.warning("the row of an outcome cannot be read", transaction=transaction_id, reason=str(error))
        return None


def closed_until(transaction: Transaction, retention_s: float) -> datetime:
    """How long a closed transaction is remembered, so that late messages are known as such."""
    assert transaction.settled is not None, "closed transactions have an outcome"
    return transaction.settled.notified + timedelta(seconds=retention_s)


def _keys_by_transaction(rows: Mapping[str, Any], mine: Collection[int], topics: Topics) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key in rows:
        transaction_id = receipts.transaction_of(key)
        known = grouped.get(transaction_id)
        if known is not None:
            known.append(key)
        elif topics.partition_of(transaction_id) in mine:
            grouped[transaction_id] = [key]
    return grouped


def _reminded(transaction: Transaction, shown: Mapping[str, Any] | None, now: datetime) -> Transaction:
    """With what only the readable row remembers: counters, and problems that have no row of their own."""
    known = _remembered(transaction.id, shown) if shown is not None else None
    if known is not None:
        problems = (*known.problems, *(each for each in transaction.problems if each not in known.problems))
        transaction = replace(
            transaction,
            duplicates=max(known.duplicates, transaction.duplicates),
            contradictions=_most(known.contradictions, transaction.contradictions),
            recoveries=known.recoveries,
            problems=problems[-PROBLEMS_MAX:],
        )
    return replace(transaction, recovered=now, recoveries=transaction.recoveries + 1)


def _most(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {code: max(some.get(code, 0), others.get(code, 0)) for code in (*some, *others)}


def _remembered(transaction_id: str, shown: Mapping[str, Any]) -> _Remembered | None:
    try:
        found: _Remembered = convert(shown, _Remembered)
    except Unreadable as error:
        # It is a view: what it alone remembers are counters, and it is written anew.
        _log.warning("a readable row is not believed", transaction=transaction_id, reason=str(error))
        return None
    return found
