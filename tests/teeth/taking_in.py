"""Bugs of the bridge: what happens to a message up to its acknowledgement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bridge import gathering, memory, payloads, runs, staging
from bridge.lane import Lane
from bridge.reached import Reckoning
from tests.teeth.bugs import Put, bug


@bug("rules/test_gathering.py::test_whatever_comes_is_stored_then_reported_then_acknowledged_once")
def ack_early(put: Put) -> None:
    """Small payloads are acknowledged before they are staged and published."""
    settle, batch = gathering._settle, gathering.Gathering._batch

    async def early(self: Any, transaction: str, runs: Any) -> None:
        settle([small for run in runs for small in run])
        await batch(self, transaction, runs)

    put(gathering, "_settle", lambda _payloads: None)
    put(gathering.Gathering, "_batch", early)


@bug("edges/test_payload_intake.py::test_a_payload_is_stored_then_reported_then_acknowledged", stack=True)
def ack_large_early(put: Put) -> None:
    """A large payload is acknowledged when it has been read, while its blocks are under way."""
    stage = payloads.stage_payload
    large = payloads.PayloadIntake._large

    async def early(self: Any, queue: str, incoming: Any, message: Any, body: Any) -> None:
        incoming.lane.ack([incoming.tag])
        await large(self, queue, _Acknowledged(incoming), message, body)

    put(payloads, "stage_payload", stage)
    put(payloads.PayloadIntake, "_large", early)


class _Acknowledged:
    """A message whose lane has nothing to acknowledge any more."""

    def __init__(self, incoming: Any) -> None:
        self._incoming = incoming
        self.lane = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._incoming, name)

    def ack(self, _tags: Iterable[int]) -> None:
        return


@bug("rules/test_gathering.py::test_whatever_comes_is_stored_then_reported_then_acknowledged_once")
def fact_early(put: Put) -> None:
    """The fact is published before the bytes are stored."""
    store, stage = gathering.Gathering._store, gathering.Gathering._stage

    async def later(self: Any, hold: Any, run: Any) -> Any:
        outlets, late = self._outlets, []

        async def postponed(*args: Any) -> None:
            late.append(args)

        self._outlets = _Outlets(outlets, postponed)
        try:
            fact = await stage(self, hold, run)
        finally:
            self._outlets = outlets
        self._late = [*getattr(self, "_late", []), *late]
        return fact

    async def eager(self: Any, transaction: str, runs: Any, hold: Any) -> None:
        await store(self, transaction, runs, hold)
        for args in getattr(self, "_late", []):
            await self._outlets.stage_block(*args)
        self._late = []

    put(gathering.Gathering, "_stage", later)
    put(gathering.Gathering, "_store", eager)


class _Outlets:
    """The same outlets, which keep blocks for later."""

    def __init__(self, outlets: Any, stage_block: Any) -> None:
        self._outlets, self.stage_block = outlets, stage_block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outlets, name)


@bug("edges/test_staging.py::test_another_digest_than_declared_is_refused[memory-1000]")
def digest_unchecked(put: Put) -> None:
    """What a producer says of the SHA-256 of a payload is not compared with its bytes."""
    put(staging, "wrong_digest", lambda _message, _digest: None)


@bug("rules/test_staging_releases.py::test_the_last_block_is_sent_when_all_others_are_stored")
def sealed_early(put: Put) -> None:
    """The last block of a payload is staged while others are under way: in storage it looks whole and is not."""

    async def at_once(_self: Any) -> None:
        return

    put(staging._Staging, "stored", at_once)


@bug("rules/test_lane_acks.py::test_in_any_order_each_is_settled_once_and_nothing_else")
def acks_over_holes(put: Put) -> None:
    """All deliveries up to the last one that is settled are acknowledged, also those that are in hand."""
    ack = Lane.ack

    def all_up_to(self: Any, tags: Iterable[int]) -> None:
        known = [*tags]
        ack(self, range(1, max(known) + 1) if known else known)

    put(Lane, "ack", all_up_to)


@bug("rules/test_memory.py")
def memory_unbounded(put: Put) -> None:
    """Memory is granted to whoever asks, whether there is any or not."""

    def request(self: Any, size: int, on_granted: Callable[[], None], *, buffers: bool) -> Any:
        count = -(-size // memory.BUFFER_BYTES) if buffers else 0
        made = memory.Request(self, count * memory.BUFFER_BYTES if buffers else size, count, on_granted)
        made.grant = self._grant(made)
        return made

    put(memory.Memory, "request", request)


@bug("rules/test_runs.py")
def runs_without_alignment(put: Put) -> None:
    """Neighbours make a run wherever they begin, so runs overlap without one being within the other."""
    intervals = runs.intervals

    def anywhere(total_count: int, sizes: Any) -> Any:
        merged: list[Any] = []
        for each in intervals(total_count, sizes):
            last = merged[-1] if merged else None
            if last and last.count == each.count == 1 and last.first + 1 == each.first:
                merged[-1] = runs.Interval(last.first, 2)
            else:
                merged.append(each)
        return merged

    put(runs, "intervals", anywhere)


@bug("rules/test_reached.py")
def boastful_watermark(put: Put) -> None:
    """A bridge claims the moment at which it has asked its queues, whatever they have answered."""
    put(Reckoning, "look", lambda _self, moment, _found: moment)
