"""Commands over HTTP: published once by whoever is asked, refused where the state forbids them or the input is bad."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from http_trackers import HttpTracker, entry, two_trackers
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.events import decode, encode
from streams import commands
from streams.commands import Asked, parse
from streams.origins import is_own
from streams.queries import BadParameter
from streams.routing import NotReady

OPEN, SENDING = "AwaitingResults", "SendingCompletion"
FINAL = ["Completed", "Failed", "Abandoned"]
STATES = {f"{state}-{number}": state for state in (OPEN, SENDING, *FINAL) for number in range(6)}
BY_AN_HOUR: dict[str, Any] = {"json": {"by": "PT1H"}}
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def row(name: str, state: str = "", **members: Any) -> dict[str, Any]:
    """A transaction that may wait for a day."""
    times = {"created": "2026-01-31T12:00:00.000Z", "lastUpdated": "2026-01-31T12:00:00.000Z"}
    until = {"awaiting": "2026-02-01T12:00:00.000Z"}
    return entry(name, state or STATES[name], timestamps=times, deadlines=until, commands=[], **members)


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([*STATES], row, lambda name: row(name, "Failed")) as both:
        yield both


async def post(tracker: HttpTracker, name: str, action: str, **options: Any) -> tuple[int, Any]:
    if action == "extend" and not options.keys() & {"json", "data"}:
        options |= BY_AN_HOUR
    return await tracker.ask("POST", f"/v1/transactions/{name}/{action}", **options)


def published(trackers: list[HttpTracker]) -> list[commands.Command]:
    return [command for tracker in trackers for command in tracker.published]


@pytest.mark.parametrize(("action", "allowed"), [("retry", {SENDING}), ("cancel", {OPEN, SENDING}), ("extend", {OPEN})])
async def test_a_command_is_taken_where_the_state_allows_it_and_refused_with_a_reason_elsewhere(
    trackers: list[HttpTracker], action: str, allowed: set[str]
) -> None:
    for number, (name, state) in enumerate(STATES.items()):
        asked = trackers[number % 2]
        asked.published.clear()
        status, answer = await post(asked, name, action, headers={"Idempotency-Key": f"k-{number}"})
        if state in allowed:
            assert (status, answer) == (202, {"commandId": f"k-{number}", "transactionId": name, "action": action})
            (command,) = asked.published
            wanted = (name, f"k-{number}", action, 3_600.0 if action == "extend" else 0.0)
            assert (command.transaction, command.id, command.action, command.extend_s) == wanted
        else:
            assert (status, asked.published) == (409, [])
            assert name in answer["detail"]
            assert state in answer["detail"]
            codes = {"retry": "nothing-to-retry", "extend": "already-decided"}
            assert answer["code"] == ("already-closed" if state in FINAL else codes[action])


@pytest.mark.parametrize("action", commands.ACTIONS)
async def test_a_transaction_that_nobody_heard_of_is_a_404(trackers: list[HttpTracker], action: str) -> None:
    for tracker in trackers:
        status, problem = await post(tracker, "nope", action)
        assert (status, problem["code"]) == (404, "unknown-transaction")
    assert published(trackers) == []


async def test_every_command_without_a_key_is_a_command_of_its_own(trackers: list[HttpTracker]) -> None:
    answers = [(await post(trackers[0], f"{OPEN}-1", "cancel"))[1]["commandId"] for _ in range(2)]
    assert len(set(answers)) == 2
    assert [command.id for command in trackers[0].published] == answers


async def test_the_same_key_again_publishes_nothing_whatever_became_of_it(trackers: list[HttpTracker]) -> None:
    heard = [{"id": "k-1", "action": "cancel", "by": "ann", "at": "2026-01-31T12:00:00.000Z"}]
    for state in (OPEN, SENDING, "Abandoned"):
        for tracker in trackers:
            tracker.rows[f"{OPEN}-1"] = row(f"{OPEN}-1", state) | {"commands": heard}
            status, answer = await post(tracker, f"{OPEN}-1", "cancel", headers={"Idempotency-Key": "k-1"})
            assert (status, answer["commandId"]) == (202, "k-1")
            status, answer = await post(tracker, f"{OPEN}-1", "retry", headers={"Idempotency-Key": "k-1"})
            assert (status, answer["code"]) == (409, "idempotency-key-reused")
    assert published(trackers) == []


@pytest.mark.parametrize(
    ("by", "status"), [("P5D", 202), ("PT120H", 202), ("P5DT1S", 409), ("P5DT0.001S", 409), ("P6D", 409)]
)
async def test_nobody_waits_longer_than_six_days(trackers: list[HttpTracker], by: str, status: int) -> None:
    found, answer = await post(trackers[0], f"{OPEN}-1", "extend", json={"by": by})
    assert found == status
    if status == 409:
        assert (answer["code"], answer["latest"]) == ("beyond-limit", "2026-02-06T12:00:00.000Z")
        assert "which is P5D more than now" in answer["detail"]


EXTEND_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"json": {}}, "by"),
        ({"json": {"by": "1h"}}, "by"),
        ({"json": {"by": "PT0S"}}, "by"),
        ({"json": {"by": "P7D"}}, "by"),
        ({"json": {"by": 3_600}}, "by"),
        ({"json": {"by": None}}, "by"),
        ({"data": b""}, "by"),
        ({"json": {"by": "PT1H", "force": True}}, "force"),
        ({"json": ["PT1H"]}, "body"),
        ({"data": b'{"by": "PT1H"', "headers": EXTEND_JSON}, "body"),
        ({"data": b"\xff\xfe", "headers": EXTEND_JSON}, "body"),
        ({"data": b'{"by": "\xff"}', "headers": EXTEND_JSON}, "body"),
        ({"data": b'{"by":' + b"[" * 4_000, "headers": EXTEND_JSON}, "body"),
        ({"data": b'{"by": "PT1H"}' + b" " * 4_083, "headers": EXTEND_JSON}, "body"),
        ({"data": b"x" * (1 << 20), "headers": EXTEND_JSON}, "body"),
        ({"data": {"by": "PT1H"}}, "Content-Type"),
        ({"data": b'{"by": "PT1H"}', "headers": {"Content-Type": "text/json"}}, "Content-Type"),
        ({"headers": {"Idempotency-Key": ""}}, "Idempotency-Key"),
        ({"headers": {"Idempotency-Key": "a b"}}, "Idempotency-Key"),
        ({"headers": {"Idempotency-Key": "k" * 65}}, "Idempotency-Key"),
        ({"headers": [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]}, "Idempotency-Key"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_bad_input_names_what_is_wrong_and_changes_nothing(
    trackers: list[HttpTracker], options: dict[str, Any], parameter: str
) -> None:
    for name in (f"{OPEN}-1", "nope"):
        status, problem = await post(trackers[0], name, "extend", **options)
        assert (status, problem["code"], problem["parameter"]) == (400, "bad-parameter", parameter)
        assert len(problem["detail"]) < 300
    assert published(trackers) == []


@pytest.mark.parametrize(("spaces", "taken"), [(4_082, True), (4_083, False)])
def test_a_command_is_no_longer_than_a_duration_needs(spaces: int, taken: bool) -> None:
    asked = Asked("extend", b'{"by": "PT1H"}' + b" " * spaces, "application/json")
    with nullcontext() if taken else pytest.raises(BadParameter, match="at most 4096 bytes"):
        assert parse("T1", asked, NOW, lambda: "c-1").extend_s == 3_600


async def test_a_body_that_cannot_be_unpacked_is_the_callers_mistake(
    trackers: list[HttpTracker], caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with suppress(aiohttp.ClientError):  # the web server cannot read on behind such a body, and may drop the answer
        status, problem = await post(trackers[0], f"{OPEN}-1", "extend", data=b"junk", headers=headers)
        assert (status, problem["parameter"]) == (400, "body")
    assert published(trackers) == []
    assert not [record for record in caplog.records if record.name == "streams.answers"]


@pytest.mark.parametrize("action", ["retry", "cancel"])
async def test_a_command_without_members_takes_an_empty_body_or_object(
    trackers: list[HttpTracker], action: str
) -> None:
    for options in ({}, {"json": {}}, {"data": b"{}", "headers": {"Content-Type": "application/json; charset=utf-8"}}):
        assert (await post(trackers[0], f"{SENDING}-1", action, **options))[0] == 202
    for options in ({"json": {"by": "PT1H"}}, {"json": []}, {"data": b"x"}):
        assert (await post(trackers[0], f"{SENDING}-1", action, **options))[0] == 400


async def test_a_bad_id_is_a_400(trackers: list[HttpTracker]) -> None:
    status, problem = await post(trackers[0], "a..b", "cancel")
    assert (status, problem["parameter"]) == (400, "id")


@pytest.mark.parametrize(
    ("user", "by"),
    [
        (None, "unknown"),
        ("", "unknown"),
        ("  ", "unknown"),
        ("ann", "ann"),
        ("J\u00fcrgen", "J\\xfcrgen"),
        ("a\u202eb", "a\\u202eb"),
        ("it's", "it's"),
        ("x" * 500, "x" * 80),
        ("\u00fc" * 500, "\\xfc" * 20),
    ],
)
async def test_who_it_was_is_bounded_and_escaped(trackers: list[HttpTracker], user: str | None, by: str) -> None:
    headers = {} if user is None else {"X-Brh-User": user}
    assert (await post(trackers[0], f"{OPEN}-1", "cancel", headers=headers))[0] == 202
    assert trackers[0].published[0].by == by


async def test_while_tables_are_recovered_and_without_kafka_it_is_503(trackers: list[HttpTracker]) -> None:
    trackers[0].app.in_recovery = True
    assert (await post(trackers[0], f"{OPEN}-1", "cancel"))[0] == 503
    trackers[0].app.in_recovery = False
    trackers[0].trouble = NotReady("Kafka has not acknowledged the command k")
    status, problem = await post(trackers[0], f"{OPEN}-1", "cancel")
    assert (status, problem["code"], "not acknowledged" in problem["detail"]) == (503, "not-ready", True)
    assert published(trackers) == []


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "%"]
)
async def test_a_page_that_is_not_ours_changes_nothing(trackers: list[HttpTracker], origin: str) -> None:
    asked = trackers[0]
    port = asked.url.rpartition(":")[2]
    headers = {"Origin": origin.format(port=port), "Host": f"evil.example:{port}"}
    status, problem = await post(asked, f"{OPEN}-1", "cancel", headers=headers)
    assert (status, problem["code"], asked.published) == (403, "foreign-origin", [])
    assert (await asked.ask("GET", f"/v1/transactions/{OPEN}-1", headers=headers))[0] == 200


async def test_a_page_of_ours_may_ask(trackers: list[HttpTracker]) -> None:
    port = trackers[0].url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]"):
        headers = {"Origin": f"http://{host}:{port}"}
        assert (await post(trackers[0], f"{OPEN}-1", "cancel", headers=headers))[0] == 202


def test_a_name_that_points_at_us_is_not_ours() -> None:
    assert is_own("http://brh.example", "http://brh.example:80")
    assert not is_own("http://localhost:6066", "http://brh.example:6066")
    assert not is_own("http://other.example:6066", "http://brh.example:6066")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_command_is_a_post(trackers: list[HttpTracker], method: str) -> None:
    assert (await trackers[0].ask(method, f"/v1/transactions/{OPEN}-1/cancel"))[0] == 405


@given(st.binary(max_size=200), st.text(max_size=80), st.text(max_size=80), st.sampled_from(commands.ACTIONS))
def test_whatever_is_asked_is_a_command_or_a_bad_parameter(
    body: bytes, key: str, user: str, action: commands.Action
) -> None:
    asked = Asked(action, body, "application/json", key or None, user)
    with suppress(BadParameter):
        command = commands.parse("T1", asked, NOW, lambda: "made")
        assert (command.action, 1 <= len(command.by) <= 80, command.by.isascii()) == (action, True, True)
        assert decode(encode(command)) == command
