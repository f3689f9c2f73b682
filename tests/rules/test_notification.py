"""What is said of a transaction: the public form of every event, and that copies are the same bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bridge.contract.inbound import Header, SeriesSpec, Trace
from bridge.contract.outbound import Outcome, OutcomeTimestamps, Problem
from streams.notification import notice, notification, routing_key
from streams.outcome import Audience, Decided
from tables.effects import Announce, NoticeKind
from tests.support.result import START

TRACE = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
MISSING = Problem(
    "gap",
    "Payloads are missing",
    "Nothing new came.",
    "await",
    "2026-01-31T12:00:00.000Z",
    retryable=True,
    terminal=False,
    missing={"a": ((2, 2), (4, 9)), "b": None},
)
HEADER = Header((SeriesSpec("a", 9, "text/csv"), SeriesSpec("b")), "valuation", labels={"book": "EUR"})
OUTCOME = Outcome(
    "T1", "valuation", "Completed", False, "https://a/T1/_outcome.json", (), None,
    OutcomeTimestamps("2026-01-31T12:00:00.000Z", None, "2026-01-31T12:00:01.000Z"),
)  # fmt: skip


def announce(kind: NoticeKind, sequence: int = 0, **members: Any) -> Announce:
    return Announce("e-1", "T1", "valuation", kind, START, sequence, trace=TRACE, **members)


def shown(effect: Announce) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(msgspec.json.encode(notice(effect, "lab")))
    return event


def test_an_accepted_event_says_what_the_header_says() -> None:
    event = shown(announce("accepted", header=HEADER))
    assert event == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "/brh/lab",
        "type": "brh.transaction.accepted.v1",
        "subject": "T1",
        "time": "2026-01-31T12:00:00.000Z",
        "datacontenttype": "application/json",
        "correlationid": "T1",
        "traceparent": TRACE.traceparent,
        "tracestate": "a=b",
        "data": {
            "transactionId": "T1",
            "transactionType": "valuation",
            "series": [{"type": "a", "totalCount": 9, "contentType": "text/csv"}, {"type": "b"}],
            "labels": {"book": "EUR"},
            "headerReceived": "2026-01-31T12:00:00.000Z",
        },
    }


def test_a_gap_event_names_its_number_and_what_is_missing() -> None:
    event = shown(announce("gap", 3, problem=MISSING))
    assert event["type"] == "brh.transaction.gap.v1"
    problem = event["data"].pop("problem")
    assert event["data"] == {"transactionId": "T1", "transactionType": "valuation", "sequence": 3}
    assert problem["missing"] == {"a": [[2, 2], [4, 9]], "b": None}
    assert (problem["code"], problem["terminal"], problem["type"]) == ("gap", False, "urn:brh:problem:gap")


def test_an_overdue_event_names_the_problem() -> None:
    event = shown(announce("overdue", problem=replace(MISSING, code="overdue", missing=None)))
    assert event["type"] == "brh.transaction.overdue.v1"
    assert event["data"]["problem"]["code"] == "overdue"
    assert "sequence" not in event["data"]


def test_an_event_is_the_same_bytes_however_often_it_is_made() -> None:
    for effect in (announce("accepted", header=HEADER), announce("gap", 1, problem=MISSING)):
        assert msgspec.json.encode(notice(effect, "lab")) == msgspec.json.encode(notice(effect, "lab"))


def test_the_id_is_that_of_transaction_kind_and_number_alone() -> None:
    first = announce("gap", 1, problem=MISSING)
    said_otherwise = replace(first, id="e-2", problem=None, reply_to="q", trace=Trace())
    assert notice(said_otherwise, "lab").id == notice(first, "lab").id
    kinds = [announce("accepted", header=HEADER), first, announce("gap", 2), announce("gap", 11), announce("overdue")]
    others = [replace(effect, transaction="T2") for effect in kinds]
    ids = {notice(effect, "lab").id for effect in (*kinds, *others)}
    outcomes: list[Any] = ["Completed", "Failed", "Abandoned"]
    ids |= {notification(Decided(replace(OUTCOME, outcome=each), "0x1", Audience()), "lab").id for each in outcomes}
    assert len(ids) == 13


def test_an_outcome_keeps_the_id_it_has_always_had() -> None:
    # Consumers deduplicate on it across versions of the product.
    assert notification(Decided(OUTCOME, "0x1", Audience()), "lab").id == "6e70928d-29e2-5a22-b824-5847c392715f"


@pytest.mark.parametrize("kind", ["accepted", "gap", "overdue", "Completed", "Failed", "Abandoned"])
def test_a_routing_key_names_kind_and_type(kind: str) -> None:
    assert routing_key(kind, "valuation") == f"transaction.{kind.lower()}.valuation"
