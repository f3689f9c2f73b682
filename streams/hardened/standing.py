"""Where a worker stands, as its own event loop knows it."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from faust.types.tuples import TP

from streams.hardened.flow import CHANGELOG

_LEADER: Final = "__leader"
"""How the name of the topic ends with which Faust chooses a leader; nothing is ever in it."""


class Standing(NamedTuple):
    """At one moment."""

    stage: Literal["joining", "recovering", "running", "stopping"]
    """Recovering is also what comes before: while the group rebalances."""
    generation: int
    partitions: frozenset[TP]
    """Of the topics of events, that the group has given to it."""
    missing: dict[TP, tuple[int, int]]
    """Of changelogs that are not recovered yet: the last offset that was, and the last one that is to be."""


def standing(app: Any, joined: bool) -> Standing:
    """Call it in the loop of the app only."""
    recovery = app.tables._recovery  # not the property, which would make one before its time
    offsets: dict[TP, int | None] = recovery.active_offsets if recovery else {}
    highwaters: dict[TP, int | None] = recovery.active_highwaters if recovery else {}
    missing = {
        partition: (offset, highwater)
        for partition, highwater in highwaters.items()
        if highwater is not None and (offset := offsets.get(partition)) is not None and offset < highwater
    }
    partitions = app.consumer.assignment() if joined else ()
    stage: Literal["joining", "recovering", "running", "stopping"] = "running"
    if app.should_stop:
        stage = "stopping"
    elif not joined:
        stage = "joining"
    elif app.rebalancing or app.in_recovery:
        stage = "recovering"
    return Standing(
        stage,
        app.consumer_generation_id,
        frozenset(each for each in partitions if not each.topic.endswith((CHANGELOG, _LEADER))),
        missing,
    )


def read_past(app: Any, partition: TP, offset: int, highwater: int) -> bool:
    """Let a recovery go on that waits for offsets behind `offset`, because no record is there; in the app's loop only.

    Returns whether it still waited for them.
    """
    recovery = app.tables._recovery
    waits = (
        recovery.in_recovery
        and recovery.active_offsets.get(partition) == offset
        and recovery.active_highwaters.get(partition) == highwater
    )
    if waits:
        recovery.active_offsets[partition] = highwater
    return bool(waits)
