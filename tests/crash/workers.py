"""Some installations side by side on one stack; each goes from one crash to the next."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from tests.crash import campaign
from tests.crash.campaign import Combination, Verdict
from tests.crash.coverage import SCENARIO
from tests.crash.scenarios import SCENARIOS
from tests.crash.site import Site


class Workers:
    """A campaign's workers. An installation is used until something is wrong with it."""

    def __init__(self, stack_env: dict[str, str], folder: Path, count: int, minutes: float | None = None) -> None:
        """Nothing new is begun after `minutes`."""
        self._stack_env = stack_env
        self._folder = folder
        self._count = count
        self._until = time.monotonic() + 60 * minutes if minutes is not None else math.inf
        self._sites = 0
        self._left: dict[str, deque[Combination]] = defaultdict(deque)
        self._verdicts: asyncio.Queue[Verdict | None] = asyncio.Queue()
        self._counts: dict[str, dict[str, dict[str, int]]] = {}
        self._counting: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, combinations: Iterable[Combination]) -> AsyncIterator[Verdict]:
        """Verdicts as they come."""
        for each in combinations:
            self._left[SCENARIOS[SCENARIO[each.name]][0]].append(each)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._count):
                tasks.create_task(self._work())
            for _ in range(self._count):
                while (verdict := await self._verdicts.get()) is not None:
                    yield verdict

    async def _work(self) -> None:
        while (kind := self._next()) is not None:
            async with AsyncExitStack() as exits:
                site = await exits.enter_async_context(self._site(kind))
                while self._left[kind] and time.monotonic() < self._until:
                    verdict = await self._judge(site, self._left[kind].popleft())
                    self._verdicts.put_nowait(verdict)
                    if verdict.violations:
                        break
        self._verdicts.put_nowait(None)

    def _next(self) -> str | None:
        """The kind of installation with the most to do; None when there is nothing, or no time."""
        kind = max(self._left, key=lambda each: len(self._left[each]))
        return kind if self._left[kind] and time.monotonic() < self._until else None

    def _site(self, kind: str) -> Site:
        self._sites += 1
        return Site(self._stack_env, self._folder / f"site-{self._sites}-{kind}", kind)

    async def _judge(self, site: Site, combination: Combination) -> Verdict:
        scenario = SCENARIO[combination.name]
        async with self._counting[scenario]:
            if scenario not in self._counts:
                self._counts[scenario] = await campaign.count(site, scenario)
        return await campaign.run(site, combination, self._counts[scenario][combination.kind])
