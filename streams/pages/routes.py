"""Where the pages are, and who makes them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec
from aiohttp import web

from streams import commands, queries
from streams.access import ASSETS_PATH, LOG_IN_PATH, Access
from streams.bodies import body_of
from streams.ordinal_counts import Counts, Span
from streams.pages.assets import Assets
from streams.pages.errors import PAGE, ErrorPages
from streams.pages.explained import explained_page
from streams.pages.listing import list_page, listing_of
from streams.pages.log_in import LogIn
from streams.pages.overview import overview_page
from streams.pages.rendering import Rendering
from streams.pages.series import contradictions, shown, zoomed_span
from streams.pages.transaction import EXTENSIONS, LABELS, asked_for, is_late, spans_of, transaction_page
from streams.queries import Document, Listing, Row
from streams.stuck import Stuck
from tables.transaction import FINAL

_USER: Final = "somebody on the web page"


PAUSES_S: Final = (2, 10, 60, 600)
PAUSE_SHARE: Final = 50
"""A list is made from all rows, so a page of one that asks again by itself rests for 50 times as long as it took."""


def pause_s(took_s: float) -> int:
    """After how long a page asks again that took this long to find."""
    return next((each for each in PAUSES_S if took_s * PAUSE_SHARE <= each), PAUSES_S[-1])


class Answers(Protocol):
    """What the API answers with; each raises what the API raises."""

    async def summed(self) -> Document:
        """How many transactions there are, and how fast things go."""

    async def stuck(self) -> list[Stuck]:
        """Open transactions, those first that somebody should look at."""

    async def listed(self, listing: Listing) -> Document:
        """A page of the list."""

    async def row_of(self, transaction_id: str) -> Row:
        """A transaction."""

    async def explanation_of(self, transaction_id: str) -> Document:
        """Why it is not done yet."""

    async def counts_of(self, row: Row, series_type: str, span: Span) -> Counts:
        """What has been received of a series, by cells."""

    async def order(self, transaction_id: str, asked: commands.Asked) -> Document:
        """Have a command carried out."""


class _Pages:
    def __init__(self, answers: Answers, rendering: Rendering) -> None:
        self._answers = answers
        self._rendering = rendering

    async def overview(self, request: web.Request) -> web.StreamResponse:
        start_s = time.monotonic()
        summary, stuck = await asyncio.gather(self._answers.summed(), self._answers.stuck())
        page, every_s = overview_page(summary, stuck, datetime.now(UTC)), pause_s(time.monotonic() - start_s)
        return self._rendering.page(request, "overview.html", page=page, every_s=every_s)

    async def transactions(self, request: web.Request) -> web.StreamResponse:
        return await self._list(request, listing_of(request.query.items()))

    async def find(self, request: web.Request) -> web.StreamResponse:
        """To the transaction of this id, or to the list of those whose ids begin like that."""
        text = request.query.get("id", "").strip()
        return await self._list(request, listing_of([("prefix", text)]), text)

    async def _list(self, request: web.Request, listing: Listing, looked_for: str = "") -> web.StreamResponse:
        start_s = time.monotonic()
        found = await self._answers.listed(listing)
        if any(each["transactionId"] == looked_for for each in found["transactions"]):
            raise web.HTTPSeeOther(f"/transactions/{looked_for}")
        page, every_s = list_page(listing, found, datetime.now(UTC)), pause_s(time.monotonic() - start_s)
        return self._rendering.page(request, "transactions.html", page=page, every_s=every_s)

    async def transaction(self, request: web.Request) -> web.StreamResponse:
        name = queries.parse_id(request.match_info["id"])
        row, explanation = await asyncio.gather(self._answers.row_of(name), self._answers.explanation_of(name))
        spans = spans_of(row)
        counts = await asyncio.gather(*(self._answers.counts_of(row, each, span) for each, span in spans.items()))
        page = transaction_page(row, explanation, dict(zip(spans, counts, strict=True)), datetime.now(UTC))
        return self._rendering.page(
            request,
            "transaction.html",
            page=page,
            asked=asked_for(row, request.query.get("asked", "")),
            actions=[(action, LABELS[action], uuid4().hex) for action in page.actions],
            extensions=EXTENSIONS,
        )

    async def explained(self, request: web.Request) -> web.StreamResponse:
        found = await self._answers.explanation_of(queries.parse_id(request.match_info["id"]))
        return self._rendering.page(request, "explained.html", page=explained_page(found, datetime.now(UTC)))

    async def series(self, request: web.Request) -> web.StreamResponse:
        row = await self._answers.row_of(queries.parse_id(request.match_info["id"]))
        found = next((each for each in row["series"] if each["seriesType"] == request.match_info["series"]), None)
        if found is None:
            raise web.HTTPNotFound
        span = zoomed_span(found, request.query)
        counts = await self._answers.counts_of(row, found["seriesType"], span) if span else ()
        return self._rendering.page(
            request,
            "series.html",
            row=row,
            series=shown(row, found, span, counts),
            zoomed=bool(request.query),
            open=row["state"] not in FINAL,
            late=is_late(row),
            contradictions=contradictions(row),
        )

    async def command(self, action: commands.Action, request: web.Request) -> web.StreamResponse:
        name = queries.parse_id(request.match_info["id"])
        form = dict(parse_qsl((await body_of(request)).decode("ascii", "replace"), keep_blank_values=True))
        members = {"by": form.get("by")} if action == "extend" else {}
        asked = commands.Asked(action, msgspec.json.encode(members), "application/json", form.get("key"), _USER)
        ordered = await self._answers.order(name, asked)
        raise web.HTTPSeeOther(f"/transactions/{name}?asked={ordered['commandId']}")


def mount(server: web.Application, answers: Answers, access: Access, session_s: float) -> None:
    """Serve the pages; before Faust adds its own page at `/`, and before anything that refuses a request."""
    assets = Assets()
    rendering = Rendering(assets, access)
    pages, log_in = _Pages(answers, rendering), LogIn(rendering, access, session_s)
    server.middlewares.append(ErrorPages(rendering).answer)
    server.add_routes(
        [
            web.get("/", pages.overview, name=f"{PAGE}-overview"),
            web.get("/transactions", pages.transactions, name=f"{PAGE}-transactions"),
            web.get("/find", pages.find, name=f"{PAGE}-find"),
            web.get("/transactions/{id:[^/]+}", pages.transaction, name=f"{PAGE}-transaction"),
            web.get("/transactions/{id:[^/]+}/explain", pages.explained, name=f"{PAGE}-explain"),
            web.get("/transactions/{id:[^/]+}/series/{series:[^/]+}", pages.series, name=f"{PAGE}-series"),
            *(
                web.post(
                    f"/transactions/{{id:[^/]+}}/{action}", partial(pages.command, action), name=f"{PAGE}-{action}"
                )
                for action in commands.ACTIONS
            ),
            web.get(LOG_IN_PATH, log_in.ask, name=f"{PAGE}-login"),
            web.post(LOG_IN_PATH, log_in.take),
            web.get(f"{ASSETS_PATH}{{name}}", assets.serve),
        ]
    )
