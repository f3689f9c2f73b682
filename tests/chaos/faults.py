"""Carries out what was planned, and says what of it really happened.

A fault that lasts undoes itself. What is done to one process or service is done one after the other, so that a broker
that is being killed is not frozen as well; what is done to different ones overlaps.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from aiohttp import web

from tests.chaos.schedule import Planned
from tests.chaos.site import Site
from tests.support.fault_proxy import Fault
from tests.support.tcp_proxy import TcpProxy, Toxic, Way
from tests.support.world import until

FIRES_S: Final = 60.0
"""How much longer than planned a fault lasts that nothing has met yet."""
BACK_S: Final = 90.0
"""How long a process may take to be started again."""
WATERMARK: Final = "0.4"
"""RabbitMQ's own limit of memory, which an alarm takes away."""
POLL_S: Final = 0.1


class Faults:
    """Of one run."""

    def __init__(self, site: Site, say: Callable[[str], None]) -> None:
        self._site, self._say = site, say
        self.happened: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        """Planned, and nothing met them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ending = False

    def begin(self, planned: Planned) -> None:
        """Let it happen."""
        task = asyncio.create_task(self._happen(planned))
        self._tasks.add(task)

    async def heal(self) -> None:
        """Return when everything is as it was."""
        self._ending = True
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for proxy in self._site.wires.values():
                proxy.heal()
            for proxy in self._site.storage_wires.values():
                proxy.heal()

    async def _happen(self, planned: Planned) -> None:
        do: Callable[[Planned], Awaitable[bool]] = {
            "kill": partial(self._signal, signal.SIGKILL),
            "term": partial(self._signal, signal.SIGTERM),
            "freeze": self._freeze,
            "rolling restart": self._rolling,
            "kill rabbitmq": self._kill_service,
            "kill kafka": self._kill_service,
            "restart azurite": self._restart_service,
            "freeze rabbitmq": self._freeze_service,
            "freeze kafka": self._freeze_service,
            "freeze azurite": self._freeze_service,
            "alarm": self._alarm,
            "storage": self._storage,
            "cut before": partial(self._on_wire, Toxic.CUT_BEFORE),
            "cut after": partial(self._on_wire, Toxic.CUT_AFTER),
            "black hole": partial(self._on_wire, Toxic.HELD),
            "throttle": partial(self._on_wire, Toxic.SLOWED),
        }[planned.kind]
        wire = planned.how.get("wire", "blob" if planned.kind == "storage" else "")
        async with self._turns[f"{planned.target} {wire}"]:
            self._say(f"{planned.kind} {planned.target} {planned.seconds:g} s {planned.how or ''}")
            fired = await do(planned)
        kind = f"{planned.kind} {planned.how['fault']}" if planned.kind == "storage" else planned.kind
        (self.happened if fired else self.missed)[kind] += 1

    # Processes

    async def _signal(self, number: signal.Signals, planned: Planned) -> bool:
        pid = await self._running(planned.target)
        return pid is not None and _send(pid, number)

    async def _running(self, name: str, other_than: int | None = None) -> int | None:
        """Its process id, once it runs; None: it did not come back in time, which is a fault of its own."""

        def found() -> int | None:
            pid = self._site.world.pid(name)
            return pid if pid != other_than else None

        try:
            return await asyncio.to_thread(until, found, BACK_S, f"{name} runs")
        except AssertionError:
            return None

    async def _freeze(self, planned: Planned) -> bool:
        pid = await self._running(planned.target)
        if pid is None or not _send(pid, signal.SIGSTOP):
            return False
        await asyncio.sleep(planned.seconds)
        return _send(pid, signal.SIGCONT)

    async def _rolling(self, planned: Planned) -> bool:
        for name in [each.name for each in self._site.processes]:
            async with self._turns[f"{name} "]:
                pid = await self._running(name)
                if pid is None or not _send(pid, signal.SIGTERM) or await self._running(name, other_than=pid) is None:
                    return False
        return True

    # Services

    async def _kill_service(self, planned: Planned) -> bool:
        service = self._site.brokers[planned.target]
        await asyncio.to_thread(service.kill)
        await asyncio.sleep(planned.seconds)
        await asyncio.to_thread(service.up)
        return True

    async def _restart_service(self, planned: Planned) -> bool:
        await asyncio.to_thread(self._site.azurite_down)
        await asyncio.sleep(planned.seconds)
        await asyncio.to_thread(self._site.azurite_up)
        return True

    async def _freeze_service(self, planned: Planned) -> bool:
        pid = self._site.service_pid(planned.target)
        if pid is None or not _send(pid, signal.SIGSTOP):
            return False
        await asyncio.sleep(planned.seconds)
        return _send(pid, signal.SIGCONT)

    async def _alarm(self, planned: Planned) -> bool:
        ctl = self._site.rabbitmq.ctl
        await asyncio.to_thread(ctl, "set_vm_memory_high_watermark", "0.00001")
        try:
            await asyncio.sleep(planned.seconds)
        finally:
            await asyncio.to_thread(ctl, "set_vm_memory_high_watermark", WATERMARK)
        return True

    # Wires

    async def _on_wire(self, toxic: Toxic, planned: Planned) -> bool:
        proxy = self._site.wires[planned.target, planned.how["wire"]]
        before = proxy.happened[toxic]
        _poison(proxy, toxic, planned)
        try:
            return await self._lasts(planned, lambda: proxy.happened[toxic] > before)
        finally:
            proxy.heal()

    async def _storage(self, planned: Planned) -> bool:
        proxy, fault = self._site.storage_wires[planned.target], Fault[planned.how["fault"]]
        chance, before = random.Random(planned.at_s), proxy.faults[fault]

        def rule(_: web.Request) -> Fault | None:
            return fault if chance.random() < planned.how["share"] else None

        proxy.rule = rule
        try:
            return await self._lasts(planned, lambda: proxy.faults[fault] > before)
        finally:
            proxy.heal()
            proxy.seen.clear()

    async def _lasts(self, planned: Planned, fired: Callable[[], bool]) -> bool:
        """As long as it is planned, and longer where nothing has met it yet: whoever it is for may be dead just now."""
        loop = asyncio.get_running_loop()
        end, last = loop.time() + planned.seconds, loop.time() + planned.seconds + FIRES_S
        while loop.time() < end or (loop.time() < last and not fired() and not self._ending):
            await asyncio.sleep(POLL_S)
        return fired()


def _poison(proxy: TcpProxy, toxic: Toxic, planned: Planned) -> None:
    match toxic:
        case Toxic.HELD:
            proxy.hold(*(Way[name] for name in planned.how["ways"]))
        case Toxic.SLOWED:
            proxy.throttle(planned.how["bytes_per_s"], planned.how["latency_s"])
        case _:
            for skip in planned.how["skips"]:
                proxy.cut(after=toxic is Toxic.CUT_AFTER, skip=skip)


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it ended by itself a moment ago
        return False
    return True
