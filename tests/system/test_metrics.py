"""What the processes of a real installation count, against what was done to it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from uuid import uuid4

import aio_pika
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.metrics import CATALOGUE, Kind
from bridge.topology import INBOUND_EXCHANGE, PAYLOADS, SMALL_PAYLOADS
from streams.hardened.ends import EXIT_FROZEN
from tests.support.hasty import hasty_world
from tests.support.outside import Chunks, publish
from tests.support.world import World, free_port, until

KIB, MIB = 1 << 10, 1 << 20
BINDS = {Kind.BRIDGE: "BRH_BRIDGE_BIND", Kind.TRACKER: "BRH_API_BIND", Kind.DELIVERY: "BRH_DELIVERY_BIND"}


class Scraped:
    """The metrics of one process, at one moment."""

    def __init__(self, world: World, kind: Kind) -> None:
        request = urllib.request.Request(f"http://{world.env[BINDS[kind]]}/metrics", headers=world.access)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        self.names = {family.name for family in text_string_to_metric_families(text)}
        self._samples = [each for family in text_string_to_metric_families(text) for each in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of all samples with these labels among theirs; there has to be one."""
        found = [each for each in self._samples if each.name == name and labels.items() <= each.labels.items()]
        assert found, f"there is no {name} with {labels}"
        return sum(each.value for each in found)

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is one."""
        return any(each.name == name and labels.items() <= each.labels.items() for each in self._samples)


async def send_refused(world: World) -> None:
    """A payload that names no series."""
    async with await aio_pika.connect(world.amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(INBOUND_EXCHANGE, ensure=False)
        message = aio_pika.Message(b"x", type="brh.payload.v1", correlation_id="T", delivery_mode=2)
        await exchange.publish(message, "small.none", mandatory=True)


def delivery_ended(world: World) -> float:
    return Scraped(world, Kind.DELIVERY)("brh_worker_ended_total")


@pytest.fixture
def counting_world(stack_env: dict[str, str], tmp_path: Path) -> Iterator[World]:
    """One of each kind, with nothing counted yet, and watermarks that come soon."""
    world = hasty_world(stack_env, tmp_path, "")
    world.start()
    yield world
    world.stop()


def test_processes_count_what_they_do(counting_world: World) -> None:
    world = counting_world
    name = f"T{uuid4().hex}"
    sizes = [3 * MIB, 300 * KIB]
    series = {"big": Chunks("big", sizes), "tiny": Chunks("tiny", [100] * 40)}
    asyncio.run(publish(world, name, series, transaction_type="valuation"))
    world.wait_state(name, ["Completed"])
    asyncio.run(send_refused(world))

    until(lambda: Scraped(world, Kind.BRIDGE)("brh_intake_rejected_total") == 1, 30, "the refusal is counted")
    bridge = Scraped(world, Kind.BRIDGE)
    assert bridge("brh_intake_payloads_total", size_class="large") == 2
    assert bridge("brh_intake_payload_bytes_total", size_class="large") == sum(sizes)
    assert bridge("brh_intake_payloads_total", size_class="small") == 40
    assert bridge("brh_intake_payload_bytes_total", size_class="small") == 4_000
    assert bridge("brh_intake_headers_total") == 1
    assert bridge("brh_intake_rejected_total", code="bad-series-type") == 1
    # Where a lane was lost on a busy machine, what it had in hand is staged again, and was not counted as acknowledged.
    assert bridge("brh_intake_run_payloads_sum") >= 40
    assert bridge("brh_intake_stage_seconds_count", size_class="large") >= 2
    assert bridge("brh_intake_fact_seconds_count") >= 3
    assert bridge("brh_storage_requests_total", operation="put-block", status="201") >= 3
    assert bridge("brh_lanes_open", queue=PAYLOADS) == 4
    assert bridge("brh_intake_blocks_in_flight") == 0
    assert bridge("brh_lanes_unsettled") == bridge("brh_memory_held_bytes") == bridge("brh_system_sick") == 0
    assert bridge("brh_memory_limit_bytes") == 128 * MIB
    assert bridge("brh_queue_messages", queue=SMALL_PAYLOADS) == 0
    assert 0 <= bridge("brh_watermark_said_seconds") < 60

    tracker = Scraped(world, Kind.TRACKER)
    assert tracker("brh_transactions", state="Completed") == 1
    assert not tracker.has("brh_transactions_oldest_seconds")
    assert 0 <= tracker("brh_partition_lag") < 100
    assert tracker("brh_messages_late_total", transaction_type="valuation") == 0
    assert tracker("brh_events_total", kind="PayloadsStaged") >= 3
    assert tracker("brh_effects_total", kind="Deliver") >= 1
    assert tracker("brh_partitions") == world.topics.partitions
    assert tracker("brh_recovering") == tracker("brh_records_parked_total") == 0
    assert tracker("brh_table_rows", table="transactions") == 1
    assert tracker("brh_table_operations_total", table="receipts", operation="set") >= 3
    assert tracker("brh_records_sent_total", topic=world.topics.deliveries) >= 1
    assert tracker("brh_recoveries_total") >= 1
    assert tracker("brh_recovery_records_left") == 0
    assert tracker("brh_flush_seconds_count") >= 1
    assert tracker("brh_rebalances_total") >= 1
    assert tracker("brh_worker_ended_total") == delivery_ended(world) == 0
    until(lambda: Scraped(world, Kind.TRACKER).has("brh_watermark_age_seconds"), 30, "watermarks have an age")
    assert Scraped(world, Kind.TRACKER)("brh_watermark_age_seconds") > 0

    delivery = Scraped(world, Kind.DELIVERY)
    told = {"transaction_type": "valuation", "outcome": "Completed", "code": ""}
    assert delivery("brh_outcomes_total", **told) == delivery("brh_outcomes_total") == 1
    assert delivery("brh_transaction_decided_seconds_count", transaction_type="valuation") == 1
    assert delivery("brh_transaction_told_seconds_count", transaction_type="valuation") == 1
    assert delivery("brh_transaction_commit_seconds_count", transaction_type="valuation") == 1
    assert delivery("brh_delivery_attempt_seconds_count", result="Delivered") == 1
    assert delivery("brh_storage_requests_total", operation="put-block-list", status="201") == 2
    assert delivery("brh_notice_seconds_count") >= 1
    assert delivery("brh_deliveries_in_flight") == 0
    assert delivery("brh_outcome_races_lost_total") == delivery("brh_outcome_own_conflicts_total") == 0

    for kind, scraped in ((Kind.BRIDGE, bridge), (Kind.TRACKER, tracker), (Kind.DELIVERY, delivery)):
        catalogued = {each.name.removesuffix("_total") for each in CATALOGUE if kind in each.kinds}
        assert catalogued <= scraped.names


def test_a_fence_that_trips_is_counted_by_the_process_that_comes_after(make_world: Callable[..., World]) -> None:
    world = make_world()
    pid = until(lambda: world.pid("tracker-1"), 20, "the tracker runs")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: is_stopped(pid), 10, "it stands still")
    still_s, began_s = float(world.env["BRH_SESSION_TIMEOUT_S"]) * 0.6, time.monotonic()
    until(lambda: time.monotonic() - began_s > still_s, 60, "it stood still for more than half a session")
    os.kill(pid, signal.SIGCONT)
    until(lambda: world.pid("tracker-1") not in (None, pid), 60, "another one runs")
    world.wait_ready()
    assert Scraped(world, Kind.TRACKER)("brh_worker_ended_total", code=str(EXIT_FROZEN)) == 1


def is_stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def test_a_bridge_says_when_it_is_ready(world: World) -> None:
    base = f"http://{world.env['BRH_BRIDGE_BIND']}"
    for path in ("livez", "readyz", "version"):
        with urllib.request.urlopen(f"{base}/{path}", timeout=10) as answer:
            assert answer.status == 200


def test_a_delivery_says_when_it_is_ready_and_how_it_is_and_nothing_else(world: World) -> None:
    base = f"http://{world.env['BRH_DELIVERY_BIND']}"

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except HTTPError as refused:
            refused.close()
            return False

    until(ready, 30, "it is ready")
    for path in ("livez", "version", "metrics"):
        with urllib.request.urlopen(f"{base}/{path}", timeout=10) as answer:
            assert answer.status == 200
    for path in ("/", "/router", "/router/brh", "/table", "/livez/x", "/metrics/x"):
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(base + path, timeout=10)
        with refused.value as answer:
            assert answer.code == 404


@pytest.mark.parametrize("process", [Kind.BRIDGE, Kind.DELIVERY])
def test_prometheus_may_be_on_another_machine(make_world: Callable[..., World], process: Kind) -> None:
    port = free_port()
    world = make_world(env={BINDS[process]: f"0.0.0.0:{port}"})

    def shown() -> bool:
        try:
            return Scraped(world, process).has("process_start_time_seconds")
        except URLError:
            return False

    world.env[BINDS[process]] = f"127.0.0.2:{port}"  # another address than the one that it is bound to by default
    until(shown, 30, "the metrics are served at all addresses")
