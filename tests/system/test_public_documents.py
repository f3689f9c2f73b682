"""Everything that the product tells or leaves in storage, taken from the real stack and held against docs/schemas.

All other tests of this folder hold what they hear against the schemas as well (`tests.support.outside.listening`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from reference.schemas import EVENTS
from tests.support.hasty import hasty_world
from tests.support.outside import (
    Chunks,
    dead_letters,
    header_message,
    listening,
    payload_message,
    publish,
    publish_messages,
)
from tests.support.public import wrong, wrong_event
from tests.support.world import World

pytestmark = pytest.mark.timeout(240)

TYPES = """
[default]
header = "PT4S"
idle = "PT1S"
awaiting = "PT4S"
on_conflict = "fail"
[types.partial]
on_timeout = "partial"
[types.lenient]
on_conflict = "keep-first"
awaiting = "PT1H"
"""
ELSEWHERE = {"transaction.overdue"}
"""It takes a delivery that does not come: tests/system/test_completing.py."""
MARGIN_S = 60.0


@pytest.fixture(scope="module")
def hasty(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation in which everything is late within seconds."""
    world = hasty_world(stack_env, tmp_path_factory.mktemp("public"), TYPES)
    world.start()
    yield world
    world.stop()


async def told(world: World) -> dict[str, list[Any]]:
    """Messages by the kind of their event, after one transaction of each fate."""
    names = {fate: f"T-{uuid4().hex[:8]}-{fate}" for fate in ("whole", "partial", "failed", "headless", "strays")}
    async with listening(world, "#") as heard:
        await publish(world, names["whole"], {"a": Chunks("a", [10, 0, 300_000]), "empty": Chunks("e", [])})
        await publish_messages(
            world,
            [
                ("header.partial", _header(names["partial"], "partial", "a", "never")),
                ("small.a", payload_message(names["partial"], "a", 2, 3, b"two")),
                ("header.default", _header(names["failed"], "default", "a")),
                ("small.a", payload_message(names["failed"], "a", 1, 2, b"one")),
                ("small.a", payload_message(names["failed"], "a", 1, 2, b"another")),
                ("small.a", payload_message(names["headless"], "a", 1, 1, b"of nobody")),
                ("header.lenient", _header(names["strays"], "lenient", "a")),
                ("small.b", payload_message(names["strays"], "b", 1, 1, b"not listed")),
                ("small.a", payload_message(names["strays"], "a", 1, 1, b"listed")),
                ("small.a", payload_message(names["strays"], "a", 0, 1, b"no ordinal")),
                ("small.a", payload_message("..", "a", 1, 1, b"no id")),
            ],
        )
        for fate in names:
            await heard.wait(names[fate], timeout_s=MARGIN_S)
        await heard.wait(names["partial"], "gap", timeout_s=MARGIN_S)
        await heard.wait_rejected(names["strays"], timeout_s=MARGIN_S)
        orphans = await dead_letters(world, 2, "brh.orphans")
    found: dict[str, list[Any]] = {}
    for message in [*heard.messages, *orphans]:
        kind = json.loads(message.body)["type"].removeprefix("brh.").removesuffix(".v1")
        found.setdefault(kind, []).append(message)
    return found


def _header(transaction: str, kind: str, *series: str) -> aio_pika.Message:
    body = {"transactionType": kind, "series": [{"type": each, "contentType": "text/csv"} for each in series]}
    return header_message(transaction, {**body, "labels": {"book": "EUR"}})


async def test_everything_that_is_told_fits_its_schema(hasty: World) -> None:
    found = await told(hasty)
    assert found.keys() == EVENTS.keys() - ELSEWHERE
    for kind, messages in found.items():
        for message in messages:
            assert wrong_event(message.body) == [], message.body
            event = json.loads(message.body)
            # As docs/asyncapi.yaml has it, in the properties of AMQP.
            said = message.type, message.message_id, message.content_type, message.delivery_mode
            assert said == (f"brh.{kind}.v1", event["id"], "application/cloudevents+json", 2)
    partial = [json.loads(each.body)["data"] for each in found["transaction.completed"]]
    assert {True, False} == {each["partial"] for each in partial}
    async with hasty.blobs() as blobs:
        for message in found["transaction.completed"] + found["transaction.failed"] + found["transaction.abandoned"]:
            for name in ("outcome", "told"):
                content = await blobs.read(f"{message.correlation_id}/_{name}.json")
                while content is None:  # the marker comes behind the notification
                    await asyncio.sleep(0.05)
                    content = await blobs.read(f"{message.correlation_id}/_{name}.json")
                assert wrong(name, json.loads(content.body)) == []
