"""Events that wait when a worker starts: what stock Faust loses of them, at a moment that is made certain here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.counting import Counting

pytestmark = pytest.mark.timeout(400)
WAITING, LATER, ROW = range(2), range(2, 10), 100
ALL = {*WAITING, *LATER, ROW}


async def started(app: Counting) -> None:
    """With events, and a row to recover, that were there before."""
    await app.prepare()
    await app.append(ROW)
    await app.send(WAITING)
    await app.start().ready()
    await app.send(LATER)


async def test_what_waits_is_not_dropped_while_no_partition_is_active(counting: Callable[..., Counting]) -> None:
    """Stock Faust reads the records of all partitions when it asks for those of none, and drops them."""
    ours, stock = (counting(mode="none active", kind=kind) for kind in ("hardened", "stock"))
    await asyncio.gather(started(ours), started(stock))
    await ours.wait_rows(ALL)
    await stock.wait_committed(len([*WAITING, *LATER]))
    await stock.wait_rows(ALL - {*WAITING})
