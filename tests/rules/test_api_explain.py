"""Explanations over HTTP: from what the owner knows, whoever is asked; never from a row that is older than that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from http_trackers import TOPICS, HttpTracker, two_trackers
from playbook import START, T1, Playbook, command, delivered, header, passes, payload, refused
from tracker import Tracker

from bridge.contract.outbound import rfc3339
from streams.explained import explanation
from tables.projection import view
from tables.transaction import Transaction

OPEN = Playbook() >> header(a=3) >> payload("a", 1, of=3)
NEWER = Playbook() >> header(a=3) >> payload("a", 1, of=3) >> payload("a", 2, of=3)
MINE = TOPICS.partition_of(T1) % 2


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([T1], lambda _: view(OPEN.transaction), lambda _: view(NEWER.transaction)) as both:
        yield both


async def test_whoever_is_asked_it_is_what_the_owner_knows_now(trackers: list[HttpTracker]) -> None:
    trackers[MINE].known[T1] = NEWER.transaction
    trackers[1 - MINE].known[T1] = OPEN.transaction  # of a time when it was the owner
    for tracker in trackers:
        status, found = await tracker.get(f"/v1/transactions/{T1}/explain")
        assert (status, found["state"], found["command"]) == (200, "AwaitingResults", "brh send T1 --only-missing")
        assert found["waitingFor"] == ["Series a: 1 of 3 payloads: 3."]
        assert found["since"] == rfc3339(START)
        assert found["deadlines"]["kind"] == "idle"


async def test_before_the_owner_has_looked_and_for_what_nobody_heard_of(trackers: list[HttpTracker]) -> None:
    for tracker in trackers:
        assert (await tracker.get(f"/v1/transactions/{T1}/explain"))[0] == 503
        assert (await tracker.get("/v1/transactions/nope/explain"))[0] == 404
        assert (await tracker.get("/v1/transactions/a..b/explain"))[0] == 400
    trackers[MINE].app.in_recovery = True
    assert [(await tracker.get(f"/v1/transactions/{T1}/explain"))[0] for tracker in trackers] == [503, 503]


def test_the_owner_knows_what_is_open_and_what_is_closed_and_nothing_else(tracker: Tracker) -> None:
    assert tracker.assembler.known(T1) is None
    tracker.tell(header(a=2))
    tracker.tell(payload("a", 1, of=2))
    assert tracker.assembler.known(T1) == tracker.index()[T1]
    tracker.assembler.forget()
    assert tracker.assembler.known(T1) is None, "nobody has looked yet"
    tracker.tick()
    assert tracker.assembler.known(T1) == tracker.index()[T1]
    tracker.tell(delivered("Completed"))
    known = tracker.assembler.known(T1)
    assert known is not None
    assert (known.state, known.settled and known.settled.notification_id) == ("Completed", "n-1")


def test_of_a_closed_one_the_row_tells_what_happened_before_and_the_outcome_tells_the_rest() -> None:
    book = OPEN >> command("cancel") >> refused("Abandoned") >> passes(minutes=1)
    before = view(book.transaction)
    outcome = delivered("Abandoned", "cancelled")
    closed = Playbook() >> outcome
    for row in (before, view((book >> outcome).transaction)):
        found = explanation(closed.transaction, row, START)
        assert (found["state"], found["deadlines"]["next"], found["command"]) == ("Abandoned", None, None)
        kinds = [event["kind"] for event in found["events"]]
        assert {"created", "headerReceived", "problem", "command", "completed", "notified"} <= set(kinds)
        assert [event["at"] for event in found["events"]] == sorted(event["at"] for event in found["events"])


@pytest.mark.parametrize("transaction", [OPEN.transaction, NEWER.transaction])
def test_an_open_one_is_told_from_one_moment(transaction: Transaction) -> None:
    assert explanation(transaction, {}, START)["deadlines"] == view(transaction)["deadlines"]


@pytest.mark.parametrize(
    ("outcome", "code", "advice"),
    [
        ("Abandoned", "no-header", "Have the producer send the header, under another transaction id."),
        ("Failed", "new-code", "An outcome never changes: mend the cause, then send the result under another"),
    ],
)
def test_where_no_command_helps_it_is_said_what_does(outcome: str, code: str, advice: str) -> None:
    book = Playbook() >> header(a=1) >> delivered(outcome, code)
    found = explanation(book.transaction, view(book.transaction), START)
    assert (found["command"], found["advice"].startswith(advice)) == (None, True)
    opened = explanation(NEWER.transaction, view(NEWER.transaction), START)
    assert "`brh gaps T1`" in opened["advice"]
    waiting = Playbook() >> header(a=None)
    assert explanation(waiting.transaction, view(waiting.transaction), START)["advice"] is None


def test_it_is_said_since_when() -> None:
    book = Playbook() >> header(a=2) >> passes(minutes=1) >> payload("a", 1, of=2) >> passes(minutes=1)
    for minutes, line in ((1, None), (2, payload("a", 2, of=2)), (0, delivered("Completed"))):
        book = book >> line if line is not None else book
        found = explanation(book.transaction, view(book.transaction), book.now)
        assert found["since"] == rfc3339(START + timedelta(minutes=minutes))
