"""What is done about the flow of events around a recovery, without a broker; what it is for stands in the module."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import pytest
from faust.types.tuples import TP

from streams.hardened import HardenedApp
from streams.hardened.flow import fetch_nothing_of_none, seek_from_the_beginning

EVENTS = TP("brh.events", 0)
MORE = TP("brh.events", 1)
CHANGELOG = TP("brh-tracker-receipts-changelog", 0)


class Consumer:
    """Faust's consumer, as far as the seek goes."""

    def __init__(self, committed: dict[TP, int | None]) -> None:
        self._committed = committed
        self.seeks: list[tuple[TP, int]] = []

    async def seek_to_committed(self) -> dict[TP, int | None]:
        return self._committed

    async def seek(self, partition: TP, offset: int) -> None:
        self.seeks.append((partition, offset))


@pytest.mark.parametrize("nothing", [None, -1])
async def test_a_partition_without_a_committed_offset_is_read_from_its_beginning(nothing: int | None) -> None:
    consumer = Consumer({EVENTS: nothing, MORE: 7, CHANGELOG: nothing})
    assert await seek_from_the_beginning(consumer)() == {EVENTS: nothing, MORE: 7, CHANGELOG: nothing}
    assert consumer.seeks == [(EVENTS, 0)]


async def test_while_no_partition_is_active_nothing_is_fetched() -> None:
    asked: list[Set[TP]] = []

    async def fetch(client: object, active: Set[TP], **limits: Any) -> dict[TP, list[object]]:
        asked.append(active)
        return {tp: [object()] for tp in active or {EVENTS, MORE}}  # none means all, to aiokafka

    assert await fetch_nothing_of_none(fetch)(None, set(), timeout=1) == {}
    assert asked == []


async def test_partitions_that_are_taken_away_while_the_client_waits_do_not_become_all() -> None:
    active = {EVENTS}

    async def fetch(client: object, wanted: Set[TP], **limits: Any) -> Set[TP]:
        active.clear()  # the recovery does that, while this waits for records
        return set(wanted)

    assert await fetch_nothing_of_none(fetch)(None, active) == {EVENTS}


async def test_when_partitions_were_assigned_nothing_flows_until_the_recovery_lets_it() -> None:
    app = HardenedApp("flow", broker="kafka://127.0.0.1:1", store="memory://")
    stopped: list[bool] = []

    class Held:
        def stop_flow(self) -> None:
            stopped.append(True)

    app._consumer = Held()
    await app.on_rebalance_complete.send()
    assert stopped == [True]
