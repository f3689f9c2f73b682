"""Tokens over HTTP: every path of every tracker is closed to whoever has none, and trackers know each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import SimpleNamespace
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
                problem = {} if method == "HEAD" else await response.json(content_type=None)
                assert method == "HEAD" or problem["code"] == code
                assert problem.get("detail", f"{method} {path}").startswith(f"{method} {path.partition('?')[0]}")
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
    _, problem = await asked.ask("POST", path, headers=cookie | foreign)
    assert (problem["code"], "'http://evil.example'" in problem["detail"]) == ("foreign-origin", True)
    assert (await asked.ask("POST", path, headers=cookie | {"X-Brh-Csrf": csrf, "Origin": asked.url}))[0] == 202
    # A form is let through to its handler, which does not take forms here.
    for given, code in ((csrf, "bad-parameter"), ("x", "csrf-token-wrong"), ("", "csrf-token-wrong")):
        _, problem = await asked.ask("POST", path, headers=cookie, data={"csrf": given, "key": "k"})
        assert problem["code"] == code
    status, problem = await asked.ask("POST", path, headers=cookie, data={"csrf": csrf, "fill": "x" * 5_000})
    assert (status, problem["code"], len(asked.published)) == (400, "bad-parameter", 1)


async def test_a_tracker_with_other_tokens_is_none_that_answers(trackers: list[HttpTracker]) -> None:
    async with two_trackers(NAMES, row, row, api_read_token="another") as others:
        spread = trackers[0].spread
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


async def test_one_address_may_ask_so_much_and_programs_of_ours_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_trackers(NAMES, row, row, api_read_token=READ, api_rate_per_s=3) as (asked, _):
        now_s = 1_000.0
        monkeypatch.setattr("streams.guards.time", SimpleNamespace(monotonic=lambda: now_s))
        for _ in range(6):
            status, _ = await asked.ask("GET", "/v1/transactions", headers=bearer(READ))
            assert status == 200
        for path in ("/v1/transactions", "/login", "/nothing"):
            async with asked.app.http_client.get(asked.url + path, headers=bearer(READ)) as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "1")
                assert (await response.json(content_type=None))["code"] == "too-many-requests"
        for path in ("/livez", "/readyz", f"/internal/transactions/{owned_by(asked, 0)}"):
            assert (await asked.ask("GET", path, headers=bearer(READ)))[0] == 200
        assert await status_of(asked, "/internal/transactions") == 429, "whoever is none of us is counted there, too"
        now_s += 0.34
        assert await status_of(asked, "/internal/transactions") == 401
        monkeypatch.setenv("BRH_API_READ_TOKEN", READ)
        monkeypatch.setattr("streams.cli.client.TOO_MANY_PAUSE_S", 0.01)
        async with connected(asked.url) as api:
            waiting = asyncio.create_task(api.transactions({}))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            now_s += 0.34
            assert len((await waiting)["transactions"]) == len(NAMES)


def owned_by(tracker: HttpTracker, number: int) -> str:
    return next(name for name in NAMES if TOPICS.partition_of(name) % 2 == number)


async def status_of(tracker: HttpTracker, path: str) -> int:
    async with tracker.app.http_client.get(tracker.url + path) as response:
        return int(response.status)


ANSWERS = ["/v1/transactions", "/v1/transactions/T1", "/nothing", "/livez", "/v1/transactions/T1/events", "/login"]


@pytest.mark.parametrize("path", ANSWERS)
async def test_every_answer_keeps_browsers_on_the_safe_side(trackers: list[HttpTracker], path: str) -> None:
    async with trackers[0].app.http_client.get(trackers[0].url + path, headers=bearer(READ)) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Server" not in response.headers


@pytest.mark.parametrize("path", [*ANSWERS, "/v1/transactions/T1/cancel", "/table/transactions/T1/", "/openapi.json"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_page_of_another_site_is_never_let_in(trackers: list[HttpTracker], method: str, path: str) -> None:
    asks = {"Origin": "https://evil.example"}
    if method == "OPTIONS":
        asks |= {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for token in ({}, bearer(OPERATE)):  # what a browser asks beforehand has none
        async with trackers[0].app.http_client.request(
            method, trackers[0].url + path, headers=asks | token, allow_redirects=False
        ) as response:
            assert method == "GET" or response.status >= 400
            assert [name for name in response.headers if name.lower().startswith("access-control-")] == []
    assert trackers[0].published == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/v1/transactions", "/v1/transactions/T1", "/v1/summary", "/livez", "/openapi.json"])
async def test_another_method_is_a_405_problem_that_says_which_there_are(
    trackers: list[HttpTracker], method: str, path: str
) -> None:
    session = trackers[0].app.http_client
    async with session.request(method, trackers[0].url + path, headers=bearer(OPERATE)) as response:
        assert (response.status, response.content_type) == (405, "application/problem+json")
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await response.json(content_type=None))["code"] == "method-not-allowed"


async def test_head_is_get_without_a_body(trackers: list[HttpTracker]) -> None:
    session = trackers[0].app.http_client
    for path, status in (
        ("/v1/transactions", 200),
        ("/v1/transactions/nope", 404),
        ("/v1/transactions/T1/cancel", 405),
    ):
        async with session.head(trackers[0].url + path, headers=bearer(OPERATE)) as response:
            assert (response.status, await response.read()) == (status, b"")


async def test_what_is_asked_for_is_short(trackers: list[HttpTracker]) -> None:
    session = trackers[0].app.http_client
    for path in (f"/v1/transactions/{'x' * 9_000}", f"/v1/transactions?type={'x' * 9_000}"):
        async with session.get(trackers[0].url + path, headers=bearer(READ)) as response:
            assert response.status == 400
    async with session.get(f"{trackers[0].url}/livez", headers={"X-Long": "x" * 9_000}) as response:
        assert response.status == 400
