"""Rebuild what an owner holds in memory from the rows of the tables, which are the truth."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.contract.outbound import Problem
from streams.partition import Partition
from streams.topics import Topics
from tables import receipts
from tables.policies import Policies
from tables.rules import PROBLEMS_MAX
from tables.transaction import FINAL, Transaction


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
        transaction = receipts.fold(transaction_id, (receipts.read(rows[key]) for key in keys), policies)
        partition.keys[transaction_id] = keys
        if transaction.state in FINAL:
            partition.close(transaction_id, closed_until(transaction, retention_s))
        else:
            partition.put(_reminded(transaction, shown.get(transaction_id), now))
            partition.unshown.add(transaction_id)
            partition.asked.remember(transaction_id)
    return owned


def closed(rows: Mapping[str, Any], transaction_id: str, policies: Policies) -> Transaction | None:
    """A closed transaction, as far as the one row tells that is left of it; None when there is no outcome."""
    row = rows.get(receipts.outcome_key(transaction_id))
    return None if row is None else receipts.fold(transaction_id, [receipts.read(row)], policies)


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
    if shown is not None:
        problems = msgspec.convert(shown.get("problems", ()), tuple[Problem, ...])
        transaction = replace(
            transaction,
            duplicates=max(shown["duplicates"], transaction.duplicates),
            recoveries=shown["recoveries"],
            problems=(*problems, *(each for each in transaction.problems if each not in problems))[-PROBLEMS_MAX:],
        )
    return replace(transaction, recovered=now, recoveries=transaction.recoveries + 1)
