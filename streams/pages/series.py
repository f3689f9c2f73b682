"""A series as a page shows it: counts, what is missing, its map. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from bridge.contract.outbound import OutcomeCode
from bridge.layout import part_count, part_name, part_ordinals
from streams.ordinal_counts import Counts, Span
from streams.pages.ordinal_map import OrdinalMap, ordinal_map, span_of
from streams.pages.wording import number, percent, size
from streams.queries import BadParameter, Row
from tables.explain import range_text
from tables.transaction import State

RANGES_SAID_MAX: Final = 8
PARTS_LINKED_MAX: Final = 20
ROWS_MAX: Final = 10
"""Rows of a map that is looked at by itself."""
ROWS_TOGETHER_MAX: Final = 20
"""Rows of all maps of a page, as far as each has the two that it needs to be read."""

_CONFLICT: Final = re.compile(r"Series (\S+), ordinal ([0-9]{1,7})\b")
"""How `tables.messages` begins the detail of a contradiction about one ordinal."""


class Link(msgspec.Struct, frozen=True):
    """A blob of the result."""

    name: str
    uri: str


class SeriesShown(msgspec.Struct, frozen=True):
    """One series of a transaction."""

    name: str
    counts: str
    share: str | None
    """None: of an unknown total."""
    size: str
    content_type: str | None
    complete: bool
    missing: str
    """Ranges in words; empty where nothing is known to be missing."""
    missing_count: int
    map: OrdinalMap | None
    """None where there is no ordinal, or nobody knows how many."""
    parts: tuple[Link, ...] = ()
    parts_more: int = 0


def conflicts_of(row: Row) -> dict[str, tuple[int, ...]]:
    """By series the ordinals that are known to have come with different contents: the first ones.

    `contradictions` of the row counts all.
    """
    found: dict[str, dict[int, None]] = {}
    for each in row.get("problems", ()):
        if each["code"] == OutcomeCode.CONFLICTING_PAYLOAD and (said := _CONFLICT.match(each["detail"])):
            # Of one ordinal there may be two: the first contradiction and a further one.
            found.setdefault(said[1], {})[int(said[2])] = None
    return {name: tuple(ordinals) for name, ordinals in found.items()}


def contradictions(row: Row) -> int:
    """How many messages contradicted what had come before them, as far as the row tells."""
    return sum(row.get("contradictions", {}).values())


def rows_together(series_count: int) -> int:
    """How many rows the map of each of so many series may have on one page."""
    return max(2, min(ROWS_MAX, ROWS_TOGETHER_MAX // max(1, series_count)))


def overview_span(series: Mapping[str, Any], rows_max: int) -> Span | None:
    """All ordinals of a series; None where there are none, or nobody knows how many."""
    return span_of(1, series["totalCount"], rows_max) if series["totalCount"] else None


def zoomed_span(series: Mapping[str, Any], query: Mapping[str, str]) -> Span | None:
    """The ordinals that `first` and `last` ask for, both within the series. Raises BadParameter."""
    total = series["totalCount"]
    if not total:
        return None
    first = _ordinal("first", query.get("first") or "1", 1, total)
    last = _ordinal("last", query.get("last") or str(total), first, total)
    return span_of(first, last, ROWS_MAX)


def shown(row: Row, series: Mapping[str, Any], span: Span | None, counts: Counts) -> SeriesShown:
    """A series of the row; `counts` are what is known of the cells of the span."""
    name, total, received = series["seriesType"], series["totalCount"], series["receivedCount"]
    conflicts = conflicts_of(row).get(name, ())
    links = _parts(row, series)
    missing_count = total - received if total is not None else 0
    return SeriesShown(
        name=name,
        counts=f"{number(received)} of {number(total)}" if total is not None else f"{number(received)} of ?",
        share=percent(received, total) if total is not None else None,
        size=size(series["bytes"]),
        content_type=_content_type(row, name),
        complete=total == received,
        missing=_missing(series, missing_count),
        missing_count=missing_count,
        map=ordinal_map(span, counts, conflicts) if span else None,
        parts=links[:PARTS_LINKED_MAX],
        parts_more=max(0, len(links) - PARTS_LINKED_MAX),
    )


def _missing(series: Mapping[str, Any], count: int) -> str:
    found = [(first, last) for first, last in series["missing"]]
    listed = sum(last - first + 1 for first, last in found)
    return range_text(found[:RANGES_SAID_MAX], more=len(found) > RANGES_SAID_MAX or listed < count)


def _content_type(row: Row, name: str) -> str | None:
    specs: Sequence[Mapping[str, Any]] = row["header"]["series"] if row["header"] else ()
    return next((each.get("contentType") for each in specs if each["type"] == name), None)


def _parts(row: Row, series: Mapping[str, Any]) -> tuple[Link, ...]:
    """The blobs of a completed series, whose names follow from its total count."""
    if row["state"] != State.COMPLETED or not row["blobUri"] or series["totalCount"] is None:
        return ()
    container = row["blobUri"].removesuffix(f"/{row['transactionId']}")
    total = series["totalCount"]
    names = [part_name(row["transactionId"], series["seriesType"], part) for part in range(part_count(total))]
    held = [_holds(series, part, total) for part in range(part_count(total))]
    return tuple(
        Link(name.rpartition("/")[2], f"{container}/{name}") for name, there in zip(names, held, strict=True) if there
    )


def _holds(series: Mapping[str, Any], part: int, total: int) -> bool:
    """Whether a part may hold anything: of a partial result some do not."""
    ordinals = part_ordinals(part, total)
    return not any(
        first <= ordinals[0] and ordinals[-1] <= last for first, last in series["missing"] if len(ordinals) > 0
    )


def _ordinal(name: str, text: str, lowest: int, highest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) or not lowest <= int(text) <= highest:
        raise BadParameter(name, text, f"an ordinal from {lowest} to {highest}")
    return int(text)
