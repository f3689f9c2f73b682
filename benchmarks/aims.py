"""What was wanted of each scenario, and how the sides of one round compare. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

Round = Mapping[str, Mapping[str, float]]
"""The figures of every side."""
CORES: Final = os.cpu_count() or 1
PACED_MB_PER_S: Final = 200
"""About what the emulator takes, but of a service that leaves the processors to the others."""


class Comparison(NamedTuple):
    """A figure of one round, and what it should be, where that was laid down."""

    text: str
    of: Callable[[Round], float]
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def wanted(self) -> str:
        """In words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.at_least is not None:
            return f"at least {self.at_least:,g}{unit}"
        return "" if self.at_most is None else f"at most {self.at_most:,g}{unit}"

    def met(self, value: float) -> bool | None:
        """None: nothing was laid down."""
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most


def ratio(side: str, other: str, key: str = "mb_per_s") -> Callable[[Round], float]:
    """Of the same figure of two sides."""
    return lambda found: found[side][key] / found[other][key]


def less(side: str, other: str, key: str) -> Callable[[Round], float]:
    """The difference between the same figure of two sides."""
    return lambda found: found[side][key] - found[other][key]


def only(side: str, key: str) -> Callable[[Round], float]:
    """The figure itself."""
    return lambda found: found[side][key]


def possible(side: str) -> Callable[[Round], float]:
    """MB/s if no core ever waited: what all processes together need of them for a GiB, turned round."""
    return lambda found: CORES / found[side]["together_cpu_s_per_gib"] * (1 << 30) / 1e6


def spread(key: str) -> Callable[[Round], float]:
    """Between the lowest and the highest of all sides."""
    return lambda found: max(each[key] for each in found.values()) - min(each[key] for each in found.values())


KNOWN_BEFORE: Final = "raw Put Block, MD5 known before"
_PEER: Final = "aio-pika and bytes"
_BOTH: Final = "both ways, uncoupled"
_AGAINST_THE_PEER: Final = (
    Comparison("bridge ÷ aio-pika and bytes", ratio("bridge", _PEER)),
    Comparison("the same of their own CPU s/GiB", ratio("bridge", _PEER, "itself_cpu_s_per_gib")),
)
COMPARISONS: Final[dict[str, tuple[Comparison, ...]]] = {
    "azurite": (
        Comparison("bridge ÷ raw Put Block", ratio("bridge", "raw Put Block"), at_least=0.9),
        Comparison(f"bridge ÷ {KNOWN_BEFORE}", ratio("bridge", KNOWN_BEFORE)),
        Comparison("bridge ÷ both ways, uncoupled", ratio("bridge", _BOTH)),
        *_AGAINST_THE_PEER,
        Comparison("peak RSS of the bridge", only("bridge", "peak_rss_mib"), "MiB", at_most=160),
        Comparison("and more than with 8 MB", less("bridge", "bridge, 8 MB", "peak_rss_mib"), "MiB", at_most=10),
        Comparison("what the cores allow the bridge", possible("bridge"), "MB/s"),
    ),
    "sink": (
        Comparison("bridge", only("bridge", "mb_per_s"), "MB/s", at_least=1_000),
        Comparison("what the cores allow it", possible("bridge"), "MB/s"),
        Comparison("bridge ÷ raw Put Block", ratio("bridge", "raw Put Block")),
        Comparison("bridge ÷ lanes, no sink", ratio("bridge", "lanes, no sink")),
        Comparison("bridge ÷ both ways, uncoupled", ratio("bridge", _BOTH)),
        *_AGAINST_THE_PEER,
    ),
    "paced": (Comparison("bridge ÷ raw Put Block", ratio("bridge", "raw Put Block"), at_least=0.9),),
    "small": (
        Comparison(
            "bridge, in order ÷ aio-pika, no sink",
            ratio("bridge, in order", "aio-pika, no sink", "payloads_per_s"),
            at_least=1,
        ),
        Comparison(
            "bridge, shuffled ÷ aio-pika, no sink",
            ratio("bridge, shuffled", "aio-pika, no sink", "payloads_per_s"),
            at_least=1,
        ),
        Comparison("bridge, in order ÷ lane, no sink", ratio("bridge, in order", "lane, no sink", "payloads_per_s")),
        Comparison("bridge, shuffled ÷ lane, no sink", ratio("bridge, shuffled", "lane, no sink", "payloads_per_s")),
    ),
    "sweep": (Comparison("peak RSS, largest less smallest", spread("peak_rss_mib"), "MiB"),),
    "hardened": tuple(
        Comparison(f"ours ÷ stock Faust, {shape}{text}", ratio(f"ours, {shape}", f"stock Faust, {shape}", key))
        for shape in ("a row a record", "100 rows a record")
        for text, key in (("", "events_per_s"), (", own CPU", "itself_cpu_us_per_event"))
    ),
    "restart": (
        Comparison("ours, with a name ÷ without", ratio("ours, with a name", "ours, without a name", "seconds")),
    ),
    "commit": (
        Comparison(
            "beyond the calls alone",
            less("assemble", "Get Block List and Put Block List alone", "seconds"),
            "s",
            at_most=2,
        ),
    ),
}
