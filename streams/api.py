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
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeAlias
from uuid import uuid4

import faust
from aiohttp import web

from bridge.contract.events import Command
from streams import commands, queries
from streams.access import Access, Scope
from streams.answers import Refused, as_json, not_found, problems
from streams.api_settings import ApiSettings
from streams.bodies import body_of
from streams.explained import explanation
from streams.guards import Guards
from streams.queries import Document, Listing, Row
from streams.routing import NotReady, Routing
from streams.topics import Topics
from tables.transaction import Transaction

SCAN_IDS: Final = 1_000
"""Rows looked at in one go: each may cost 12 us, and the tracker's stream waits meanwhile."""

Publish: TypeAlias = Callable[[Command], Awaitable[None]]
"""Publish a command, and return when Kafka has acknowledged it. Raises NotReady when it did not in time."""

_INTERNAL: Final = "internal/transactions"


Know: TypeAlias = Callable[[str], Transaction | None]
"""What the owner of a transaction knows of it; None also when it has not looked at its partition yet."""


def mount(
    app: faust.App, transactions: Any, topics: Topics, know: Know, publish: Publish, settings: ApiSettings
) -> None:
    """Serve the interface from the app's web server, which starts before the tables are recovered."""
    access = Access(settings.api_read_token, settings.api_operate_token)
    routing = Routing(app, transactions, topics, access.headers(Scope.READ))
    guards = Guards(access, routing)
    api = _Api(routing, transactions, topics, know, publish)
    server: web.Application = app.web.web_app  # type: ignore[attr-defined]  # the aiohttp driver's
    server.middlewares.extend([problems, guards.access, guards.origin, guards.tables])
    server.add_routes(
        [
            # Faust has a page here that says OK in any state. Ours comes first and so wins; as the last of this list it
            # would be the same resource to aiohttp, which then refuses Faust's.
            web.get("/", not_found),
            web.get("/v1/transactions", api.transactions),
            web.get("/v1/transactions/{id:[^/]+}", api.transaction),
            web.get("/v1/transactions/{id:[^/]+}/gaps", api.gaps),
            web.get("/v1/transactions/{id:[^/]+}/explain", api.explain),
            *(
                web.post(f"/v1/transactions/{{id:[^/]+}}/{action}", partial(api.command, action))
                for action in commands.ACTIONS
            ),
            web.get("/livez", api.livez),
            web.get("/readyz", api.readyz),
            web.get("/version", api.version),
            web.get(f"/{_INTERNAL}", api.own_page),
            web.get(f"/{_INTERNAL}/{{id:[^/]+}}", api.own_row),
            web.get(f"/{_INTERNAL}/{{id:[^/]+}}/explain", api.own_explanation),
        ]
    )


class _Api:
    def __init__(self, routing: Routing, rows: Any, topics: Topics, know: Know, publish: Publish) -> None:
        self._routing = routing
        self._rows = rows
        self._topics = topics
        self._know = know
        self._publish = publish

    async def transactions(self, request: web.Request) -> web.Response:
        listing = queries.parse_listing(request.query.items())
        self._routing.check_ready()
        parts = await asyncio.gather(
            *(self._part(owner, listing, partitions) for owner, partitions in self._routing.shares().items())
        )
        return as_json(queries.page(parts, listing.limit))

    async def transaction(self, request: web.Request) -> web.Response:
        return as_json(await self._row(request))

    async def gaps(self, request: web.Request) -> web.Response:
        return as_json(queries.gaps(await self._row(request)))

    async def explain(self, request: web.Request) -> web.Response:
        return as_json(await self._of_owner(request, "/explain", self._own_explanation))

    async def command(self, action: commands.Action, request: web.Request) -> web.Response:
        transaction_id = queries.parse_id(request.match_info["id"])
        asked = commands.Asked(
            action,
            await body_of(request),
            request.content_type if "Content-Type" in request.headers else "",
            _header(request, commands.KEY_HEADER),
            _header(request, commands.USER_HEADER),
        )
        command = commands.parse(transaction_id, asked, datetime.now(UTC), lambda: uuid4().hex)
        row = await self._row(request)
        if not commands.is_taken(command, row):
            if (refused := commands.refusal(command, row)) is not None:
                raise Refused(refused)
            await self._publish(command)
        return as_json({"commandId": command.id, "transactionId": transaction_id, "action": action}, status=202)

    async def livez(self, _: web.Request) -> web.Response:
        return as_json({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        self._routing.check_ready()
        return as_json({"status": "ready"})

    async def version(self, _: web.Request) -> web.Response:
        return as_json({"version": version("big-result-handler"), "api": "v1"})

    async def own_row(self, request: web.Request) -> web.Response:
        return as_json({"found": self._own_row(queries.parse_id(request.match_info["id"]))})

    async def own_explanation(self, request: web.Request) -> web.Response:
        return as_json({"found": self._own_explanation(queries.parse_id(request.match_info["id"]))})

    async def own_page(self, request: web.Request) -> web.Response:
        partitions = queries.parse_partitions(request.query.get("partitions", ""))
        listing = queries.parse_listing((name, value) for name, value in request.query.items() if name != "partitions")
        return as_json(await self._own_page(listing, partitions))

    async def _row(self, request: web.Request) -> Row:
        return await self._of_owner(request, "", self._own_row)

    async def _of_owner(self, request: web.Request, suffix: str, own: Callable[[str], Row | None]) -> Row:
        """What the owner of the transaction in the path says; `own` asks this tracker. Raises Refused, NotReady."""
        transaction_id = queries.parse_id(request.match_info["id"])
        self._routing.check_ready()
        owner = self._routing.owner_of(transaction_id)
        if owner == self._routing.me:
            found = own(transaction_id)
        else:
            found = (await self._routing.ask(owner, f"{_INTERNAL}/{transaction_id}{suffix}"))["found"]
        if found is None:
            detail = f"Nothing was ever heard of a transaction {transaction_id}."
            raise Refused(queries.problem(404, "unknown-transaction", "There is no such transaction", detail))
        return found

    def _own_row(self, transaction_id: str) -> Row | None:
        self._routing.check_mine([self._topics.partition_of(transaction_id)])
        row: Row | None = self._rows.get(transaction_id)
        return row

    def _own_explanation(self, transaction_id: str) -> Document | None:
        row, known = self._own_row(transaction_id), self._know(transaction_id)
        if row is None:
            return None
        if known is None:
            raise NotReady("the tracker that owns it has not looked at it yet")
        return explanation(known, row, datetime.now(UTC))

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


def _header(request: web.Request, name: str) -> str | None:
    """A header; one that is given twice is no value that anybody could have meant."""
    values = request.headers.getall(name, [])
    return ", ".join(values) if values else None
