"""One crash after the other: plan it, act, have the world settle, and judge it from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from bridge.layout import TOLD_BLOB, record_name
from tests.crash.acts import Act
from tests.crash.checker import violations
from tests.crash.coverage import SCENARIO
from tests.crash.keeper import End, Slot
from tests.crash.outside import POLL_S, Late, until
from tests.crash.plans import Run
from tests.crash.scenarios import SCENARIOS
from tests.crash.sent import Ledger
from tests.crash.site import KINDS, Site

Occurrence = Literal["first", "second", "last"]
OCCURRENCES: Final[tuple[Occurrence, ...]] = ("first", "second", "last")
TOLD_S: Final = 120.0
FIRES_S: Final = 15.0
"""How long a point that was not passed yet may take to be, when everything has been told."""
COUNTED_S: Final = 1.5
"""A run without a crash is counted until so long after everything was told."""
WOKEN_S: Final = 15.0
"""How long a worker that was woken may take to find out that it has lost its place."""
TRIES_MAX: Final = 3
"""To find the last occurrence, which is another one each time."""
OUSTED: Final = frozenset({75, 76})
"""A worker ends itself with these when it cannot be sure that it is still a member, as on a machine with much to do."""


class Combination(NamedTuple):
    """Who dies where, and beside whom."""

    name: str
    kind: str
    occurrence: Occurrence
    beside: bool
    """Instead of being killed there, the process is frozen there. Another one takes its place, and is killed at the
    same point; a third one finishes, and the first one is woken in the middle of that or when everything is done."""


class Verdict(NamedTuple):
    """What came of it."""

    combination: Combination
    number: int
    """Which arrival it was."""
    fired: bool
    twin: str
    """What has become of the frozen one, and of its replacement."""
    violations: list[str]
    seconds: float


async def count(site: Site, scenario: str) -> dict[str, dict[str, int]]:
    """How often each kind of process passes each point when nobody dies."""
    runs = {kind: site.plans[kind].make() for kind in KINDS}
    act = Act(site, Ledger(), runs if scenario != "restarts" else {kind: runs[kind] for kind in ("bridge", "tracker")})
    await SCENARIOS[scenario][1](act)
    await _all_told(site, act.ledger)
    await asyncio.sleep(COUNTED_S)
    for kind in KINDS:
        site.plans[kind].drop()
    found = {kind: run.counts for kind, run in runs.items()}
    if wrong := await violations(site, act.ledger):
        raise AssertionError(f"{scenario} fails without a crash: {wrong}")
    return found


async def run(site: Site, combination: Combination, counts: Mapping[str, int]) -> Verdict:
    """One combination; `counts` are those of a run without a crash."""
    wanted = {"first": 1, "second": 2}.get(combination.occurrence) or max(1, counts.get(combination.name, 1))
    for _ in range(TRIES_MAX):
        verdict, passed = await _try(site, combination, wanted)
        if verdict.fired or verdict.violations or combination.occurrence != "last" or not passed:
            break
        wanted = passed
    return verdict


async def _try(site: Site, combination: Combination, number: int) -> tuple[Verdict, int]:
    began = time.monotonic()
    ends_before = len(site.keeper.ends)
    how = signal.SIGSTOP if combination.beside else signal.SIGKILL
    plan = site.plans[combination.kind].make(combination.name, number, how)
    act = Act(site, Ledger(), {combination.kind: plan})
    twin = _Twin(site, combination, plan) if combination.beside else None
    found: list[str] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            taking_over = tasks.create_task(twin.take_over()) if twin else None
            await SCENARIOS[SCENARIO[combination.name]][1](act)
            await _all_told(site, act.ledger)
            with suppress(Late):
                await until(lambda: plan.fired, FIRES_S, combination.name)
            if taking_over is not None and not plan.fired:
                taking_over.cancel()
        if twin is not None:
            await twin.finish()
        site.plans[combination.kind].drop()
        for kind in KINDS:
            await site.ready(kind)
        await site.outside.caught_up(TOLD_S)
        found += await violations(site, act.ledger)
    except* (Late, TimeoutError) as errors:
        found += [repr(error) for error in errors.exceptions]
    finally:
        site.plans[combination.kind].drop()
        await site.keeper.bury()
    planned = {plan.fired, twin.second.fired if twin and twin.second else None}
    found += [f"{end.name} ended itself with {end.code}" for end in _unplanned(site.keeper.ends[ends_before:], planned)]
    seconds = time.monotonic() - began
    said = twin.said if twin is not None else ""
    return Verdict(combination, number, plan.fired is not None, said, found, seconds), plan.count(combination.name)


def _unplanned(ends: list[End], planned: set[int | None]) -> list[End]:
    return [end for end in ends if end.pid not in planned and end.code not in OUSTED]


async def _all_told(site: Site, ledger: Ledger) -> None:
    for sent in ledger.sent:
        name = record_name(sent.transaction, TOLD_BLOB)
        await until(lambda name=name: site.blobs.properties(name), TOLD_S, f"{sent.transaction} is told")


class _Twin:
    """A process that is frozen at a point, and the one that takes its place."""

    def __init__(self, site: Site, combination: Combination, plan: Run) -> None:
        self._site = site
        self._combination = combination
        self._plan = plan
        self._slot: Slot | None = None
        self._woken = False
        self.second: Run | None = None
        """Of the replacement: it dies when it comes to the same point."""

    @property
    def said(self) -> str:
        """What has become of both."""
        if self._slot is None or self.second is None or self._slot.process is None:
            return ""
        code = self._slot.process.returncode
        if self.second.fired == self._slot.process.pid:
            return "replacement did not come there, twin did and died"
        replacement = "came there and died" if self.second.fired else "did not come there"
        return f"replacement {replacement}, twin {'lived on' if code is None else f'ended with {code}'}"

    async def take_over(self) -> None:
        """When somebody has been frozen, put another one in its place; wake the first one meanwhile, or later."""
        while self._plan.fired is None:
            await asyncio.sleep(POLL_S)
        kind, name = self._combination.kind, self._combination.name
        self.second = second = self._site.plans[kind].make(name, 1, signal.SIGKILL)
        self._slot = self._site.replace(kind)
        if self._combination.occurrence == "first":
            await until(lambda: second.pids - {self._plan.fired}, TOLD_S, "the replacement has begun to work")
            self._wake()

    async def finish(self) -> None:
        """Wake the frozen one if it is not yet awake, and let it find out."""
        if (slot := self._slot) is None:
            return
        self._wake()
        with suppress(Late):
            # A bridge goes on as another bridge, a worker has to end.
            wait_s = WOKEN_S if self._combination.kind != "bridge" else COUNTED_S
            await until(lambda: slot.pid is None, wait_s, "the twin has ended")

    def _wake(self) -> None:
        if not self._woken and self._plan.fired is not None:
            self._woken = True
            with suppress(ProcessLookupError):
                os.kill(self._plan.fired, signal.SIGCONT)
