"""Kafka is away for longer than anybody may be late: nobody is, nothing is lost, and all goes on by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aio_pika
import pytest

from bridge.layout import MIB
from bridge.topology import HEADERS, PAYLOADS, SMALL_PAYLOADS
from tables.transaction import FINAL
from tests.support.hasty import hasty_world
from tests.support.outside import (
    Chunks,
    assert_completed,
    header_message,
    listening,
    payload_message,
    publish_messages,
)
from tests.support.own_kafka import OwnKafka
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(300)

TYPES = """
[default]
header = "PT6S"
idle = "PT1H"
awaiting = "PT6S"
"""
OUTAGE_S: Final = 20.0
"""More than three times what anybody may wait for."""
MARGIN_S: Final = 120.0
SMALL: Final = 40

Sent = tuple[str, aio_pika.Message]


@pytest.fixture
def kafka(stack_env: dict[str, str], tmp_path: Path) -> Iterator[OwnKafka]:
    del stack_env  # it has fetched what a Kafka is started from
    kafka = OwnKafka(tmp_path / "kafka", {})
    try:
        kafka.up()
        yield kafka
    finally:
        kafka.down()


@pytest.fixture
def hasty(kafka: OwnKafka, stack_env: dict[str, str], tmp_path: Path) -> Iterator[World]:
    world = hasty_world({**stack_env, **kafka.env}, tmp_path, TYPES)
    try:
        world.start()
        yield world
    finally:
        world.stop()


def load(name: str) -> dict[str, Chunks]:
    return {
        "large": Chunks(f"{name}l", [3 * MIB + at for at in range(3)]),
        "small": Chunks(f"{name}s", [100 * at for at in range(SMALL)]),
    }


def payloads(name: str) -> list[Sent]:
    return [
        (
            f"{'payload' if series == 'large' else 'small'}.{series}",
            payload_message(name, series, ordinal, chunks.total_count, chunks.chunk(ordinal)),
        )
        for series, chunks in load(name).items()
        for ordinal in range(1, chunks.total_count + 1)
    ]


def header(name: str) -> Sent:
    return "header.default", header_message(name, {"series": [{"type": series} for series in load(name)]})


def waiting(world: World) -> int:
    """Messages that nobody has acknowledged, as the broker counts them every few seconds."""
    return sum(int(world.queue(queue).get("messages", 0)) for queue in (HEADERS, PAYLOADS, SMALL_PAYLOADS))


async def test_nobody_is_late_because_kafka_is_down_and_everything_completes_once_it_is_back(
    hasty: World, kafka: OwnKafka
) -> None:
    """Halves have begun, some without a header; `new` begins meanwhile, and of `late` nothing more comes."""
    halves = [f"half-{number}" for number in range(4)]
    headless, begun = halves[::2], halves[1::2]
    async with listening(hasty) as heard:
        first = [header(name) for name in [*begun, "late"]]
        first += [payloads(name)[at] for name in [*halves, "late"] for at in (0, -1)]
        await publish_messages(hasty, first)
        for name in halves:
            await asyncio.to_thread(until, lambda each=name: hasty.transaction(each), MARGIN_S, f"{name} has begun")
        # Some of it is on its way when Kafka goes, and some is sent when it has gone.
        busy = asyncio.create_task(
            publish_messages(hasty, [sent for name in halves for sent in payloads(name)[1 : SMALL // 2]])
        )
        await asyncio.to_thread(kafka.kill)
        await busy
        rest = [sent for name in halves for sent in payloads(name)[SMALL // 2 : -1]]
        rest += [header(name) for name in [*headless, "new"]] + payloads("new")
        await publish_messages(hasty, rest)

        back_s = time.monotonic() + OUTAGE_S
        await asyncio.to_thread(until, lambda: waiting(hasty) >= len(rest), MARGIN_S, "what was sent is counted")
        while time.monotonic() < back_s:
            assert await asyncio.to_thread(waiting, hasty) >= len(rest), "acknowledged though no fact was taken"
            await asyncio.sleep(0.2)
        assert [name for name in [*halves, "new", "late"] if heard.of(name)] == []
        hasty.kill("bridge-1")  # with whatever it has acknowledged on the strength of its own memory

        await asyncio.to_thread(kafka.up)
        for name in [*halves, "new"]:
            await assert_completed(hasty, name, load(name), MARGIN_S)
            (told, *again) = await heard.wait(name, timeout_s=MARGIN_S)
            assert {message.message_id for message in again} <= {told.message_id}
        row = await asyncio.to_thread(hasty.wait_state, "late", FINAL, MARGIN_S)
        assert (row["state"], row["problem"]["code"]) == ("Abandoned", "timeout")
        await asyncio.to_thread(until, lambda: waiting(hasty) == 0, MARGIN_S, "everything is acknowledged")
