"""How far all bridges have come in one partition: the only clock by which anybody is declared late. Pure.

A bridge claims moments: everything that was in the queues before one and went through this bridge has its facts here
already. The earliest claim of all bridges is the moment up to which nothing can be missing any more, except what was
never sent. So a bridge that is down, or has a backlog, stops this clock, and nobody is abandoned for it.

A bridge that goes has given back what it had in hand. One that falls silent gives it back when the broker notices,
which may be as late as `silence_s` after its last word. By then its messages are in the queues again, so the clock
stands until each of the others has claimed a later moment: only such a claim tells of what came back. While no bridge
is known, or one of them has claimed nothing yet, the clock stands still, too.

What is known here is kept by no table. Whoever takes a partition over knows of no bridge, and one may have fallen
silent a moment before, so it begins as if one had.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from bridge.contract.events import Watermark


class Heard(msgspec.Struct, frozen=True):
    """What one bridge has said last."""

    at: datetime
    """Of its last record, by the broker's clock."""
    reached: datetime | None


class Watermarks(msgspec.Struct, frozen=True):
    """What is known of the bridges in one partition."""

    since: datetime
    """Of the first record that was read here."""
    bridges: dict[str, Heard] = {}
    """Those that speak."""
    owed: datetime | None = None
    """When everything that was in hand of bridges that speak no more is back in the queues, at the latest."""
    reached: datetime | None = None
    """The watermark; it never goes back."""


def hear(known: Watermarks, said: Watermark, at: datetime, silence_s: float) -> Watermarks:
    """What is known after a record of a bridge that the broker took at `at`."""
    silence = timedelta(seconds=silence_s)
    before = known.bridges.get(said.bridge)
    # Claims grow, but a record may be repeated by a retry of its producer.
    claims = [claim for claim in (said.reached, before.reached if before else None) if claim is not None]
    bridges = {**known.bridges, said.bridge: Heard(at, max(claims, default=None))}
    owed = [known.owed or known.since + silence]
    if said.gone:
        del bridges[said.bridge]
        owed.append(at)
    owed += [heard.at + silence for heard in bridges.values() if at - heard.at > silence]
    bridges = {name: heard for name, heard in bridges.items() if at - heard.at <= silence}
    return Watermarks(known.since, bridges, max(owed), _reached(known, bridges, max(owed)))


def _reached(known: Watermarks, bridges: dict[str, Heard], owed: datetime) -> datetime | None:
    claims = [heard.reached for heard in bridges.values()]
    if not claims or None in claims:
        return known.reached
    reached = min(claim for claim in claims if claim is not None)
    return known.reached if reached <= owed else max(reached, known.reached or reached)
