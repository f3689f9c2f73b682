"""A transaction that the trackers have forgotten is told of by its outcome, for as long as storage has that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from http_trackers import HttpTracker, entry, two_trackers
from test_openapi import check

from bridge.blobs import BlobsUnavailable
from bridge.contract.outbound import Outcome, OutcomeTimestamps, Part, Problem, SeriesResult, Told
from streams.cli.client import connected
from streams.cli.fsck import _ApiRows

CREATED, HEADER, COMPLETED, TOLD = (f"2026-01-31T12:00:0{second}.000Z" for second in range(4))
PART = Part("https://store/T1/a/part-00000", 30, "0x1", "0" * 16)
WHOLE = (
    SeriesResult("a", 3, 30, "text/csv", (PART,)),
    SeriesResult("e", 0, 0, None, (PART,)),
)
PARTIAL = (
    SeriesResult(
        "a", 9, 30, None, (PART,), received=((1, 2), (4, 4)), missing=((3, 3), (5, 9)), ranges_truncated=False
    ),
    SeriesResult("log", None, 0, None, (), (), None, False),
)
CANCELLED = Problem("cancelled", "The transaction was cancelled", "ann cancelled it.", "await", COMPLETED)


def opened(name: str) -> dict[str, Any]:
    return entry(name, "AwaitingResults")


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers(["known"], opened, opened) as both:
        yield both


async def keep(
    tracker: HttpTracker, name: str, outcome: Any = "Completed", series: Any = WHOLE, told: bool = True
) -> None:
    problem = CANCELLED if outcome == "Abandoned" else None
    times = OutcomeTimestamps(CREATED, HEADER, COMPLETED)
    uri = f"https://store/{name}/_outcome.json"
    document = Outcome(name, "valuation", outcome, series is PARTIAL, uri, series, problem, times)
    records = {"_outcome.json": document} | ({"_told.json": Told("n-1", TOLD)} if told else {})
    for record, content in records.items():
        body = msgspec.json.encode(content)
        await tracker.blobs.write_once(f"{name}/{record}", body, content_type="application/json", metadata={})


async def test_whoever_is_asked_it_is_what_the_outcome_says(trackers: list[HttpTracker]) -> None:
    await keep(trackers[0], "T1")
    for tracker in trackers:
        status, found = await tracker.get("/v1/transactions/T1")
        assert (status, found["state"], found["transactionType"]) == (200, "Completed", "valuation")
        assert (found["fromOutcome"], found["blobUri"]) == (True, "https://store/T1")
        times = found["timestamps"]
        assert (times["created"], times["headerReceived"], times["completed"]) == (CREATED, HEADER, COMPLETED)
        assert (times["notified"], times["lastUpdated"], times["recovered"]) == (TOLD, TOLD, None)
        assert [(each["receivedCount"], each["received"], each["missing"]) for each in found["series"]] == [
            (3, [[1, 3]], []),
            (0, [], []),
        ]
        check(found, "/v1/transactions/{id}", "get", 200)
    assert (await trackers[0].get("/v1/transactions/known"))[1].get("fromOutcome") is None


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(("outcome", "series"), [("Completed", PARTIAL), ("Abandoned", ()), ("Failed", ())])
async def test_every_call_tells_the_same(
    trackers: list[HttpTracker], outcome: str, series: tuple[SeriesResult, ...], told: bool
) -> None:
    await keep(trackers[0], "T1", outcome, series, told)
    for suffix in ("", "/gaps", "/explain"):
        status, found = await trackers[1].get(f"/v1/transactions/T1{suffix}")
        assert (status, found["state"]) == (200, outcome)
        check(found, f"/v1/transactions/{{id}}{suffix}", "get", 200)
    status, found = await trackers[0].get("/v1/transactions/T1")
    assert (found["timestamps"]["notified"], found["problem"] is None) == (
        TOLD if told else None,
        outcome != "Abandoned",
    )
    if series:
        assert [(each["receivedCount"], each["missing"]) for each in found["series"]] == [
            (3, [[3, 3], [5, 9]]),
            (0, []),
        ]
    for action in ("cancel", "retry"):
        status, problem = await trackers[0].ask("POST", f"/v1/transactions/T1/{action}")
        assert (status, problem["code"]) == (409, "already-closed")


async def test_who_follows_it_hears_the_end(trackers: list[HttpTracker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.event_streams.TICK_S", 0.02)
    await keep(trackers[0], "T1")
    async with trackers[0].app.http_client.get(f"{trackers[0].url}/v1/transactions/T1/events") as response:
        lines = (await response.read()).decode().splitlines()
    assert [line for line in lines if line.startswith("event:")] == ["event: snapshot", "event: end"]


async def test_what_never_was_is_a_404_and_what_nobody_can_say_is_503(trackers: list[HttpTracker]) -> None:
    for suffix in ("", "/gaps", "/explain", "/events"):
        assert (await trackers[0].get(f"/v1/transactions/T1{suffix}"))[0] == 404
    await trackers[0].blobs.write_once("T2/_outcome.json", b"{}", content_type="application/json", metadata={})
    assert (await trackers[0].get("/v1/transactions/T2"))[0] == 503, "of a newer release, perhaps"
    assert (await trackers[0].get("/v1/transactions/known"))[0] == 200


@pytest.mark.parametrize("trouble", ["fails", "is silent"])
async def test_while_storage_does_not_answer_it_is_503(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_: str) -> None:
        if trouble == "fails":
            raise BlobsUnavailable("out of order")
        await asyncio.Event().wait()

    monkeypatch.setattr("streams.archive.LOOK_MAX_S", 0.05)
    async with two_trackers(["known"], opened, opened) as both:
        for tracker in both:
            tracker.blobs = SimpleNamespace(read=read)
        for _ in range(10):  # more than may look at once
            status, problem = await both[0].get("/v1/transactions/T1")
            assert (status, problem["code"]) == (503, "not-ready")
        assert (await both[0].get("/v1/transactions/known"))[0] == 200


async def test_fsck_compares_storage_with_rows_and_not_with_itself(trackers: list[HttpTracker]) -> None:
    await keep(trackers[0], "T1")
    async with connected(trackers[0].url) as api:
        rows = _ApiRows(api)
        assert await rows.transaction("T1") is None
        assert await rows.transaction("known") is not None
