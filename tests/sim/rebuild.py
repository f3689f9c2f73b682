"""Kafka's topics are lost, and somebody tells the trackers again what storage knows: `brh fsck --rebuild`.

What storage does not tell is lost: commands, how long a transaction has waited, which of two contradicting messages
was first. So the log begins anew for the checks as well, and producers send again what is missing then. What storage
tells may still change behind the command, by a request that was on its way: so the operator looks again.
"""

from __future__ import annotations

import asyncio

from bridge.blobs import BlobsError
from bridge.contract.events import TransactionEvent
from bridge.facts import FactsUnavailable
from streams.restore import Restored, restore
from tests.sim.bridge import SimFacts
from tests.sim.checks import Checks
from tests.sim.installation import Installation
from tests.sim.process import Process
from tests.sim.storage import BlobClient

AGAIN_S = 5.0
LOOKS_AGAIN_S = 150.0
"""Longer than a request to storage is on its way."""


class Operator(Process):
    """Whoever calls the command."""

    def __init__(self, installation: Installation, slots: list[str]) -> None:
        """`slots` are started when everything has been told."""
        super().__init__(installation.world, "operator")
        self._in = installation
        self._slots = slots
        self._blobs = BlobClient(self, installation.storage, installation.weather)
        self._facts = SimFacts(self, installation.kafka, installation.topics, installation.trouble)
        self.begin(self._rebuild())

    async def _rebuild(self) -> None:
        storage = self._in.storage
        names = sorted({name.partition("/")[0] for name in (*storage.names(), *storage.staged_names())})
        left = [name for name in names if await self._restored(name) == Restored()]
        for slot in self._slots:
            self._in.start_for_good(slot)
        await asyncio.sleep(LOOKS_AGAIN_S)
        for name in left:
            await self._restored(name)
        self.exit("done")

    async def _restored(self, name: str) -> Restored:
        while True:
            try:
                return await restore(self._blobs, name, self._publish)
            except BlobsError as error:
                self.world.note("operator", name, error)
                await asyncio.sleep(AGAIN_S)

    async def _publish(self, event: TransactionEvent) -> None:
        while True:
            try:
                await self._facts.publish(event)
            except FactsUnavailable:
                await asyncio.sleep(AGAIN_S)
            else:
                return


def lose_topics(installation: Installation, checks: Checks) -> None:
    """All of them at once, while nothing of ours runs; then all but the bridges come back, and the operator acts."""
    slots = []
    for slot, process in installation.processes.items():
        installation.stays_down.add(slot)
        process.end("Kafka is lost")
        slots.append(slot)
    installation.kafka.lose()
    for group in (installation.tracking, installation.delivering):
        group.committed.clear()
        for slot in slots:
            group.forget(slot)
    checks.begin_anew()
    bridges = [slot for slot in slots if slot.startswith("bridge")]
    for slot in slots:
        if slot not in bridges:
            installation.start_for_good(slot)
    Operator(installation, bridges)
