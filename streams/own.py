"""What this tracker has of its own partitions, for itself and for the other trackers, who ask below `/internal`.

What is asked of an owner is never passed on: one that is not the owner any more raises NotReady.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from aiohttp import web

from streams import queries
from streams.answers import as_json
from streams.explained import explanation
from streams.ordinal_counts import Counts, Span, counted, counts_of, parse_span
from streams.partition import Partition
from streams.queries import Document, Listing, Row
from streams.recent import Recent
from streams.routing import NotReady, Routing
from streams.topics import Topics
from tables.transaction import Transaction

SCAN_IDS: Final = 1_000
"""Rows looked at in one go: each may cost 12 us, and the tracker's stream waits meanwhile."""
INTERNAL: Final = "internal/transactions"


class Knowing(Protocol):
    """What this tracker holds in memory; the assembler."""

    def known(self, transaction_id: str) -> Transaction | None:
        """A transaction of ours; None also before its partition was looked at."""

    def partition(self, number: int) -> Partition | None:
        """One of our partitions; None before it was looked at."""


class Own:
    """The rows of this tracker, and what it knows beyond them."""

    def __init__(self, routing: Routing, rows: Any, topics: Topics, knowing: Knowing) -> None:
        self._routing = routing
        self._rows = rows
        self._topics = topics
        self._knowing = knowing

    def routes(self) -> list[web.RouteDef]:
        """For the other trackers; no public interface."""
        return [
            web.get(f"/{INTERNAL}", self._get_page),
            web.get(f"/{INTERNAL}/{{id:[^/]+}}", self._get_row),
            web.get(f"/{INTERNAL}/{{id:[^/]+}}/explain", self._get_explanation),
            web.get(f"/{INTERNAL}/{{id:[^/]+}}/ordinals/{{series:[^/]+}}", self._get_counts),
        ]

    def row(self, transaction_id: str) -> Row | None:
        """A transaction as we show it. Raises NotReady.

        The owner before us may have shown what it had no time to write, so of a partition that was not looked at since
        it came to us we cannot say what is not in it.
        """
        partition = self._topics.partition_of(transaction_id)
        self._routing.check_mine([partition])
        row: Row | None = self._rows.get(transaction_id)
        if row is None and self._knowing.partition(partition) is None:
            raise NotReady(f"partition {partition} has just come here")
        return row

    def explanation(self, transaction_id: str) -> Document | None:
        """Why it is not done yet. Raises NotReady."""
        row, known = self.row(transaction_id), self._knowing.known(transaction_id)
        if row is None:
            return None
        if known is None:
            raise NotReady(f"the partition of {transaction_id} has just come here")
        held = self._knowing.partition(self._topics.partition_of(transaction_id))
        now, recent = datetime.now(UTC), held.recent if held else Recent()
        return explanation(known, row, now, recent.of(transaction_id), recent.brought(transaction_id))

    def counts(self, transaction_id: str, series_type: str, span: Span) -> Counts | None:
        """What has been received of a series, by cells. Raises NotReady."""
        row, known = self.row(transaction_id), self._knowing.known(transaction_id)
        if row is None:
            return None
        if known is not None and series_type in known.series:
            return counted(known.series[series_type].received, span)
        shown = [each for each in row["series"] if each["seriesType"] == series_type]
        return counts_of(shown[0], span) if shown else None

    async def page(self, listing: Listing, partitions: list[int]) -> list[Document]:
        """The first ones of a listing that are in these partitions, one more than its limit. Raises NotReady."""
        self._routing.check_mine(partitions)
        mine = frozenset(partitions)
        matched: dict[str, Row] = {}

        def wanted(each: str) -> bool:
            row: Row | None = self._rows.get(each)
            if each <= listing.after or not each.startswith(listing.prefix) or row is None or not listing.wants(row):
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

    async def _get_page(self, request: web.Request) -> web.Response:
        partitions = queries.parse_partitions(request.query.get("partitions", ""))
        listing = queries.parse_listing((name, value) for name, value in request.query.items() if name != "partitions")
        return as_json(await self.page(listing, partitions))

    async def _get_row(self, request: web.Request) -> web.Response:
        return as_json({"found": self.row(id_of(request))})

    async def _get_explanation(self, request: web.Request) -> web.Response:
        return as_json({"found": self.explanation(id_of(request))})

    async def _get_counts(self, request: web.Request) -> web.Response:
        span = parse_span(request.query)
        return as_json({"found": self.counts(id_of(request), request.match_info["series"], span)})


def id_of(request: web.Request) -> str:
    """The transaction id in the path. Raises BadParameter."""
    return queries.parse_id(request.match_info["id"])
