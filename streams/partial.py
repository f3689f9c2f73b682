"""What a partial result says of each series: which ordinals its parts hold, and which are missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from bridge.contract.outbound import SeriesResult
from bridge.runs import Interval
from tables import ordinals
from tables.missing import DOCUMENT_RANGES_MAX, RANGES_MAX


def numbers(tiles: Iterable[Interval]) -> list[int]:
    """The ordinals that are held in these tiles, in ascending order."""
    return [ordinal for tile in tiles for ordinal in tile.ordinals]


def with_ranges(result: SeriesResult, held: Sequence[int], series_count: int) -> SeriesResult:
    """The series of a partial result.

    Args:
        result: without its ranges.
        held: the ordinals in its parts, in ascending order.
        series_count: of the document, whose room for ranges they share.
    """
    limit = max(1, min(RANGES_MAX, DOCUMENT_RANGES_MAX // (2 * series_count)))
    bits = ordinals.of(held)
    received, more_received = ordinals.ranges(bits, limit)
    if result.total_count is None:
        return replace(result, received=received, missing=None, ranges_truncated=more_received)
    missing, more_missing = ordinals.ranges(ordinals.upto(result.total_count) & ~bits, limit)
    return replace(result, received=received, missing=missing, ranges_truncated=more_received or more_missing)
