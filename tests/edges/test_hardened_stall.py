"""Workers that stand still: in whatever way they fall silent, they end themselves and say what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal

import pytest
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from streams.hardened import EXIT_STALLED
from streams.hardened.outside import outside
from tests.support.counting import Counting
from tests.support.counting_worker import Worker

pytestmark = pytest.mark.timeout(400)
BEFORE, AFTER = range(5), range(5, 10)
STALL_S = 30
"""More than a slow machine takes to start a worker."""
WITH_EVENTS = ("agent waits for ever", "commits do nothing", "fetcher dies")
IDLE = {"loop is blocked": "its event loop has not turned", "kafka is gone": "Kafka has not answered"}


async def test_a_worker_that_falls_silent_ends_itself(counting: Callable[..., Counting]) -> None:
    """Stock Faust, whose agent waits for ever beside them, goes on waiting."""
    stock_app = counting(kind="stock", mode=WITH_EVENTS[0])
    stock = await silenced(stock_app)
    await stock_app.send(AFTER)
    workers = []
    for mode, why in {**dict.fromkeys(WITH_EVENTS, "record 5 of .*/0 waits"), **IDLE}.items():
        app = counting(mode=mode, stall_s=STALL_S)
        worker = await silenced(app)
        workers.append((worker, why))
        if mode == "fetcher dies":
            await worker.until(partial(worker.lines, "silent"), 120, "silent")
        if mode in WITH_EVENTS:
            await app.send(AFTER)
    for worker, why in workers:
        await worker.ends_with(EXIT_STALLED, why, 200)
    assert stock.process.poll() is None
    assert await stock_app.rows() == set(BEFORE)


async def silenced(app: Counting) -> Worker:
    """A worker that has done something, and will not any more."""
    await app.prepare()
    worker = await app.start_then_send(BEFORE)
    await app.wait_rows(set(BEFORE))
    await app.wait_committed(len(BEFORE))
    worker.touch("now")
    return worker


async def test_a_worker_without_heartbeats_or_that_is_never_taken_in_ends_itself(
    counting: Callable[..., Counting],
) -> None:
    """Stock Faust's coordination may end with an exception that nobody hears of."""
    member, outsider = (counting(mode=mode, stall_s=STALL_S) for mode in ("heartbeats end", "never taken in"))
    await asyncio.gather(member.prepare(), outsider.prepare())
    one, other = member.start(), outsider.start()
    await one.ready()
    one.touch("now")
    await one.ends_with(EXIT_STALLED, "its group has accepted no heartbeat", 200)
    await other.ends_with(EXIT_STALLED, "its group has not taken it in", 200)


async def test_a_start_without_kafka_waits_for_it_and_ends_after_the_limit(counting: Callable[..., Counting]) -> None:
    app = counting(stall_s=STALL_S)
    app.bootstrap = "127.0.0.1:9"
    worker = app.start()
    await worker.until(lambda: worker.log.count("waits for Kafka") > 1, 120, "waiting")
    await worker.ends_with(EXIT_STALLED, "Kafka has not answered", 200)


async def test_a_recovery_that_does_not_get_its_records_ends_and_names_one(counting: Callable[..., Counting]) -> None:
    app = counting(stall_s=STALL_S)
    await app.prepare()
    worker = await app.start_then_send(BEFORE)
    await app.wait_rows(set(BEFORE))
    assert await worker.stop() == 0
    again = app.start(mode="changelog is silent")
    await again.ends_with(EXIT_STALLED, f"record 0 of {app.changelog}/0 does not arrive", 200)


@pytest.mark.parametrize("transaction", ["committed", "aborted"])
async def test_a_changelog_that_ends_with_the_marker_of_a_transaction_is_recovered(
    counting: Callable[..., Counting], transaction: Literal["committed", "aborted"]
) -> None:
    """Stock Faust waits for the marker as for a record, until somebody appends one."""

    async def restart(app: Counting) -> Worker:
        await app.prepare()
        worker = await app.start_then_send(BEFORE)
        await app.wait_rows(set(BEFORE))
        await app.wait_committed(len(BEFORE))
        assert await worker.stop() == 0
        await app.append(100, transaction=transaction)
        return app.start()

    ours, stock = counting(), counting(kind="stock")
    worker, stock_worker = await asyncio.gather(restart(ours), restart(stock))
    await worker.ready()
    assert "holds no record from offset 6 to 6" in worker.log
    await ours.send(AFTER)
    await ours.wait_rows({*BEFORE, *AFTER, 100})
    await stock_worker.until(lambda: "Restoring state" in stock_worker.log, 120, "recovering")
    assert stock_worker.status() is None

    await stock.append(101)
    await stock_worker.ready()


async def test_from_outside_offsets_and_records_are_seen_as_they_are(
    counting: Callable[..., Counting],
) -> None:
    app = counting()
    await app.prepare()
    events, rows = TP(app.events_topic, 0), TP(app.changelog, 0)
    async with outside([app.bootstrap], app.name, {}) as seen:
        assert await seen.offsets([]) == {}
        assert await seen.offsets([events]) == {events: (0, 0)}
        worker = await app.start_then_send(BEFORE)
        await app.wait_committed(len(BEFORE))
        assert await worker.stop() == 0
        await app.send(AFTER)
        await app.append(100, transaction="committed")
        assert await seen.offsets([events, rows]) == {events: (5, 10), rows: (0, 7)}
        assert await seen.first_record(events, 5, 10) == 5
        assert await seen.first_record(rows, 5, 7) == 5
        assert await seen.first_record(rows, 6, 7) is None
        assert await seen.first_record(rows, 7, 7) is None
        await app.append(101)
        assert await seen.first_record(rows, 6, 7) is None  # what comes later belongs to others
        assert await seen.first_record(rows, 6, 8) == 7
    with pytest.raises(KafkaError):
        async with outside(["127.0.0.1:9"], app.name, {}):
            pass
