"""Any process may be killed at any moment: the result is the same bytes, one outcome, one notification id."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from streams.cli.producer import Progress
from streams.supervisor import children
from tests.support.outside import (
    Chunks,
    assert_result,
    listening,
    publish,
    publish_header,
    publish_payloads,
    staged_facts,
    until_read,
)
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(300)
KIB = 1 << 10


def load(seed: int, transactions: int) -> dict[str, dict[str, Chunks]]:
    """Transactions of three series: small payloads, medium ones, and one payload of several blocks."""
    source = random.Random(seed)
    return {
        (name := f"T-{uuid4().hex[:10]}"): {
            "small": Chunks(f"{name}s", [source.randrange(1, 20 * KIB) for _ in range(30)]),
            "medium": Chunks(f"{name}m", [source.randrange(1, 900 * KIB) for _ in range(8)]),
            "large": Chunks(f"{name}l", [9_000 * KIB]),
        }
        for _ in range(transactions)
    }


async def send_while(world: World, series: dict[str, dict[str, Chunks]], kills: list[str], seed: int) -> None:
    """Send everything, and kill each of the processes when a random share of a random transaction is confirmed."""
    source = random.Random(seed)
    names = list(series)
    due = {}
    for process in kills:
        due.setdefault(source.choice(names), []).append((source.random(), process))

    def killer(name: str) -> Callable[[Progress], None]:
        waiting = sorted(due.get(name, []))

        def on_progress(progress: Progress) -> None:
            while waiting and progress.messages >= waiting[0][0] * progress.messages_of:
                world.kill(waiting.pop(0)[1])

        return on_progress

    await asyncio.gather(
        *(
            publish(
                world,
                name,
                each,
                shuffle=seed,
                duplicates=0.1,
                header_last=source.random() < 0.5,
                on_progress=killer(name),
            )
            for name, each in series.items()
        )
    )


async def assert_all_completed_once(world: World, series: dict[str, dict[str, Chunks]], heard) -> None:
    for name, each in series.items():
        world.wait_state(name, {"Completed"}, timeout_s=120)
        await assert_result(world, name, each)
    for name in series:
        messages = await heard.wait(name)
        assert len({(message.message_id, message.body) for message in messages}) == 1


@pytest.mark.parametrize("kind", ["bridge", "tracker", "delivery"])
async def test_one_killed_process_of_one_changes_nothing(make_world: Callable[..., World], kind: str) -> None:
    """The only process of its kind is killed three times during the load."""
    world = make_world()
    series = load(seed=len(kind), transactions=6)
    async with listening(world) as heard:
        await send_while(world, series, [f"{kind}-1"] * 3, seed=len(kind))
        await assert_all_completed_once(world, series, heard)


async def test_every_process_of_two_each_killed_changes_nothing(make_world: Callable[..., World]) -> None:
    world = make_world(bridges=2, trackers=2, deliveries=2)
    series = load(seed=7, transactions=10)
    kills = [f"{kind}-{number}" for kind in ("bridge", "tracker", "delivery") for number in (1, 2)]
    async with listening(world) as heard:
        await send_while(world, series, kills, seed=7)
        await assert_all_completed_once(world, series, heard)


async def test_a_fresh_tracker_rebuilds_everything_by_replay(make_world: Callable[..., World], tmp_path: Path) -> None:
    """Another worker, with nothing on disk, knows open and closed transactions as the first one did."""
    world = make_world()
    done = load(seed=1, transactions=2)
    half = {f"T-{uuid4().hex[:10]}": Chunks(f"half{number}", [1_000] * 50) for number in range(3)}
    for name, each in done.items():
        await publish(world, name, each)
    for name, chunks in half.items():
        await publish_header(world, name, {"series": [{"type": "s"}]})
        await publish_payloads(world, name, {"s": chunks}, ordinals=list(range(2, 51, 2)))
    for name in done:
        world.wait_state(name, {"Completed"})
    before = {name: until(lambda name=name: _received(world, name, 25), 30, f"{name} half there") for name in half}
    closed = {name: world.transaction(name) for name in done}

    world.end_processes()
    shutil.rmtree(world.env["BRH_DATA_DIR"])
    world.env["BRH_WORKER_ID"] = f"{world.name}-other"
    world.run(children(1, 1, 1, world.env))
    world.wait_ready()

    for name, row in before.items():
        again = until(lambda name=name: _recovered(world, name), 30, f"{name} is recovered")
        assert again["recoveries"] == 1
        assert (again["series"], again["header"]) == (row["series"], row["header"])
    assert {name: world.transaction(name) for name in done} == closed
    # What was done before comes again, and there is nobody who remembers it but the tables.
    async with listening(world) as heard:
        for name, each in done.items():
            await publish(world, name, each, header_last=True)
        await staged_facts(
            world, {name: 2 * sum(chunks.total_count for chunks in each.values()) for name, each in done.items()}
        )
        for name in done:
            await until_read(world, name)
        assert not done.keys() & {message.correlation_id for message in heard.messages}
    assert {name: world.transaction(name) for name in done} == closed
    for name, chunks in half.items():
        await publish_payloads(world, name, {"s": chunks}, ordinals=list(range(1, 51)))
        world.wait_state(name, {"Completed"})
        await assert_result(world, name, {"s": chunks})


def _received(world: World, name: str, count: int) -> dict | None:
    row = world.transaction(name)
    return row if row and row["series"] and row["series"][0]["receivedCount"] == count else None


def _recovered(world: World, name: str) -> dict | None:
    row = world.transaction(name)
    return row if row and row["recoveries"] else None
