"""Faust's own table views, over HTTP between two trackers: as the API shows it, once asked on, and never for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from faust.app.router import Router
from http_trackers import CHANGELOG, TOPICS, HttpTracker, entry, two_trackers
from yarl import URL

from streams.table_views import FORWARDED

READ, OPERATE = "r-secret", "o-secret"
NAMES = [f"T{number}" for number in range(8)]
THEIRS = next(name for name in NAMES if TOPICS.partition_of(name) % 2 == 1)
"""Of the second tracker, when the first one is asked."""
ROW = f"/table/transactions/{THEIRS}/"
BEARER = {"Authorization": f"Bearer {OPERATE}"}


def row(name: str) -> dict[str, Any]:
    return entry(name, "AwaitingResults")


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers(NAMES, row, lambda name: entry(name, "Failed")) as both:
        yield both


async def test_every_tracker_shows_every_row_as_the_api_does(trackers: list[HttpTracker]) -> None:
    for tracker in trackers:
        for name in NAMES:
            shown = await tracker.get(f"/table/transactions/{name}/")
            assert shown == await tracker.get(f"/v1/transactions/{name}") == (200, row(name))
        assert [each["name"] for each in (await tracker.get("/table/"))[1]] == ["transactions"]
        assert (await tracker.get("/table/transactions/"))[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/table/nope/", "/table/nope/T1/", *(f"/table/transactions/nope-{number}/" for number in range(4)), "/table"],
)
async def test_a_table_or_row_that_is_not_there_is_a_404_problem(trackers: list[HttpTracker], path: str) -> None:
    for tracker in trackers:
        status, problem = await tracker.get(path)
        assert (status, problem["code"], path in problem["detail"]) == (404, "not-found", True)


async def test_two_trackers_that_hold_each_other_for_the_owner_ask_once(
    trackers: list[HttpTracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on = 0
    passing: Any = Router._route_req

    async def counted(*args: Any) -> Any:
        nonlocal passed_on
        passed_on += 1
        assert passed_on < 10, "it goes on for ever"
        return await passing(*args)

    monkeypatch.setattr(Router, "_route_req", counted)
    asked, owner = trackers
    every = [*range(TOPICS.partitions)]
    owner.spread = {asked.url: {CHANGELOG: every}, owner.url: {CHANGELOG: []}}
    status, problem = await asked.get(ROW)
    assert (status, problem["code"], passed_on) == (503, "not-ready", 1)
    # Whoever says that it was passed on gets what a tracker gets.
    assert (await asked.ask("GET", ROW, headers={FORWARDED: "1"}))[0] == 503
    assert passed_on == 1


async def test_what_is_passed_on_says_that_a_tracker_asks_and_nothing_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[web.Request] = []
    passing: Any = Router._route_req

    async def looked_at(self: Any, url: URL, server: Any, request: web.Request) -> Any:
        seen.append(request)
        return await passing(self, url, server, request)

    monkeypatch.setattr(Router, "_route_req", looked_at)
    async with two_trackers(NAMES, row, row, api_read_token=READ, api_operate_token=OPERATE) as (asked, _):
        headers = BEARER | {"Cookie": "brh_session=x", "X-Private": "x"}
        assert await asked.ask("GET", ROW, headers=headers, data=b"of no use") == (200, row(THEIRS))
        assert [dict(each.headers) for each in seen[:1]] == [{"Authorization": f"Bearer {READ}", FORWARDED: "1"}]


async def test_an_error_of_ours_on_the_way_is_no_row(
    trackers: list[HttpTracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Router, "key_store", broken)
    status, problem = await trackers[0].get(ROW)
    assert (status, problem["code"], "secret" in str(problem)) == (500, "internal-error", False)
