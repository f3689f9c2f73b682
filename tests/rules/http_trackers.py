"""Two trackers over real HTTP, with a stand-in for what Faust knows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from faust.app.router import Router
from faust.types.tuples import TP
from faust.web.apps.tables import TableDetail, TableKeyDetail, TableList
from yarl import URL

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


def check_problem(problem: dict[str, Any], status: int, path: str) -> None:
    """Whoever is told a problem is told which one it is, about what, and what helps."""
    assert (problem["status"], problem["type"]) == (status, f"urn:brh:problem:{problem['code']}")
    assert problem["title"]
    assert problem["detail"]
    assert re.fullmatch(r"[A-Z`][^{}]{9,}[.]", problem["remedy"]), problem["remedy"]
    if problem["code"] == "bad-parameter":
        assert problem["parameter"] in problem["detail"]
    elif status in (404, 405, 409):  # all others are about who asks, or about the tracker
        named = re.search("/transactions/([^/?]+)", path)
        assert (named[1] if named else path.partition("?")[0]) in problem["detail"]


class Table(dict[str, Any]):
    name = "transactions"
    help = "One readable row for each transaction."
    changelog_topic = SimpleNamespace(
        get_topic_name=lambda: CHANGELOG, prepare_key=lambda key, _: (msgspec.json.encode(key), None)
    )


class Tables(dict[str, Table]):
    """Faust's tables by their names, and what it tells of all of them."""

    def __init__(self, table: Table, remaining: Callable[[], dict[TP, int]]) -> None:
        super().__init__({table.name: table})
        self.actives_ready = True
        self.changelog_topics = {CHANGELOG}
        self.recovery = SimpleNamespace(active_remaining=remaining)


class Sensors:
    """Faust's, which its views tell of what they do."""

    def on_web_request_start(self, *_: Any, **__: Any) -> None: ...

    def on_web_request_end(self, *_: Any, **__: Any) -> None: ...


def as_faust_answers(value: Any, *, content_type: str | None = None, status: int = 200, **_: Any) -> web.Response:
    text = value if content_type else msgspec.json.encode(value).decode()
    return web.Response(text=text, status=status, content_type=content_type or "application/json")


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
        self.spread = spread
        """Where the last rebalance that this tracker has heard of has put the partitions."""
        self.app = SimpleNamespace(
            web=SimpleNamespace(web_app=web.Application()),
            conf=SimpleNamespace(canonical_url=URL("")),
            rebalancing=False,
            in_recovery=False,
            tables=Tables(self.rows, lambda: self.remaining),
            sensors=Sensors(),
            assignor=SimpleNamespace(
                assigned_actives=lambda: {TP(CHANGELOG, 0), TP(CHANGELOG, 1)},
                table_metadata=lambda _: self.spread,
                key_store=self.key_store,
            ),
        )
        self.app.router = Router(self.app)
        api.mount(
            self.app, self.rows, TOPICS, self.knowing, self.publish, settings, Archive(lambda: nullcontext(self.blobs))
        )
        self.serve_table_views()

    def key_store(self, _: str, key: bytes) -> URL:
        partition = TOPICS.partition_of(msgspec.json.decode(key, type=str))
        return URL({number: url for url, held in self.spread.items() for number in held[CHANGELOG]}[partition])

    def serve_table_views(self) -> None:
        """Faust's own, which it mounts when it starts its web server."""
        faust_web: Any = SimpleNamespace(json=as_faust_answers, text=as_faust_answers)
        for path, view in (("", TableList), ("{name}/", TableDetail), ("{name}/{key}/", TableKeyDetail)):
            self.app.web.web_app.router.add_get(f"/table/{path}", view(self.app, faust_web).dispatch)

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
            assert (response.headers.get("Retry-After") == "1") == (response.status in (429, 503))
            answer = await response.json(content_type=None)
            if problem:
                check_problem(answer, response.status, path)
            return response.status, answer

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
            tracker.app.conf.canonical_url = URL(str(server.make_url("")).rstrip("/"))
            tracker.app.http_client = session
            spread[tracker.url] = {CHANGELOG: list(range(number, 8, 2))}
            for name in names:
                tracker.rows[name] = row(name) if TOPICS.partition_of(name) % 2 == number else stale(name)
        yield both
