"""An example of every message, as a producer sends it or as BigResultHandler tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from bridge.contract.inbound import PAYLOAD_TYPE, Header, Rejected, RejectionCode, SeriesSpec, Trace
from bridge.contract.outbound import (
    Missing,
    Orphaned,
    OrphanSeries,
    Outcome,
    OutcomeCode,
    OutcomeTimestamps,
    Part,
    Problem,
    SeriesResult,
    rfc3339,
)
from bridge.envelope import Properties
from bridge.rejection import Refused, rejection
from bridge.topology import PAYLOADS
from streams.notification import notice, notification, orphan_record
from streams.outcome import Audience, Decided
from tables.effects import Announce, NoticeKind

Node = dict[str, Any]

_BEGUN: Final = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_ENDED: Final = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
_TRACE: Final = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None)
_FOLDER: Final = "https://lab.blob.core.windows.net/results/T1"
_HEADER: Final = Header((SeriesSpec("cashflows", 128, "text/csv"), SeriesSpec("log")), "valuation")
_INSTANCE: Final = "default"
_HEADER_BODY: Final = (
    b'{"transactionType": "valuation", "series": [{"type": "cashflows", "totalCount": 128, "contentType": "text/csv"},'
    b' {"type": "log"}], "timeouts": {"awaiting": "PT2H", "idle": "PT10M"}, "onTimeout": "abandon", "labels":'
    b' {"book": "EUR"}}'
)


def examples() -> dict[str, Node]:
    """By the name of the message: its AMQP headers, where it has some, and its payload."""
    traced = {"traceparent": _TRACE.traceparent}
    body = "date,amount\n2026-01-31,42\n"
    payload = {
        "brh_series_type": "cashflows",
        "brh_ordinal": 1,
        "brh_total_count": 128,
        "brh_content_length": len(body),
    }
    return {
        "header": {"headers": traced, "payload": msgspec.json.decode(_HEADER_BODY)},
        "payload": {"headers": payload | traced, "payload": body},
        **{name: {"payload": _plain(event)} for name, event in _told().items()},
    }


def _plain(event: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(event))


def _told() -> dict[str, Any]:
    lacks: Missing = {"cashflows": ((17, 17), (42, 90)), "log": None}
    late = Problem(OutcomeCode.TIMEOUT, "Payloads are missing", "Not everything came within 7200 s.", "await", _at())
    slow = Problem(
        "overdue", "The delivery is overdue", "Outcome and notification took longer than 900 s.", "assemble", _at()
    )
    gap = Problem(
        "gap", "Payloads are missing", "Nothing new came for 600 s and more.", "await", _at(), True, False, lacks
    )
    conflict = Problem(
        OutcomeCode.CONFLICTING_TOTAL_COUNT,
        "Header and payloads disagree about a total count",
        "Series cashflows: payloads say 127, the header says 128.",
        "await",
        _at(),
    )
    orphans = Orphaned("T1", "valuation", "unknown-series", (OrphanSeries("trace", 2, 1, 25, ((1, 1),), False),))
    return {
        "accepted": _notice("accepted"),
        "gap": _notice("gap", 1, gap),
        "overdue": _notice("overdue", problem=replace(slow, retryable=True, terminal=False)),
        "completed": notification(_decided("Completed"), _INSTANCE),
        "failed": notification(_decided("Failed", conflict), _INSTANCE),
        "abandoned": notification(_decided("Abandoned", replace(late, missing=lacks)), _INSTANCE),
        "orphaned": orphan_record(_decided("Completed"), orphans, _INSTANCE),
        "rejected": _rejected(),
    }


def _at() -> str:
    return rfc3339(_ENDED)


def _notice(kind: NoticeKind, sequence: int = 0, problem: Problem | None = None) -> Any:
    header = _HEADER if kind == "accepted" else None
    return notice(Announce("", "T1", "valuation", kind, _BEGUN, sequence, problem, header, trace=_TRACE), _INSTANCE)


def _decided(outcome: Any, problem: Problem | None = None) -> Decided:
    parts = {
        "cashflows": Part(f"{_FOLDER}/cashflows/part-00000", 3_200, "0x8DCF0A1B2C3D4E5", "a1b2c3d4e5f60718"),
        "log": Part(f"{_FOLDER}/log/part-00000", 25, "0x8DCF0A1B2C3D4E7", "18f6e5d4c3b2a107"),
    }
    none = SeriesResult("cashflows", 128, 0, "text/csv", ()), SeriesResult("log", None, 0, None, ())
    whole = tuple(
        replace(each, total_count=each.total_count or 1, bytes=part.bytes, parts=(part,))
        for each in none
        if (part := parts[each.series_type])
    )
    times = OutcomeTimestamps(rfc3339(_BEGUN), rfc3339(_BEGUN), _at())
    said = Outcome(
        transaction_id="T1",
        transaction_type="valuation",
        outcome=outcome,
        partial=False,
        outcome_uri=f"{_FOLDER}/_outcome.json",
        series=whole if problem is None else none,
        problem=problem,
        timestamps=times,
    )
    return Decided(said, "0x8DCF0A1B2C3D4E6", Audience(trace=_TRACE))


def _rejected() -> Any:
    """Its time is now, which no document may hold that is written again."""
    reason = "brh_ordinal is 129, expected at most the total count 128"
    found = Properties(type=PAYLOAD_TYPE, correlation_id="T1", message_id="T1/cashflows/129", app_id="brh-send")
    event = rejection(
        Refused(PAYLOADS, "payload.cashflows", found, 25, Rejected(RejectionCode.BAD_ORDINAL, reason)), _INSTANCE
    ).event
    data = msgspec.json.decode(event.data)
    data["problem"]["occurredAt"] = _at()
    return replace(event, time=_at(), data=msgspec.Raw(msgspec.json.encode(data)))
