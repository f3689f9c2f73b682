"""Two trackers over real HTTP, with a stand-in for what Faust knows: whichever is asked, the answer is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from faust.types.tuples import TP
from http_trackers import CHANGELOG, TOPICS, entry, two_trackers
from http_trackers import HttpTracker as Tracker

from streams.routing import recovered

NAMES = [f"T{number}" for number in range(40)]
STATES = ["AwaitingResults", "SendingCompletion"]
"""Of the transactions of the first tracker, and of the second one's."""
SAID = {
    "stuck": b"",
    "silly": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n<>",
    "another": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n<>",
}
"""By what is no tracker, and listens where one should be."""


def owned(name: str) -> dict[str, Any]:
    return entry(name, STATES[TOPICS.partition_of(name) % 2])


@pytest.fixture
async def trackers() -> AsyncIterator[list[Tracker]]:
    async with two_trackers(NAMES, owned, lambda name: entry(name, "Failed")) as both:
        yield both


async def test_every_tracker_answers_for_every_transaction(trackers: list[Tracker]) -> None:
    for name in NAMES:
        answers = [await tracker.get(f"/v1/transactions/{name}") for tracker in trackers]
        assert answers == [(200, owned(name))] * 2


async def test_the_list_is_whole_and_without_stale_rows(trackers: list[Tracker]) -> None:
    for tracker in trackers:
        status, page = await tracker.get("/v1/transactions?limit=1000")
        assert status == 200
        assert [each["transactionId"] for each in page["transactions"]] == sorted(NAMES)
        assert {each["state"] for each in page["transactions"]} == set(STATES)


@pytest.mark.parametrize("states", [STATES, STATES[1:]])
@pytest.mark.parametrize("limit", [1, 3, 7, 40])
async def test_pages_continue_at_another_tracker(trackers: list[Tracker], states: list[str], limit: int) -> None:
    found: list[str] = []
    query = f"limit={limit}" if len(states) > 1 else f"limit={limit}&state={states[0]}"
    after = ""
    for number in range(100):
        _, page = await trackers[number % 2].get(f"/v1/transactions?{query}&after={after}")
        found += [each["transactionId"] for each in page["transactions"]]
        after = page["next"]
        if after is None:
            break
    assert found == sorted(name for name in NAMES if owned(name)["state"] in states)


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_show_everything_that_stays_once_whatever_comes_and_goes_between_them(
    trackers: list[Tracker], limit: int
) -> None:
    random = Random(limit)
    stays = set(random.sample(NAMES, 20))
    found: list[str] = []
    after: str | None = ""
    rounds = 0
    while after is not None:
        assert rounds < 100, "it goes on for ever"
        _, page = await trackers[rounds % 2].get(f"/v1/transactions?limit={limit}&after={after}")
        found += [each["transactionId"] for each in page["transactions"]]
        after = page["next"]
        rounds += 1
        for name in random.sample([*NAMES, *(f"T{number}x" for number in range(40))], 12):
            rows = trackers[TOPICS.partition_of(name) % 2].rows
            if name in stays:  # also at the end of the page that was just read
                rows[name] = entry(name, random.choice(["Completed", "Failed"]))
            elif rows.pop(name, None) is None:
                rows[name] = owned(name)
    assert stays <= set(found)
    assert found == sorted(set(found)), "each once, and in order"


async def test_a_filter_that_lets_nothing_through_is_an_empty_list(trackers: list[Tracker]) -> None:
    assert await trackers[0].get("/v1/transactions?state=Completed") == (200, {"transactions": [], "next": None})


@pytest.mark.parametrize("path", ["/v1/transactions/nope", "/v1/transactions/nope/gaps", "/v1/nothing", "/v1"])
async def test_what_is_not_there_is_a_404_problem(trackers: list[Tracker], path: str) -> None:
    for tracker in trackers:
        status, problem = await tracker.get(path)
        assert (status, problem["status"]) == (404, 404)


@pytest.mark.parametrize("path", ["a..b", "%7Bx%7D", "a%2Fb", "%FF", "a%00", "-"])
async def test_a_bad_id_is_a_400_problem(trackers: list[Tracker], path: str) -> None:
    status, problem = await trackers[0].get(f"/v1/transactions/{path}")
    assert (status, problem["parameter"]) == (400, "id")


async def test_bad_parameters_are_a_400_problem(trackers: list[Tracker]) -> None:
    status, problem = await trackers[0].get("/v1/transactions?limit=0")
    assert (status, problem["parameter"], problem["code"]) == (400, "limit", "bad-parameter")


@pytest.mark.parametrize(
    "path",
    ["/v1/transactions", "/v1/transactions/T1", "/v1/transactions/T1/gaps", "/readyz", "/table/transactions/T1/"],
)
@pytest.mark.parametrize("trouble", ["rebalancing", "in_recovery", "actives_ready"])
async def test_nothing_is_answered_before_the_tables_are_there(
    trackers: list[Tracker], path: str, trouble: str
) -> None:
    asked = trackers[0]
    setattr(asked.app.tables if trouble == "actives_ready" else asked.app, trouble, trouble != "actives_ready")
    asked.remaining = {TP(CHANGELOG, 0): 0, TP(CHANGELOG, 1): 5}
    status, problem = await asked.get(path)
    assert (status, problem["detail"]) == (503, "recovering 1 of 2 partitions")
    assert (await asked.get("/livez"))[0] == (await asked.get("/version"))[0] == 200


@pytest.mark.parametrize("trouble", ["recovering", "lost", "gone", *SAID])
async def test_an_owner_that_cannot_answer_makes_it_503_and_never_a_part(
    trackers: list[Tracker], trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, owner = trackers
    spread = owner.spread
    monkeypatch.setattr("streams.routing.ASK_TIMEOUT_S", 0.2)
    async with AsyncExitStack() as stack:
        match trouble:
            case "recovering":
                owner.app.in_recovery = True
            case "lost":  # it has heard of a rebalance that the asked one has not
                owner.spread = {**spread, owner.url: {CHANGELOG: []}}
            case "gone":
                spread["http://127.0.0.1:1"] = spread.pop(owner.url)
            case _:
                spread[await stack.enter_async_context(listener(SAID[trouble]))] = spread.pop(owner.url)
        theirs_name = next(name for name in NAMES if TOPICS.partition_of(name) % 2 == 1)
        row = f"/table/transactions/{theirs_name}/"
        for path in ("/v1/transactions", f"/v1/transactions/{theirs_name}", row):
            status, problem = await asked.get(path)
            assert (status, problem["code"]) == (503, "not-ready")


async def test_a_partition_that_has_just_come_shows_what_it_has_and_never_says_that_the_rest_is_not_there(
    trackers: list[Tracker],
) -> None:
    owner = trackers[1]
    shown = next(name for name in NAMES if TOPICS.partition_of(name) % 2 == 1)
    partition = TOPICS.partition_of(shown)
    unknown = next(name for name in map("N{}".format, range(100)) if TOPICS.partition_of(name) == partition)
    looked_at = owner.partitions.pop(partition)
    for tracker in trackers:
        assert await tracker.get(f"/v1/transactions/{shown}") == (200, owned(shown))
        for path in (unknown, f"{unknown}/gaps", f"{unknown}/explain"):
            status, problem = await tracker.get(f"/v1/transactions/{path}")
            assert (status, problem["code"]) == (503, "not-ready")
    owner.partitions[partition] = looked_at
    for tracker in trackers:
        assert (await tracker.get(f"/v1/transactions/{unknown}"))[0] == 404


@asynccontextmanager
async def listener(answer: bytes) -> AsyncIterator[str]:
    """The URL of something that takes connections and says only this."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(answer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in writers:
            writer.close()


async def test_a_mistake_of_ours_is_a_500_without_a_traceback(
    trackers: list[Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("streams.queries.gaps", broken)
    status, problem = await trackers[0].get("/v1/transactions/T1/gaps")
    assert status == 500
    assert "secret" not in str(problem)
    assert "ZeroDivision" not in str(problem)


async def test_partitions_without_an_owner_make_it_503(trackers: list[Tracker]) -> None:
    trackers[0].spread.pop(trackers[1].url)
    assert (await trackers[0].get("/v1/transactions"))[0] == 503


async def test_other_methods_are_a_405_problem(trackers: list[Tracker]) -> None:
    async with trackers[0].app.http_client.post(trackers[0].url + "/v1/transactions/T1") as response:
        assert (response.status, response.content_type) == (405, "application/problem+json")
        assert "GET" in response.headers["Allow"]


def test_a_partition_is_recovered_when_all_its_tables_are() -> None:
    actives = {("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)}
    assert recovered(actives, {("a", 0): 0, ("b", 0): -1, ("a", 1): 0, ("b", 1): 3}) == (1, 3)
    assert recovered(set(), {}) == (0, 0)
