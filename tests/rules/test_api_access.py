"""Tokens over HTTP: every path of every tracker is closed to whoever has none, and trackers know each other."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from http_trackers import TOPICS, HttpTracker, entry, two_trackers
from pydantic import SecretStr

from bridge.settings import SettingsError
from streams.access import Access
from streams.cli.client import connected
from streams.cli.errors import CliError

READ, OPERATE = "r-secret", "o-secret"
NAMES = [f"T{number}" for number in range(8)]
PATHS = ["/v1/transactions", "/v1/transactions/T1", "/v1/transactions/T1/gaps", "/v1/transactions/T1/explain"]
CLOSED = [*PATHS, "/internal/transactions", "/internal/transactions/T1", "/table/transactions/T1/", "/", "/metrics"]
TIMES = {"created": "2026-01-31T12:00:00.000Z", "lastUpdated": "2026-01-31T12:00:00.000Z"}


def row(name: str, state: str = "SendingCompletion") -> dict[str, Any]:
    return entry(name, state, timestamps=TIMES, commands=[])


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    tokens = {"api_read_token": READ, "api_operate_token": OPERATE}
    async with two_trackers(NAMES, row, lambda name: row(name, "Failed"), **tokens) as both:
        yield both


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", [*CLOSED, "/nothing", "/v1/transactions/a..b", "/v1/transactions?limit=0"])
async def test_without_a_token_nothing_is_told_and_the_challenge_says_why(
    trackers: list[HttpTracker], path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = trackers[0].app.http_client
    for headers, code in (({}, "token-missing"), (bearer("wrong-secret"), "token-wrong")):
        for method in ("GET", "POST", "HEAD", "DELETE"):
            async with session.request(method, trackers[0].url + path, headers=headers) as response:
                assert (response.status, response.content_type) == (401, "application/problem+json")
                assert response.headers["WWW-Authenticate"].startswith('Bearer realm="brh"')
                assert method == "HEAD" or (await response.json(content_type=None))["code"] == code
    assert "secret" not in caplog.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version"])
async def test_health_and_version_are_open(trackers: list[HttpTracker], path: str) -> None:
    assert (await trackers[0].get(path))[0] == 200


async def test_who_may_read_reads_everywhere_and_changes_nothing(trackers: list[HttpTracker]) -> None:
    for name in NAMES:
        for tracker in trackers:
            status, found = await tracker.ask("GET", f"/v1/transactions/{name}", headers=bearer(READ))
            assert (status, found["state"]) == (200, "SendingCompletion"), "asked of its owner, with a token"
            status, problem = await tracker.ask("POST", f"/v1/transactions/{name}/cancel", headers=bearer(READ))
            assert (status, problem["code"]) == (403, "operate-token-needed")
    for tracker in trackers:
        status, page = await tracker.ask("GET", "/v1/transactions", headers=bearer(READ))
        assert (status, len(page["transactions"])) == (200, len(NAMES))
        assert tracker.published == []


async def test_who_may_operate_does_both(trackers: list[HttpTracker]) -> None:
    for name in NAMES[:2]:
        assert (await trackers[0].ask("GET", f"/v1/transactions/{name}", headers=bearer(OPERATE)))[0] == 200
        status, _ = await trackers[0].ask("POST", f"/v1/transactions/{name}/cancel", headers=bearer(OPERATE))
        assert status == 202
    assert [command.transaction for command in trackers[0].published] == NAMES[:2]


async def test_a_session_changes_something_only_from_a_page_of_ours(trackers: list[HttpTracker]) -> None:
    access = Access(SecretStr(READ), SecretStr(OPERATE))
    session = access.log_in(OPERATE, datetime.now(UTC), 60, "n" * 16)
    assert session is not None
    path, cookie = f"/v1/transactions/{NAMES[0]}/cancel", {"Cookie": f"brh_session={session}"}
    asked = trackers[0]
    assert (await asked.ask("GET", f"/v1/transactions/{NAMES[1]}", headers=cookie))[0] == 200
    for forged in ({}, {"X-Brh-Csrf": "x"}):
        status, problem = await asked.ask("POST", path, headers=cookie | forged)
        assert (status, problem["code"], asked.published) == (403, "csrf-token-wrong", [])
    csrf = access.csrf_token(session)
    foreign = {"X-Brh-Csrf": csrf, "Origin": "http://evil.example"}
    assert (await asked.ask("POST", path, headers=cookie | foreign))[1]["code"] == "foreign-origin"
    assert (await asked.ask("POST", path, headers=cookie | {"X-Brh-Csrf": csrf, "Origin": asked.url}))[0] == 202
    # A form is let through to its handler, which does not take forms here.
    for given, code in ((csrf, "bad-parameter"), ("x", "csrf-token-wrong"), ("", "csrf-token-wrong")):
        _, problem = await asked.ask("POST", path, headers=cookie, data={"csrf": given, "key": "k"})
        assert problem["code"] == code
    status, problem = await asked.ask("POST", path, headers=cookie, data={"csrf": csrf, "fill": "x" * 5_000})
    assert (status, problem["code"], len(asked.published)) == (400, "bad-parameter", 1)


async def test_a_tracker_with_other_tokens_is_none_that_answers(trackers: list[HttpTracker]) -> None:
    async with two_trackers(NAMES, row, row, api_read_token="another") as others:
        spread = trackers[0].app.router.table_metadata("")
        spread[others[1].url] = spread.pop(trackers[1].url)
        theirs = next(name for name in NAMES if TOPICS.partition_of(name) % 2 == 1)
        status, problem = await trackers[0].ask("GET", f"/v1/transactions/{theirs}", headers=bearer(READ))
        assert (status, problem["code"]) == (503, "not-ready")


async def test_a_proxy_may_give_us_another_name_where_tokens_are_needed(trackers: list[HttpTracker]) -> None:
    path = f"/v1/transactions/{NAMES[0]}/cancel"
    headers = bearer(OPERATE) | {"Origin": "https://brh.example"}
    assert (await trackers[0].ask("POST", path, headers=headers))[1]["code"] == "foreign-origin"
    assert (await trackers[0].ask("POST", path, headers=headers | {"Sec-Fetch-Site": "same-origin"}))[0] == 202


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({}, "token-missing"),
        ({"BRH_API_READ_TOKEN": "other"}, "token-wrong"),
        ({"BRH_API_READ_TOKEN": READ}, "operate-token-needed"),
        ({"BRH_API_OPERATE_TOKEN": OPERATE}, None),
        ({"BRH_API_READ_TOKEN": READ, "BRH_API_OPERATE_TOKEN": OPERATE}, None),
    ],
)
async def test_the_command_line_sends_the_token_of_its_settings(
    trackers: list[HttpTracker], variables: dict[str, str], code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(connected(trackers[0].url))
        caught = stack.enter_context(pytest.raises(CliError)) if code else None
        await api.transaction("T1")
        await api.command("T1", "cancel", {}, key="k", user=None)
    if caught is not None:
        assert (caught.value.code, "BRH_API_" in caught.value.remedy) == (code, True)


async def test_a_token_that_is_wrong_in_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_API_READ_TOKEN", "a secret")
    with pytest.raises(SettingsError, match="BRH_API_READ_TOKEN"):
        async with connected("http://127.0.0.1:1"):
            pass
