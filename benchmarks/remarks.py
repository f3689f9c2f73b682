"""What stands in the way, told with the figures of the same run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from benchmarks.aims import CORES, KNOWN_BEFORE, PACED_MB_PER_S, Round, possible

Scenario = Sequence[Round]
"""What was measured side by side, round by round."""


def _azurite(scenario: Scenario) -> list[str]:
    return [
        "Raw Put Block sends the same blocks from memory, and computes the MD5 of each, as every client must whose "
        "blocks differ: without one the emulator takes a quarter of the rate, because it computes a CRC in JavaScript. "
        "Beside it stands one that has known them since before it began. The two ways uncoupled are the lanes, which "
        "drop what they receive, and raw Put Block at the same time in one process. "
        f"{_shares(scenario, 'bridge', 'Azurite')} MD5 alone is {_cpu(scenario, 'MD5 alone')} s of the bridge's; Azure "
        f"is given the CRC-64 that the block's id needs anyway. {_nine_tenths(scenario)}",
        "A bridge writes to the memory that its lanes work with when it starts, so its resident set hardly depends on "
        "how large payloads are. It depends on the series: one of more than 1,024 payloads has blocks of 32 MiB, and "
        "then buffers are used up to `BRH_MEMORY_MB`, which bounds them in any case.",
    ]


def _nine_tenths(scenario: Scenario) -> str:
    """Whether any bridge could come so near on these cores to a client that does not compute what the bridge must."""
    wanted = 0.9 * _mid(scenario, KNOWN_BEFORE, "mb_per_s")
    bound = median(possible("bridge")(found) for found in scenario)
    could = "less than these cores would carry" if wanted < bound else "more than these cores could carry at all"
    return (
        f"Nine tenths of {KNOWN_BEFORE}, which has the machine to itself, would be {wanted:,.0f} MB/s: {could}. What "
        "is reached where the cores are not the limit stands below, with storage that takes no more than "
        f"{PACED_MB_PER_S} MB/s."
    )


def _sink(scenario: Scenario) -> list[str]:
    return [
        f"{_shares(scenario, 'bridge', 'the service that keeps nothing')} Without a bridge the broker's part does not "
        f"go away: lanes that drop what they receive reach {_mid(scenario, 'lanes, no sink', 'mb_per_s'):,.0f} MB/s, "
        f"and take {_cpu(scenario, 'lanes, no sink')} s of their own and "
        f"{_cpu(scenario, 'lanes, no sink', 'rabbitmq')} s of RabbitMQ's for a GiB."
    ]


def _paced(scenario: Scenario) -> list[str]:
    return [
        "Here the storage is the limit, at about the rate of the emulator, and the processors are not: the bridge and "
        f"everything beside it use {_mid(scenario, 'bridge', 'cores'):.2g} cores. What it falls short of raw Put Block "
        "is what its own waiting costs, between one payload and the next."
    ]


def _small(scenario: Scenario) -> list[str]:
    return [
        "aio-pika and the lane without a sink only take the messages and acknowledge them, a hundred at a time; the "
        "bridge stores them, publishes their facts and acknowledges them afterwards."
    ]


def _commit(scenario: Scenario) -> list[str]:
    return [
        "Both list the uncommitted blocks of 13 blobs and commit them, four blobs at a time. The product also makes "
        "the lists, compares their digest with the tracker's, and looks at the blobs afterwards."
    ]


REMARKS: Final[dict[str, Callable[[Scenario], list[str]]]] = {
    "azurite": _azurite,
    "sink": _sink,
    "paced": _paced,
    "small": _small,
    "commit": _commit,
}


def remarks(name: str, scenario: Scenario) -> list[str]:
    """Paragraphs; none where a side that they speak of was not measured."""
    try:
        return REMARKS[name](scenario) if name in REMARKS else []
    except KeyError:
        return []


def _shares(scenario: Scenario, side: str, storage: str) -> str:
    bound = median(possible(side)(found) for found in scenario)
    reached = median(found[side]["mb_per_s"] / possible(side)(found) for found in scenario)
    return (
        f"For each GiB that the {side} moves, RabbitMQ takes {_cpu(scenario, side, 'rabbitmq')} s of the processors, "
        f"{storage} {_cpu(scenario, side, 'storage')} s, Kafka {_cpu(scenario, side, 'kafka')} s and the {side} itself "
        f"{_cpu(scenario, side)} s, together {_cpu(scenario, side, 'together')} s: {CORES} cores that never waited "
        f"would carry {bound:,.0f} MB/s, of which {reached:.0%} are reached."
    )


def _cpu(scenario: Scenario, side: str, whose: str = "itself") -> str:
    return f"{_mid(scenario, side, f'{whose}_cpu_s_per_gib'):.2g}"


def _mid(scenario: Scenario, side: str, key: str) -> float:
    return median(found[side][key] for found in scenario)
