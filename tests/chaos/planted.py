"""Runs a process of the product with a mistake in it, so that the checker can be seen to catch it.

    python -m tests.chaos.planted ack-before-stage bridge
    python -m tests.chaos.planted lost-notification faust -A streams.delivery worker

A mistake is planted where its module is loaded; in processes of another kind it changes nothing.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4
from zlib import crc32


def _ack_before_stage() -> None:
    """Small payloads are acknowledged before they are stored."""
    from bridge import gathering

    settle, store = gathering._settle, gathering.Gathering._store

    async def store_late(self: Any, transaction: str, runs: Any, hold: Any) -> None:
        settle([small for run in runs for small in run])
        await store(self, transaction, runs, hold)

    gathering.Gathering._store = store_late  # type: ignore[method-assign]
    gathering._settle = lambda _: None


def _ack_before_fact() -> None:
    """Small payloads are acknowledged when they are stored, and before Kafka has their fact."""
    from bridge import gathering

    settle, publish = gathering._settle, gathering.Outlets.publish
    by_transaction: dict[str, list[Any]] = {}
    store = gathering.Gathering._store

    async def store_late(self: Any, transaction: str, runs: Any, hold: Any) -> None:
        by_transaction[transaction] = [small for run in runs for small in run]
        await store(self, transaction, runs, hold)

    async def publish_late(self: Any, hold: Any, event: Any) -> None:
        settle(by_transaction.pop(event.transaction, []))
        await publish(self, hold, event)

    gathering.Gathering._store = store_late  # type: ignore[method-assign]
    gathering.Outlets.publish = publish_late  # type: ignore[method-assign]
    gathering._settle = lambda _: None


def _lost_notification() -> None:
    """One outcome in ten is marked as told, and was not."""
    from streams import post

    publish = post.Post._publish

    async def forget(self: Any, event: Any, key: str, reply_to: str | None) -> None:
        if not _chosen(event.subject, 10):
            await publish(self, event, key, reply_to)

    post.Post._publish = forget  # type: ignore[method-assign]


def _swapped_ordinals() -> None:
    """In one part in five the first two blocks are committed the wrong way round."""
    from streams import commit, pick

    right = commit.pick

    def swapped(plan: Any, total_count: int, staged: Any) -> Any:
        found = right(plan, total_count, staged)
        if isinstance(found, pick.Picked) and len(found.blocks) > 1 and _chosen(plan.digest, 5):
            first, second, *rest = found.blocks
            return pick.Picked((second, first, *rest))
        return found

    commit.pick = swapped


def _another_id_each_time() -> None:
    """Each copy of a notification has an id of its own."""
    from streams import notification

    notification.notification_id = lambda *_: str(uuid4())


def _told_before_written() -> None:
    """Consumers hear of an outcome before it is written."""
    from bridge.memory_blobs import MemoryBlobs
    from streams import courier

    decide = courier.Courier._decide

    async def told_first(self: Any, effect: Any) -> Any:
        series, is_partial = await self._assembled(effect)
        await self._post.tell(await courier.write_outcome(MemoryBlobs(), effect, series, partial=is_partial))
        await asyncio.sleep(2)
        return await decide(self, effect)

    courier.Courier._decide = told_first  # type: ignore[method-assign]


def _refused_and_forgotten() -> None:
    """What is refused is acknowledged, and so in no queue any more."""
    from bridge import lane

    lane.Lane.reject = lambda self, tag: self.ack([tag])  # type: ignore[method-assign]


def _not_cleaned() -> None:
    """What an abandoned transaction has staged stays."""
    from streams import courier, sweep

    async def nothing(*_: Any) -> int:
        return 0

    courier.clean = sweep.clean = nothing


PLANTS: Final[dict[str, Callable[[], None]]] = {
    plant.__name__.strip("_").replace("_", "-"): plant
    for plant in (
        _ack_before_stage,
        _ack_before_fact,
        _lost_notification,
        _swapped_ordinals,
        _another_id_each_time,
        _told_before_written,
        _refused_and_forgotten,
        _not_cleaned,
    )
}


def _chosen(name: str, one_in: int) -> bool:
    """The same ones in every process."""
    return crc32(name.encode()) % one_in == 0


if __name__ == "__main__":
    PLANTS[sys.argv[1]]()
    sys.argv = sys.argv[2:]
    sys.path.insert(0, "")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
