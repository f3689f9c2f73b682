"""How many ordinals of a series have been received, cell by cell: what a map of them is drawn from. Pure.

A row has room for some ranges only, so of a series that is full of holes it tells the beginning. The owner has every
ordinal as a bit, and counts those of a cell in microseconds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, TypeAlias

import msgspec

from bridge.contract.inbound import TOTAL_COUNT_MAX
from streams.queries import BadParameter
from tables.ordinals import Ordinals

CELLS_MAX: Final = 1_000
"""Cells that one tracker asks another one about."""

Ranges: TypeAlias = Sequence[Sequence[int]]
"""Inclusive and ascending, as the API shows them."""
Counts: TypeAlias = Sequence[int | None]
"""For each cell how many of its ordinals have been received; None: not known."""

_NUMBER = re.compile(r"[0-9]{1,7}")


class Span(msgspec.Struct, frozen=True):
    """Ordinals of a series, and how many of them are one cell."""

    first: int
    last: int
    step: int

    @property
    def cells(self) -> int:
        """How many there are; the last one may hold fewer ordinals."""
        return -(-(self.last - self.first + 1) // self.step)

    def ordinals(self, cell: int) -> tuple[int, int]:
        """The first and the last one of a cell."""
        first = self.first + cell * self.step
        return first, min(first + self.step - 1, self.last)

    @property
    def query(self) -> dict[str, str]:
        """The query string that `parse_span` reads as this span."""
        return {"first": str(self.first), "last": str(self.last), "step": str(self.step)}


def parse_span(query: Mapping[str, str]) -> Span:
    """The span that one tracker asks another one about. Raises BadParameter."""
    numbers = {name: _number(name, query.get(name, "")) for name in ("first", "last", "step")}
    span = Span(**numbers)
    if span.last < span.first or span.cells > CELLS_MAX:
        raise BadParameter("step", query["step"], f"at most {CELLS_MAX} cells")
    return span


def counted(received: Ordinals, span: Span) -> Counts:
    """The cells of what the owner knows."""
    held = received >> (span.first - 1) & ((1 << (span.last - span.first + 1)) - 1)
    bits = held.to_bytes(-(-held.bit_length() // 8), "little")
    return [_bits(bits, cell * span.step, span.step).bit_count() for cell in range(span.cells)]


def counts_of(series: Mapping[str, Any], span: Span) -> Counts:
    """The cells of what a row shows; behind the ranges that it has room for, nothing is known."""
    received, missing = _Held(series["received"]), _Held(series["missing"])
    total = series["totalCount"]
    if received.count == series["receivedCount"]:
        held, known_to = received.upto, total
    elif missing.count == total - series["receivedCount"]:
        held, known_to = missing.without, total
    elif missing.last > received.last:
        held, known_to = missing.without, missing.last
    else:
        held, known_to = received.upto, received.last
    cells = map(span.ordinals, range(span.cells))
    return [held(last) - held(first - 1) if last <= known_to else None for first, last in cells]


def _bits(held: bytes, start: int, count: int) -> int:
    """`count` bits from `start` on; slices, because shifting a million bits for each cell is no microsecond."""
    return int.from_bytes(held[start // 8 : (start + count + 7) // 8], "little") >> start % 8 & ((1 << count) - 1)


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= TOTAL_COUNT_MAX:
        raise BadParameter(name, text, f"a number from 1 to {TOTAL_COUNT_MAX}")
    return int(text)


class _Held:
    """Ranges that can be asked how many ordinals they hold."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._firsts = [first for first, _ in ranges]
        self._before = [0, *accumulate(_sizes(ranges))]
        self.count = self._before[-1]
        self.last: int = ranges[-1][1] if ranges else 0

    def upto(self, ordinal: int) -> int:
        """How many of them are not above this one."""
        at = bisect_right(self._firsts, ordinal) - 1
        if at < 0:
            return 0
        first, last = self._ranges[at]
        return self._before[at] + min(ordinal, last) - first + 1

    def without(self, ordinal: int) -> int:
        """How many others are not above this one."""
        return ordinal - self.upto(ordinal)


def _sizes(ranges: Ranges) -> Iterator[int]:
    return (last - first + 1 for first, last in ranges)
