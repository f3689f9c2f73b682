"""Following a transaction over HTTP: from any tracker, while it moves, and without one client that hurts the others."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import aiohttp
import pytest
from http_trackers import CHANGELOG, TOPICS, HttpTracker, entry, two_trackers

from streams import event_streams

NAME = "T1"
PATH = f"/v1/transactions/{NAME}/events"
OWNER = TOPICS.partition_of(NAME) % 2
DEADLINE_S = 10


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "TICK_S", 0.02)


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([NAME], entry_open, lambda name: entry(name, "Failed"), api_streams_max=3) as both:
        both[OWNER].rows[NAME] = entry(NAME, "AwaitingResults")
        yield both


class Follower:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments = 0
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """Kind and JSON of the next message; ("", None) when the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE_S):
            while line := await self.response.content.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if line == b"\n" and fields:
                    self.last_id = fields["id"]
                    return fields["event"], json.loads(fields["data"])
                self.comments += line.startswith(b":")
                if name:
                    fields[name] = value
        return "", None


Follow: TypeAlias = Callable[..., Awaitable[Follower]]


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    """Follow it at a tracker, as a client with this last id."""
    opened: list[aiohttp.ClientResponse] = []
    async with aiohttp.ClientSession(read_bufsize=4 << 20) as session:

        async def begin(tracker: HttpTracker, last_id: str = "") -> Follower:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            opened.append(await session.get(tracker.url + PATH, headers=headers))
            return Follower(opened[-1])

        yield begin
        for response in opened:
            response.close()


@pytest.mark.parametrize("asked", [OWNER, 1 - OWNER])
async def test_whoever_is_asked_tells_it_to_the_end(trackers: list[HttpTracker], follow: Follow, asked: int) -> None:
    rows = trackers[OWNER].rows
    follower = await follow(trackers[asked])
    assert (follower.response.status, follower.response.content_type) == (200, "text/event-stream")
    assert follower.response.headers["Cache-Control"] == "no-store"
    assert await follower.next() == ("snapshot", rows[NAME])
    rows[NAME] = entry(NAME, "AwaitingResults", duplicates=1)
    assert await follower.next() == ("progress", rows[NAME])
    rows[NAME] = entry(NAME, "SendingCompletion")
    assert await follower.next() == ("state", rows[NAME])
    rows[NAME] = entry(NAME, "Completed")
    assert [await follower.next() for _ in range(3)] == [("state", rows[NAME]), ("end", rows[NAME]), ("", None)]
    again = await follow(trackers[1 - asked], follower.last_id)
    assert again.response.status == 204


async def test_it_goes_on_while_the_transaction_moves(trackers: list[HttpTracker], follow: Follow) -> None:
    asked, other = trackers[OWNER], trackers[1 - OWNER]
    follower = await follow(asked)
    assert (await follower.next())[0] == "snapshot"
    asked.app.in_recovery = True
    other.rows[NAME] = entry(NAME, "SendingCompletion")
    spread = asked.spread
    spread[asked.url], spread[other.url] = {CHANGELOG: []}, {CHANGELOG: list(range(8))}
    await asyncio.sleep(0.1)  # some ticks, in which nobody knows
    asked.app.in_recovery = False
    assert await follower.next() == ("state", other.rows[NAME])


async def test_another_tracker_goes_on_where_one_was_lost(trackers: list[HttpTracker], follow: Follow) -> None:
    first = await follow(trackers[0])
    assert (await first.next())[0] == "snapshot"
    first.response.close()
    again = await follow(trackers[1], first.last_id)
    trackers[OWNER].rows[NAME] = entry(NAME, "AwaitingResults", duplicates=1)
    assert await again.next() == ("progress", trackers[OWNER].rows[NAME])


async def test_what_cannot_be_followed_is_a_problem(trackers: list[HttpTracker]) -> None:
    asked = trackers[0]
    assert (await asked.get("/v1/transactions/nope/events"))[0] == 404
    assert (await asked.get("/v1/transactions/a..b/events"))[0] == 400
    assert (await asked.ask("POST", PATH))[0] == 405
    asked.app.in_recovery = True
    assert (await asked.get(PATH))[0] == 503


async def test_no_more_clients_than_are_allowed_and_a_place_is_free_again_when_one_goes(
    trackers: list[HttpTracker], follow: Follow
) -> None:
    asked = trackers[OWNER]
    followers = [await follow(asked) for _ in range(3)]
    status, problem = await asked.get(PATH)
    assert (status, problem["code"]) == (503, "too-many-streams")
    followers[0].response.close()
    async with asyncio.timeout(DEADLINE_S):
        while (await follow(asked)).response.status != 200:
            await asyncio.sleep(0.01)


async def test_silence_is_broken_by_comments(
    trackers: list[HttpTracker], follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.05)
    follower = await follow(trackers[OWNER])
    await follower.next()
    await asyncio.sleep(0.5)
    trackers[OWNER].rows[NAME] = entry(NAME, "SendingCompletion")
    assert (await follower.next())[0] == "state"
    assert 2 <= follower.comments <= 12


async def test_messages_come_no_faster_than_two_a_second(
    trackers: list[HttpTracker], follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    follower = await follow(trackers[OWNER])
    loop = asyncio.get_running_loop()
    at_s: list[float] = []

    async def change() -> None:
        for count in range(10_000):
            trackers[OWNER].rows[NAME] = entry(NAME, "AwaitingResults", duplicates=count)
            await asyncio.sleep(0.005)

    changing = asyncio.create_task(change())
    for _ in range(4):
        await follower.next()
        at_s.append(loop.time())
    changing.cancel()
    assert at_s[2] - at_s[0] > 1
    assert at_s[3] - at_s[1] > 1


@pytest.mark.parametrize("size_bytes", [20_000, 1 << 20])
async def test_who_does_not_read_is_dropped_and_holds_nobody_up(
    trackers: list[HttpTracker], follow: Follow, size_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "SLOW_MAX_S", 0.3)
    owner = trackers[OWNER]
    large = entry(NAME, "AwaitingResults", text="x" * size_bytes)
    owner.rows[NAME] = large | {"count": 0}
    host, _, port = owner.url.removeprefix("http://").rpartition(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, (host, int(port)))
        await loop.sock_sendall(deaf, f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        follower = await follow(owner)
        for count in range(1, 80):
            owner.rows[NAME] = large | {"count": count}
            await asyncio.sleep(0.02)
        left = await emptied(deaf)
    assert len(left) < 1 << 20, "hardly anything was buffered for it"
    assert not left.endswith(b"0\r\n\r\n"), "it was not told that this is all"
    assert not follower.response.content.at_eof()


async def emptied(deaf: socket.socket) -> bytes:
    """What is left in the buffers of a connection that has ended."""
    left = b""
    async with asyncio.timeout(DEADLINE_S):
        while found := await asyncio.get_running_loop().sock_recv(deaf, 1 << 20):
            left += found
    return left


async def test_a_server_that_ends_ends_its_streams(follow: Follow) -> None:
    async with two_trackers([NAME], entry_open, entry_open) as both:
        follower = await follow(both[OWNER])
        await follower.next()
        began_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began_s < 5
    assert await follower.next() == ("", None)


def entry_open(name: str) -> dict[str, Any]:
    return entry(name, "AwaitingResults")
