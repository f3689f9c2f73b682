"""How far all bridges have come in one partition: the only clock by which anybody is declared late. Pure.

A bridge claims moments: everything that was in the queues before one and went through this bridge has its facts here
already. The earliest claim of all bridges is the moment up to which nothing can be missing any more, except what was
never sent. So a bridge that is down, or has a backlog, stops this clock, and nobody is abandoned for it.

A bridge that goes has given back what it had in hand. One that falls silent gives it back when the broker notices,
which may be as late as `silence_s` after its last word. By then its messages are in the queues again, so the clock
stands until each of the others has claimed a later moment: only such a claim tells of what came back. While no bridge
is known, or one of them has claimed nothing yet, the clock stands still, too.

Brokers' clocks may be set, and another broker may lead the partition, whose clock is another one. Forward, that looks
like a silence of everybody: so what a silent bridge owes is counted from when its silence was found out, not from its
last word. Back, claims by the old clock lie ahead, and none of those is believed (see `bridge.reached` for later).

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
    # A moment that is still to come was stamped by a clock that has been set back since: of ours it tells nothing.
    claim = said.reached if said.reached is None or said.reached <= at else None
    bridges = {**known.bridges, said.bridge: Heard(at, claim)}
    owed = [known.owed or known.since + silence]
    if said.gone:
        del bridges[said.bridge]
        owed.append(at)
    owed += [at + silence for heard in bridges.values() if at - heard.at > silence]
    bridges = {name: heard for name, heard in bridges.items() if at - heard.at <= silence}
    return Watermarks(known.since, bridges, max(owed), _reached(known, bridges, max(owed)))


def _reached(known: Watermarks, bridges: dict[str, Heard], owed: datetime) -> datetime | None:
    claims = [heard.reached for heard in bridges.values()]
    if not claims or None in claims:
        return known.reached
    reached = min(claim for claim in claims if claim is not None)
    return known.reached if reached <= owed else max(reached, known.reached or reached)
