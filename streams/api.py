"""The HTTP interface of every tracker. An answer never depends on which tracker was asked.

`GET /v1/transactions/{id}` and `/gaps` are answered from the row that the transaction's owner has, the list is merged
from what every owner has of it. Owners ask each other below `/internal`, which is no public interface. While nobody
can know, the answer is 503 with Retry-After: never an old row, never a part of a list.

The routes stand on the aiohttp application inside Faust's web server: its views know no problem documents, and turn
what they do not expect into a page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

import faust
import msgspec
from aiohttp import web

from streams import queries
from streams.queries import BadParameter, Document, Listing, Row
from streams.routing import NotReady, Routing
from streams.topics import Topics

SCAN_IDS: Final = 1_000
"""Rows looked at in one go: each may cost 12 us, and the tracker's stream waits meanwhile."""
RETRY_AFTER_S: Final = 1

_INTERNAL: Final = "internal/transactions"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


def mount(app: faust.App, transactions: Any, topics: Topics) -> None:
    """Serve the interface from the app's web server, which starts before the tables are recovered."""
    api = _Api(Routing(app, transactions, topics), transactions, topics)
    server: web.Application = app.web.web_app  # type: ignore[attr-defined]  # the aiohttp driver's
    server.middlewares.extend([_problems, api.guard_tables])
    server.add_routes(
        [
            # Faust has a page here that says OK in any state. Ours comes first and so wins; as the last of this list it
            # would be the same resource to aiohttp, which then refuses Faust's.
            web.get("/", _not_found),
            web.get("/v1/transactions", api.transactions),
            web.get("/v1/transactions/{id:[^/]+}", api.transaction),
            web.get("/v1/transactions/{id:[^/]+}/gaps", api.gaps),
            web.get("/livez", api.livez),
            web.get("/readyz", api.readyz),
            web.get("/version", api.version),
            web.get(f"/{_INTERNAL}", api.own_page),
            web.get(f"/{_INTERNAL}/{{id:[^/]+}}", api.own_row),
        ]
    )


class _Api:
    def __init__(self, routing: Routing, rows: Any, topics: Topics) -> None:
        self._routing = routing
        self._rows = rows
        self._topics = topics

    @web.middleware
    async def guard_tables(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Faust's own table views: while tables are recovered they would show a part, or fail."""
        if request.path.startswith("/table"):
            self._routing.check_ready()
        return await handler(request)

    async def transactions(self, request: web.Request) -> web.Response:
        listing = queries.parse_listing(request.query.items())
        self._routing.check_ready()
        parts = await asyncio.gather(
            *(self._part(owner, listing, partitions) for owner, partitions in self._routing.shares().items())
        )
        return _json(queries.page(parts, listing.limit))

    async def transaction(self, request: web.Request) -> web.Response:
        return _json(await self._row(request))

    async def gaps(self, request: web.Request) -> web.Response:
        return _json(queries.gaps(await self._row(request)))

    async def livez(self, _: web.Request) -> web.Response:
        return _json({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        self._routing.check_ready()
        return _json({"status": "ready"})

    async def version(self, _: web.Request) -> web.Response:
        return _json({"version": version("big-result-handler"), "api": "v1"})

    async def own_row(self, request: web.Request) -> web.Response:
        return _json({"row": self._own_row(queries.parse_id(request.match_info["id"]))})

    async def own_page(self, request: web.Request) -> web.Response:
        partitions = queries.parse_partitions(request.query.get("partitions", ""))
        listing = queries.parse_listing((name, value) for name, value in request.query.items() if name != "partitions")
        return _json(await self._own_page(listing, partitions))

    async def _row(self, request: web.Request) -> Row:
        transaction_id = queries.parse_id(request.match_info["id"])
        self._routing.check_ready()
        owner = self._routing.owner_of(transaction_id)
        if owner == self._routing.me:
            row = self._own_row(transaction_id)
        else:
            row = (await self._routing.ask(owner, f"{_INTERNAL}/{transaction_id}"))["row"]
        if row is None:
            detail = f"Nothing was ever heard of a transaction {transaction_id}."
            raise _Problem(queries.problem(404, "unknown-transaction", "There is no such transaction", detail))
        return row

    def _own_row(self, transaction_id: str) -> Row | None:
        self._routing.check_mine([self._topics.partition_of(transaction_id)])
        row: Row | None = self._rows.get(transaction_id)
        return row

    async def _part(self, owner: str, listing: Listing, partitions: list[int]) -> list[Document]:
        if owner == self._routing.me:
            return await self._own_page(listing, partitions)
        asked = {"partitions": ",".join(map(str, partitions)), **queries.query_of(listing)}
        part: list[Document] = await self._routing.ask(owner, _INTERNAL, asked)
        return part

    async def _own_page(self, listing: Listing, partitions: list[int]) -> list[Document]:
        self._routing.check_mine(partitions)
        mine = frozenset(partitions)
        matched: dict[str, Row] = {}

        def wanted(each: str) -> bool:
            row: Row | None = self._rows.get(each)
            if each <= listing.after or row is None or not listing.wants(row):
                return False
            matched[each] = row  # it may change until the scan is done, and then no longer be what was asked for
            return self._topics.partition_of(each) in mine

        ids = list(self._rows.keys())
        best: list[str] = []
        for start in range(0, len(ids), SCAN_IDS):
            best = queries.smallest(best, ids[start : start + SCAN_IDS], listing.limit + 1, wanted)
            matched = {each: matched[each] for each in best}
            await asyncio.sleep(0)
        self._routing.check_mine(partitions)  # a rebalance may have come in between
        return [queries.summary(matched[each]) for each in best]


class _Problem(Exception):
    """Ends a request with this problem document."""

    def __init__(self, document: Document) -> None:
        super().__init__(document["detail"])
        self.document = document


async def _not_found(_: web.Request) -> web.Response:
    raise web.HTTPNotFound


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every error as a problem document; what nobody expected is told to the log and not to the caller."""
    try:
        return await handler(request)
    except _Problem as error:
        return _answer(error.document)
    except BadParameter as error:
        title = "A parameter is wrong"
        return _answer(queries.problem(400, "bad-parameter", title, f"{error}.", parameter=error.name))
    except NotReady as error:
        title = "The answer is not known just now"
        return _answer(queries.problem(503, "not-ready", title, str(error)), {"Retry-After": str(RETRY_AFTER_S)})
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: value for name, value in error.headers.items() if name == "Allow"}
        code = error.reason.lower().replace(" ", "-")
        detail = f"{request.method} {request.rel_url.raw_path[:200]}: {error.reason.lower()}."
        return _answer(queries.problem(error.status, code, error.reason, detail), kept)
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url.raw_path)
        detail = "The log of this tracker tells what happened."
        return _answer(queries.problem(500, "internal-error", "The tracker made a mistake", detail))


def _answer(document: Document, headers: dict[str, str] | None = None) -> web.Response:
    return _json(document, status=document["status"], content_type="application/problem+json", headers=headers)


def _json(
    value: Any, *, status: int = 200, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> web.Response:
    response = web.Response(
        body=msgspec.json.encode(value), status=status, content_type=content_type, headers=headers or {}
    )
    response.headers["Cache-Control"] = "no-store"
    return response
