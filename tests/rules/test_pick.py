"""Of all that is staged in a blob, the blocks that were accepted are committed, and no others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from playbook import START, T1, header

from bridge.blobs import Block
from bridge.checksums import crc64, hex16
from bridge.contract.events import Staged
from bridge.layout import EMPTY_MARKER, BlockId, part_count, part_name, part_of
from bridge.memory_blobs import MemoryBlobs
from bridge.runs import Interval, is_aligned
from streams import pick as picking
from streams.commit import assemble
from streams.pick import NotThere, Picked, pick
from tables import effects
from tables.accept import staged_ids
from tables.effects import Deliver, PartPlan, Runs, block_hash, digest_text
from tables.rules import advance, due, opened


def block(first: int, count: int = 1, *, content: int = 0, sub: int = 0, nsub: int = 1, size: int = 10) -> Block:
    return Block(BlockId(first, count, sub, nsub, content), size)


def plan(*accepted: Block, ordinals: int, runs: tuple[Runs, ...] = ()) -> PartPlan:
    digest = sum(block_hash(str(each.id)) for each in accepted)
    size = sum(each.size for each in accepted)
    return PartPlan(0, ordinals, len(accepted), size, digest_text(digest), runs)


def picked(wanted: PartPlan, staged: Sequence[Block], excluded: Sequence[Block] = ()) -> Picked | NotThere:
    return pick(wanted, wanted.ordinals, [str(each.id) for each in excluded], staged)


# --- runs


def test_a_run_is_the_block_with_its_first_ordinal_and_its_count() -> None:
    accepted = [block(1), block(2), block(3, 2), block(5, 4)]
    within = [block(3), block(4), block(5, 2), block(8), block(1, 2), block(1, 4), block(1, 8)]
    wanted = plan(*accepted, ordinals=8, runs=(Runs(2, 3, 3), Runs(4, 5, 5)))
    assert picked(wanted, [*within, *reversed(accepted)]) == Picked(tuple(accepted))


def test_runs_that_touch_are_all_looked_for() -> None:
    accepted = [block(1), block(2), *(block(first, 2) for first in (3, 5, 7)), block(9)]
    assert picked(plan(*accepted, ordinals=9, runs=(Runs(2, 3, 7),)), accepted) == Picked(tuple(accepted))


def test_a_run_that_is_not_there_is_missing_with_all_its_ordinals() -> None:
    accepted = [block(1), block(2), block(3, 2), block(5, 4)]
    wanted = plan(*accepted, ordinals=8, runs=(Runs(2, 3, 3), Runs(4, 5, 5)))
    others = [*(block(ordinal) for ordinal in range(3, 9)), block(5, 2), block(7, 2)]
    assert picked(wanted, [block(1), block(3, 2), *others]) == NotThere((2, 5, 6, 7, 8))


def test_of_two_runs_over_the_same_ordinals_the_accepted_one_is_picked() -> None:
    accepted, other = [block(1, 2, content=7), block(3, 2, content=8)], [block(1, 2, content=9), block(3, 2, content=5)]
    wanted = plan(*accepted, ordinals=4, runs=(Runs(2, 1, 3),))
    assert picked(wanted, [*other, *accepted]) == Picked(tuple(accepted))
    assert picked(wanted, other) == NotThere(())


def test_an_excluded_run_is_not_picked() -> None:
    wanted = plan(block(1, 2, content=7), ordinals=2, runs=(Runs(2, 1, 1),))
    staged = [block(1, 2, content=7), block(1, 2, content=9)]
    assert picked(wanted, staged, excluded=staged[1:]) == Picked((staged[0],))
    assert picked(wanted, staged, excluded=staged) == NotThere((1, 2))


def test_a_run_is_one_block_and_nothing_else() -> None:
    wanted = plan(ordinals=2, runs=(Runs(2, 1, 1),))
    marker = block(1, 2, nsub=0, size=1)
    halves = [block(1, 2, sub=sub, nsub=2) for sub in (0, 1)]
    assert picked(wanted, [marker]) == NotThere((1, 2))
    assert picked(plan(*halves, ordinals=2, runs=(Runs(2, 1, 1),)), halves) == NotThere((1, 2))


def test_runs_of_which_the_plan_does_not_tell_are_ignored() -> None:
    accepted = [block(1), block(2)]
    assert picked(plan(*accepted, ordinals=2), [block(1, 2), *accepted]) == Picked(tuple(accepted))
    assert picked(plan(*accepted, ordinals=2), [block(1, 2)]) == NotThere((1, 2))


# --- payloads


def test_blocks_of_a_payload_are_picked_in_their_order_and_only_when_all_are_there() -> None:
    accepted = [block(1, sub=sub, nsub=3, content=sub) for sub in range(3)]
    assert picked(plan(*accepted, ordinals=1), accepted[::-1]) == Picked(tuple(accepted))
    assert picked(plan(*accepted, ordinals=1), accepted[1:]) == NotThere((1,))


def test_an_empty_payload_is_there_with_its_marker() -> None:
    wanted = plan(block(2), ordinals=2)
    assert picked(wanted, [block(1, nsub=0, size=1), block(2)]) == Picked((block(2),))
    assert picked(wanted, [block(2)]) == NotThere((1,))


def test_a_payload_cut_otherwise_is_another_candidate() -> None:
    whole, halves = block(1, content=3), [block(1, sub=sub, nsub=2, content=sub, size=5) for sub in (0, 1)]
    assert picked(plan(whole, ordinals=1), [*halves, whole]) == Picked((whole,))
    assert picked(plan(*halves, ordinals=1), [*halves, whole]) == Picked(tuple(halves))


def test_no_more_combinations_are_tried_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Candidates are tried as they came, the last ordinal's first: the accepted pair is the sixth of nine.
    accepted = [block(1, content=1), block(2, content=2)]
    staged = [block(ordinal, content=content) for ordinal in (1, 2) for content in range(3)]
    monkeypatch.setattr(picking, "ALTERNATIVES_MAX", 6)
    assert picked(plan(*accepted, ordinals=2), staged) == Picked(tuple(accepted))
    monkeypatch.setattr(picking, "ALTERNATIVES_MAX", 5)
    assert picked(plan(*accepted, ordinals=2), staged) == NotThere(())


# --- the plan on its way


def test_the_runs_of_a_plan_are_three_numbers_each() -> None:
    wanted = plan(block(1, 4), block(5, 4), block(9, 2), ordinals=10, runs=(Runs(4, 1, 5), Runs(2, 9, 9)))
    plain = msgspec.json.encode(wanted)
    assert b'"runs":[[4,1,5],[2,9,9]]' in plain
    assert msgspec.json.decode(plain, type=PartPlan) == wanted


def test_a_plan_of_an_older_version_has_no_runs() -> None:
    older = b'{"part":0,"ordinals":2,"blocks":2,"bytes":20,"digest":"0"}'
    assert msgspec.json.decode(older, type=PartPlan).runs == ()
    assert b"runs" not in msgspec.json.encode(plan(ordinals=0))


# --- the law


class World:
    """A series as one bridge after the other stages it, and the transaction that hears of it."""

    def __init__(self, total_count: int, chance: random.Random) -> None:
        self.total_count, self.chance = total_count, chance
        self.blobs = MemoryBlobs()
        self.transaction = advance(opened(T1, START), header(a=total_count, on_conflict="keep-first"), START)
        self.payloads = {ordinal: self.body() for ordinal in range(1, total_count + 1)}

    def body(self) -> bytes:
        return self.chance.choice([b"", b"a", b"ab", b"b", b"abc"])

    async def stage(self, interval: Interval, *, other: bool = False, told: bool = True) -> bool:
        """Stage payloads together; `other`: not all as they are. False where that cannot be."""
        bodies = [self.payloads[ordinal] for ordinal in interval.ordinals]
        if other:
            bodies[self.chance.randrange(len(bodies))] = self.body() + b"!"
        whole = b"".join(bodies)
        if interval.count > 1 and not whole:
            return False
        crc64s = tuple(hex16(crc64([body])) for body in bodies)
        blocks = (hex16(crc64([whole])),) if whole else ()
        sizes = tuple(map(len, bodies))
        fact = Staged("a", interval.first, interval.count, self.total_count, sizes, crc64s, blocks)
        name = part_name(T1, "a", part_of(interval.first, self.total_count))
        (block_id,) = (BlockId.parse(text) for text in staged_ids(fact))
        assert block_id is not None
        await self.blobs.stage_block(name, block_id, [whole or EMPTY_MARKER])
        if told:
            self.transaction = advance(self.transaction, fact, START)
        return True

    async def result(self) -> bytes:
        (effect,) = due(self.transaction, START)
        carried = effects.decode(effects.encode(effect))
        assert isinstance(carried, Deliver)
        (series,) = await assemble(self.blobs, carried, 4)
        assert (series.bytes, len(series.parts)) == (
            sum(map(len, self.payloads.values())),
            part_count(self.total_count),
        )
        whole = b""
        for part in range(part_count(self.total_count)):
            found = await self.blobs.read(part_name(T1, "a", part))
            assert found is not None
            whole += found.body
        return whole

    def interval(self) -> Interval:
        """Any that the series has."""
        while True:
            count = self.chance.choice([1, 1, 2, 4, 8])
            first = self.chance.randrange(0, self.total_count) // count * count + 1
            if first + count - 1 <= self.total_count:
                assert is_aligned(first, count)
                return Interval(first, count)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([1, 2, 3, 8, 13, 40]))
def test_what_is_assembled_is_the_payloads_in_order_however_they_were_staged(
    chance: random.Random, total_count: int
) -> None:
    async def script() -> None:
        world = World(total_count, chance)
        for _ in range(chance.randrange(4)):  # bridges that died before they told
            await world.stage(world.interval(), other=True, told=False)
            await world.stage(world.interval(), told=False)
        for _ in range(chance.randrange(30)):
            await world.stage(world.interval())
            if chance.random() < 0.1:
                # Without effect where it is the first of its ordinals: that would be what stays.
                interval = world.interval()
                known = world.transaction.series["a"].contents.known(interval.first, interval.count)
                await world.stage(interval, other=True, told=None not in known)
        for ordinal in chance.sample(range(1, total_count + 1), total_count):
            await world.stage(Interval(ordinal, 1))
        for _ in range(chance.randrange(5)):  # after the verdict
            await world.stage(world.interval())
        assert await world.result() == b"".join(world.payloads.values())

    asyncio.run(script())


def test_a_series_of_several_parts_is_assembled_from_its_runs() -> None:
    async def script() -> None:
        world = World(4_100, random.Random(1))
        for first in [*range(1, 4_097, 256), 4_097]:
            assert await world.stage(Interval(first, min(256, 4_101 - first)))
        (effect,) = due(world.transaction, START)
        assert [part.runs for part in effect.series[0].parts] == [(Runs(256, 1, 3_841),), (Runs(4, 4_097, 4_097),)]
        assert await world.result() == b"".join(world.payloads.values())

    asyncio.run(script())


def test_a_part_that_is_committed_is_known_again_after_a_run_of_what_is_known() -> None:
    async def script() -> None:
        world = World(2, random.Random(3))
        world.payloads = {1: b"a", 2: b"b"}
        await world.stage(Interval(1, 1))
        await world.stage(Interval(2, 1))
        before = await world.result()
        await world.stage(Interval(1, 2))
        assert await world.result() == before, "a run of what is known changes no plan after the verdict"

    asyncio.run(script())


def test_an_ordinal_that_is_in_no_run_of_the_plan_is_looked_for_by_itself() -> None:
    accepted = [block(1, 2), block(3, 2)]
    wanted = plan(*accepted, ordinals=4, runs=(Runs(2, 1, 3),))
    assert picked(wanted, accepted) == Picked(tuple(accepted))
    assert picked(replace(wanted, runs=()), accepted) == NotThere((1, 2, 3, 4))
