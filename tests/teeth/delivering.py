"""Bugs of the delivery: commit, decide, clean up, tell, mark."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from bridge.contract.outbound import Part, Told
from bridge.layout import OUTCOME_BLOB, record_name
from streams import clean as cleaning
from streams import commit as committing
from streams import courier as couriers
from streams import notification, sweep
from streams.courier import Courier, leaves_garbage
from streams.outcome import delivered, find_outcome, find_told, mark_told
from streams.pick import Picked
from streams.window import Window
from tests.teeth.bugs import Put, bug

_RACES = "rules/test_clean.py::test_deliveries_with_other_verdicts_and_bridges_end_in_one_outcome_and_nothing_else"
_DEATHS = "rules/test_clean.py::test_a_delivery_can_die_at_every_step_and_the_next_one_finishes_it"


@bug(_DEATHS)
def mark_before_notify(put: Put) -> None:
    """The marker is written first, so a crash between the two leaves an outcome that nobody was told of."""

    async def follow(self: Any, decided: Any) -> Any:
        outcome = decided.outcome
        if leaves_garbage(decided):
            await couriers.clean(self._blobs, outcome, 2)
        told = await find_told(self._blobs, outcome.transaction_id)
        if told is None:
            marker = Told(notification.notification_id(outcome.transaction_id, outcome.outcome), _time(decided))
            told = await mark_told(self._blobs, outcome.transaction_id, marker)
            await self._tell(decided)
        return delivered(decided, told)

    put(Courier, "_follow", follow)


@bug(_DEATHS)
def drop_untold(put: Put) -> None:
    """An outcome that is there counts as one that was told: a crash before the notification makes nobody know of it."""
    deliver = Courier._deliver

    async def hasty(self: Any, effect: Any) -> Any:
        decided = await find_outcome(self._blobs, effect.transaction)
        if decided is None:
            return await deliver(self, effect)
        name = notification.notification_id(effect.transaction, decided.outcome.outcome)
        return delivered(decided, Told(name, _time(decided)))

    put(Courier, "_deliver", hasty)


def _time(decided: Any) -> str:
    time: str = decided.outcome.timestamps.completed
    return time


@bug(_RACES)
def unconditional_outcome(put: Put) -> None:
    """Whoever comes second follows its own verdict, as if its write had taken the place of the first one's."""
    write = couriers.write_outcome

    async def own(blobs: Any, effect: Any, series: Any, *, partial: bool = False) -> Any:
        decided = await write(blobs, effect, series, partial=partial)
        mine = replace(decided.outcome, outcome=effect.outcome, series=series, problem=effect.problem)
        return replace(decided, outcome=mine)

    put(couriers, "write_outcome", own)


@bug(_RACES)
def own_success_is_an_error(put: Put) -> None:
    """A conditional write that finds something there fails, although that may be its own earlier success."""
    write = couriers.write_outcome

    async def strict(blobs: Any, effect: Any, series: Any, *, partial: bool = False) -> Any:
        assert await find_outcome(blobs, effect.transaction) is None, "somebody else has decided"
        return await write(blobs, effect, series, partial=partial)

    put(couriers, "write_outcome", strict)


@bug(_RACES)
def clean_before_outcome(put: Put) -> None:
    """A failed transaction is cleaned up before its outcome says that nobody needs what is there."""
    decide = Courier._decide

    async def hasty(self: Any, effect: Any) -> Any:
        if effect.outcome != "Completed":
            page = await self._blobs.page(f"{effect.transaction}/")
            for blob in page.blobs:
                if "/part-" in blob.name:
                    await cleaning.remove_part(self._blobs, blob.name)
        return await decide(self, effect)

    put(Courier, "_decide", hasty)


@bug("rules/test_clean.py::test_nobody_is_told_before_it_is_clean")
def told_before_it_is_clean(put: Put) -> None:
    """Consumers are told of an outcome while what does not belong to it is still there."""

    async def follow(self: Any, decided: Any) -> Any:
        outcome = decided.outcome
        told = await find_told(self._blobs, outcome.transaction_id)
        if told is None:
            told = await mark_told(self._blobs, outcome.transaction_id, await self._tell(decided))
        if leaves_garbage(decided):
            await couriers.clean(self._blobs, outcome, 2)
        return delivered(decided, told)

    put(Courier, "_follow", follow)


@bug("rules/test_clean.py::test_after_a_failure_only_the_records_are_left")
def no_fence(put: Put) -> None:
    """What is committed of a failed transaction is deleted, and what is staged is left to a late committer."""

    async def bare(blobs: Any, name: str) -> None:
        there = await blobs.properties(name)
        if there is not None:
            await blobs.delete(name, there.etag)

    put(cleaning, "remove_part", bare)


@bug("rules/test_commit.py::test_a_part_that_is_committed_with_other_bytes_is_not_taken_for_the_accepted_ones")
def exists_is_ours(put: Put) -> None:
    """A part that is there counts as the one that was planned, whatever it holds."""

    def there(blobs: Any, name: str, _effect: Any, _series: Any, _plan: Any, found: Any) -> Any:
        crc64 = found.metadata.get("brh_crc64", "0" * 16)
        return committing._Held(Part(blobs.uri(name), found.size, found.etag, crc64), "")

    put(committing, "_there", there)


@bug("rules/test_commit.py::test_what_is_assembled_is_the_payloads_in_order_however_they_were_staged")
def order_of_arrival(put: Put) -> None:
    """A part is committed in the order in which its blocks came, or rather in another one than that of ordinals."""
    pick = committing.pick

    def backwards(*args: Any) -> Any:
        found = pick(*args)
        return Picked(found.blocks[::-1]) if isinstance(found, Picked) else found

    put(committing, "pick", backwards)


@bug("rules/test_commit.py::test_any_number_of_losers_costs_one_more_try")
def unpicked(put: Put) -> None:
    """A part is committed from whatever blocks fit, and not from those that were accepted."""
    pick = committing.pick

    def careless(plan: Any, total_count: int, staged: Any) -> Any:
        found = pick(plan, total_count, staged)
        if isinstance(found, committing.Unclear):
            by_place = {(block.id.first, block.id.sub): block for block in staged}
            return Picked(tuple(block for _, block in sorted(by_place.items())))
        return found

    put(committing, "pick", careless)


@bug("rules/test_commit.py::test_the_checksum_of_a_part_is_that_of_its_bytes_in_however_many_blocks")
def checksum_of_the_last_block(put: Put) -> None:
    """The checksum of a part is that of one of its blocks."""
    put(committing, "combine", lambda _before, crc64, _size: crc64)


@bug("rules/test_notification.py")
def another_id_each_time(put: Put) -> None:
    """Each copy of a notification has an id of its own, so consumers cannot know it again."""
    put(notification, "notification_id", lambda *_: str(uuid4()))


@bug("rules/test_orphans.py")
def orphans_untold(put: Put) -> None:
    """What came and is in no result is removed, and nobody is told."""

    async def tell(self: Any, decided: Any) -> Any:
        return await self._post.tell(decided)

    put(Courier, "_tell", tell)


@bug("rules/test_courier.py::test_an_exchange_without_a_queue_is_a_refusal_that_says_what_to_do")
def unroutable_is_told(put: Put) -> None:
    """A notification that no queue takes counts as told."""

    async def publish(self: Any, event: Any, key: str, reply_to: str | None) -> None:
        await self._notices.publish(event, key)
        if reply_to is not None:
            await self._notices.publish(event, "", queue=reply_to)

    put(couriers.Post, "_publish", publish)


@bug("rules/test_sweep.py::test_a_removal_can_die_at_every_step_and_nobody_is_told_of_what_is_gone")
def outcome_removed_first(put: Put) -> None:
    """The outcome of a result goes first, so a removal that is broken off leaves parts of something unknown."""
    remove = cleaning.remove_result

    async def backwards(blobs: Any, transaction: str, in_flight: int) -> None:
        name = record_name(transaction, OUTCOME_BLOB)
        there = await blobs.properties(name)
        if there is not None:
            await blobs.delete(name, there.etag)
        await remove(blobs, transaction, in_flight)

    put(sweep, "remove_result", backwards)


@bug("rules/test_sweep.py::test_a_bug_is_not_swallowed")
def swallow_exception(put: Put) -> None:
    """A mistake of ours in the sweep ends the sweep, and nobody hears of it."""
    begin = sweep.Sweeper.__init__

    def deaf(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **{**options, "fail": lambda _error: None})

    put(sweep.Sweeper, "__init__", deaf)


@bug("rules/test_window.py::test_what_is_finished_behind_open_work_is_acknowledged_when_that_is_done")
def acks_what_is_done(put: Put) -> None:
    """An effect is acknowledged when it is done, whatever before it is still open: a committed offset covers that."""

    def advance(self: Any, partition: int) -> None:
        queue = self._queues.get(partition)
        for each in [each for each in queue or () if each[0].done()]:
            queue.remove(each)
            self._room.release()
            each[1]()

    put(Window, "_advance", advance)
