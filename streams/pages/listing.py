"""The list of transactions: filters, lines, the way to the next page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from streams.pages.wording import number, percent, relative, size
from streams.queries import Document, Listing, parse_listing, query_of
from tables.transaction import State

LINES: Final = 50
"""Transactions on a page: as many as a person reads, and as a tracker may render while its stream waits."""


class Line(msgspec.Struct, frozen=True):
    """One transaction of a list."""

    id: str
    type: str
    state: str
    counts: str
    share: float | None
    percent: str
    size: str
    created: str
    began: str
    changed: str
    changed_relative: str
    problem: str | None


class ListPage(msgspec.Struct, frozen=True):
    """Everything that the template shows."""

    lines: tuple[Line, ...]
    states: tuple[str, ...]
    listing: Listing
    following: str | None
    """Query string of the next page."""
    beginning: str | None
    """Query string of the first page; None: this is it."""
    filtered: bool


def listing_of(query: Iterable[tuple[str, str]]) -> Listing:
    """What a query string asks for, in portions for people. Raises BadParameter."""
    return replace(parse_listing(query), limit=LINES)


def list_page(listing: Listing, found: Document, now: datetime) -> ListPage:
    """The page of what was found."""
    kept = {name: value for name, value in query_of(listing).items() if name not in ("limit", "after")}
    return ListPage(
        lines=tuple(line(each, now) for each in found["transactions"]),
        states=tuple(State),
        listing=listing,
        following=urlencode({**kept, "after": found["next"]}) if found["next"] else None,
        beginning=urlencode(kept) if listing.after else None,
        filtered=bool(kept),
    )


def line(summary: Mapping[str, Any], now: datetime) -> Line:
    """A transaction in one line."""
    received, total = summary["receivedCount"], summary["totalCount"]
    return Line(
        id=summary["transactionId"],
        type=summary["transactionType"],
        state=summary["state"],
        counts=f"{number(received)} / {'?' if total is None else number(total)}",
        share=None if total is None else (received / total if total else 1.0),
        percent="" if total is None else percent(received, total),
        size=size(summary["bytes"]),
        created=summary["created"],
        began=relative(summary["created"], now),
        changed=summary["lastUpdated"],
        changed_relative=relative(summary["lastUpdated"], now),
        problem=summary["problemCode"],
    )
