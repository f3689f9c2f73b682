"""The tables of the trackers lose what the events topic has: it is found, and what storage has comes back."""

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
from aiokafka import AIOKafkaProducer

from streams.supervisor import children
from tests.support.outside import Chunks, assert_completed, kafka_rows, publish, publish_header, publish_payloads
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(300)


def fsck(world: World, *options: str) -> tuple[int, Any]:
    """Exit code and JSON, as somebody runs it in a shell of this installation."""
    command = [sys.executable, "-c", "from streams.cli import main; main()"]
    done = subprocess.run(
        [*command, "fsck", "--grace", "0s", "--events", "--json", *options],
        env={**os.environ, **world.env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def found(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["transactionId"], each["kind"]) for each in document["findings"]}


def received(world: World, transaction: str, count: int) -> dict[str, Any]:
    """The row, once it has so many payloads."""

    def probe() -> dict[str, Any] | None:
        row = world.transaction(transaction)
        return row if row and sum(each["receivedCount"] for each in row["series"]) == count else None

    return until(probe, 60, f"{transaction} has {count} payloads; see {world.log}")


async def write(world: World, topic: str, rows: dict[str, tuple[str, bytes | None]]) -> None:
    """Rows of a table's changelog, each with the transaction that it is of; None: it is deleted."""
    producer = AIOKafkaProducer(bootstrap_servers=world.bootstrap, acks="all")
    await producer.start()
    try:
        for key, (transaction, value) in rows.items():
            place = world.topics.partition_of(transaction)
            await producer.send_and_wait(topic, value, json.dumps(key).encode(), partition=place)
    finally:
        await producer.stop()


async def lose(world: World, half: str, lost: str, failed: str) -> None:
    """A payload of one transaction, all of another one, and the third one is shown with another outcome."""
    receipts, shown = (f"{world.topics.tracker_group}-{table}-changelog" for table in ("receipts", "transactions"))
    keys = {key for key, value in (await kafka_rows(world, receipts)).items() if value is not None}
    gone = {key: (half, None) for key in keys if key.startswith(f"{half}/a/3-1-")}
    assert len(gone) == 1, keys
    gone |= {key: (lost, None) for key in keys if key.startswith(f"{lost}/")}
    await write(world, receipts, gone)
    row = json.loads((await kafka_rows(world, shown))[failed] or b"null")
    other = json.dumps({**row, "state": "Completed"}).encode()
    await write(world, shown, {lost: (lost, None), failed: (failed, other)})


async def test_what_the_tables_have_lost_is_found_by_the_events_and_nothing_before(
    make_world: Callable[..., World],
) -> None:
    world = make_world()
    done, failed, half, lost = (f"T-{uuid4().hex[:10]}" for _ in range(4))
    series = {name: {"a": Chunks(name, [1_000] * 9)} for name in (done, failed, half, lost)}
    await publish(world, done, series[done])
    await publish_header(world, failed, {"series": [{"type": "a"}]})
    for name in (failed, "another"):
        await publish_payloads(world, failed, {"a": Chunks(name, [1_000] * 9)}, [1])
    await publish_header(world, half, {"series": [{"type": "a"}]})
    for name in (half, lost):
        await publish_payloads(world, name, series[name], [1, 3, 5])  # no neighbours, so none share a block
    await assert_completed(world, done, series[done])
    await asyncio.to_thread(world.wait_state, failed, {"Failed"})
    for name in (half, lost):
        await asyncio.to_thread(received, world, name, 3)

    def judged() -> dict[str, Any] | None:
        code, clean = fsck(world)
        assert (code, clean["findings"]) == (0, []), clean
        read: dict[str, Any] = clean["events"]
        return read if read["transactions"] == 4 else None

    read = await asyncio.to_thread(until, judged, 60, "the trackers have said how far they are")
    assert (read["removed"], read["unreadable"], read["unjudged"]) == (0, 0, 0)

    world.end_processes()
    await lose(world, half, lost, failed)
    world.run(children(1, 1, 1, world.env))
    world.wait_ready()
    await asyncio.to_thread(received, world, half, 2)
    code, wrong = await asyncio.to_thread(fsck, world)
    assert (code, found(wrong)) == (
        5,
        {
            *((half, "row-lacks-events"), (half, "facts-missing")),
            *((lost, "transaction-lost"), (lost, "transaction-unknown")),
            *((failed, "row-contradicts-events"), (failed, "row-differs")),
        },
    )
    details = {each["kind"]: each["detail"] for each in wrong["findings"]}
    assert details["row-lacks-events"].endswith("does not have: series a 3.")

    code, left = await asyncio.to_thread(fsck, world, "--rebuild")
    assert (code, found(left)) == (5, {(failed, "row-contradicts-events"), (failed, "row-differs")})
    await publish_header(world, lost, {"series": [{"type": "a"}]})
    for name in (half, lost):
        await publish_payloads(world, name, series[name], [2, 4, 6, 7, 8, 9])
        await assert_completed(world, name, series[name])
