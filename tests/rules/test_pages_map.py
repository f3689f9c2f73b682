"""Maps of ordinals: every cell tells exactly what the row tells of its ordinals, and nothing that the row does not."""

from __future__ import annotations

import re
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from playbook import Playbook, header, payload

from streams.ordinal_counts import counted, counts_of, parse_span
from streams.pages.ordinal_map import CELL_WIDTH, COLUMNS, ordinal_map, span_of
from streams.pages.series import conflicts_of, shown
from streams.pages.sparkline import HEIGHT, WIDTH, sparkline
from tables import ordinals
from tables.projection import view

RANGES_SHOWN = 4


def series_of(total: int, held: set[int], ranges_max: int = 1_000) -> dict[str, Any]:
    """A series as a row shows it, with room for this many ranges."""
    bits = ordinals.of(sorted(held))
    received, more_received = ordinals.ranges(bits, ranges_max)
    missing, more_missing = ordinals.ranges(ordinals.upto(total) & ~bits, ranges_max)
    return {
        "seriesType": "a",
        "totalCount": total,
        "receivedCount": len(held),
        "bytes": len(held),
        "received": [list(each) for each in received],
        "missing": [list(each) for each in missing],
        "rangesTruncated": more_received or more_missing,
    }


@st.composite
def pieces(draw: st.DrawFn) -> tuple[int, set[int], int, int]:
    """The total count of a series, what of it was received, and a piece of it."""
    total = draw(st.integers(1, 300))
    held = draw(st.sets(st.integers(1, total)))
    first = draw(st.integers(1, total))
    return total, held, first, draw(st.integers(first, total))


@given(pieces(), st.integers(1, 6))
def test_a_cell_counts_exactly_its_ordinals(piece: tuple[int, set[int], int, int], rows_max: int) -> None:
    total, held, first, last = piece
    span = span_of(first, last, rows_max)
    found = counts_of(series_of(total, held), span)
    cells = [span.ordinals(cell) for cell in range(span.cells)]
    assert counted(ordinals.of(sorted(held)), span) == found, "the owner counts alike"
    assert parse_span(span.query) == span
    assert found == [len(held & set(range(low, high + 1))) for low, high in cells]
    assert [ordinal for low, high in cells for ordinal in range(low, high + 1)] == list(range(first, last + 1))


@given(pieces())
def test_behind_a_cut_nothing_is_made_up(piece: tuple[int, set[int], int, int]) -> None:
    total, held, first, last = piece
    span = span_of(first, last, 6)
    whole = counts_of(series_of(total, held), span)
    cut = counts_of(series_of(total, held, RANGES_SHOWN), span)
    assert all(each in (None, known) for each, known in zip(cut, whole, strict=True))
    if len(ordinals.ranges(ordinals.of(sorted(held)), total)[0]) <= RANGES_SHOWN:
        assert cut == whole


@given(st.integers(1, 1_000_000), st.integers(1, 10))
def test_a_span_needs_no_more_rows_than_it_may_have(total: int, rows_max: int) -> None:
    span = span_of(1, total, rows_max)
    assert span.cells <= rows_max * COLUMNS
    assert re.fullmatch(r"[125]0*", str(span.step))
    assert span.step == 1 or -(-total // span.step) * 3 > rows_max * COLUMNS


def test_the_kinds_of_cells() -> None:
    held = {*range(1, 101), *range(101, 104), *range(105, 110), *range(112, 121)}
    span = span_of(1, 1_000, 2)
    assert span.step == 10
    drawn = ordinal_map(span, counts_of(series_of(1_000, held), span), conflicts=(415,))
    kinds = [{kind: path.count("M") for kind, path in row.paths} for row in drawn.rows]
    assert kinds == [{"whole": 10, "part-3": 2, "missing": 37, "conflict": 1}, {"missing": 50}]
    assert [row.received for row in drawn.rows] == [117, 0]
    assert drawn.rows[0].said == "Ordinals 1 to 500: 117 of 500 received, conflict at 415"
    assert drawn.zooms
    (path,) = (path for kind, path in drawn.rows[0].paths if kind == "conflict")
    assert path.startswith(f"M{41 * CELL_WIDTH} ")


def test_what_is_not_known_is_said() -> None:
    odd = set(range(1, 301, 2))
    span = span_of(1, 300, 6)
    drawn = ordinal_map(span, counts_of(series_of(300, odd, RANGES_SHOWN), span))
    assert {kind for kind, _ in drawn.rows[-1].paths} == {"unknown"}
    assert drawn.rows[-1].said == "Ordinals 251 to 300: not all are known"


def test_the_ordinal_of_a_contradiction_is_marked_whatever_the_policy() -> None:
    for policy in (None, "keep-first"):
        book = Playbook() >> header(a=60, on_conflict=policy) >> payload("a", 23, of=60)
        book >> payload("a", 23, of=60, body="y")
        row = view(book.transaction)
        assert conflicts_of(row) == {"a": (23,)}
        span = span_of(1, 60, 2)
        found = shown(row, row["series"][0], span, counts_of(row["series"][0], span)).map
        assert found is not None
        assert [each.conflicts for each in found.rows] == [(23,), ()]
        book >> payload("a", 23, of=60, body="z")
        assert conflicts_of(view(book.transaction)) == {"a": (23,)}


def test_a_map_of_a_million_ordinals_is_small_and_soon_there() -> None:
    held = set(range(1, 1_000_001)) - set(range(5, 1_000_001, 1_003))
    series = series_of(1_000_000, held)
    start_s = time.process_time()
    span = span_of(1, 1_000_000, 10)
    drawn = ordinal_map(span, counts_of(series, span))
    assert time.process_time() - start_s < 1, "some milliseconds, on any machine"
    assert sum(len(path) for row in drawn.rows for _, path in row.paths) < 20_000


@given(st.lists(st.floats(0, 1e9), max_size=200))
def test_a_sparkline_stays_within_its_box(values: list[float]) -> None:
    found = sparkline(values)
    points = [tuple(map(float, each.split())) for each in found.line.removeprefix("M").split("L") if each]
    assert len(points) == (len(values) if len(values) > 1 else 0)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
