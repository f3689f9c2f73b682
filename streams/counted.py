"""What is counted of transactions, by their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge import metrics
from bridge.contract.events import TransactionEvent
from streams.record import message_count
from tables.transaction import Transaction

_OF_TYPE: Final = (
    metrics.GAPS,
    metrics.DUPLICATES,
    metrics.CONFLICTS,
    metrics.LATE,
    metrics.ORPHANS,
    metrics.TOLD_SECONDS,
)


def begin_type(transaction_type: str) -> None:
    """Let what is counted of a type begin at 0, as soon as the process hears of it.

    Whoever sends messages chooses types, so not all can be known at the start.
    """
    kind = metrics.transaction_type(transaction_type)
    for each in _OF_TYPE:
        metrics.begin(each, [kind])
    metrics.begin(metrics.OUTCOMES, [kind], ["Completed"], [""])


def count_news(before: Transaction | None, after: Transaction) -> None:
    """A newer version of an open transaction: what of it is new, and no payload."""
    if before is None or before.transaction_type != after.transaction_type:
        begin_type(after.transaction_type)
    duplicates = after.duplicates - (before.duplicates if before else 0)
    losing = _more(before.contradictions if before else {}, after.contradictions)
    conflicting = after.conflict is not None and (before is None or before.conflict is None)
    noticed = after.gap is not None and after.gap.sequence > (before.gap.sequence if before and before.gap else 0)
    if not (duplicates or losing or noticed):
        return
    kind = metrics.transaction_type(after.transaction_type)
    if duplicates:
        metrics.DUPLICATES.labels(kind).inc(duplicates)
    for code, count in losing.items():
        metrics.CONFLICTING_FACTS.labels(kind, code).inc(count)
    if conflicting:
        metrics.CONFLICTS.labels(kind).inc()
    if noticed:
        metrics.GAPS.labels(kind).inc()


def _more(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What has been counted since, by code."""
    if after is before:
        return {}
    return {code: count - before.get(code, 0) for code, count in after.items() if count > before.get(code, 0)}


def count_late(event: TransactionEvent, shown: Mapping[str, Any] | None) -> None:
    """Something came for a closed transaction, and changes nothing; only its readable row knows its type."""
    if messages := message_count(event):
        kind = str((shown or {}).get("transactionType", "default"))
        metrics.LATE.labels(metrics.transaction_type(kind)).inc(messages)
