"""How many transactions there are in each state, which one has waited longest, and how fast things go. Pure.

Each owner counts as it goes, so that nobody has to look at every transaction to say how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streams.pace import WINDOW_S, Counts
from streams.queries import Document
from tables.transaction import FINAL, State


class Oldest(msgspec.Struct, frozen=True, rename="camel"):
    """An open transaction than which none of the others has been open longer."""

    created: str
    transaction_id: str
    transaction_type: str
    state: str
    last_updated: str


class Tally(msgspec.Struct, frozen=True, rename="camel"):
    """What the owner of some partitions has of them."""

    states: dict[str, int]
    oldest: Oldest | None
    seconds: list[Counts]
    """Of the last minute or, where they are fewer, since the owner has them; the newest is the last."""


def merged(tallies: Iterable[Tally]) -> Tally:
    """Of all partitions together."""
    states = dict.fromkeys((state.value for state in State), 0)
    oldest: Oldest | None = None
    seconds: list[Counts] = []
    for tally in tallies:
        for state, count in tally.states.items():
            states[state] = states.get(state, 0) + count
        oldest = min(filter(None, (oldest, tally.oldest)), key=_age, default=None)
        seconds = [Counts() for _ in range(len(tally.seconds) - len(seconds))] + seconds
        for mine, theirs in zip(reversed(seconds), reversed(tally.seconds), strict=False):
            mine.add(theirs)
    return Tally(states, oldest, seconds)


def summary(tally: Tally) -> Document:
    """The answer of the API. Rates are means over the seconds that it also shows one by one."""
    watched = max(1, len(tally.seconds))
    total = Counts()
    for each in tally.seconds:
        total.add(each)
    return {
        "states": tally.states,
        "open": sum(count for state, count in tally.states.items() if state not in FINAL),
        "oldestOpen": msgspec.to_builtins(tally.oldest),
        "rates": {
            "windowS": WINDOW_S,
            "payloadsPerS": total.payloads / watched,
            "bytesPerS": total.bytes / watched,
            "openedPerS": total.opened / watched,
            "closedPerS": total.closed / watched,
            "seconds": {
                "payloads": [each.payloads for each in tally.seconds],
                "bytes": [each.bytes for each in tally.seconds],
            },
        },
    }


def read_tally(said: Mapping[str, Any]) -> Tally:
    """A tally as another tracker has sent it. Raises msgspec.ValidationError."""
    return msgspec.convert(said, Tally)


def _age(oldest: Oldest) -> tuple[str, str]:
    return oldest.created, oldest.transaction_id
