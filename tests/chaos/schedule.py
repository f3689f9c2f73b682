"""Which fault happens when, to whom, for how long: the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CALM_S: Final = 8.0
"""At the beginning, so that there is something to break."""
BLOB_FAULTS: Final = (
    "UNAVAILABLE",
    "UNAVAILABLE_EARLY",
    "BROKEN",
    "THROTTLED",
    "RESET_IN_BODY",
    "CUT_REPLY",
    "TRUNCATED_REPLY",
    "HALF_REPLY",
    "SILENCE",
    "STALL",
)
"""Names of what the HTTP proxy in front of the storage does."""


@dataclass(frozen=True)
class Planned:
    """One fault."""

    at_s: float
    """From the beginning of the run."""
    kind: str
    target: str
    """A process, a service, or all of something."""
    seconds: float = 0.0
    """How long it lasts, where it lasts."""
    how: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """What there is to break."""

    processes: Sequence[str]
    on_amqp: Sequence[str]
    """Who has a connection to RabbitMQ, producers included."""
    on_kafka: Sequence[str]
    on_blob: Sequence[str]
    session_s: float
    """Of the workers' consumer groups."""


@dataclass(frozen=True)
class Style:
    """What kinds of faults there are, and how many."""

    deck: dict[str, int]
    """How often each kind comes in a deck."""
    pause_s: tuple[float, float]
    """Between the beginnings of two faults; those that last overlap."""


def schedule(seed: int, minutes: float, places: Places, style: Style | None = None) -> list[Planned]:
    """The faults of a run, in their order: one deck of cards after the other, each shuffled."""
    style = style or WILD
    chance = random.Random(f"faults/{seed}")
    planned: list[Planned] = []
    at_s = CALM_S
    deck: list[str] = []
    while at_s < minutes * 60:
        if not deck:
            deck = [kind for kind, copies in style.deck.items() for _ in range(copies)]
            chance.shuffle(deck)
        planned.append(_planned(deck.pop(), round(at_s, 1), chance, places))
        at_s += chance.uniform(*style.pause_s)
    return planned


DECK: Final = {
    "kill": 6,
    "freeze": 5,
    "term": 2,
    "rolling restart": 1,
    "kill rabbitmq": 1,
    "kill kafka": 1,
    "freeze rabbitmq": 1,
    "freeze kafka": 1,
    "freeze azurite": 1,
    "restart azurite": 1,
    "alarm": 1,
    "cut before": 3,
    "cut after": 3,
    "black hole": 3,
    "throttle": 2,
    "storage": 6,
}
"""SIGKILL of Azurite is none of them: it loses what it has acknowledged in the last five seconds, which storage does
not do."""
WILD: Final = Style(DECK, (4.0, 11.0))
PATIENT: Final = Style(
    {"storage": 5, "cut before": 3, "cut after": 3, "alarm": 1, "freeze azurite": 1, "freeze rabbitmq": 1}, (60.0, 60.0)
)
"""One a minute, and none that ends a process."""


def _planned(kind: str, at_s: float, chance: random.Random, places: Places) -> Planned:
    match kind:
        case "kill" | "term":
            return Planned(at_s, kind, chance.choice(places.processes))
        case "freeze":
            seconds = chance.choice((0.1, chance.uniform(1, 3), chance.uniform(1, 3))) * places.session_s
            return Planned(at_s, kind, chance.choice(places.processes), round(seconds, 1))
        case "rolling restart":
            return Planned(at_s, kind, "all")
        case "kill rabbitmq" | "kill kafka" | "restart azurite":
            return Planned(at_s, kind, kind.split()[1], round(chance.uniform(0, 5), 1))
        case "freeze rabbitmq" | "freeze kafka" | "freeze azurite":
            return Planned(at_s, kind, kind.split()[1], round(chance.uniform(2, 15), 1))
        case "alarm":
            return Planned(at_s, kind, "rabbitmq", round(chance.uniform(5, 40), 1))
        case "storage":
            how = {"fault": chance.choice(BLOB_FAULTS), "share": round(chance.choice((0.2, 0.5, 1.0)), 1)}
            return Planned(at_s, kind, chance.choice(places.on_blob), round(chance.uniform(2, 20), 1), how)
        case _:
            return _on_a_wire(kind, at_s, chance, places)


def _on_a_wire(kind: str, at_s: float, chance: random.Random, places: Places) -> Planned:
    wire = chance.choice(("amqp", "kafka"))
    target = chance.choice(places.on_amqp if wire == "amqp" else places.on_kafka)
    how: dict[str, Any] = {"wire": wire}
    if kind == "throttle":
        how |= {
            "bytes_per_s": chance.choice((30_000, 200_000, 2_000_000)),
            "latency_s": chance.choice((0.0, 0.05, 0.3)),
        }
    elif kind == "black hole":
        how |= {"ways": chance.choice((["UP", "DOWN"], ["UP"], ["DOWN"]))}
    else:
        how |= {"skips": [chance.randrange(20) for _ in range(chance.randint(1, 4))]}
    return Planned(at_s, kind, target, round(chance.uniform(3, 25), 1), how)
