"""Open transactions in the order in which somebody should look at them: what is refused, what is late, what is old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import merge, nsmallest
from itertools import islice
from typing import Any, Final

import msgspec
from aiohttp import web

from bridge.contract.outbound import rfc3339
from streams import queries
from streams.answers import as_json
from streams.own import Knowing
from streams.queries import Document
from streams.routing import NotReady, Routing
from tables.transaction import Transaction

STUCK_MAX: Final = 20
"""As many as somebody looks at in the middle of the night."""

REFUSED, LATE, GOES_ON = range(3)
"""How urgent it is: a delivery is refused or overdue; something is missing or contradicts; nothing is wrong yet."""

_PATH: Final = "internal/stuck"


class Stuck(msgspec.Struct, frozen=True, rename="camel"):
    """One of them."""

    urgency: int
    since: str
    """When anything new came last, or it was decided."""
    summary: Document
    """As the list has it."""


def urgency(transaction: Transaction) -> tuple[int, datetime]:
    """The smaller, the sooner somebody should look."""
    since = transaction.decided or transaction.progressed or transaction.created
    if transaction.verdict is not None:
        return (REFUSED if transaction.refusals or transaction.overdue else GOES_ON), since
    late = transaction.gap is not None and not transaction.gap.over
    return (LATE if late or transaction.conflict is not None else GOES_ON), since


def first(parts: Iterable[Sequence[Stuck]]) -> list[Stuck]:
    """The most urgent ones of what each owner has."""
    return list(islice(merge(*parts, key=lambda each: (each.urgency, each.since)), STUCK_MAX))


class StuckOnes:
    """Those of all partitions, and those of this tracker."""

    def __init__(self, routing: Routing, rows: Mapping[str, Any], knowing: Knowing) -> None:
        self._routing = routing
        self._rows = rows
        self._knowing = knowing

    async def all(self) -> list[Stuck]:
        """The most urgent ones first. Raises NotReady."""
        self._routing.check_ready()
        shares = self._routing.shares().items()
        return first(await asyncio.gather(*(self._of(owner, partitions) for owner, partitions in shares)))

    def internal_routes(self) -> list[web.RouteDef]:
        """For the other trackers; no public interface."""
        return [web.get(f"/{_PATH}", self._get_own)]

    async def _get_own(self, request: web.Request) -> web.Response:
        return as_json(self._own(queries.parse_partitions(request.query.get("partitions", ""))))

    async def _of(self, owner: str, partitions: list[int]) -> list[Stuck]:
        if owner == self._routing.me:
            return self._own(partitions)
        said = await self._routing.ask(owner, _PATH, {"partitions": ",".join(map(str, partitions))})
        try:
            return msgspec.convert(said, list[Stuck])
        except msgspec.ValidationError:
            raise NotReady(f"the tracker {owner}, of another release, sorts in another way") from None

    def _own(self, partitions: list[int]) -> list[Stuck]:
        self._routing.check_mine(partitions)
        held = [self._knowing.partition(number) for number in partitions]
        if not all(held):
            raise NotReady(f"partition {partitions[held.index(None)]} has just come here")
        known = (each for partition in held if partition is not None for each in partition.transactions.values())
        found = nsmallest(STUCK_MAX, ((*urgency(each), each.id) for each in known))
        return [
            Stuck(urgent, rfc3339(since), queries.summary(row))
            for urgent, since, name in found
            if (row := self._rows.get(name)) is not None
        ]
