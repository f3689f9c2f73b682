"""The laws of the chaos checker see each way in which a promise can be broken, and accuse nobody who keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chaos.known import Content, Known, Sent
from tests.chaos.laws import Evidence, Judgement, Notice, judge

T = "T1"
BEGAN = 1_000.0
HEADER_LIMIT_S = 60.0
SHA = {1: "aa", 2: "bb"}


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


class Story:
    """A transaction of one series of two payloads, as its producer wrote it down."""

    def __init__(self, header: dict[str, Any] | None = None) -> None:
        self.records: list[dict[str, Any]] = []
        self.header = header or {"series": [{"type": "s", "totalCount": 2}]}

    def send(self, kind: str, *, at: float | None = BEGAN + 1, **more: Any) -> Story:
        number = sum(each["op"] == "send" for each in self.records)
        record = {"op": "send", "m": number, "t": T, "kind": kind, "at": BEGAN, "reply_to": None, "size": 10, **more}
        self.records.append(record)
        if at is not None:
            self.records.append({"op": "confirmed", "m": number, "began": BEGAN, "at": at})
        return self

    def with_header(self, *, at: float | None = BEGAN + 1, **more: Any) -> Story:
        return self.send("header", at=at, header={**self.header, **more}, sha="h")

    def payload(self, ordinal: int, *, sha: str = "", at: float | None = BEGAN + 1, total: int = 2) -> Story:
        return self.send("payload", s="s", o=ordinal, n=total, sha=sha or SHA[ordinal], at=at, code="")

    def bad(self) -> Story:
        return self.send("bad", s="s", o=9, n=2, sha="cc", code="bad-ordinal")

    def sent(self) -> Sent:
        known = Known()
        known.add(self.records)
        return known.transactions[T]


def whole() -> Story:
    return Story().with_header().payload(1).payload(2)


def outcome(kind: str, code: str | None = None, *, decided: float = BEGAN + 5, **more: Any) -> dict[str, Any]:
    series = [{"seriesType": "s", "totalCount": 2, "parts": []}]
    stamps = {"created": moment(BEGAN), "headerReceived": moment(BEGAN), "completed": moment(decided)}
    return {
        "outcome": kind,
        "partial": False,
        "series": series if kind == "Completed" else [],
        "problem": {"code": code} if code else None,
        "timestamps": stamps,
        **more,
    }


def told(said: dict[str, Any], **more: Any) -> Evidence:
    """Everything that follows an outcome."""
    body = json.dumps({"data": {**said, "outcomeEtag": "e1"}})
    seen = Evidence(said, "e1", {"notificationId": "n1"}, state=said["outcome"])
    seen.notices = {Notice("amqp", "n1", body), Notice("kafka", "n1", body)}
    if said["outcome"] == "Completed":
        seen.committed = {("s", n): Content(sha, 10, 2) for n, sha in SHA.items()}
    for name, value in more.items():
        setattr(seen, name, value)
    return seen


def judged(story: Story, seen: Evidence) -> Judgement:
    return judge(story.sent(), seen, HEADER_LIMIT_S)


def laws(judgement: Judgement) -> list[str]:
    return [each.law for each in (*judgement.violations, *judgement.pending)]


def test_what_is_kept_is_not_accused() -> None:
    judgement = judged(
        whole().payload(2).bad(), told(outcome("Completed"), dead={4: {"cc"}}, refused={4: {("e1", "bad-ordinal")}})
    )
    assert laws(judgement) == []
    assert +judgement.classes == {"header": 1, "accepted": 2, "duplicate or late": 1, "invalid": 1}


REFUSED = {3: {("e1", "bad-ordinal")}}


@pytest.mark.parametrize(
    ("story", "seen", "law"),
    [
        pytest.param(whole, Evidence, "I10", id="no outcome"),
        pytest.param(whole, lambda: told(outcome("Failed", "conflicting-payload")), "I2", id="failed without a reason"),
        pytest.param(whole, lambda: told(outcome("Abandoned", "timeout")), "I9", id="given up though complete"),
        pytest.param(whole, lambda: told(outcome("Abandoned", "no-header")), "I9", id="the header was there"),
        pytest.param(whole, lambda: told(outcome("Failed", "completion-timeout")), "I2", id="not delivered in time"),
        pytest.param(whole, lambda: told(outcome("Completed"), state="Failed"), "I2", id="the API contradicts"),
        pytest.param(whole, lambda: told(outcome("Completed"), outcome_etag="e2"), "I2", id="another outcome"),
        pytest.param(whole, lambda: told(outcome("Completed"), notices=set()), "I5", id="told nobody"),
        pytest.param(whole, lambda: told(outcome("Completed"), told=None), "I5", id="not marked"),
        pytest.param(whole, lambda: told(outcome("Completed"), committed=None), "I1", id="bytes were not read"),
        pytest.param(whole, lambda: told(outcome("Completed"), committed={}), "I4", id="payloads are nowhere"),
        pytest.param(lambda: whole().bad(), lambda: told(outcome("Completed")), "I4", id="bad and not dead-lettered"),
        pytest.param(
            lambda: whole().bad(),
            lambda: told(outcome("Completed"), dead={3: {"other"}}, refused=REFUSED),
            "I4",
            id="dead-lettered with other bytes",
        ),
        pytest.param(
            whole,
            lambda: told(outcome("Completed", series=[{"seriesType": "s", "totalCount": 3, "parts": []}])),
            "I1",
            id="another total",
        ),
        pytest.param(
            whole, lambda: told(outcome("Completed", partial=True, series=[])), "I1", id="partial without being asked"
        ),
    ],
)
def test_every_broken_promise_is_seen(story: Callable[[], Story], seen: Callable[[], Evidence], law: str) -> None:
    assert law in laws(judged(story(), seen()))


def test_two_ids_or_two_bodies_are_two_notifications() -> None:
    seen = told(outcome("Completed"))
    (first, *_) = seen.notices
    for other in (first._replace(id="n2"), first._replace(body=first.body + " ")):
        again = told(outcome("Completed"))
        again.notices.add(other)
        assert "I5" in laws(judged(whole(), again))


def test_one_who_asked_for_a_reply_gets_one() -> None:
    story = Story().send("header", header=Story().header, sha="h", reply_to="q").payload(1).payload(2)
    assert laws(judged(story, told(outcome("Completed")))) == ["I5"]


def test_what_contradicts_itself_may_fail_or_keep_one_of_them() -> None:
    story = whole().payload(2, sha="dd")
    assert laws(judged(story, told(outcome("Failed", "conflicting-payload")))) == []
    kept = judged(story, told(outcome("Completed")))
    assert laws(kept) == []
    assert +kept.classes == {"header": 1, "accepted": 2, "conflict": 1}


def test_what_was_late_may_be_given_up() -> None:
    limit = {"timeouts": {"awaiting": "PT30S"}}
    late = Story().with_header(**limit).payload(1).payload(2, at=BEGAN + 31)
    assert laws(judged(late, told(outcome("Abandoned", "timeout", decided=BEGAN + 40)))) == []
    in_time = Story().with_header(**limit).payload(1).payload(2, at=BEGAN + 29)
    assert "I9" in laws(judged(in_time, told(outcome("Abandoned", "timeout", decided=BEGAN + 40))))
    assert "I9" in laws(judged(late, told(outcome("Abandoned", "timeout", decided=BEGAN + 20))))


def test_without_a_header_what_came_in_time_is_reported_as_orphaned() -> None:
    story = Story().payload(1).payload(2, at=BEGAN + 61)
    given_up = outcome("Abandoned", "no-header", decided=BEGAN + 70)
    assert laws(judged(story, told(given_up))) == ["I4"]
    record = json.dumps({"data": {"series": [{"seriesType": "s", "received": [[1, 1]]}]}})
    judgement = judged(story, told(given_up, orphans={record}))
    assert laws(judgement) == []
    assert +judgement.classes == {"orphan": 2}


def test_a_partial_result_lacks_only_what_was_late() -> None:
    limit = {"timeouts": {"awaiting": "PT30S"}, "onTimeout": "partial"}
    series = [{"seriesType": "s", "totalCount": 2, "received": [[1, 1]], "missing": [[2, 2]], "parts": []}]
    said = outcome("Completed", partial=True, series=series, decided=BEGAN + 40)
    seen = told(said, committed={("s", 1): Content("aa", 10, 2)})
    assert laws(judged(Story().with_header(**limit).payload(1), seen)) == []
    assert laws(judged(Story().with_header(**limit).payload(1).payload(2, at=BEGAN + 35), seen)) == []
    assert "I9" in laws(judged(Story().with_header(**limit).payload(1).payload(2), seen))
