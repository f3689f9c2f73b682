"""The ordinals of a series as a map: rows of cells, each whole, in part, missing or not known. Pure.

A row of the map is one path for each kind of cell, so that a series of 1,000,000 ordinals is some kilobytes of SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

import msgspec

from streams.ordinal_counts import Counts, Span

COLUMNS: Final = 50
"""Cells in a row."""
CELL_WIDTH: Final = 12
CELL_GAP: Final = 2
CELL_HEIGHT: Final = 12
ROW_WIDTH: Final = COLUMNS * CELL_WIDTH - CELL_GAP
"""In the units of the paths."""


class MapRow(msgspec.Struct, frozen=True):
    """One row of the map."""

    first: int
    last: int
    received: int | None
    """None: not known of all of them."""
    paths: tuple[tuple[str, str], ...]
    """Kind of cell, and the path of all cells of that kind."""
    conflicts: tuple[int, ...]

    @property
    def said(self) -> str:
        """The row in words, for those who do not see it."""
        count = self.last - self.first + 1
        if self.received is None:
            text = f"Ordinals {self.first:,} to {self.last:,}: not all are known"
        else:
            text = f"Ordinals {self.first:,} to {self.last:,}: {self.received:,} of {count:,} received"
        return text + "".join(f", conflict at {each:,}" for each in self.conflicts)


class OrdinalMap(msgspec.Struct, frozen=True):
    """A part of a series, or all of it."""

    span: Span
    rows: tuple[MapRow, ...]

    @property
    def zooms(self) -> bool:
        """Whether a row shows more when it is looked at by itself."""
        return self.span.step > 1


def span_of(first: int, last: int, rows_max: int) -> Span:
    """The finest span of these ordinals that needs no more rows; cells of 1, 2, 5, 10, 20, ... ordinals."""
    ordinals = last - first + 1
    steps = (base * 10**power for power in count() for base in (1, 2, 5))
    step = next(step for step in steps if -(-ordinals // step) <= rows_max * COLUMNS)
    return Span(first, last, step)


def ordinal_map(span: Span, counts: Counts, conflicts: Sequence[int] = ()) -> OrdinalMap:
    """The map of these cells; `conflicts` are ordinals that came with different contents."""
    rows = (_row(span, counts, start, conflicts) for start in range(0, span.cells, COLUMNS))
    return OrdinalMap(span, tuple(rows))


def _row(span: Span, counts: Counts, start: int, conflicts: Sequence[int]) -> MapRow:
    mine = counts[start : start + COLUMNS]
    first, last = span.ordinals(start)[0], span.ordinals(start + len(mine) - 1)[1]
    contradicted = tuple(each for each in conflicts if first <= each <= last)
    drawn: dict[str, list[str]] = {}
    for column, received in enumerate(mine):
        cell_first, cell_last = span.ordinals(start + column)
        kind = _kind(received, cell_last - cell_first + 1)
        if any(cell_first <= each <= cell_last for each in contradicted):
            kind = "conflict"
        drawn.setdefault(kind, []).append(
            f"M{column * CELL_WIDTH} 0h{CELL_WIDTH - CELL_GAP}v{CELL_HEIGHT}h-{CELL_WIDTH - CELL_GAP}z"
        )
    known = [each for each in mine if each is not None]
    received_count = sum(known) if len(known) == len(mine) else None
    paths = tuple((kind, "".join(cells)) for kind, cells in drawn.items())
    return MapRow(first, last, received_count, paths, contradicted)


def _kind(received: int | None, size: int) -> str:
    match received:
        case None:
            return "unknown"
        case 0:
            return "missing"
        case _ if received == size:
            return "whole"
        case _:
            return f"part-{1 + 3 * received // size}"
