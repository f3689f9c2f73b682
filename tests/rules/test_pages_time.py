"""How long a page takes: with ten thousand open transactions, and with a series of a million ordinals."""

from __future__ import annotations

import statistics
import time

import aiohttp

from benchmarks.pages import OPEN, ORDINALS, PATHS, asked, serving

ALLOWED_S = 0.3
TIMES = 5


async def test_every_page_is_there_within_the_time_allowed_however_much_is_behind_it() -> None:
    assert (OPEN, ORDINALS) == (10_000, 1_000_000)
    assert any(path.endswith("/explain") for path in PATHS)
    works_s, takes_s = {}, {}
    async with serving() as url, aiohttp.ClientSession() as session:
        for path in PATHS:
            works, takes = [], []
            for _ in range(TIMES):
                begun_s = time.process_time()
                takes.append((await asked(session, url + path))[0])
                works.append(time.process_time() - begun_s)
            # What else runs on this machine makes a page wait, and no work. So the work counts as it usually is, our
            # client's included, and of the time on the clock the least: nobody waits for anything but for work.
            works_s[path], takes_s[path] = statistics.median(works), min(takes)
    assert {path: each for path, each in works_s.items() if each >= ALLOWED_S} == {}
    assert {path: each for path, each in takes_s.items() if each >= ALLOWED_S} == {}
