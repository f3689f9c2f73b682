"""Whose clock stamps the events: that of the brokers, against ours.

No protocol of Kafka tells a broker's time, and nothing is written to find it out. But brokers stamp the records of the
events topic, and bridges write to each of its partitions all the time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from bridge.check import Check, ok, warn
from bridge.kafka_access import client_options
from bridge.settings import KafkaSettings

ANSWER_TIMEOUT_S: Final = 10.0
SKEW_MAX_S: Final = 5.0
INTERVALS: Final = 3
"""Of watermarks: by then each partition has a new record, though one was late."""
_NAME: Final = "kafka.clock"
_NTP: Final = (
    "Let the clocks of this machine and of the brokers be set by NTP: waiting is judged by those of the brokers."
)


class Stamps(msgspec.Struct, frozen=True, kw_only=True):
    """How many partitions have a record that is stamped at a time, or later."""

    partitions: int
    fresh: int
    """So lately that with right clocks each has one while a bridge runs."""
    ahead: int
    """So far in the future that with right clocks none has one."""
    fresh_s: float
    """How lately that is."""


async def examine(settings: KafkaSettings, topic: str, partitions: int, watermark_interval_s: float) -> Check:
    """The brokers that lead a partition of the events topic."""
    fresh_s = SKEW_MAX_S + INTERVALS * watermark_interval_s
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            ahead, fresh = await _stamped_since(settings, topic, partitions, (SKEW_MAX_S, -fresh_s))
    except (KafkaError, OSError, TimeoutError) as error:
        return warn(_NAME, f"not known: offsets by time are not told ({type(error).__name__})", "Ask again later.")
    return judge(Stamps(partitions=partitions, fresh=fresh, ahead=ahead, fresh_s=fresh_s))


def judge(stamps: Stamps) -> Check:
    """What follows for the clocks."""
    if stamps.ahead:
        detail = (
            f"{stamps.ahead} of {stamps.partitions} partitions have records from {SKEW_MAX_S:g} s or more ahead of us"
        )
        return warn(_NAME, detail, _NTP)
    if silent := stamps.partitions - stamps.fresh:
        detail = f"not known: nothing in {silent} of {stamps.partitions} partitions was stamped in the last "
        remedy = "Ask again while a bridge runs, which writes to all of them. If one does, brokers' clocks are behind."
        return warn(_NAME, f"{detail}{stamps.fresh_s:g} s", remedy)
    return ok(_NAME, f"no broker is {SKEW_MAX_S:g} s ahead of our clock, or {stamps.fresh_s:g} s behind")


async def _stamped_since(
    settings: KafkaSettings, topic: str, partitions: int, moments_s: tuple[float, ...]
) -> list[int]:
    """For each moment, in seconds from now: how many partitions have a record that is stamped then or later."""
    reader = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    try:
        await reader.start()
        counts = []
        for moment_s in moments_s:
            at = int((time.time() + moment_s) * 1_000)
            found = await reader.offsets_for_times({TopicPartition(topic, each): at for each in range(partitions)})
            counts.append(sum(offset is not None for offset in found.values()))
    finally:
        await reader.stop()
    return counts
