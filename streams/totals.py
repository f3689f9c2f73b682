"""`GET /v1/summary`: what every tracker has counted of its partitions, together; never a part of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from aiohttp import web

from streams import queries
from streams.answers import as_json
from streams.partition import Partition
from streams.queries import Document
from streams.routing import NotReady, Routing
from streams.summary import Tally, merged, read_tally, summary

_PATH: Final = "internal/summary"


class Totals:
    """Handlers over all partitions, and over those of this tracker."""

    def __init__(self, routing: Routing, partition: Callable[[int], Partition | None]) -> None:
        self._routing = routing
        self._partition = partition

    async def summary(self, _: web.Request) -> web.Response:
        """For whoever asks."""
        return as_json(await self.summed())

    async def summed(self) -> Document:
        """The answer. Raises NotReady."""
        self._routing.check_ready()
        shares = self._routing.shares().items()
        return summary(merged(await asyncio.gather(*(self._of(owner, partitions) for owner, partitions in shares))))

    def internal_routes(self) -> list[web.RouteDef]:
        """For the other trackers; no public interface."""
        return [web.get(f"/{_PATH}", self._get_own)]

    async def _get_own(self, request: web.Request) -> web.Response:
        return as_json(self._own(queries.parse_partitions(request.query.get("partitions", ""))))

    async def _of(self, owner: str, partitions: list[int]) -> Tally:
        if owner == self._routing.me:
            return self._own(partitions)
        said = await self._routing.ask(owner, _PATH, {"partitions": ",".join(map(str, partitions))})
        try:
            return read_tally(said)
        except msgspec.ValidationError:
            raise NotReady(f"the tracker {owner}, of another release, counts in another way") from None

    def _own(self, partitions: Iterable[int]) -> Tally:
        self._routing.check_mine(partitions := [*partitions])
        held = [self._partition(number) for number in partitions]
        if not all(held):
            raise NotReady(f"partition {partitions[held.index(None)]} has just come here")
        return merged(each.tally() for each in held if each is not None)
