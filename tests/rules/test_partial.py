"""Partial results: what was received, in order, without filler; one outcome however many gave up waiting, and where."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bridge.contract.events import Delivered, DeliveryRefused
from bridge.contract.inbound import SeriesSpec
from bridge.contract.outbound import SeriesResult
from bridge.memory_blobs import MemoryBlobs
from bridge.runs import Interval
from streams.partial import numbers, with_ranges
from tables.decisions import Expired
from tables.effects import Deliver
from tests.support.deliveries import assert_bytes, assert_consistent, courier, deliver, outcome_of
from tests.support.posted import Posted
from tests.support.result import Result, delivery
from tests.support.stepped import Died, Turns, dying_at

SERIES = {"a": [b"a1", b"a22", b"", b"a4444", b"a5"], "b": [b"b1", b"b2"], "c": [], "d": [b"d1", b"d2"]}
MISSING = {"a": [2, 3], "d": [1, 2]}


async def staged(series: dict[str, list[bytes]] = SERIES, **options: Any) -> tuple[MemoryBlobs, Result]:
    blobs, result = MemoryBlobs(), Result(series, **options)
    await result.stage_all(blobs)
    return blobs, result


async def delivered(result: Result, blobs: MemoryBlobs, effect: Deliver) -> dict[str, Any]:
    posted = Posted()
    answer = await deliver(courier(blobs, posted), effect)
    outcome = await assert_consistent(blobs, posted, result.name, [answer])
    await assert_bytes(blobs, result, outcome)
    return outcome


# --- the document


async def test_a_partial_outcome_says_what_is_there_and_what_is_not() -> None:
    blobs, result = await staged()
    outcome = await delivered(result, blobs, result.partial(MISSING))
    assert (outcome["outcome"], outcome["partial"], outcome["problem"]) == ("Completed", True, None)
    shown = {
        each["seriesType"]: (each["totalCount"], each["received"], each["missing"], len(each["parts"]), each["bytes"])
        for each in outcome["series"]
    }
    assert shown == {
        "a": (5, [[1, 1], [4, 5]], [[2, 3]], 1, 9),
        "b": (2, [[1, 2]], [], 1, 4),
        "c": (0, [], [], 1, 0),
        "d": (2, [], [[1, 2]], 0, 0),
    }
    assert not any(each["rangesTruncated"] for each in outcome["series"])


async def test_a_series_never_heard_of_has_no_total_and_no_parts() -> None:
    blobs, result = await staged({"a": [b"a1"]})
    specs = (*result.header.header.series, SeriesSpec("log"))
    result.header = replace(result.header, header=replace(result.header.header, series=specs))
    outcome = await delivered(result, blobs, delivery(result.told(*result.facts(), Expired("Completed", None, True))))
    assert outcome["partial"]
    assert outcome["series"][1] == {
        "seriesType": "log",
        "totalCount": None,
        "bytes": 0,
        "contentType": None,
        "parts": [],
        "received": [],
        "missing": None,
        "rangesTruncated": False,
    }


@pytest.mark.parametrize("verdict", ["completed", "failed"])
async def test_other_outcomes_have_the_members_that_they_always_had(verdict: str) -> None:
    blobs, result = await staged()
    await deliver(courier(blobs, Posted()), getattr(result, verdict)())
    outcome = await outcome_of(blobs, "T1")
    assert outcome["partial"] is False
    for each in outcome["series"]:
        assert list(each) == ["seriesType", "totalCount", "bytes", "contentType", "parts"]


async def test_the_notification_holds_what_the_document_holds() -> None:
    blobs, result = await staged()
    posted = Posted()
    await deliver(courier(blobs, posted), result.partial(MISSING))
    (event,) = posted.at("kafka")
    assert event["type"] == "brh.transaction.completed.v1"
    assert event["data"].pop("outcomeEtag")
    assert event["data"] == await outcome_of(blobs, "T1")


async def test_a_long_series_has_its_holes_in_any_part() -> None:
    payloads = [b"%d." % n for n in range(9_000)]
    gone = {*range(4_000, 4_200), 1, 9_000, 5_000}
    blobs, result = await staged({"a": payloads})
    outcome = await delivered(result, blobs, result.partial({"a": gone}))
    (series,) = outcome["series"]
    assert len(series["parts"]) == 3
    assert series["missing"] == [[1, 1], [4_000, 4_199], [5_000, 5_000], [9_000, 9_000]]


async def test_a_part_of_which_nothing_came_is_none() -> None:
    blobs, result = await staged({"a": [b"x"] * 9_000})
    outcome = await delivered(result, blobs, result.partial({"a": range(4_097, 8_193)}))
    assert [part["uri"][-5:] for part in outcome["series"][0]["parts"]] == ["00000", "00002"]


def test_ranges_are_cut_where_a_document_would_grow_too_large() -> None:
    series = SeriesResult("a", 10_000, 0, None, ())
    odd = list(range(1, 10_000, 2))
    shown = with_ranges(series, odd, 1)
    assert isinstance(shown.received, tuple)
    assert (len(shown.received), shown.received[-1], shown.ranges_truncated) == (1_000, (1_999, 1_999), True)
    shown = with_ranges(series, odd, 500)
    assert isinstance(shown.missing, tuple)
    assert (len(shown.missing), shown.missing[0], shown.ranges_truncated) == (20, (2, 2), True)
    assert not with_ranges(series, list(range(1, 10_001)), 1_000).ranges_truncated


def test_tiles_hold_their_ordinals() -> None:
    assert numbers([Interval(1, 1), Interval(5, 4)]) == [1, 5, 6, 7, 8]


# --- who gave up where


async def test_a_delivery_that_knows_less_follows_the_parts_that_hold_more() -> None:
    blobs, result = await staged()
    posted = Posted()
    more, less = result.partial({"a": [3]}), result.partial({"a": [2, 3, 5], "b": [1]})

    async def dies(what: str) -> None:
        if what.startswith("before write_once"):
            raise Died(what)

    with pytest.raises(Died):
        await courier(blobs, posted, dies).carry_out(more)
    answer = await deliver(courier(blobs, posted), less)
    outcome = await assert_consistent(blobs, posted, "T1", [answer])
    await assert_bytes(blobs, result, outcome)
    assert outcome["partial"]
    assert [each["missing"] for each in outcome["series"]] == [[[3, 3]], [], [], []]


async def test_a_delivery_that_knows_everything_is_partial_where_somebody_has_committed_a_part_with_holes() -> None:
    blobs, result = await staged()
    posted = Posted()

    async def dies(what: str) -> None:
        if what.startswith("before write_once"):
            raise Died(what)

    with pytest.raises(Died):
        await courier(blobs, posted, dies).carry_out(result.partial(MISSING))
    answer = await deliver(courier(blobs, posted), result.completed())
    outcome = await assert_consistent(blobs, posted, "T1", [answer])
    await assert_bytes(blobs, result, outcome)
    assert outcome["partial"]
    assert [each["missing"] for each in outcome["series"]] == [[[2, 3]], [], [], []]


async def test_a_delivery_that_gave_up_is_whole_where_the_others_have_committed_everything() -> None:
    blobs, result = await staged()
    posted = Posted()

    async def dies(what: str) -> None:
        if what.startswith("before write_once"):
            raise Died(what)

    with pytest.raises(Died):
        await courier(blobs, posted, dies).carry_out(result.completed())
    answer = await deliver(courier(blobs, posted), result.partial({"a": [2]}))
    outcome = await assert_consistent(blobs, posted, "T1", [answer])
    await assert_bytes(blobs, result, outcome)
    assert not outcome["partial"]


@pytest.mark.parametrize("metadata", [{}, {"brh_content": "0" * 32, "brh_crc64": "0" * 16}])
async def test_a_part_with_other_bytes_is_still_refused(metadata: dict[str, str]) -> None:
    blobs, result = await staged()
    await blobs.commit(result.part("a"), [], content_type="text/x", metadata=metadata)
    answer = await courier(blobs, Posted()).carry_out(result.completed())
    assert isinstance(answer, DeliveryRefused)
    assert answer.problem.code == "part-differs"


@pytest.mark.parametrize("seed", range(150))
async def test_whoever_gives_up_where_there_is_one_outcome_and_its_bytes_are_what_it_says(seed: int) -> None:
    chance = random.Random(seed)
    blobs, result = await staged(reply_to="asked")
    posted = Posted()
    some = {name: [n for n in range(1, len(all_of) + 1) if chance.random() < 0.4] for name, all_of in SERIES.items()}
    effects = {
        "gives up": result.partial(some),
        "gives up too": result.partial(MISSING),
        "waited": result.completed(),
        "fails": result.failed(some),
    }
    for name in chance.sample(sorted(effects), chance.randrange(3)):
        del effects[name]

    def delivering(effect: Deliver) -> Callable[[Any], Awaitable[Delivered]]:
        return lambda step: deliver(courier(blobs, posted, step), effect)

    turns = Turns(chance)
    done = await turns.run({name: delivering(effect) for name, effect in effects.items()})
    assert all(isinstance(answer, Delivered) for answer in done.values()), (done, turns.log)
    outcome = await assert_consistent(blobs, posted, "T1", list(done.values()))
    if outcome["outcome"] == "Completed":
        await assert_bytes(blobs, result, outcome)


async def test_a_partial_delivery_can_die_at_every_step_and_another_one_finishes_it() -> None:
    for step in count():
        blobs, result = await staged()
        posted = Posted()
        try:
            answers = [await deliver(courier(blobs, posted, dying_at(step)), result.partial(MISSING))]
        except Died:
            answers = []
        answers.append(await deliver(courier(blobs, posted), result.partial({"a": [1]})))
        outcome = await assert_consistent(blobs, posted, "T1", answers)
        await assert_bytes(blobs, result, outcome)
        if len(answers) == 2:
            break
    assert step > 20, "every step was tried"


def test_a_partial_plan_travels_as_it_is() -> None:
    effect = Result(SERIES).partial(MISSING)
    assert effect.partial
    assert msgspec.json.decode(msgspec.json.encode(effect), type=Deliver) == effect
