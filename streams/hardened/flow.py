"""The mends of the flow: which records are fetched, from where, and up to which one they are committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any, Final

from faust.types.tuples import TP

from bridge.crash_points import crash_point

CHANGELOG: Final = "-changelog"
"""How the names of the tables' topics end."""


def seek_from_the_beginning(consumer: Any) -> Callable[[], Awaitable[Mapping[TP, int | None]]]:
    """`consumer.seek_to_committed`, for partitions without a committed offset too."""
    seek_to_committed = consumer.seek_to_committed

    async def seek() -> Mapping[TP, int | None]:
        offsets: Mapping[TP, int | None] = await seek_to_committed()
        for partition, offset in offsets.items():
            if (offset is None or offset < 0) and not partition.topic.endswith(CHANGELOG):
                await consumer.seek(partition, 0)  # below the first record the client's reset policy, earliest, applies
        return offsets

    return seek


def fetch_nothing_of_none(fetch_records: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The consumer thread's `_fetch_records`, where no active partition means no record."""

    async def fetch(client: Any, active: Set[TP], **limits: Any) -> Any:
        wanted = set(active)  # a copy: the recovery empties the original while the client waits for records
        return await fetch_records(client, wanted, **limits) if wanted else {}

    return fetch


def stop_at_the_first_unacked(consumer: Any) -> Callable[[TP], int | None]:
    """`consumer._new_offset`: what to commit for a partition, or None.

    Stock Faust takes the first run of acknowledged offsets for the next one to commit, also where an event before that
    run is still in hand: where nothing was committed yet, or where it is only one event
    (https://github.com/faust-streaming/faust/issues/606).
    """
    new_offset = consumer._new_offset

    def checked(partition: TP) -> int | None:
        acked: list[int] = consumer._acked[partition]
        committed: int = consumer._committed_offset[partition] or 0
        # What is in hand from before a rebalance, below the committed offset, or acknowledged twice holds up nothing.
        if acked and any(
            committed <= message.offset < min(acked)
            for message in consumer.unacked
            if message.tp == partition and not message.acked
        ):
            return None
        offset: int | None = new_offset(partition)
        return offset

    return checked


def say_committed(consumer: Any) -> Callable[[Mapping[TP, int]], Awaitable[bool]]:
    """`consumer._commit`, with a crash point behind it."""
    commit = consumer._commit

    async def committed(offsets: Mapping[TP, int]) -> bool:
        done: bool = await commit(offsets)
        crash_point("worker.offsets-committed")
        return done

    return committed
