"""Which ordinals a transaction's row shows, and sets of them in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.queries import Row
from tables import ordinals
from tables.explain import range_text
from tables.ordinals import NONE, Ordinals

RANGES_SAID_MAX: Final = 20
SERIES_SAID_MAX: Final = 10


def received(row: Row | None) -> dict[str, Ordinals]:
    """Of each series what the row shows as received: the first ones of it where it has too many ranges."""
    found: dict[str, Ordinals] = {}
    for series in row["series"] if row else ():
        some = NONE
        for first, last in series["received"]:
            some |= ordinals.interval(first, last - first + 1)
        found[series["seriesType"]] = some
    return found


def shown_upto(row: Row) -> dict[str, int]:
    """Of series with more ranges than a row shows, the last ordinal that it does."""
    cut = {each["seriesType"]: each["received"] for each in row["series"] if each["rangesTruncated"]}
    return {name: ranges[-1][1] if ranges else 0 for name, ranges in cut.items()}


def not_shown(which: Mapping[str, Ordinals], row: Row) -> dict[str, Ordinals]:
    """Those that the row would show if it had them, and does not."""
    known, upto = received(row), shown_upto(row)
    return {
        name: some & ~known.get(name, NONE) & ordinals.upto(upto.get(name, some.bit_length()))
        for name, some in which.items()
    }


def said(which: Mapping[str, Ordinals]) -> str:
    """Such as `series a 1-3, 7; series b 2`."""
    some = [(name, ordinals.ranges(each, RANGES_SAID_MAX)) for name, each in which.items() if each]
    parts = [f"series {name} {range_text(ranges, more=more)}" for name, (ranges, more) in some[:SERIES_SAID_MAX]]
    more = f"; and {len(some) - SERIES_SAID_MAX} more series" if len(some) > SERIES_SAID_MAX else ""
    return "; ".join(parts) + more
