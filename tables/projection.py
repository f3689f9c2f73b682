"""A transaction as the public interface shows it: the row of the transactions table and the answer of the API. Pure.

It is a view, never the truth: it is written from what the rules know and can be thrown away at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from bridge.contract.outbound import rfc3339
from bridge.durations import duration_text
from bridge.layout import OUTCOME_BLOB
from tables import ordinals
from tables.deadlines import awaiting_until, deadlines
from tables.missing import missing_ranges, ranges_max
from tables.transaction import Series, State, Transaction

_SHOWN_KINDS: Final = frozenset({"header", "idle", "awaiting", "retry", "completing", "completing-max"})
"""Of deadlines: keeping blocks alive is nobody's business."""

_OF_THE_OUTCOME: Final = frozenset({"state", "blobUri", "timestamps", "deadlines", "problem"})
_TIMES_OF_THE_OUTCOME: Final = ("lastUpdated", "completed", "notified")


def view(transaction: Transaction) -> dict[str, Any]:
    """The transaction in the words of the public interface."""
    settled = transaction.settled
    room = ranges_max(transaction)
    return {
        "transactionId": transaction.id,
        "transactionType": transaction.transaction_type,
        "state": transaction.state.value,
        "header": _header(transaction),
        "series": [_series(name, series, room) for name, series in transaction.series.items()],
        "duplicates": transaction.duplicates,
        "contradictions": dict(transaction.contradictions),
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
        "deadlines": _deadlines(transaction),
        "problem": msgspec.to_builtins(transaction.problem),
        "problems": msgspec.to_builtins(transaction.problems),
        "commands": [
            {"id": each.id, "action": each.action, "by": each.by, "at": rfc3339(each.at)}
            for each in transaction.commands
        ],
    }


def closed_view(transaction: Transaction, shown: Mapping[str, Any] | None) -> dict[str, Any]:
    """A closed transaction of which only the outcome is left, with what its readable row has shown before."""
    closed = view(transaction)
    if shown is None or not isinstance(shown.get("timestamps"), Mapping):
        return closed  # a view of another release: what is made anew is as good
    known = {name: shown[name] for name in shown if name not in _OF_THE_OUTCOME}
    times = {**shown["timestamps"], **{name: closed["timestamps"][name] for name in _TIMES_OF_THE_OUTCOME}}
    return {**closed, **known, "timestamps": times}


def _header(transaction: Transaction) -> dict[str, Any] | None:
    if transaction.header is None:
        return None
    header: dict[str, Any] = msgspec.to_builtins(transaction.header)
    limits = transaction.header.timeouts
    said = {"idle": limits.idle_s, "awaiting": limits.awaiting_s}
    header.pop("timeouts", None)
    if timeouts := {name: duration_text(wait_s) for name, wait_s in said.items() if wait_s is not None}:
        header["timeouts"] = timeouts
    return header


def _deadlines(transaction: Transaction) -> dict[str, str | None]:
    following = next((each for each in deadlines(transaction) if each.kind in _SHOWN_KINDS), None)
    waits = transaction.state is State.AWAITING_RESULTS
    return {
        "next": rfc3339(following.at) if following else None,
        "kind": following.kind if following else None,
        "awaiting": rfc3339(awaiting_until(transaction)) if waits else None,
    }


def _series(name: str, series: Series, room: int) -> dict[str, Any]:
    received, more_received = ordinals.ranges(series.received, room)
    missing, more_missing = missing_ranges(series, room)
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
