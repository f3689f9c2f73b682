"""What a command prints on: how wide it is, and what can be seen on it. And bars of ordinals. Pure but for `stdout`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import click

BAR_CELLS: Final = 60
_INDENT: Final = 2

Ranges = Sequence[Sequence[int]]


class Marks(NamedTuple):
    """The cells of a bar."""

    whole: str
    part: str
    none: str
    unknown: str


UNICODE: Final = Marks("▮", "▪", "▯", "·")
ASCII: Final = Marks("#", "+", "-", "?")

_CELL_COLOURS: Final = ("green", "yellow", "red", None)
_STATE_COLOURS: Final = {
    "AwaitingResults": "yellow",
    "SendingCompletion": "cyan",
    "Completed": "green",
    "Failed": "red",
    "Abandoned": "red",
}


class Paper(NamedTuple):
    """Where lines are printed."""

    width: int | None = None
    """Columns of a terminal; None: lines may be as long as they are."""
    marks: Marks = UNICODE
    colour: bool = False

    def styled(self, text: str, **style: Any) -> str:
        """The text in a style of `click.style`, where there are colours."""
        return click.style(text, **style) if self.colour and text else text

    def state(self, name: str, padded: int = 0) -> str:
        """The name of a state."""
        return self.styled(name.ljust(padded), fg=_STATE_COLOURS.get(name))

    def bar(self, received: Ranges, total: int, *, cut: bool = False) -> str:
        """The ordinals 1 .. total on one line."""
        room = BAR_CELLS if self.width is None else min(BAR_CELLS, self.width - _INDENT)
        drawn = bar(received, total, max(1, room), cut=cut, marks=self.marks)
        colours = dict(zip(self.marks, _CELL_COLOURS, strict=True))
        return "".join(self.styled("".join(run), fg=colours[mark]) for mark, run in groupby(drawn))

    def fitting(self, start: str, found: Ranges, shown_max: int, *, cut: bool = False) -> str:
        """`start` and ranges such as `17, 42-90`, as many as fit, and how many more there are; `cut`: at the least."""
        count = min(shown_max, len(found))
        while count > 1 and self.width is not None and len(start + ranges(found, count, cut=cut)) > self.width:
            count -= 1
        return start + ranges(found, count, cut=cut)


def stdout() -> Paper:
    """The standard output: colours on a terminal unless NO_COLOR is set, and what its encoding has."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    try:
        "".join(UNICODE).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return Paper(width, ASCII, colour)
    return Paper(width, UNICODE, colour)


def bar(received: Ranges, total: int, cells: int, *, cut: bool = False, marks: Marks = UNICODE) -> str:
    """The ordinals 1 .. total as one line: each cell is whole, in part, or not there; unknown behind a cut."""
    cells = min(cells, total)
    there = [0] * cells
    for first, last in received:
        for cell in range(_cell(first, total, cells), _cell(last, total, cells) + 1):
            start, end = _ordinals(cell, total, cells)
            there[cell] += min(last, end) - max(first, start) + 1
    return "".join(_drawn(received, there, total, cut, marks))


def _drawn(received: Ranges, there: list[int], total: int, cut: bool, marks: Marks) -> Iterator[str]:
    for cell, count in enumerate(there):
        start, end = _ordinals(cell, total, len(there))
        if cut and (not received or end > received[-1][1]):
            yield marks.unknown
        else:
            yield marks.whole if count == end - start + 1 else marks.part if count else marks.none


def _cell(ordinal: int, total: int, cells: int) -> int:
    return -(-ordinal * cells // total) - 1


def _ordinals(cell: int, total: int, cells: int) -> tuple[int, int]:
    return cell * total // cells + 1, (cell + 1) * total // cells


def ranges(found: Ranges, limit: int | None = None, *, cut: bool = False) -> str:
    """Ordinals as `17, 42-90`; `cut`: these were not all."""
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in found[:limit]]
    more = len(found) - len(shown) + cut
    count = f"at least {more}" if cut else str(more)
    return ", ".join(shown) + (f" and {count} more range{'' if more == 1 else 's'}" if more else "")
