"""Which tracker owns a transaction, and how to ask it.

Every worker knows from the last rebalance where all partitions are, so any of them can answer for all. What is asked
of an owner is never passed on again: an owner that turns out not to be one says so, and the caller asks again later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any, Final

import aiohttp
import faust
import msgspec
import structlog
from yarl import URL

from bridge.unreadable import UNREADABLE
from streams.topics import Topics

ASK_TIMEOUT_S: Final = 5.0
"""An owner answers from memory; one that needs longer is as good as away."""

_log = structlog.get_logger()


class NotReady(Exception):
    """Nobody can answer just now, because partitions move or their tables are being read: ask again in a second."""


class Routing:
    """The partitions of the events topic, as this worker's last rebalance has given them out."""

    def __init__(self, app: faust.App, table: Any, topics: Topics, headers: Mapping[str, str]) -> None:
        """`headers` show the other trackers that we are one."""
        self._headers = headers
        self._app = app
        self._table = table
        self._topics = topics

    @property
    def me(self) -> str:
        """URL under which the other trackers know this one."""
        return str(self._app.conf.canonical_url)

    def check_ready(self) -> None:
        """Raises NotReady with the progress, until this worker has its partitions and their tables."""
        app = self._app
        if app.rebalancing or app.in_recovery or not app.tables.actives_ready:
            changelogs = app.tables.changelog_topics
            actives = {tp for tp in app.assignor.assigned_actives() if tp.topic in changelogs}
            done, of = recovered(actives, app.tables.recovery.active_remaining())  # type: ignore[attr-defined]  # an interface
            raise NotReady(f"recovering {done} of {of or self._topics.partitions} partitions")

    def check_mine(self, partitions: Collection[int]) -> None:
        """Raises NotReady unless this worker may speak for all of these partitions.

        Until the recovery after a rebalance ends, the table in memory holds rows of partitions that have gone.
        """
        self.check_ready()
        owners = self.owners()
        lost = [partition for partition in partitions if owners.get(partition) != self.me]
        if lost:
            raise NotReady(f"partition {lost[0]} is not here any more")

    def owners(self) -> dict[int, str]:
        """URL of the owner of each partition. Partitions without one are left out."""
        topic = self._table.changelog_topic.get_topic_name()
        spread: Mapping[str, Mapping[str, Collection[int]]] = self._app.router.table_metadata(self._table.name)
        return {partition: url for url, held in spread.items() for partition in held.get(topic, ())}

    def owner_of(self, transaction_id: str) -> str:
        """URL of the tracker that owns a transaction. Raises NotReady."""
        partition = self._topics.partition_of(transaction_id)
        owner = self.owners().get(partition)
        if owner is None:
            raise NotReady(f"partition {partition} has no owner")
        return owner

    def shares(self) -> dict[str, list[int]]:
        """All partitions by the URL of their owner. Raises NotReady when one has none."""
        owners = self.owners()
        shares: dict[str, list[int]] = {}
        for partition in range(self._topics.partitions):
            if partition not in owners:
                raise NotReady(f"partition {partition} has no owner")
            shares.setdefault(owners[partition], []).append(partition)
        return shares

    async def ask(self, owner: str, path: str, params: Mapping[str, str] | None = None) -> Any:
        """What another tracker answers. Raises NotReady unless it is a 200."""
        timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
        try:
            async with self._app.http_client.get(
                URL(owner) / path, params=params, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.read()
            if response.status == 200:
                return msgspec.json.decode(body)
            said = f"status {response.status}"
        except (TimeoutError, aiohttp.ClientError, OSError, *UNREADABLE) as error:
            said = repr(error)
        _log.info("another tracker did not answer", tracker=owner, reason=said)
        raise NotReady(f"the tracker {owner}, which owns this part, cannot answer")


def recovered(actives: Set[tuple[str, int]], remaining: Mapping[tuple[str, int], int]) -> tuple[int, int]:
    """How many partitions are recovered, of how many: those of which every table has nothing left to read.

    Args:
        actives: the changelog partitions of this worker, as (topic, partition).
        remaining: records still to be read of each; none for one that has not been looked at.
    """
    behind = {partition for topic, partition in actives if remaining.get((topic, partition), 1) > 0}
    every = {partition for _, partition in actives}
    return len(every) - len(behind), len(every)
