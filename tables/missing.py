"""What a transaction lacks, as inclusive ranges of ordinals. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from bridge.contract.outbound import Problem, Ranges
from tables import ordinals
from tables.transaction import Series, Transaction

RANGES_MAX: Final = 1_000
"""Ranges shown a series, so that a scattered series cannot make a record that Kafka refuses."""
DOCUMENT_RANGES_MAX: Final = 20_000
"""Ranges shown in one document over all series: about 400 kB of JSON."""


def names(transaction: Transaction) -> list[str]:
    """The series that are expected, in the order of the header; without one those that were heard of."""
    return [spec.type for spec in transaction.header.series] if transaction.header else sorted(transaction.series)


def ranges_max(transaction: Transaction) -> int:
    """How many ranges a series may show."""
    return max(1, min(RANGES_MAX, DOCUMENT_RANGES_MAX // (2 * max(1, len(transaction.series)))))


def missing_ranges(series: Series, limit: int) -> tuple[Ranges, bool]:
    """At most `limit` ranges that are missing, and whether there are more; none where the total is not known."""
    return ordinals.ranges(ordinals.upto(series.total_count or 0) & ~series.received, limit)


def missing_of(transaction: Transaction) -> tuple[dict[str, Ranges | None], bool]:
    """What each series lacks that is not complete, None where its total is not known; and whether that is cut."""
    found: dict[str, Ranges | None] = {}
    limit, cut = ranges_max(transaction), False
    for name in names(transaction):
        series = transaction.series.get(name, Series())
        if series.total_count is None:
            found[name] = None
        elif not series.complete:
            found[name], more = missing_ranges(series, limit)
            cut = cut or more
    return found, cut


def lacking(transaction: Transaction, problem: Problem) -> Problem:
    """The problem with what the transaction lacks; where that is cut it says so, or it would look complete."""
    missing, cut = missing_of(transaction)
    return replace(problem, missing=missing, missing_truncated=True if cut else UNSET)
