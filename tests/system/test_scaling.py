"""Out, in, and all processes restarted one after the other, while results are coming: nothing fails for it or waits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.request import urlopen
from uuid import uuid4

import pytest

from bridge.contract.inbound import SMALL_PAYLOAD_BYTES
from streams.supervisor import Child, children
from streams.topics import Topics
from tests.support.outside import (
    Chunks,
    Heard,
    assert_completed,
    assert_result,
    listening,
    publish,
    publish_header,
    publish_payloads,
    until_read,
)
from tests.support.world import PARTITIONS, World, until

STOP_MAX_S: Final = 10.0
"""How long a process may take to end when it is asked to."""
BACK_MAX_S: Final = 60.0

pytestmark = pytest.mark.timeout(400)

Sent = dict[str, dict[str, Chunks]]


@asynccontextmanager
async def steady_load(world: World) -> AsyncIterator[Sent]:
    """One transaction after the other, half a second apart, for as long as the context is open."""
    sent: Sent = {}
    over = asyncio.Event()

    async def feed() -> None:
        while not over.is_set():
            name = f"T-{uuid4().hex[:10]}"
            sent[name] = {
                "small": Chunks(f"{name}s", [1_000] * 40),
                "large": Chunks(f"{name}l", [SMALL_PAYLOAD_BYTES, 3 * SMALL_PAYLOAD_BYTES]),
            }
            await publish(world, name, sent[name], shuffle=1, duplicates=0.1)
            await asyncio.sleep(0.5)  # the pace of the load

    feeding = asyncio.create_task(feed())
    try:
        yield sent
    finally:
        over.set()
        await feeding


async def assert_all_completed_once(world: World, sent: Sent, heard: Heard) -> None:
    for name, series in sent.items():
        await asyncio.to_thread(world.wait_state, name, {"Completed"}, timeout_s=90)
        await assert_result(world, name, series)
        told = await heard.wait(name)
        assert {message.routing_key for message in told} == {"transaction.completed.default"}
        assert len({(message.message_id, message.body) for message in told}) == 1


def partitions_of(child: Child) -> int:
    """How many a worker has, by what it tells Prometheus; 0 while it does not answer."""
    bind = child.env["BRH_API_BIND" if child.name.startswith("tracker") else "BRH_DELIVERY_BIND"]
    try:
        with urlopen(f"http://{bind}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return sum(int(float(line.split()[1])) for line in lines if line.startswith("brh_partitions "))


def end(pid: int, gone: Callable[[], bool], what: str) -> None:
    os.kill(pid, signal.SIGTERM)
    until(gone, STOP_MAX_S, f"{what} has ended")


async def test_all_processes_are_restarted_one_after_the_other(make_world: Callable[..., World]) -> None:
    world = await asyncio.to_thread(make_world, bridges=2, trackers=2, deliveries=2)

    def restart(name: str) -> None:
        pid = world.pid(name)
        assert pid is not None
        end(pid, lambda: world.pid(name) != pid, name)
        until(lambda: world.pid(name), BACK_MAX_S, f"{name} runs again")
        world.wait_ready()

    async with listening(world) as heard:
        async with steady_load(world) as sent:
            for kind in ("tracker", "delivery", "bridge"):
                for number in (1, 2):
                    await asyncio.to_thread(restart, f"{kind}-{number}")
        assert len(sent) > 10
        await assert_all_completed_once(world, sent, heard)


@contextmanager
def one_more(child: Child, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process beside those of the world."""
    with (folder / f"{child.name}.log").open("wb") as log:
        process = subprocess.Popen(child.argv, env={**os.environ, **child.env}, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["tracker", "delivery"])
async def test_from_one_worker_to_three_and_back(make_world: Callable[..., World], tmp_path: Path, kind: str) -> None:
    world = await asyncio.to_thread(make_world)
    counts = {"bridges": 0, "trackers": 0, "deliveries": 0, {"tracker": "trackers", "delivery": "deliveries"}[kind]: 3}
    every = children(**counts, env=world.env)

    def shared() -> bool:
        has = [partitions_of(child) for child in every]
        return sum(has) == PARTITIONS and min(has) > 0

    async with listening(world) as heard:
        async with steady_load(world) as sent:
            with one_more(every[1], tmp_path) as second, one_more(every[2], tmp_path) as third:
                await asyncio.to_thread(until, shared, BACK_MAX_S, f"three share the partitions: {sent}")
                at_three = len(sent)
                await asyncio.to_thread(until, lambda: len(sent) > at_three + 5, 60, "some more have come")
                for process in (third, second):
                    await asyncio.to_thread(end, process.pid, lambda each=process: each.poll() is not None, kind)
                    assert process.returncode == 0
            await asyncio.to_thread(
                until, lambda: partitions_of(every[0]) == PARTITIONS, BACK_MAX_S, "one has all of them again"
            )
        await assert_all_completed_once(world, sent, heard)


REFUSALS = {
    "setup": ((sys.executable, "-c", "from streams.cli import main; main()", "setup"), "fixed for life"),
    "bridge": ((sys.executable, "-m", "bridge"), f"has {PARTITIONS}"),
    "tracker": ((sys.executable, "-m", "faust", "-A", "streams.app", "worker"), f"has {PARTITIONS} and not 9"),
    "delivery": ((sys.executable, "-m", "faust", "-A", "streams.delivery", "worker"), f"has {PARTITIONS} and not 9"),
}


def test_nobody_works_with_another_number_of_partitions_than_there_are(make_world: Callable[..., World]) -> None:
    """A tracker would take the facts of others for misplaced, and put them aside."""
    world = make_world()
    world.end_processes()
    env = {**os.environ, **world.env, "BRH_PARTITIONS": "9"}
    for name, (command, said) in REFUSALS.items():
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode != 0, name
        assert said in ended.stdout + ended.stderr, name


async def test_another_number_of_partitions_is_another_namespace(make_world: Callable[..., World]) -> None:
    """As docs/how-to/scale-out.md says: what was open goes on, and of what was decided nobody is told again."""
    world = await asyncio.to_thread(make_world)
    done, half, waiting = (f"T-{uuid4().hex[:10]}" for _ in range(3))
    series = {name: {"s": Chunks(name, [100] * 10)} for name in (done, half, waiting)}
    fsck = [sys.executable, "-c", "from streams.cli import main; main()", "fsck", "--grace", "0s", "--rebuild"]

    def move() -> None:
        world.end_processes()
        world.topics = Topics(f"{world.name}x", 2 * PARTITIONS)
        world.env |= {"BRH_NAMESPACE": f"{world.name}x", "BRH_PARTITIONS": str(2 * PARTITIONS)}
        world.provision()

    def start() -> None:
        world.run(children(0, 1, 0, world.env))
        world.wait_ready()
        rebuilt = subprocess.run(fsck, env={**os.environ, **world.env}, capture_output=True, text=True, timeout=100)
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
        world.end_processes()
        world.run(children(1, 1, 1, world.env))
        world.wait_ready()

    async with listening(world) as heard:
        await publish(world, done, series[done])
        await asyncio.to_thread(world.wait_state, done, {"Completed"})
        await publish_header(world, half, {"series": [{"type": "s"}]})
        await publish_payloads(world, half, series[half], [1, 2, 5])
        await asyncio.to_thread(until, lambda: received(world, half) == 3, 60, "the half is there")
        await asyncio.to_thread(move)
        await publish(world, waiting, series[waiting])
        await asyncio.to_thread(start)

        await asyncio.to_thread(until, lambda: received(world, half) == 3, 60, "what storage told is there")
        await publish_payloads(world, half, series[half], [3, 4, *range(6, 11)])
        for name in (half, waiting):
            await assert_completed(world, name, series[name])
        await asyncio.to_thread(world.wait_state, done, {"Completed"})
        await publish(world, done, series[done])
        await until_read(world, done)
        assert len(heard.of(done)) == 1
    await assert_result(world, done, series[done])


def received(world: World, name: str) -> int:
    row = world.transaction(name)
    return sum(each["receivedCount"] for each in row["series"]) if row else 0
