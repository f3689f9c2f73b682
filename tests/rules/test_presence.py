"""A bridge is there when Kafka has heard it in time, and consumes nothing before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from bridge.contract.events import Watermark
from bridge.settings import BridgeSettings
from bridge.watermarks import Watermarks

UNHEARD_MAX_S = 20.0


class Kafka:
    """It takes its time, which nobody has to wait for here."""

    def __init__(self, *takes_s: float) -> None:
        self.now_s = 100.0
        self._takes_s = list(takes_s)
        self.said: list[str] = []

    async def say(self, words: Sequence[Watermark]) -> tuple[datetime, ...]:
        self.said.append(words[0].bridge)
        self.now_s += self._takes_s.pop(0)
        return (datetime(2026, 1, 31, tzinfo=UTC),) * len(words)


async def started(kafka: Kafka) -> Watermarks:
    facts: Any = kafka
    watermarks = Watermarks(facts, "b", BridgeSettings(), unheard_max_s=UNHEARD_MAX_S, crash=lambda _: None)
    loop: Any = SimpleNamespace(time=lambda: kafka.now_s, call_at=asyncio.get_running_loop().call_at)
    watermarks._loop = loop
    await watermarks.start()
    return watermarks


async def test_a_bridge_that_was_heard_too_late_speaks_again_before_it_consumes() -> None:
    kafka = Kafka(600, UNHEARD_MAX_S, 1, 1)
    watermarks = await started(kafka)
    assert len(kafka.said) == 3
    assert watermarks._lease is not None, "and is cut off when it is not heard any more"
    await watermarks.stop()


async def test_a_bridge_that_is_heard_at_once_speaks_once() -> None:
    kafka = Kafka(1, 1)
    watermarks = await started(kafka)
    assert len(kafka.said) == 1
    await watermarks.stop()
