"""How far all bridges have come in one partition: the only clock by which anybody is declared late. Pure.

A bridge claims moments: everything that was in the queues before one and went through this bridge has its facts here
already. The earliest claim of all bridges is the moment up to which nothing can be missing any more, except what was
never sent. So a bridge that is down, or has a backlog, stops this clock, and nobody is abandoned for it.

A bridge that falls silent gives back what it had in hand; where the broker notices late, as late as `silence_s` after
its last word. Its messages go to the others, so it is left out only when each of the others has claimed a moment after
that. While no bridge is known the clock stands still.

What is known here is kept by no table. Whoever takes a partition over does not know which bridges there are, and
listens for `silence_s` of broker time before it judges.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from bridge.contract.events import Watermark


class Heard(msgspec.Struct, frozen=True):
    """What one bridge has said last."""

    at: datetime
    """Of its last record, by the broker's clock."""
    reached: datetime | None
    gone: bool


class Watermarks(msgspec.Struct, frozen=True):
    """What is known of the bridges in one partition."""

    since: datetime
    """Of the first record that was read here."""
    bridges: dict[str, Heard] = {}
    reached: datetime | None = None
    """The watermark; it never goes back."""


def hear(known: Watermarks, said: Watermark, at: datetime, silence_s: float) -> Watermarks:
    """What is known after a record of a bridge that the broker took at `at`."""
    before = known.bridges.get(said.bridge)
    # Claims grow, but a record may be repeated by a retry of its producer.
    claims = [claim for claim in (said.reached, before.reached if before else None) if claim is not None]
    heard = Heard(at, max(claims, default=None), said.gone)
    return _judged(replace(known, bridges={**known.bridges, said.bridge: heard}), at, timedelta(seconds=silence_s))


def _judged(known: Watermarks, now: datetime, silence: timedelta) -> Watermarks:
    speaking = {name: heard for name, heard in known.bridges.items() if not heard.gone and now - heard.at <= silence}
    claims = [heard.reached for heard in speaking.values()]
    if not claims or None in claims:
        return known
    reached = min(claim for claim in claims if claim is not None)
    bridges = {
        name: heard
        for name, heard in known.bridges.items()
        if name in speaking or reached < heard.at + (timedelta() if heard.gone else silence)
    }
    holding = [heard.reached for name, heard in bridges.items() if name not in speaking]
    known = replace(known, bridges=bridges)
    if None in holding or now - known.since < silence:
        return known
    reached = min([reached, *(claim for claim in holding if claim is not None)])
    return replace(known, reached=max(reached, known.reached or reached))
