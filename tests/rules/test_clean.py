"""What does not belong to an outcome goes, whoever is still at work on it and wherever a process dies."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from bridge.blobs import BlobsUnavailable, Committed
from bridge.contract.events import Delivered
from bridge.layout import KEEP_ALIVE, PartName
from bridge.memory_blobs import MemoryBlobs
from streams.clean import clean, remove_part
from streams.keep_alive import keep_alive
from streams.outcome import find_outcome
from tables.effects import Deliver
from tests.support.deliveries import (
    assert_consistent,
    below,
    committed_parts,
    courier,
    deliver,
    outcome_of,
)
from tests.support.posted import Posted
from tests.support.result import Result
from tests.support.stepped import Died, Stepped, Turns, dying_at

KIND = "text/x"
SERIES = {"a": [b"a1", b"a2"], "b": [b"", b"b2", b"b3"], "c": []}


async def staged(**options: Any) -> tuple[MemoryBlobs, Result]:
    blobs, result = MemoryBlobs(), Result(SERIES, **options)
    await result.stage_all(blobs)
    await blobs.write_once("T1/_header.json", b"{}", content_type="application/json", metadata={})
    return blobs, result


# --- what goes and what stays


async def test_after_a_failure_only_the_records_are_left() -> None:
    blobs, result = await staged()
    posted = Posted()
    await deliver(courier(blobs, posted), result.failed())
    assert [each.name for each in await below(blobs, "T1")] == ["T1/_header.json", "T1/_outcome.json", "T1/_told.json"]


async def test_a_part_that_was_committed_for_another_verdict_goes_too() -> None:
    blobs, result = await staged()
    await blobs.commit(result.part("a"), [], content_type=KIND, metadata={"brh_content": "x"})
    posted = Posted()
    await deliver(courier(blobs, posted), result.failed())
    assert await committed_parts(blobs, "T1") == []


async def test_other_transactions_and_unknown_names_are_left_alone() -> None:
    blobs, result = await staged()
    neighbours = ["T10/a/part-00000", "T1-x/a/part-00000", "T1/a/part-0000x", "T1/readme.txt"]
    for name in neighbours:
        await blobs.write_once(name, b"x", content_type=KIND, metadata={})
    await deliver(courier(blobs, Posted()), result.failed())
    for name in neighbours:
        assert await blobs.properties(name) is not None, name


async def test_nobody_is_told_before_it_is_clean() -> None:
    blobs, result = await staged()
    seen: list[str] = []

    async def watch(what: str) -> None:
        if what.startswith(("before publish", "before write_once T1/_told")):
            seen.append(what.partition(" ")[2])
            assert not [each.name for each in await below(blobs, "T1") if PartName.parse(each.name)]
            assert await find_outcome(blobs, "T1") is not None

    await deliver(courier(blobs, Posted(), watch), result.failed())
    assert len(seen) == 3


async def test_a_completed_result_is_left_as_it_is() -> None:
    blobs, result = await staged()
    await deliver(courier(blobs, Posted()), result.completed())
    before = await below(blobs, "T1")
    decided = await find_outcome(blobs, "T1")
    assert decided is not None
    assert await clean(blobs, decided.outcome, 2) == 0
    assert await below(blobs, "T1") == before


async def test_cleaning_again_finds_what_came_late_and_then_nothing() -> None:
    blobs, result = await staged()
    await deliver(courier(blobs, Posted()), result.failed())
    await result.stage(blobs, "a", 1)
    decided = await find_outcome(blobs, "T1")
    assert decided is not None
    assert await clean(blobs, decided.outcome, 2) == 1
    assert await clean(blobs, decided.outcome, 2) == 0


async def test_more_parts_than_a_page_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = MemoryBlobs()
    result = Result({f"s{n:02}": [b"x"] for n in range(7)})
    await result.stage_all(blobs)
    whole = blobs.page

    async def small(prefix: str = "", **options: Any) -> Any:
        return await whole(prefix, **{**options, "limit": 2})

    monkeypatch.setattr(blobs, "page", small)
    await deliver(courier(blobs, Posted()), result.failed())
    assert await committed_parts(blobs, "T1") == []
    assert len(blobs._staged) == 0


async def test_a_part_that_always_comes_back_is_given_up_for_now() -> None:
    blobs = MemoryBlobs()

    async def restage(what: str) -> None:
        if what.startswith("before delete"):
            there = await blobs.properties("T1/a/part-00000")
            assert there is not None
            await blobs.delete("T1/a/part-00000", there.etag)
            assert isinstance(
                await blobs.write_once("T1/a/part-00000", b"x", content_type=KIND, metadata={}), Committed
            )

    with pytest.raises(BlobsUnavailable, match="try again later"):
        await remove_part(Stepped(blobs, restage), "T1/a/part-00000")


# --- who is late


async def test_a_delivery_that_wakes_up_behind_the_clean_up_ends_with_the_outcome_that_is_there() -> None:
    for verdict in ("failed", "abandoned"):
        blobs, result = await staged()
        posted = Posted()
        first = await deliver(courier(blobs, posted), getattr(result, verdict)())
        late = await deliver(courier(blobs, posted), result.completed())
        await assert_consistent(blobs, posted, "T1", [first, late])


async def test_a_delivery_that_finds_everything_staged_again_removes_what_it_committed() -> None:
    blobs, result = await staged()
    posted = Posted()
    answers: list[Delivered] = []

    async def frozen(what: str) -> None:
        # It has seen that there is no outcome, and sleeps while another one fails the transaction.
        if what.startswith("before properties") and not answers:
            answers.append(await deliver(courier(blobs, posted), result.failed()))
            await result.stage_all(blobs)  # every message was delivered again

    answers.append(await deliver(courier(blobs, posted, frozen), result.completed()))
    assert (await outcome_of(blobs, "T1"))["outcome"] == "Failed"
    await assert_consistent(blobs, posted, "T1", answers)


async def test_a_delivery_whose_blocks_are_fenced_away_ends_with_the_outcome_at_once() -> None:
    blobs, result = await staged()
    posted = Posted()
    answers: list[Delivered] = []

    async def frozen(what: str) -> None:
        if what.startswith("before commit") and not answers:
            answers.append(await deliver(courier(blobs, posted), result.failed()))

    answer = await courier(blobs, posted, frozen).carry_out(result.completed())
    assert isinstance(answer, Delivered), answer
    await assert_consistent(blobs, posted, "T1", [*answers, answer])


@pytest.mark.parametrize("seed", range(150))
async def test_deliveries_with_other_verdicts_and_bridges_end_in_one_outcome_and_nothing_else(seed: int) -> None:
    blobs, result = await staged(reply_to="asked")
    posted = Posted()
    turns = Turns(random.Random(seed))
    verdicts = {"completes": result.completed(), "fails": result.failed(), "completes too": result.completed()}

    def delivering(effect: Deliver) -> Callable[[Any], Awaitable[Delivered]]:
        return lambda step: deliver(courier(blobs, posted, step), effect)

    async def bridge(step: Any) -> None:
        await Result(SERIES).stage_all(Stepped(blobs, step))

    done = await turns.run({name: delivering(effect) for name, effect in verdicts.items()} | {"stages": bridge})
    answers = [answer for name, answer in done.items() if name != "stages"]
    assert all(isinstance(answer, Delivered) for answer in answers), (answers, turns.log)
    await assert_consistent(blobs, posted, "T1", answers)


# --- who dies


@pytest.mark.parametrize("verdict", ["failed", "abandoned", "completed"])
async def test_a_delivery_can_die_at_every_step_and_the_next_one_finishes_it(verdict: str) -> None:
    for step in count():
        blobs, result = await staged(reply_to="asked")
        posted = Posted()
        effect = getattr(result, verdict)()
        try:
            answers = [await deliver(courier(blobs, posted, dying_at(step)), effect)]
        except Died:
            answers = []
        answers.append(await deliver(courier(blobs, posted), effect))
        outcome = await assert_consistent(blobs, posted, "T1", answers)
        assert outcome["outcome"].lower() == verdict
        assert {"kafka", f"transaction.{verdict}.valuation", "queue:asked"} <= set(
            posted.places
        ) or verdict == "abandoned"
        if len(answers) == 2:
            break
    assert step > 15, "every step was tried"


@pytest.mark.parametrize("seed", range(40))
async def test_a_delivery_that_dies_beside_another_one_leaves_nothing_of_its_own(seed: int) -> None:
    """Its effect was never acknowledged, so it is carried out again, by whoever has its partition then."""
    chance = random.Random(seed)
    blobs, result = await staged()
    posted = Posted()
    turns, dying = Turns(chance), dying_at(chance.randrange(30))

    async def dies(step: Any) -> None:
        async def both(what: str) -> None:
            await step(what)
            await dying(what)

        with suppress(Died):
            await deliver(courier(blobs, posted, both), result.completed())

    async def fails(step: Any) -> Delivered:
        return await deliver(courier(blobs, posted, step), result.failed())

    done = await turns.run({"dies": dies, "fails": fails})
    again = await deliver(courier(blobs, posted), result.completed())
    assert isinstance(done["fails"], Delivered), done
    await assert_consistent(blobs, posted, "T1", [done["fails"], again])


# --- keeping alive


async def test_keeping_alive_touches_what_is_staged_and_nothing_else() -> None:
    blobs, result = await staged()
    await blobs.commit(result.part("b"), [], content_type=KIND, metadata={"brh_content": "x"})
    assert KEEP_ALIVE not in blobs._staged[result.part("a")]
    assert await keep_alive(blobs, "T1", 2) == 1
    assert KEEP_ALIVE in blobs._staged[result.part("a")]
    assert result.part("b") not in blobs._staged
    assert await keep_alive(blobs, "T1", 2) == 1


async def test_a_block_that_keeps_alive_is_no_block_of_the_result() -> None:
    blobs, result = await staged()
    before = await blobs.uncommitted(result.part("a"))
    await keep_alive(blobs, "T1", 2)
    assert await blobs.uncommitted(result.part("a")) == before
    await deliver(courier(blobs, Posted()), result.completed())
    content = await blobs.read(result.part("a"))
    assert content is not None
    assert content.body == b"a1a2"
