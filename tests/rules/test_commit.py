"""A series is committed as its accepted payloads in order, whatever else was staged, lost or committed before."""

from __future__ import annotations

import asyncio
import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from bridge.blobs import Block, Committed, Exists
from bridge.checksums import crc64, hex16
from bridge.contract.events import Delivered, DeliveryRefused, Staged
from bridge.contract.inbound import TOTAL_COUNT_MAX
from bridge.layout import BlockId, part_count, part_name, part_of, part_ordinals
from bridge.memory_blobs import MemoryBlobs
from bridge.runs import RUN_ORDINALS_MAX
from streams.commit import _not_staged
from tests.support.assembly import PAUSE, SERIES, Assembly

BODIES = [b"", b"a", b"ab", b"b", b"abc", b"abcdefgh"]
law = settings(max_examples=60)
chances = st.randoms(use_true_random=False)


class Leaky(MemoryBlobs):
    """Storage that loses uncommitted blocks: the emulator when it is killed, or any after a week."""

    def lose(self, chance: random.Random, share: float = 1.0) -> None:
        for staged in self._staged.values():
            for block in [each for each in staged if chance.random() < share]:
                del staged[block]


def some(total_count: int, chance: random.Random) -> Assembly:
    return Assembly({ordinal: chance.choice(BODIES) for ordinal in range(1, total_count + 1)}, Leaky())


async def stage_some(assembly: Assembly, chance: random.Random, times: int, *, told: bool = True) -> None:
    for _ in range(times):
        interval = assembly.interval(chance)
        await assembly.stage(interval.first, interval.count, told=told)


async def stage_other(assembly: Assembly, chance: random.Random, *, told: bool) -> None:
    """Bytes that are not the payloads': of messages that are in conflict, or that were refused after all."""
    interval = assembly.interval(chance)
    bodies = [assembly.payloads[ordinal] for ordinal in interval.ordinals]
    bodies[chance.randrange(len(bodies))] = chance.choice(BODIES) + b"!"
    # What comes first would be what stays.
    known = assembly.transaction.series[SERIES].contents.known(interval.first, interval.count)
    await assembly.stage(interval.first, interval.count, bodies=bodies, told=told and None not in known)


async def stage_rest(assembly: Assembly, chance: random.Random) -> None:
    missing = [each for each in assembly.payloads if assembly.transaction.series[SERIES].contents.get(each) is None]
    for ordinal in chance.sample(missing, len(missing)):
        await assembly.stage(ordinal)


@law
@given(chances, st.sampled_from([1, 2, 3, 8, 13, 40]))
def test_what_is_assembled_is_the_payloads_in_order_however_they_were_staged(
    chance: random.Random, total_count: int
) -> None:
    async def script() -> None:
        assembly = some(total_count, chance)
        for _ in range(chance.randrange(4)):  # bridges that died before they told
            await stage_other(assembly, chance, told=False)
            await stage_some(assembly, chance, 1, told=False)
        for _ in range(chance.randrange(30)):
            await stage_some(assembly, chance, 1)
            if chance.random() < 0.2:
                await stage_other(assembly, chance, told=True)
        await stage_rest(assembly, chance)
        await stage_some(assembly, chance, chance.randrange(5))  # after the verdict
        assert await assembly.result() == assembly.whole

    asyncio.run(script())


def test_a_series_of_several_parts_is_assembled_from_its_runs() -> None:
    async def script() -> None:
        chance = random.Random(1)
        assembly = some(4_100, chance)
        for first in [*range(1, 4_097, 256), 4_097]:
            assert await assembly.stage(first, min(256, 4_101 - first))
        assert [part.blocks for part in assembly.effect().series[0].parts] == [16, 1]
        assert await assembly.result() == assembly.whole

    asyncio.run(script())


def test_the_longest_series_there_may_be_is_assembled_from_runs_that_came_in_no_order() -> None:
    async def script() -> None:
        total = TOTAL_COUNT_MAX
        payloads = {ordinal: b"%d," % ordinal if ordinal % 5 else b"" for ordinal in range(1, total + 1)}
        assembly = Assembly(payloads, MemoryBlobs())
        firsts = list(range(1, total + 1, RUN_ORDINALS_MAX))
        for first in random.Random(3).sample(firsts, len(firsts)):
            assert await assembly.stage(first, min(RUN_ORDINALS_MAX, total + 1 - first))
        assert len(firsts) == 3_907
        sizes = [sum(len(payloads[n]) for n in part_ordinals(part, total)) for part in range(part_count(total))]
        (plan,) = assembly.effect().series
        assert [(part.ordinals, part.blocks) for part in plan.parts] == [(4_096, 16)] * 244 + [(576, 3)]
        assert [part.bytes for part in plan.parts] == sizes
        assert await assembly.result() == assembly.whole
        (series,) = await assembly.outcome()
        assert (series.total_count, series.bytes) == (total, sum(sizes))
        assert [part.bytes for part in series.parts] == sizes

    asyncio.run(script())


def test_the_checksum_of_a_part_is_that_of_its_bytes_in_however_many_blocks() -> None:
    # `result` compares it with the bytes. As many sub-blocks as a payload may have, and more parts than one.
    async def script() -> None:
        chance = random.Random(2)
        payloads = {ordinal: chance.randbytes(chance.choice([0, 1, 30, 64])) for ordinal in range(1, 4_200)}
        assembly = Assembly(payloads, MemoryBlobs())
        for first in range(1, 4_097, 64):
            await assembly.stage(first, chance.choice([16, 32, 64]))
        await stage_rest(assembly, chance)
        assert await assembly.result() == assembly.whole
        (series,) = await assembly.outcome()
        assert len(series.parts) == part_count(4_199) == 2

    asyncio.run(script())


# --- more is staged than was accepted


def test_any_number_of_losers_costs_one_more_try() -> None:
    async def script() -> None:
        assembly = Assembly({ordinal: bytes([ordinal]) * 8 for ordinal in range(1, 41)}, MemoryBlobs())
        for ordinal in assembly.payloads:
            await assembly.stage(ordinal)
            for other in b"xyz":
                await assembly.stage(ordinal, bodies=[bytes([ordinal]) * 6 + bytes([other, ordinal])])
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert (answer.problem.code, answer.unclear) == ("blocks-unclear", {SERIES: (0,)})
        assert await assembly.result() == assembly.whole

    asyncio.run(script())


def test_what_can_be_committed_is_committed_while_other_parts_are_unclear() -> None:
    async def script() -> None:
        assembly = Assembly(dict.fromkeys(range(1, 8200), b"x"), MemoryBlobs())
        for first in range(1, 8_193, 256):
            await assembly.stage(first, 256)
        await assembly.stage(8_193, 4)
        for ordinal in (8_197, 8_198, 8_199):
            await assembly.stage(ordinal)
        await assembly.stage(1, 256, bodies=[b"x"] * 255 + [b"y"])
        await assembly.stage(8_199, bodies=[b"y"])
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert answer.unclear == {SERIES: (0, 2)}
        committed = [await assembly.blobs.properties(part_name("T1", SERIES, part)) is not None for part in range(3)]
        assert committed == [False, True, False]
        assert await assembly.result() == assembly.whole

    asyncio.run(script())


# --- what was lost


async def send_again(assembly: Assembly, answer: DeliveryRefused, chance: random.Random) -> None:
    """What a producer does that is asked for payloads; whoever takes them has others in hand as well, or not."""
    missing = (answer.problem.missing or {}).get(SERIES) or ()
    for first, last in missing:
        for ordinal in range(first, last + 1):
            count = chance.choice([1, 1, 2, 4])
            start = (ordinal - 1) // count * count + 1
            if start + count - 1 > assembly.total_count or not await assembly.stage(start, count):
                await assembly.stage(ordinal)


@law
@given(chances, st.sampled_from([2, 3, 8, 13, 40]), st.integers(1, 3))
def test_what_was_lost_after_the_verdict_heals_in_whatever_company_it_comes_again(
    chance: random.Random, total_count: int, losses: int
) -> None:
    async def script() -> None:
        assembly = some(total_count, chance)
        for _ in range(chance.randrange(10)):
            await stage_some(assembly, chance, 1)
            if chance.random() < 0.2:
                await stage_other(assembly, chance, told=chance.random() < 0.5)
        await stage_rest(assembly, chance)
        assert isinstance(assembly.blobs, Leaky)
        for number in range(losses + 5):
            if number < losses:
                assembly.blobs.lose(chance, chance.choice([0.1, 0.5, 1.0]))
                await stage_some(assembly, chance, chance.randrange(3), told=chance.random() < 0.8)
            answer = await assembly.deliver()
            if isinstance(answer, Delivered):
                break
            await send_again(assembly, answer, chance)
        assert await assembly.stored() == assembly.whole

    asyncio.run(script())


AGAIN = {"alone": [1] * 8, "in pairs": [2] * 4, "in all sizes": [1, 1, 2, 4], "in halves": [4, 4], "together": [8]}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN.keys())
@pytest.mark.parametrize("before", [1, 2, 4, 8])
def test_a_lost_block_heals_as_a_smaller_an_equal_or_a_larger_one(before: int, again: list[int]) -> None:
    async def script() -> None:
        blobs = Leaky()
        assembly = Assembly({ordinal: bytes([64 + ordinal]) * ordinal for ordinal in range(1, 9)}, blobs)
        for first in range(1, 9, before):
            await assembly.stage(first, before)
        blobs.lose(random.Random(1))
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert (answer.problem.code, answer.problem.missing) == ("blocks-missing", {SERIES: ((1, 8),)})
        for first, count in zip(accumulate(again, initial=1), again, strict=False):
            await assembly.stage(first, count)
        assert await assembly.result() == assembly.whole

    asyncio.run(script())


def test_only_what_is_not_there_is_asked_for_again() -> None:
    async def script() -> None:
        blobs = Leaky()
        assembly = Assembly({ordinal: b"x" * ordinal for ordinal in range(1, 8_200)}, blobs)
        for first in range(1, 8_193, 256):
            await assembly.stage(first, 256)
        for ordinal in range(8_193, 8_200):
            await assembly.stage(ordinal)
        blobs.lose(random.Random(1))
        for ordinal in (1, 2, 4, 8_199):
            await assembly.stage(ordinal)
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert answer.problem.missing == {SERIES: ((3, 3), (5, 8_198))}

    asyncio.run(script())


def test_what_was_lost_in_more_ranges_than_a_problem_holds_is_said_to_be_more() -> None:
    odd = list(range(1, 2_001, 2))
    named = tuple((ordinal, ordinal) for ordinal in odd)
    for lost in ({"a": [*odd, 2_001], "b": [7]}, {"a": odd, "b": [7]}, {"a": [*odd, 2_001]}):
        found = _not_staged(lost)
        assert (found.missing, found.missing_truncated) == ({"a": named}, True)
    whole = _not_staged({"a": odd[:999], "b": [7, 8]})
    assert (whole.missing, whole.missing_truncated) == ({"a": named[:999], "b": ((7, 8),)}, UNSET)


# --- what is committed already


class Stalling(MemoryBlobs):
    """Everything is committed, and then the outcome cannot be written."""

    async def write_once(self, *args: object, **kwargs: object) -> Committed | Exists:
        raise TimeoutError


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (1, 4), (2, 1), (4, 1)])
def test_a_part_that_is_committed_is_known_again_whatever_is_staged_since(before: int, after: int) -> None:
    async def script() -> None:
        assembly = Assembly({1: b"a", 2: b"b", 3: b"c", 4: b"d"}, Stalling())
        for first in range(1, 5, before):
            await assembly.stage(first, before)
        old = assembly.effect()
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert answer.problem.code == "delivery-timeout"
        for first in range(1, 5, after):
            await assembly.stage(first, after)
        assembly.now += PAUSE
        new = assembly.effect()
        assert old.series[0].parts[0].content == new.series[0].parts[0].content
        assembly.blobs.__class__ = MemoryBlobs
        assert await assembly.result() == b"abcd"

    asyncio.run(script())


@pytest.mark.parametrize(("bytes_found", "code"), [(b"abcd", None), (b"abce", "part-differs")])
def test_a_part_that_is_committed_is_known_by_its_blocks_to_who_has_found_its_runs_in_storage(
    bytes_found: bytes, code: str | None
) -> None:
    async def script() -> None:
        before = Assembly({1: b"a", 2: b"b", 3: b"c", 4: b"d"}, Stalling())
        await before.stage(1, 4)
        assert isinstance(await before.deliver(), DeliveryRefused)
        before.blobs.__class__ = MemoryBlobs
        after = Assembly(before.payloads, before.blobs)
        after.tell(Staged(SERIES, 1, 4, 4, (), (), (hex16(crc64([bytes_found])),), 4))
        answer = await after.deliver()
        assert (answer.problem.code if isinstance(answer, DeliveryRefused) else None) == code

    asyncio.run(script())


def test_a_part_that_is_committed_with_other_bytes_is_not_taken_for_the_accepted_ones() -> None:
    async def script() -> None:
        assembly = Assembly({1: b"a"}, MemoryBlobs())
        await assembly.stage(1)
        name, other = part_name("T1", SERIES, 0), BlockId(1, 1, 1, 0, 1, crc64([b"z"]))
        await assembly.blobs.stage_block(name, other, [b"z"])
        await assembly.blobs.commit(name, [other], content_type="a/b", metadata={"brh_content": "0" * 32})
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert answer.problem.code == "part-differs"

    asyncio.run(script())


def test_a_part_that_somebody_commits_while_its_blocks_are_listed_is_found_to_be_done() -> None:
    class Racing(MemoryBlobs):
        """Another delivery is faster by a moment."""

        async def uncommitted(self, name: str) -> list[Block]:
            found = await super().uncommitted(name)
            if found:
                content = assembly.effect().series[0].parts[0].content
                ids = [each.id for each in found]
                metadata = {"brh_content": content, "brh_crc64": f"{ids[0].crc64:016x}"}
                await self.commit(name, ids, content_type="a/b", metadata=metadata)
            return await super().uncommitted(name)

    assembly = Assembly({1: b"a"}, Racing())

    async def script() -> None:
        await assembly.stage(1)
        assert part_of(1, 1) == 0
        assert await assembly.result() == b"a"

    asyncio.run(script())
