"""What a tracker counts of transactions, by their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge import metrics
from bridge.contract.events import TransactionEvent
from streams.record import message_count


def count_late(event: TransactionEvent, shown: Mapping[str, Any] | None) -> None:
    """Something came for a closed transaction, and changes nothing; only its readable row knows its type."""
    if messages := message_count(event):
        kind = str((shown or {}).get("transactionType", "default"))
        metrics.LATE.labels(metrics.transaction_type(kind)).inc(messages)
