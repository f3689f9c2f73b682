"""What a delivery would do wrong."""

from __future__ import annotations

from typing import Any

from bridge.blobs import Blobs, Deletion, Exists
from bridge.contract.events import Delivered
from bridge.contract.outbound import Told
from streams import clean as cleaning
from streams import commit as committing
from streams import courier as couriers
from streams.clean import clean
from streams.courier import Courier, leaves_garbage
from streams.notification import notification_id
from streams.outcome import Decided, delivered, find_outcome, find_told, mark_told, write_outcome
from streams.pick import Picked
from tests.sim.plants.put import Put
from tests.sim.storage import Storage


def mark_before_notify(put: Put) -> None:
    """The marker is written first, so a crash between the two leaves an outcome that nobody was told of."""

    async def follow(self: Courier, decided: Decided) -> Delivered:
        outcome = decided.outcome
        if leaves_garbage(decided):
            await clean(self._blobs, outcome, 2)
        told = await find_told(self._blobs, outcome.transaction_id)
        if told is None:
            marker = Told(notification_id(outcome.transaction_id, outcome.outcome), outcome.timestamps.completed)
            told = await mark_told(self._blobs, outcome.transaction_id, marker)
            await self._tell(decided)
        return delivered(decided, told)

    put(Courier, "_follow", follow)


def clean_before_outcome(put: Put) -> None:
    """A failed transaction is cleaned up by its plan before the outcome arbitrates."""
    decide = Courier._decide

    async def hasty(self: Courier, effect: Any) -> Decided:
        if effect.outcome != "Completed":
            page = await self._blobs.page(f"{effect.transaction}/")
            for blob in page.blobs:
                if "part-" in blob.name:
                    await cleaning.remove_part(self._blobs, blob.name)
        return await decide(self, effect)

    put(Courier, "_decide", hasty)


def no_fence(put: Put) -> None:
    """What is committed of a failed transaction is deleted, and what is staged is left to a late committer."""

    async def bare(blobs: Blobs, name: str) -> None:
        there = await blobs.properties(name)
        if there is not None:
            assert await blobs.delete(name, there.etag) in Deletion

    put(cleaning, "remove_part", bare)


def own_conflict_is_lost(put: Put) -> None:
    """A conditional write that finds something there counts as an error, although it may be its own earlier success."""
    write = couriers.write_outcome

    async def strict(blobs: Any, effect: Any, series: Any, *, partial: bool = False) -> Decided:
        return await write(_Strict(blobs), effect, series, partial=partial)

    put(couriers, "write_outcome", strict)


class _Strict:
    def __init__(self, blobs: Any) -> None:
        self._blobs, self.uri, self.read = blobs, blobs.uri, blobs.read

    async def write_once(self, *args: Any, **options: Any) -> Any:
        written = await self._blobs.write_once(*args, **options)
        assert not isinstance(written, Exists), "somebody else has decided"
        return written


def unconditional_commit(put: Put) -> None:
    """Blobs are written without `If-None-Match: *`: whoever comes last wins."""
    put(Storage, "unconditional", True)


def unpicked(put: Put) -> None:
    """A part is committed from whatever blocks fit, and not from those that were accepted."""
    pick = committing.pick

    def careless(plan: Any, total_count: int, staged: Any) -> Any:
        found = pick(plan, total_count, staged)
        if isinstance(found, committing.Unclear):
            by_first = {block.id.first: block for block in staged if block.id.nsub == 1 and block.id.count == 1}
            if len(by_first) == plan.ordinals:
                return Picked(tuple(block for _, block in sorted(by_first.items())))
        return found

    put(committing, "pick", careless)


def notify_before_outcome(put: Put) -> None:
    """Consumers are told of an outcome that is about to be written."""
    decide = Courier._decide

    async def eager(self: Courier, effect: Any) -> Decided:
        series, is_partial = await self._assembled(effect)
        blobs: Any = _Unwritten(self._blobs)
        await self._post.tell(await write_outcome(blobs, effect, series, partial=is_partial))
        return await decide(self, effect)

    put(Courier, "_decide", eager)


class _Unwritten:
    """Blobs that say that they have written."""

    def __init__(self, blobs: Blobs) -> None:
        self.uri = blobs.uri

    async def write_once(self, *_: Any, **__: Any) -> Any:
        return _Etag()


class _Etag:
    etag = "0x0"


def leave_telling_to_others(put: Put) -> None:
    """Whoever finds an outcome takes it that somebody has told of it."""

    async def deliver(self: Courier, effect: Any) -> Delivered:
        decided = await find_outcome(self._blobs, effect.transaction)
        if decided is None:
            return await self._follow(await self._decide(effect))
        outcome = decided.outcome
        told = Told(notification_id(outcome.transaction_id, outcome.outcome), outcome.timestamps.completed)
        return delivered(decided, told)

    put(Courier, "_deliver", deliver)


def no_keep_alive(put: Put) -> None:
    """Staged blocks are left to the service, which drops them after a week."""

    async def nothing(*_: Any) -> int:
        return 0

    put(couriers, "keep_alive", nothing)
