"""A large body that is drained slowly but steadily: the limits we ship let it pass, a broker's own cut it off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.broker_check import SEND_TIMEOUT_DEFAULT_S
from bridge.layout import MIB
from tests.support.inner_bridge import inner_bridge
from tests.support.lane_reader import Reader, WatchedMemory, declare, digests_of, open_lane, publish
from tests.support.own_broker import DEFAULT_LIMITS, SHIPPED_LIMITS, OwnBroker
from tests.support.scripted_broker import eventually
from tests.support.world import World

SIZE = 250_000_000
LATE_S = 15
"""How much later than it could a broker cuts, at most: it begins to count with the second write that has to wait."""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OwnBroker, OwnBroker]]:
    """One with the limits we ship, one with its own."""
    folder: Path = tmp_path_factory.mktemp("brokers")
    both = OwnBroker(folder / "shipped", SHIPPED_LIMITS), OwnBroker(folder / "default", DEFAULT_LIMITS)
    with ThreadPoolExecutor(2) as threads:
        try:
            list(threads.map(OwnBroker.up, both))
            yield both
        finally:
            list(threads.map(OwnBroker.down, both))


class Drained:
    """How it went."""

    def __init__(self, reader: Reader, seconds: float) -> None:
        self.digests = reader.digests
        self.lost = reader.lost
        self.deliveries = len(reader.incoming)
        self.seconds = seconds


async def drain(broker: OwnBroker, over_s: float, heartbeat_s: int) -> Drained:
    """Read one body at an even pace, until all of it is there or the lane is gone."""
    url, queue = broker.env["BRH_AMQP_URL"], f"drain-{over_s:g}"
    reader = Reader(WatchedMemory(16 * MIB), over_s=over_s)
    await declare(url, queue)
    await publish(url, queue, [SIZE])
    loop = asyncio.get_running_loop()
    began = loop.time()
    lane = await open_lane(f"{url}?heartbeat={heartbeat_s}", queue, reader)
    async with asyncio.timeout(over_s + 60):
        while not (reader.digests or reader.lost):
            await asyncio.sleep(0.05)
    seconds = loop.time() - began
    await lane.close()
    await reader.finished()
    return Drained(reader, seconds)


@pytest.mark.parametrize(
    ("over_s", "heartbeat_s"),
    [
        pytest.param(50, 4, id="50 s", marks=pytest.mark.timeout(200)),
        pytest.param(300, 60, id="5 min", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
async def test_only_with_the_limits_we_ship_is_a_slow_drain_not_cut(
    brokers: tuple[OwnBroker, OwnBroker], over_s: float, heartbeat_s: int
) -> None:
    shipped, default = await asyncio.gather(*(drain(broker, over_s, heartbeat_s) for broker in brokers))
    print(f"shipped: {shipped.seconds:.1f} s, default: cut after {default.seconds:.1f} s: {default.lost}")
    assert (shipped.digests, shipped.lost, shipped.deliveries) == (digests_of([SIZE]), [], 1)
    assert shipped.seconds >= over_s
    assert default.digests == []
    earliest = heartbeat_s / 2 + SEND_TIMEOUT_DEFAULT_S
    assert earliest - 1 <= default.seconds <= earliest + LATE_S < over_s


async def test_a_bridge_names_at_start_what_cuts_slow_drains(
    brokers: tuple[OwnBroker, OwnBroker], stack_env: dict[str, str], tmp_path: Path
) -> None:
    said = []
    for number, broker in enumerate(brokers):
        world = World({**stack_env, **broker.env}, tmp_path / str(number))
        await asyncio.to_thread(world.provision)
        with capture_logs() as logs:
            async with inner_bridge(world):
                await eventually(lambda: any(log["event"] == "surroundings were checked" for log in logs))
        said.append([log["found"] for log in logs if log.get("check") == "rabbitmq.send-timeout"])
        world.stop()
    shipped, (default,) = said
    assert shipped == []
    assert default.endswith(f"cuts a consumer off after {SEND_TIMEOUT_DEFAULT_S} s")
