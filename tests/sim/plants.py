"""Bugs that can be put into the product by name, to see that the laws of a world find them.

Each takes out one thing that the product does on purpose. A simulation in which one of them goes unnoticed proves
nothing about the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec.structs import replace

from bridge import gathering, header_record, headers
from bridge.blobs import Blobs, Deletion, Exists
from bridge.contract.events import Delivered, Staged
from bridge.contract.outbound import Told
from bridge.reached import Reckoning
from streams import clean as cleaning
from streams import commit as committing
from streams import courier as couriers
from streams.clean import clean
from streams.courier import Courier, leaves_garbage
from streams.hardened.outstanding import Outstanding
from streams.notification import notification_id
from streams.outcome import Decided, delivered, find_told, mark_told
from streams.pick import Picked
from streams.post import Post
from tables import accept, deadlines, messages
from tables.accept import Taken
from tables.transaction import Series
from tests.sim.storage import Storage
from tests.sim.tracker import Tracker

Put = Callable[[Any, str, Any], None]
Plant = Callable[[Put], None]


def _ack_early(put: Put) -> None:
    """Small payloads are acknowledged before they are staged and published."""
    settle, batch = gathering._settle, gathering.Gathering._batch

    async def early(self: Any, transaction: str, runs: Any) -> None:
        settle([small for run in runs for small in run])
        await batch(self, transaction, runs)

    put(gathering, "_settle", lambda _payloads: None)
    put(gathering.Gathering, "_batch", early)


def _mark_before_notify(put: Put) -> None:
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


def _notify_before_outcome(put: Put) -> None:
    """Consumers are told of an outcome while it is being written."""
    write = couriers.write_outcome

    async def eager(blobs: Any, effect: Any, series: Any, *, partial: bool = False) -> Decided:
        decided = await write(_Unwritten(blobs), effect, series, partial=partial)
        await blobs.post.tell(decided)
        return await write(blobs, effect, series, partial=partial)

    tell = Post.tell

    async def remember(self: Courier, effect: Any) -> Any:
        self._blobs.post = self._post
        return await decide(self, effect)

    decide = Courier._decide
    put(Courier, "_decide", remember)
    put(couriers, "write_outcome", eager)
    put(Post, "tell", tell)


class _Unwritten:
    """Blobs that say that they have written."""

    def __init__(self, blobs: Blobs) -> None:
        self.uri = blobs.uri

    async def write_once(self, *_: Any, **__: Any) -> Any:
        return _Etag()


class _Etag:
    etag = "0x0"


def _unconditional_commit(put: Put) -> None:
    """Blobs are written without `If-None-Match: *`: whoever comes last wins."""
    put(Storage, "unconditional", True)


def _offset_before_changelog(put: Put) -> None:
    """An offset is committed while changes of tables are still on their way."""

    async def no_wait(_self: Outstanding) -> None:
        return

    put(Outstanding, "wait", no_wait)


def _swallow_failed_record(put: Put) -> None:
    """A record that Kafka did not take is forgotten, as stock Faust does, and the offset is committed."""

    def done(self: Outstanding, future: Any) -> None:
        self._futures.discard(future)
        future.exception()

    put(Outstanding, "_done", done)


def _count_instead_of_set(put: Put) -> None:
    """What was received is counted, duplicates too."""
    take = accept.take

    def counting(series: Series, staged: Staged) -> tuple[Series, Taken]:
        after, taken = take(series, staged)
        if taken is Taken.DUPLICATE:
            after = replace(after, received_count=after.received_count + staged.count)
        return after, taken

    put(messages, "take", counting)


def _ghost_rows(put: Put) -> None:
    """Rows, and the index over them, of partitions that have gone to others are kept and acted on."""
    put(Tracker, "keeps_ghosts", True)


def _same_block_id(put: Put) -> None:
    """A small payload's block is named by its place, so other bytes for an ordinal take the place of the first ones."""
    put(Storage, "by_place", True)


def _own_clock(put: Put) -> None:
    """Producers are late by the broker's clock, so an outage of ours abandons them."""
    put(deadlines.Clock, "passed", lambda self, deadline, _limits: self.now >= deadline.at)


def _boastful_watermark(put: Put) -> None:
    """A bridge claims the moment at which it has asked its queues, whatever they have answered."""
    put(Reckoning, "look", lambda _self, moment, _found: moment)


def _no_fence(put: Put) -> None:
    """What is committed of a failed transaction is deleted, and what is staged is left to a late committer."""

    async def bare(blobs: Blobs, name: str) -> None:
        there = await blobs.properties(name)
        if there is not None:
            assert await blobs.delete(name, there.etag) in Deletion

    put(cleaning, "remove_part", bare)


def _clean_before_outcome(put: Put) -> None:
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


def _unpicked(put: Put) -> None:
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


def _first_header_by_kafka(put: Put) -> None:
    """A header that lost the race for `_header.json` is published as if it were the first."""
    keep = header_record.keep_header

    async def own(blobs: Any, message: Any, received: Any) -> Any:
        fact = await keep(blobs, message, received)
        return replace(fact, header=message.header, digest=message.digest, conflicting_digest=None)

    put(headers, "keep_header", own)


def _own_conflict_is_lost(put: Put) -> None:
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


PLANTS: Final[dict[str, Plant]] = {
    "ack-early": _ack_early,
    "boastful-watermark": _boastful_watermark,
    "clean-before-outcome": _clean_before_outcome,
    "count-instead-of-set": _count_instead_of_set,
    "first-header-by-kafka": _first_header_by_kafka,
    "ghost-rows": _ghost_rows,
    "mark-before-notify": _mark_before_notify,
    "no-fence": _no_fence,
    "notify-before-outcome": _notify_before_outcome,
    "offset-before-changelog": _offset_before_changelog,
    "own-clock": _own_clock,
    "own-conflict-is-lost": _own_conflict_is_lost,
    "same-block-id": _same_block_id,
    "swallow-failed-record": _swallow_failed_record,
    "unconditional-commit": _unconditional_commit,
    "unpicked": _unpicked,
}


@contextmanager
def planted(*names: str) -> Iterator[None]:
    """Put bugs in, and take them out again."""
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        undo.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    for name in names:
        PLANTS[name](put)
    try:
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)
