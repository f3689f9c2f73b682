"""Faust workers as members of a group: what one that was taken for dead may still do, and how it comes back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial

import pytest

from streams.hardened import EXIT_FENCE, EXIT_FROZEN
from tests.support.counting import Counting
from tests.support.counting_worker import Worker

pytestmark = pytest.mark.timeout(400)
BEFORE, AFTER = range(5), range(5, 10)
ALL = set(BEFORE) | set(AFTER)


def freeze(worker: Worker) -> None:
    worker.signal(signal.SIGSTOP)


def thaw(worker: Worker) -> None:
    worker.signal(signal.SIGCONT)


def nothing(worker: Worker) -> None:
    """The fault itself cuts it off."""


@pytest.mark.parametrize(
    ("mode", "away", "back", "codes"),
    [
        ("row held", freeze, thaw, {EXIT_FROZEN, EXIT_FENCE}),
        ("row held and cut off", nothing, nothing, {EXIT_FENCE}),
    ],
    ids=["frozen", "cut off"],
)
async def test_a_worker_whose_partitions_went_to_another_writes_no_row_over_the_others(
    counting: Callable[..., Counting],
    mode: str,
    away: Callable[[Worker], None],
    back: Callable[[Worker], None],
    codes: set[int],
) -> None:
    """It holds rows as they were when it was last the owner. Stock Faust sends them, and the last row wins.

    The other one is ours in both plays, because stock Faust may lose events of its own when it takes a partition over.
    """

    async def play(app: Counting) -> Worker:
        await app.prepare()
        worker = await app.start_then_send(BEFORE, mode=mode)
        await worker.until(lambda: len(worker.lines("held")) == len(BEFORE), 120, "holding its rows")
        worker.touch("away")
        away(worker)
        app.start(slot=1, kind="hardened")
        await app.send(AFTER)
        await app.wait_rows(ALL)
        await app.wait_committed(len(ALL))  # or it would read some of them again, and write their rows anew
        worker.touch("release")
        back(worker)
        return worker

    ours, stock = (counting(kind=kind, layout="row a key") for kind in ("hardened", "stock"))
    worker, _ = await asyncio.gather(play(ours), play(stock))
    assert await worker.ended() in codes, worker.log
    assert await ours.rows() == ALL
    await stock.wait_rows(set(BEFORE))


async def test_a_short_stop_is_survived(counting: Callable[..., Counting]) -> None:
    """A tenth of a session, of which half would be too long."""
    app = counting(session_s=30)
    await app.prepare()
    worker = app.start()
    await worker.ready()
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(3)  # what is tried
    worker.signal(signal.SIGCONT)
    await app.send(BEFORE)
    await app.wait_rows(set(BEFORE))
    assert await worker.stop() == 0


async def test_of_two_processes_with_one_name_the_first_ends_itself(counting: Callable[..., Counting]) -> None:
    app = counting()
    await app.prepare()
    first = app.start()
    await first.ready()
    second = app.start(moved=True)
    assert await first.ended() == EXIT_FENCE, first.log
    await app.send(BEFORE)
    await app.wait_rows(set(BEFORE))
    assert second.process.poll() is None


async def test_a_static_member_that_was_killed_is_ready_long_before_its_session_is_over(
    counting: Callable[..., Counting],
) -> None:
    """Also at another address, where stock Faust waits for ever."""
    ours, stock = apps = [counting(kind=kind, session_s=60) for kind in ("hardened", "stock")]
    await asyncio.gather(*(app.prepare() for app in apps))
    workers = await asyncio.gather(*(app.start_then_send(BEFORE) for app in apps))
    await asyncio.gather(*(app.wait_rows(set(BEFORE)) for app in apps))
    for worker in workers:
        await worker.kill()

    again, lost = ours.start(), stock.start(moved=True)
    again_s = await again.ready()
    await again.kill()
    moved_s = await ours.start(moved=True).ready()
    print(f"ready {again_s:.1f} s after a kill, {moved_s:.1f} s at another address")
    assert max(again_s, moved_s) < 30
    await ours.send(AFTER)
    await ours.wait_rows(ALL)
    await lost.until(lambda: "AssertionError" in lost.log, 120, "lost its coordination")
    assert (found := lost.status()) is None or not found.ready


async def test_rows_of_partitions_that_went_to_others_are_forgotten(counting: Callable[..., Counting]) -> None:
    """Stock Faust keeps them in memory as they were then. Ours never has them when it may act on them."""

    async def play(app: Counting) -> Worker:
        await app.prepare()
        first = await app.start_then_send(range(10))
        await first.until(
            lambda: (at := first.status()) and at.row_partitions == [0, 1], 120, "rows of both partitions"
        )
        second = app.start(1)
        await second.until(
            lambda: (at := second.status()) and at.ready and len(at.partitions) == 1, 120, "one partition"
        )
        await first.until(lambda: (at := first.status()) and at.ready and len(at.partitions) == 1, 120, "one partition")
        return first

    ours, stock = await asyncio.gather(*(play(counting(kind=kind, partitions=2)) for kind in ("hardened", "stock")))
    await ours.until(lambda: (at := ours.status()) and at.row_partitions == at.partitions, 120, "rows of one partition")
    assert not ours.lines("ghosts")
    await stock.until(partial(stock.lines, "ghosts"), 120, "ghosts")
