"""Faust, hardened, on a real Kafka: what stock Faust acknowledges and loses is read again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from streams.hardened import EXIT_AGENT, EXIT_SEND
from tests.support.counting import Counting
from tests.support.counting_faults import EVENTS, FAIL_AT

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(("mode", "code"), [("agent raises", EXIT_AGENT), ("row refused", EXIT_SEND)])
async def test_what_an_agent_or_a_record_fails_on_is_read_again(
    counting: Callable[..., Counting], mode: str, code: int
) -> None:
    """The process ends with the code, its offset not past the failure; after a restart no event is missing.

    Stock Faust commits past the event, and nobody reads it again.
    """
    ours, stock = counting(mode=mode), counting(mode=mode, kind="stock")
    await asyncio.gather(ours.prepare(), stock.prepare())
    workers = (app.start_then_send(range(EVENTS)) for app in (ours, stock))
    worker, stock_worker = await asyncio.gather(*workers)
    assert await worker.ended() == code, worker.log
    assert await ours.committed() <= FAIL_AT
    assert FAIL_AT not in await ours.rows()
    again = ours.start()
    await ours.wait_rows(set(range(EVENTS)))
    assert await again.stop() == 0

    await stock.wait_committed(EVENTS)
    assert FAIL_AT not in await stock.rows()  # nor those that Kafka refused together with it
    assert stock_worker.process.poll() is None


async def test_an_offset_is_committed_after_the_rows_before_it_have_arrived(
    counting: Callable[..., Counting],
) -> None:
    """Stock Faust commits while rows are on their way."""
    apps = [counting(mode="slow changelog", kind=kind) for kind in ("hardened", "stock")]
    await asyncio.gather(*(app.prepare() for app in apps))
    workers = await asyncio.gather(*(app.start_then_send(range(EVENTS)) for app in apps))
    for app in apps:
        await app.wait_committed(EVENTS)
    ours, stock = ([int(line) for line in worker.lines("commits")] for worker in workers)
    assert ours
    assert not any(ours)
    assert any(stock)


@pytest.mark.parametrize(("mode", "late"), [("late ack", FAIL_AT), ("first late ack", 0)])
async def test_an_event_that_is_not_acknowledged_is_not_committed_past(
    counting: Callable[..., Counting], mode: str, late: int
) -> None:
    """Stock Faust does, when those behind it are acknowledged."""
    ours, stock = apps = [counting(mode=mode, kind=kind) for kind in ("hardened", "stock")]
    await asyncio.gather(*(app.prepare() for app in apps))
    workers = await asyncio.gather(*(app.start_then_send(range(EVENTS)) for app in apps))
    for worker in workers:
        await worker.until(partial(worker.lines, "done"), 120, "both commits")
    assert await ours.committed() == late
    assert await stock.committed() == EVENTS
