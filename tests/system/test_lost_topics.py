"""All of Kafka's topics are lost, and what storage has is enough to go on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.supervisor import children
from tests.support.outside import Chunks, assert_completed, listening, publish, publish_header, publish_payloads
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(300)
KIB = 1 << 10


def brh(world: World, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a command, as somebody runs it in a shell of this installation."""
    command = [sys.executable, "-c", "from streams.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(
        command, env={**os.environ, **world.env}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


async def drop_topics(world: World) -> None:
    """Everything that the installation has in Kafka."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        names = [spec.name for spec in world.topics.specs()]
        answer = await admin.delete_topics(names)
        assert [code for _, code in answer.topic_error_codes] == [0] * len(names)
        async with asyncio.timeout(60):
            while set(names) & set(await admin.list_topics()):
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


def series(name: str) -> dict[str, Chunks]:
    """Small payloads, which share blocks, empty ones among them, and large ones of several blocks."""
    return {
        "small": Chunks(f"{name}s", [0 if n % 7 == 0 else 100 + n for n in range(40)]),
        "large": Chunks(f"{name}l", [9_000 * KIB, 300 * KIB, 8_192 * KIB + 1]),
    }


def header(each: dict[str, Chunks]) -> dict[str, Any]:
    return {"series": [{"type": name} for name in each]}


def received(world: World, transaction: str, counts: dict[str, int]) -> dict[str, Any]:
    """The row, once it has so many payloads of each series."""

    def probe() -> dict[str, Any] | None:
        row = world.transaction(transaction)
        got = {each["seriesType"]: each["receivedCount"] for each in row["series"]} if row else {}
        return row if {name: got.get(name, 0) for name in counts} == counts else None

    return until(probe, 60, f"{transaction} has received {counts}; see {world.log}")


async def test_after_the_loss_of_all_topics_storage_restores_what_was_open_and_it_completes(
    make_world: Callable[..., World],
) -> None:
    world = make_world()
    done, headed, headless, whole = (f"T-{uuid4().hex[:10]}" for _ in range(4))
    everything = {name: series(name) for name in (done, headed, headless, whole)}
    half = {"small": list(range(1, 26)), "large": [1, 3]}

    async with listening(world) as heard:
        await publish(world, done, everything[done])
        await assert_completed(world, done, everything[done])
        await heard.wait(done)
        # No delivery from here on, so that one is complete, and nothing more.
        world.end_processes()
        world.run(children(1, 1, 0, world.env))
        world.wait_ready()
        await publish_header(world, headed, header(everything[headed]))
        for name in (headed, headless):
            for part, ordinals in half.items():
                await publish_payloads(world, name, {part: everything[name][part]}, ordinals)
        await publish(world, whole, everything[whole])
        rows = {
            name: await asyncio.to_thread(received, world, name, {"small": 25, "large": 2})
            for name in (headed, headless)
        }
        await asyncio.to_thread(world.wait_state, whole, {"SendingCompletion"})
        world.end_processes()

        await drop_topics(world)
        await asyncio.to_thread(world.provision)
        world.run(children(1, 1, 1, world.env))
        world.wait_ready()
        assert world.transaction(headed) is None, "the trackers know nothing"

        code, found = await asyncio.to_thread(brh, world, "fsck", "--grace", "0s")
        kinds = {each["transactionId"]: each["kind"] for each in found["findings"]}
        lost = dict.fromkeys((headed, headless, whole), "transaction-unknown")
        assert (code, kinds) == (5, {**lost, done: "row-missing"})
        code, mended = await asyncio.to_thread(brh, world, "fsck", "--grace", "0s", "--rebuild")
        assert (code, mended["findings"], mended["rebuilt"]) == (0, [], found["rebuildable"])
        assert mended["rebuilt"] == {"transactions": 4, "headers": 2, "payloads": 97, "unclear": 0, "outcomes": 1}

        for name, before in rows.items():
            row = await asyncio.to_thread(received, world, name, {"small": 25, "large": 2})
            assert row["header"] == before["header"]
            assert sorted(row["series"], key=str) == sorted(before["series"], key=str), "ranges and bytes"
        await assert_completed(world, whole, everything[whole])
        await asyncio.to_thread(world.wait_state, done, {"Completed"})
        assert await asyncio.to_thread(brh, world, "fsck", "--grace", "0s") == (0, nothing(4))

        for name in (headed, headless):
            # What is known comes again as well, by itself and in other company than before.
            await publish_payloads(world, name, {"small": everything[name]["small"]}, [40, 2, *range(24, 40)])
            await publish_payloads(world, name, {"large": everything[name]["large"]}, [1, 2])
        await publish_header(world, headless, header(everything[headless]))
        await publish_payloads(world, done, {"small": everything[done]["small"]}, [5])
        for name in (headed, headless):
            await assert_completed(world, name, everything[name])
            (message,) = await heard.wait(name)
            assert json.loads(message.body)["type"] == "brh.transaction.completed.v1"
        await assert_completed(world, done, everything[done])
        assert len(heard.of(done)) == 1, "nobody is told a second time"


def nothing(transactions: int) -> dict[str, Any]:
    restored = dict.fromkeys(("transactions", "headers", "payloads", "unclear", "outcomes"), 0)
    return {"findings": [], "more": 0, "transactions": transactions, "rebuildable": restored}
