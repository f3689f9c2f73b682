"""Two trackers over real HTTP, with a stand-in for what Faust knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from faust.types.tuples import TP

from bridge.contract.events import Command
from bridge.memory_blobs import MemoryBlobs
from streams import api
from streams.api_settings import ApiSettings
from streams.archive import Archive
from streams.partition import Partition
from streams.topics import Topics
from tables.transaction import Transaction

CHANGELOG = "transactions-changelog"
TOPICS = Topics("brh", 8)


def entry(name: str, state: str, **members: Any) -> dict[str, Any]:
    return {
        "transactionId": name,
        "transactionType": "default",
        "state": state,
        "header": None,
        "series": [],
        "timestamps": {"created": "c", "lastUpdated": "u"},
        "problem": None,
        **members,
    }


class Table(dict[str, Any]):
    name = "transactions"
    changelog_topic = SimpleNamespace(get_topic_name=lambda: CHANGELOG)


class HttpTracker:
    """The part of a Faust app that the API looks at."""

    def __init__(self, spread: dict[str, dict[str, list[int]]], settings: ApiSettings, blobs: Any) -> None:
        self.rows = Table()
        self.remaining: dict[TP, int] = {}
        self.published: list[Command] = []
        self.known: dict[str, Transaction] = {}
        self.blobs: Any = blobs
        self.partitions = {number: Partition() for number in range(TOPICS.partitions)}
        self.knowing = SimpleNamespace(known=self.known.get, partition=self.partitions.get)
        self.trouble: Exception | None = None
        """What publishing ends with."""
        self.app = SimpleNamespace(
            web=SimpleNamespace(web_app=web.Application()),
            conf=SimpleNamespace(canonical_url=""),
            rebalancing=False,
            in_recovery=False,
            tables=SimpleNamespace(
                actives_ready=True,
                changelog_topics={CHANGELOG},
                recovery=SimpleNamespace(active_remaining=lambda: self.remaining),
            ),
            router=SimpleNamespace(table_metadata=lambda _: spread),
            assignor=SimpleNamespace(assigned_actives=lambda: {TP(CHANGELOG, 0), TP(CHANGELOG, 1)}),
        )
        api.mount(
            self.app, self.rows, TOPICS, self.knowing, self.publish, settings, Archive(lambda: nullcontext(self.blobs))
        )

    async def publish(self, command: Command) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.published.append(command)

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.ask("GET", path)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.app.http_client.request(method, self.url + path, **options) as response:
            problem = response.status >= 400
            assert response.content_type == ("application/problem+json" if problem else "application/json")
            assert (response.headers.get("Retry-After") == "1") == (response.status == 503)
            return response.status, await response.json(content_type=None)

    @property
    def url(self) -> str:
        return str(self.app.conf.canonical_url)


@asynccontextmanager
async def two_trackers(
    names: list[str],
    row: Callable[[str], dict[str, Any]],
    stale: Callable[[str], dict[str, Any]],
    **settings: Any,
) -> AsyncIterator[list[HttpTracker]]:
    """The first owns the even partitions, the second one the others, and both hold stale rows of the other one's.

    `settings` are those of the API that are to differ from the defaults.
    """
    spread: dict[str, dict[str, list[int]]] = {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        blobs = MemoryBlobs()
        both = [HttpTracker(spread, ApiSettings(**settings), blobs) for _ in range(2)]
        for number, tracker in enumerate(both):
            server = TestServer(tracker.app.web.web_app)
            await server.start_server()
            stack.push_async_callback(server.close)
            tracker.app.conf.canonical_url = str(server.make_url("")).rstrip("/")
            tracker.app.http_client = session
            spread[tracker.url] = {CHANGELOG: list(range(number, 8, 2))}
            for name in names:
                tracker.rows[name] = row(name) if TOPICS.partition_of(name) % 2 == number else stale(name)
        yield both
