"""The HTTP interface of every tracker. An answer never depends on which tracker was asked.

`GET /v1/transactions/{id}` and `/gaps` are answered from the row that the transaction's owner has, `/explain` from what
the owner knows, the list is merged from what every owner has of it. Owners ask each other below `/internal`, which is
no public interface. While nobody can know, the answer is 503 with Retry-After: never an old row, never a part of a
list.

A command is judged by the same row and published, by whichever tracker was asked, as a fact of the transaction; the
answer is given when Kafka has acknowledged it. What became of it is shown in the row.

The routes stand on the aiohttp application inside Faust's web server: its views know no problem documents, and turn
what they do not expect into a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import faust
from aiohttp import web

from bridge.answer_headers import add_headers
from bridge.contract.events import Command
from bridge.envelope import trace_of
from streams import commands, queries
from streams.access import Access, Scope
from streams.answers import Refused, as_json, problems
from streams.api_settings import ApiSettings
from streams.archive import Archive
from streams.bodies import body_of
from streams.event_streams import EventStreams
from streams.guards import Guards
from streams.openapi import openapi
from streams.ordinal_counts import Counts, Span, counts_of
from streams.own import INTERNAL, Knowing, Own, id_of
from streams.pages import routes as pages
from streams.queries import Document, Listing, Row
from streams.routing import Routing
from streams.stuck import StuckOnes
from streams.table_views import TableViews
from streams.topics import Topics
from streams.totals import Totals
from streams.traced import commanded
from tables.transaction import FINAL

Publish: TypeAlias = Callable[[Command], Awaitable[None]]
"""Publish a command, and return when Kafka has acknowledged it. Raises NotReady when it did not in time."""

T = TypeVar("T")


def mount(
    app: faust.App,
    transactions: Any,
    topics: Topics,
    knowing: Knowing,
    publish: Publish,
    settings: ApiSettings,
    archive: Archive,
) -> None:
    """Serve the interface from the app's web server, which starts before the tables are recovered."""
    access = Access(settings.api_read_token, settings.api_operate_token)
    as_tracker = access.headers(Scope.READ)
    routing = Routing(app, transactions, topics, as_tracker)
    views = TableViews(app, topics, routing, as_tracker)
    guards = Guards(access, routing, settings.api_rate_per_s)
    own = Own(routing, transactions, topics, knowing)
    totals, stuck = Totals(routing, knowing.partition), StuckOnes(routing, transactions, knowing)
    api = _Api(routing, own, totals, stuck, archive, publish)
    streams = EventStreams(api.row_of, settings.api_streams_max)
    server: web.Application = app.web.web_app  # type: ignore[attr-defined]  # the aiohttp driver's
    server.middlewares.append(problems)
    server.on_shutdown.append(streams.stop)
    server.on_response_prepare.append(add_headers)
    server.cleanup_ctx.append(archive.serve)
    # Faust has a page at `/` that says OK in any state. Ours come first and so win; if `/` was the last of all routes,
    # it would be the same resource to aiohttp, which then refuses Faust's.
    pages.mount(server, api, access, settings.api_session_s)
    server.middlewares.extend([guards.rate, guards.access, guards.origin, views.guard])
    server.add_routes(
        [
            web.get("/v1/transactions", api.transactions),
            web.get("/v1/transactions/{id:[^/]+}", api.transaction),
            web.get("/v1/transactions/{id:[^/]+}/gaps", api.gaps),
            web.get("/v1/transactions/{id:[^/]+}/explain", api.explain),
            web.get("/v1/transactions/{id:[^/]+}/events", streams.serve, allow_head=False),
            *(
                web.post(f"/v1/transactions/{{id:[^/]+}}/{action}", partial(api.command, action))
                for action in commands.ACTIONS
            ),
            web.get("/v1/summary", totals.summary),
            web.get("/livez", api.livez),
            web.get("/readyz", api.readyz),
            web.get("/version", api.version),
            web.get("/openapi.json", api.openapi),
            *totals.internal_routes(),
            *stuck.internal_routes(),
            *own.routes(),
        ]
    )


class _Api:
    def __init__(
        self, routing: Routing, own: Own, totals: Totals, stuck: StuckOnes, archive: Archive, publish: Publish
    ) -> None:
        self._routing = routing
        self._own = own
        self._archive = archive
        self.summed = totals.summed
        self.stuck = stuck.all
        self._publish = publish

    async def transactions(self, request: web.Request) -> web.Response:
        return as_json(await self.listed(queries.parse_listing(request.query.items())))

    async def transaction(self, request: web.Request) -> web.Response:
        return as_json(await self.row_of(id_of(request)))

    async def gaps(self, request: web.Request) -> web.Response:
        return as_json(queries.gaps(await self.row_of(id_of(request))))

    async def explain(self, request: web.Request) -> web.Response:
        return as_json(await self.explanation_of(id_of(request)))

    async def command(self, action: commands.Action, request: web.Request) -> web.Response:
        transaction_id = id_of(request)
        asked = commands.Asked(
            action,
            await body_of(request),
            request.content_type if "Content-Type" in request.headers else "",
            _header(request, commands.KEY_HEADER),
            _header(request, commands.USER_HEADER),
            trace_of(request.headers),
        )
        return as_json(await self.order(transaction_id, asked), status=202)

    async def listed(self, listing: Listing) -> Document:
        """A page of the list. Raises NotReady."""
        self._routing.check_ready()
        parts = await asyncio.gather(
            *(self._part(owner, listing, partitions) for owner, partitions in self._routing.shares().items())
        )
        return queries.page(parts, listing.limit)

    async def row_of(self, transaction_id: str) -> Row:
        """A transaction as its owner shows it, or its outcome. Raises Refused, NotReady."""
        row: Row | None = await self._of_owner(transaction_id, "", self._own.row)
        return row or _heard_of(transaction_id, await self._archive.row(transaction_id))

    async def explanation_of(self, transaction_id: str) -> Document:
        """Why a transaction is not done yet. Raises Refused, NotReady."""
        told: Document | None = await self._of_owner(transaction_id, "/explain", self._own.explanation)
        return told or _heard_of(transaction_id, await self._archive.explanation(transaction_id, datetime.now(UTC)))

    async def counts_of(self, row: Row, series_type: str, span: Span) -> Counts:
        """What has been received of a series, by cells; where the row cannot show it all, its owner is asked."""
        (series,) = (each for each in row["series"] if each["seriesType"] == series_type)
        if not series["rangesTruncated"] or row["state"] in FINAL:
            return counts_of(series, span)
        own = partial(self._own.counts, series_type=series_type, span=span)
        counts: Counts | None = await self._of_owner(row["transactionId"], f"/ordinals/{series_type}", own, span.query)
        return _heard_of(row["transactionId"], counts)

    async def order(self, transaction_id: str, asked: commands.Asked) -> Document:
        """Have a command carried out. Raises BadParameter, Refused, NotReady."""
        command = commands.parse(transaction_id, asked, datetime.now(UTC), lambda: uuid4().hex)
        row = await self.row_of(transaction_id)
        if not commands.is_taken(command, row):
            if (refused := commands.refusal(command, row)) is not None:
                raise Refused(refused)
            with commanded(command, asked.trace):
                await self._publish(command)
        return {"commandId": command.id, "transactionId": transaction_id, "action": asked.action}

    async def livez(self, _: web.Request) -> web.Response:
        return as_json({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        self._routing.check_ready()
        return as_json({"status": "ready"})

    async def version(self, _: web.Request) -> web.Response:
        return as_json({"version": version("big-result-handler"), "api": "v1"})

    async def openapi(self, _: web.Request) -> web.Response:
        return as_json(openapi())

    async def _of_owner(
        self, transaction_id: str, suffix: str, own: Callable[[str], Any], params: Mapping[str, str] | None = None
    ) -> Any:
        """What the owner of the transaction says, None for nothing; `own` asks this tracker. Raises NotReady."""
        self._routing.check_ready()
        owner = self._routing.owner_of(transaction_id)
        if owner == self._routing.me:
            return own(transaction_id)
        return (await self._routing.ask(owner, f"{INTERNAL}/{transaction_id}{suffix}", params))["found"]

    async def _part(self, owner: str, listing: Listing, partitions: list[int]) -> list[Document]:
        if owner == self._routing.me:
            return await self._own.page(listing, partitions)
        asked = {"partitions": ",".join(map(str, partitions)), **queries.query_of(listing)}
        part: list[Document] = await self._routing.ask(owner, INTERNAL, asked)
        return part


def _heard_of(transaction_id: str, found: T | None) -> T:
    if found is None:
        detail = f"Nothing was ever accepted of a transaction {transaction_id}."
        raise Refused(queries.problem(404, "unknown-transaction", "There is no such transaction", detail))
    return found


def _header(request: web.Request, name: str) -> str | None:
    """A header; one that is given twice is no value that anybody could have meant."""
    values = request.headers.getall(name, [])
    return ", ".join(values) if values else None
