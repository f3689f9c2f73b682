"""A small line of numbers over time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

WIDTH: Final = 600
HEIGHT: Final = 48
_TOP: Final = 2
"""Room above the highest point, for the width of the line."""


class Sparkline(msgspec.Struct, frozen=True):
    """Paths for an SVG of WIDTH x HEIGHT; with fewer than two numbers there is no line yet."""

    line: str
    area: str
    highest: float


def sparkline(values: Sequence[float]) -> Sparkline:
    """The values from left to right; the lowest point is zero."""
    highest = max(values, default=0.0)
    if len(values) < 2:
        return Sparkline("", "", highest)
    room = HEIGHT - _TOP - 1
    points = [
        f"{at * WIDTH / (len(values) - 1):.1f} {HEIGHT - 1 - (room * value / highest if highest else 0):.1f}"
        for at, value in enumerate(values)
    ]
    line = "M" + "L".join(points)
    return Sparkline(line, f"{line}V{HEIGHT}H0Z", highest)
