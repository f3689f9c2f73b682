"""A transaction as the public interface shows it: the row of the transactions table and the answer of the API. Pure.

It is a view, never the truth: it is written from what the rules know and can be thrown away at any time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from bridge.contract.outbound import rfc3339
from bridge.layout import OUTCOME_BLOB
from tables import ordinals
from tables.rules import deadline
from tables.transaction import Series, State, Transaction

RANGES_MAX: Final = 1_000
"""Ranges shown a series, so that a scattered series cannot make a row that Kafka refuses."""
ROW_RANGES_MAX: Final = 20_000
"""Ranges shown in one row over all series: about 400 kB of JSON."""


def view(transaction: Transaction) -> dict[str, Any]:
    """The transaction in the words of the public interface."""
    settled = transaction.settled
    room = max(1, min(RANGES_MAX, ROW_RANGES_MAX // (2 * max(1, len(transaction.series)))))
    return {
        "transactionId": transaction.id,
        "transactionType": transaction.transaction_type,
        "state": transaction.state.value,
        "header": _header(transaction),
        "series": [_series(name, series, room) for name, series in transaction.series.items()],
        "duplicates": transaction.duplicates,
        "blobUri": _blob_uri(transaction),
        "timestamps": {
            "created": rfc3339(transaction.created),
            "lastUpdated": rfc3339(transaction.updated),
            "headerReceived": _time(transaction.header_received),
            "completed": _time(settled.completed if settled else None),
            "notified": _time(settled.notified if settled else None),
            "recovered": _time(transaction.recovered),
        },
        "recoveries": transaction.recoveries,
        "deadlines": {"next": _time(deadline(transaction)), "kind": "retry" if deadline(transaction) else None},
        "problem": msgspec.to_builtins(transaction.problem),
    }


def _header(transaction: Transaction) -> dict[str, Any] | None:
    if transaction.header is None:
        return None
    header: dict[str, Any] = msgspec.to_builtins(transaction.header)
    return header


def _series(name: str, series: Series, room: int) -> dict[str, Any]:
    received, more_received = ordinals.ranges(series.received, room)
    lacking = ordinals.upto(series.total_count or 0) & ~series.received
    missing, more_missing = ordinals.ranges(lacking, room)
    return {
        "seriesType": name,
        "totalCount": series.total_count,
        "receivedCount": series.received_count,
        "bytes": series.bytes,
        "received": received,
        "missing": missing,
        "rangesTruncated": more_received or more_missing,
    }


def _blob_uri(transaction: Transaction) -> str | None:
    if transaction.state is not State.COMPLETED or transaction.settled is None:
        return None
    return transaction.settled.outcome_uri.removesuffix(f"/{OUTCOME_BLOB}")


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None
