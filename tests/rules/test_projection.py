"""The readable row says what the rules know, in the words of the public interface."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from playbook import START, Playbook, command, delivered, header, passes, payload, refused, seconds

from streams.topics import RECORD_MAX_BYTES
from tables.missing import DOCUMENT_RANGES_MAX, RANGES_MAX
from tables.ordinals import ranges
from tables.projection import view
from tables.rules import opened
from tables.transaction import Series

CREATED = "2026-01-31T12:00:00.000Z"


def test_an_open_transaction_shows_what_is_there_and_what_is_missing() -> None:
    book = Playbook() >> payload("cashflows", 2, of=4, body="y") >> payload("cashflows", 2, of=4, body="y")
    shown = view((book >> seconds(2) >> header(cashflows=4, log=None)).transaction)
    assert shown == {
        "transactionId": "T1",
        "transactionType": "default",
        "state": "AwaitingResults",
        "header": {"series": ({"type": "cashflows", "totalCount": 4}, {"type": "log"})},
        "series": [
            {
                "seriesType": "cashflows",
                "totalCount": 4,
                "receivedCount": 1,
                "bytes": ord("y"),
                "received": ((2, 2),),
                "missing": ((1, 1), (3, 4)),
                "rangesTruncated": False,
            },
            {
                "seriesType": "log",
                "totalCount": None,
                "receivedCount": 0,
                "bytes": 0,
                "received": (),
                "missing": (),
                "rangesTruncated": False,
            },
        ],
        "duplicates": 1,
        "contradictions": {},
        "blobUri": None,
        "timestamps": {
            "created": CREATED,
            "lastUpdated": "2026-01-31T12:00:02.000Z",
            "headerReceived": CREATED,
            "completed": None,
            "notified": None,
            "recovered": None,
        },
        "recoveries": 0,
        "deadlines": {
            "next": "2026-01-31T12:10:02.000Z",
            "kind": "idle",
            "awaiting": "2026-02-01T12:00:00.000Z",
        },
        "problem": None,
        "problems": (),
        "commands": [],
    }


def test_before_the_header_there_is_none() -> None:
    shown = view((Playbook() >> payload("a", 1, of=1)).transaction)
    assert (shown["header"], shown["timestamps"]["headerReceived"]) == (None, None)


def test_the_limits_that_a_header_sets_are_shown_as_it_wrote_them_and_no_others() -> None:
    shown = view((Playbook() >> header(a=1, awaiting_s=7_200.0)).transaction)
    assert shown["header"]["timeouts"] == {"awaiting": "PT2H"}
    assert "timeouts" not in view((Playbook() >> header(a=1)).transaction)["header"]
    assert shown["deadlines"]["awaiting"] == "2026-01-31T14:00:00.000Z"


def test_what_was_ordered_and_what_went_wrong_is_shown() -> None:
    book = Playbook() >> header(a=1) >> command("extend", extend=3_600.0) >> passes(minutes=10)
    shown = view(book.transaction)
    assert shown["commands"] == [{"id": "c-1", "action": "extend", "by": "ann", "at": CREATED}]
    assert [each["code"] for each in shown["problems"]] == ["gap"]
    assert shown["deadlines"] == {
        "next": "2026-01-31T12:20:00.000Z",
        "kind": "idle",
        "awaiting": "2026-02-01T13:00:00.000Z",
    }


def test_a_refused_delivery_shows_the_next_try_and_the_problem() -> None:
    shown = view((Playbook() >> header(a=0) >> refused() >> refused()).transaction)
    assert shown["state"] == "SendingCompletion"
    assert shown["deadlines"] == {"next": "2026-01-31T12:00:02.000Z", "kind": "retry", "awaiting": None}
    assert shown["problem"]["code"] == "storage-unavailable"


def test_a_completed_transaction_shows_its_folder_and_when_it_was_told() -> None:
    shown = view((Playbook() >> header(a=0) >> delivered("Completed")).transaction)
    assert shown["blobUri"] == "https://a/results/T1"
    assert (shown["timestamps"]["completed"], shown["timestamps"]["notified"]) == (CREATED, CREATED)


@pytest.mark.parametrize("outcome", ["Failed", "Abandoned"])
def test_a_transaction_without_a_result_shows_no_folder(outcome: str) -> None:
    shown = view((Playbook() >> header(a=0) >> delivered(outcome, "too-late")).transaction)
    assert (shown["state"], shown["blobUri"], shown["problem"]["code"]) == (outcome, None, "too-late")


def test_ranges_are_cut_at_their_limit_and_say_so() -> None:
    scattered = Series(total_count=4_000, received=sum(1 << at for at in range(0, 4_000, 2)), received_count=2_000)
    (shown,) = view(replace(opened("T1", START), series={"a": scattered}))["series"]
    assert len(shown["received"]) == len(shown["missing"]) == RANGES_MAX
    assert shown["rangesTruncated"]
    assert shown["received"] == ranges(scattered.received, RANGES_MAX)[0]


def test_no_number_of_scattered_series_makes_a_row_that_kafka_refuses() -> None:
    scattered = Series(total_count=80, received=sum(1 << at for at in range(0, 80, 2)), received_count=40)
    shown = view(replace(opened("T1", START), series={f"s{n}": scattered for n in range(1_000)}))
    assert sum(len(each["received"]) + len(each["missing"]) for each in shown["series"]) <= DOCUMENT_RANGES_MAX
    assert len(msgspec.json.encode(shown)) < RECORD_MAX_BYTES // 2
