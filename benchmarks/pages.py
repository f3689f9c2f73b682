"""`python -m benchmarks.pages`: how long a tracker works on a page, with many transactions and with a large series.

One tracker owns everything, so what is measured is all the work that there is: looking, counting, rendering, sending.
Two in a row would only share it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import msgspec
from aiohttp import web
from msgspec.structs import replace

from bridge.contract.events import HeaderReceived
from bridge.contract.inbound import Header, SeriesSpec
from bridge.memory_blobs import MemoryBlobs
from streams.api_settings import ApiSettings
from streams.partition import Partition
from tables import ordinals, rules
from tables.projection import view
from tables.transaction import Transaction
from tests.rules.http_trackers import CHANGELOG, TOPICS, HttpTracker

OPEN: Final = 10_000
ORDINALS: Final = 1_000_000
TIMES: Final = 30
PATHS: Final = (
    "/",
    "/transactions",
    "/transactions?state=AwaitingResults&prefix=open-09",
    "/transactions/large-every-third",
    "/transactions/large-every-third/explain",
    "/transactions/large-every-third/series/a",
    "/transactions/large-holes",
    "/transactions/large-holes/explain",
    "/transactions/large-holes/series/a?first=500001&last=600000",
    "/transactions/many-series",
    "/transactions/many-series/explain",
)


def _transaction(name: str, series: dict[str, tuple[int, ordinals.Ordinals]]) -> Transaction:
    now = datetime.now(UTC)
    said = Header(tuple(SeriesSpec(each, total) for each, (total, _) in series.items()), "valuation")
    fact = HeaderReceived(name, said, "d", now)
    known = rules.advance(rules.opened(name, now - timedelta(minutes=5)), fact, now)
    held = {
        each: replace(known.series[each], received=bits, received_count=bits.bit_count(), bytes=bits.bit_count())
        for each, (_, bits) in series.items()
    }
    return replace(known, series=held)


def _transactions() -> list[Transaction]:
    third = ordinals.of(range(1, ORDINALS + 1, 3))
    holes = ordinals.upto(ORDINALS) & ~ordinals.interval(880_000, 115_000)
    found = [_transaction(f"open-{number:05d}", {"a": (100, 3), "b": (7, 5)}) for number in range(OPEN)]
    found += [_transaction("large-every-third", {"a": (ORDINALS, third)})]
    found += [_transaction("large-holes", {"a": (ORDINALS, holes)})]
    return [*found, _transaction("many-series", {f"s{number}": (5_000, third & 0xFFFFFFF) for number in range(1_000)})]


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The address of a tracker that owns all of them."""
    spread: dict[str, dict[str, list[int]]] = {}
    tracker = HttpTracker(spread, ApiSettings(), MemoryBlobs())
    tracker.partitions.update({number: Partition() for number in range(TOPICS.partitions)})
    for each in _transactions():
        tracker.known[each.id] = each
        tracker.partitions[TOPICS.partition_of(each.id)].put(each)
        tracker.rows[each.id] = msgspec.json.decode(msgspec.json.encode(view(each)))
    runner = web.AppRunner(tracker.app.web.web_app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        tracker.app.conf.canonical_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        spread[tracker.url] = {CHANGELOG: list(range(TOPICS.partitions))}
        yield tracker.url
    finally:
        await runner.cleanup()


async def asked(session: aiohttp.ClientSession, url: str) -> tuple[float, int]:
    """Seconds until the whole page is there, and its bytes. Raises AssertionError where there is none."""
    start_s = time.perf_counter()
    async with session.get(url) as answer:
        size = len(await answer.read())
        assert answer.status == 200, await answer.text()
    return time.perf_counter() - start_s, size


async def _measure() -> None:
    async with serving() as url, aiohttp.ClientSession() as session:
        for path in PATHS:
            found = [await asked(session, url + path) for _ in range(TIMES)]
            took_ms, size = [1_000 * took_s for took_s, _ in found], found[-1][1]
            middle, worst = statistics.median(took_ms), max(took_ms)
            print(f"{path:62} {middle:6.1f} ms, at most {worst:6.1f} ms, {size / 1_000:6.1f} kB")


if __name__ == "__main__":
    asyncio.run(_measure())
