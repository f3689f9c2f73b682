"""What a tracker counts of transactions, by their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge import metrics
from bridge.contract.events import TransactionEvent
from streams.record import message_count
from tables.transaction import Transaction


def count_news(before: Transaction | None, after: Transaction) -> None:
    """A newer version of an open transaction: what of it is new, and no payload."""
    duplicates = after.duplicates - (before.duplicates if before else 0)
    conflicting = after.conflict is not None and (before is None or before.conflict is None)
    noticed = after.gap is not None and after.gap.sequence > (before.gap.sequence if before and before.gap else 0)
    if not (duplicates or conflicting or noticed):
        return
    kind = metrics.transaction_type(after.transaction_type)
    if duplicates:
        metrics.DUPLICATES.labels(kind).inc(duplicates)
    if conflicting:
        metrics.CONFLICTS.labels(kind).inc()
    if noticed:
        metrics.GAPS.labels(kind).inc()


def count_late(event: TransactionEvent, shown: Mapping[str, Any] | None) -> None:
    """Something came for a closed transaction, and changes nothing; only its readable row knows its type."""
    if messages := message_count(event):
        kind = str((shown or {}).get("transactionType", "default"))
        metrics.LATE.labels(metrics.transaction_type(kind)).inc(messages)
