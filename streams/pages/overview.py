"""The overview: how many transactions there are, how fast things go, which ones somebody should look at. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from streams.pages.listing import Line, line
from streams.pages.sparkline import Sparkline, sparkline
from streams.pages.wording import MEANS, duration, number, relative, size
from streams.queries import Document
from streams.stuck import GOES_ON, Stuck


class Tile(msgspec.Struct, frozen=True):
    """A state, and how many transactions are in it."""

    state: str
    count: str
    means: str


class Rate(msgspec.Struct, frozen=True):
    """How much of something comes in a second."""

    label: str
    value: str
    line: Sparkline
    highest: str
    said: str


class Looked(msgspec.Struct, frozen=True):
    """A transaction that somebody should look at, and why."""

    line: Line
    since: str
    waits: str


class Group(msgspec.Struct, frozen=True):
    """Transactions that are looked at for the same reason."""

    id: str
    title: str
    urgent: bool
    looked: tuple[Looked, ...]


class OverviewPage(msgspec.Struct, frozen=True):
    """Everything that the template shows."""

    tiles: tuple[Tile, ...]
    rates: tuple[Rate, ...]
    opened: str
    closed: str
    oldest: Mapping[str, str] | None
    """Of the open ones: its id, and since when."""
    groups: tuple[Group, ...]


def overview_page(summary: Document, stuck: Sequence[Stuck], now: datetime) -> OverviewPage:
    """The page at the moment `now`."""
    rates, oldest = summary["rates"], summary["oldestOpen"]
    return OverviewPage(
        tiles=tuple(Tile(state, number(count), MEANS[state]) for state, count in summary["states"].items()),
        rates=(
            _rate("Payloads", rates["payloadsPerS"], rates["seconds"]["payloads"], number),
            _rate("Bytes", rates["bytesPerS"], rates["seconds"]["bytes"], lambda each: size(round(each))),
        ),
        opened=number(60 * rates["openedPerS"]),
        closed=number(60 * rates["closedPerS"]),
        oldest=_oldest(oldest, now) if oldest else None,
        groups=tuple(_groups(stuck, now)),
    )


def _rate(label: str, mean: float, seconds: Sequence[float], shown: Any) -> Rate:
    drawn = sparkline(seconds[:-1])  # the last one is not over yet
    highest = shown(drawn.highest)
    said = f"{label} a second over the last {len(seconds)} s: {shown(mean)} on average, {highest} at most"
    return Rate(label, f"{shown(mean)}/s", drawn, highest, said)


def _oldest(found: Mapping[str, Any], now: datetime) -> dict[str, str]:
    return {"id": found["transactionId"], "at": found["created"], "relative": relative(found["created"], now)}


def _groups(stuck: Sequence[Stuck], now: datetime) -> Iterator[Group]:
    for name, title, urgent in (
        ("look", "Look at these first", True),
        ("others", "In progress", False),
    ):
        looked = tuple(_looked(each, now) for each in stuck if (each.urgency < GOES_ON) == urgent)
        if looked:
            yield Group(name, title, urgent, looked)


def _looked(stuck: Stuck, now: datetime) -> Looked:
    waits_s = (now - datetime.fromisoformat(stuck.since)).total_seconds()
    return Looked(line(stuck.summary, now), stuck.since, duration(max(0.0, waits_s)))
