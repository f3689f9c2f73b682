"""What time brings, on the real stack with limits of seconds: gaps, time-outs, orphans, and nothing by our outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from bridge.contract.events import Delivered, HeaderReceived, PayloadsStaged, Tick, Told, Watermark, decode
from streams.supervisor import children
from tables.transaction import FINAL
from tests.support.azure import endpoint
from tests.support.deliveries import committed_parts
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.hasty import SILENCE_S, hasty_world
from tests.support.inner_bridge import inner_bridge
from tests.support.outside import (
    Chunks,
    Heard,
    assert_result,
    consumed_by,
    dead_letters,
    kafka_records,
    kafka_rows,
    listening,
    publish_header,
    publish_payloads,
    staged_facts,
    until_read,
)
from tests.support.scripted_broker import eventually
from tests.support.world import World, until

TYPES = """
[default]
header = "PT4S"
idle = "PT2S"
awaiting = "PT8S"
early_payloads_max = 4
early_bytes_max = 10_000
[types.patient]
idle = "PT1H"
awaiting = "PT4S"
[types.chatty]
idle = "PT1S"
awaiting = "PT1H"
"""
LONGEST_S = 8.0
"""Of the limits above."""
PATIENT_S = 4.0
"""For which one of that type is waited."""
MARGIN_S = 60.0


@pytest.fixture(scope="module")
def hasty(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation in which everything is late within seconds."""
    world = hasty_world(stack_env, tmp_path_factory.mktemp("hasty"), TYPES, BRH_DEDUPE_RETENTION_S="6")
    world.start()
    yield world
    world.stop()


@pytest.fixture
def txn() -> str:
    return f"T-{uuid4().hex[:12]}"


def data(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.body)["data"]
    return found


async def test_gaps_are_told_with_what_is_missing_and_then_the_transaction_is_abandoned(hasty: World, txn: str) -> None:
    async with listening(hasty, "transaction.gap.#") as gaps, listening(hasty, "transaction.abandoned.#") as ends:
        await publish_header(hasty, txn, {"series": [{"type": "a"}, {"type": "never"}]})
        await publish_payloads(hasty, txn, {"a": Chunks(txn, [10] * 5)}, [1, 4])
        (gap,) = await gaps.wait(txn, "gap")
        assert data(gap)["sequence"] == 1
        assert data(gap)["problem"]["missing"] == {"a": [[2, 3], [5, 5]], "never": None}
        (end,) = await ends.wait(txn)
        problem = data(end)["problem"]
        assert (data(end)["outcome"], problem["code"]) == ("Abandoned", "timeout")
        assert problem["missing"] == {"a": [[2, 3], [5, 5]], "never": None}


async def test_a_gap_is_told_again_with_growing_pauses_and_names_less_once_something_has_come(
    hasty: World, txn: str
) -> None:
    series, missing = {"a": Chunks(txn, [10] * 3)}, {"a": [[2, 3]]}
    reply_to = f"reply-{txn}"
    async with listening(hasty, "transaction.gap.#") as heard, listening(hasty, "none", reply_to) as replied:
        header = {"transactionType": "chatty", "series": [{"type": "a"}]}
        await publish_header(hasty, txn, header, reply_to=reply_to)
        await publish_payloads(hasty, txn, series, [1])
        gaps = await numbered(heard, txn, lambda gaps: {1, 2, 3} <= gaps.keys())
        assert all(gaps[number]["data"]["problem"]["missing"] == missing for number in (1, 2, 3))
        one, two, three = (datetime.fromisoformat(gaps[number]["time"]) for number in (1, 2, 3))
        assert (two - one, three - two) >= (timedelta(seconds=1), timedelta(seconds=2))
        assert (await numbered(replied, txn, lambda gaps: {1, 2, 3} <= gaps.keys()))[1] == gaps[1]
        await publish_payloads(hasty, txn, series, [2])
        missing = {"a": [[3, 3]]}
        await numbered(heard, txn, lambda gaps: gaps[max(gaps)]["data"]["problem"]["missing"] == missing)
        await publish_payloads(hasty, txn, series, [3])
        await asyncio.to_thread(hasty.wait_state, txn, ["Completed"], MARGIN_S)


async def numbered(
    heard: Heard, txn: str, enough: Callable[[dict[int, dict[str, Any]]], bool]
) -> dict[int, dict[str, Any]]:
    """The gaps of a transaction by their running number, as soon as they are enough."""
    async with asyncio.timeout(MARGIN_S):
        while True:
            events = [json.loads(message.body) for message in heard.of(txn, "gap")]
            found = {event["data"]["sequence"]: event for event in events}
            if found and enough(found):
                assert len({json.dumps(event) for event in events}) == len(found), "one number, two events"
                return found
            await asyncio.sleep(0.02)


async def test_payloads_without_a_header_are_orphans_and_a_header_that_comes_then_revives_nothing(
    hasty: World, txn: str
) -> None:
    series = {"a": Chunks(txn, [10] * 3)}
    async with listening(hasty, "transaction.#") as heard, hasty.blobs() as blobs:
        await publish_payloads(hasty, txn, series, [1, 3])
        (end,) = await heard.wait(txn)
        assert (data(end)["outcome"], data(end)["problem"]["code"]) == ("Abandoned", "no-header")
        (letter,) = await dead_letters(hasty, 1, "brh.orphans")
        while letter.correlation_id != txn:  # those of others are nobody's in this module
            (letter,) = await dead_letters(hasty, 1, "brh.orphans")
        assert data(letter)["reason"] == "no-header"
        (orphan,) = data(letter)["series"]
        assert (orphan["totalCount"], orphan["received"], orphan["bytes"]) == (3, [[1, 1], [3, 3]], 20)
        row = await asyncio.to_thread(hasty.wait_state, txn, ["Abandoned"])
        assert row["problem"]["code"] == "no-header"

        before = await blobs.properties(f"{txn}/_outcome.json")
        await publish_header(hasty, txn, {"series": [{"type": "a"}]})
        await publish_payloads(hasty, txn, series, [1, 2, 3])
        await staged_facts(hasty, {txn: 5})
        async with asyncio.timeout(MARGIN_S):
            while "HeaderReceived" not in await kinds_of_events(hasty, txn):
                await asyncio.sleep(0.05)
        await until_read(hasty, txn)
        # Where this takes so long that the outcome is forgotten, it is the one that is found again.
        row = await asyncio.to_thread(hasty.wait_state, txn, FINAL)
        assert row["state"] == "Abandoned"
        assert await blobs.properties(f"{txn}/_outcome.json") == before
        assert await committed_parts(blobs, txn) == []
        assert {message.message_id for message in heard.of(txn)} == {end.message_id}


async def kinds_of_events(world: World, txn: str) -> set[str]:
    return {json.loads(value)["type"] for value in await kafka_records(world, world.topics.events, txn)}


async def test_what_has_come_by_then_is_the_result_where_that_is_wanted(hasty: World, txn: str) -> None:
    async with listening(hasty, "transaction.completed.#") as ends:
        header = {"transactionType": "patient", "series": [{"type": "a"}, {"type": "never"}], "onTimeout": "partial"}
        await publish_header(hasty, txn, header)
        await publish_payloads(hasty, txn, {"a": Chunks(txn, [10] * 5)}, [2, 3, 5])
        (end,) = await ends.wait(txn)
        assert data(end)["partial"]
        series = {each["seriesType"]: each for each in data(end)["series"]}
        assert (series["a"]["received"], series["a"]["missing"]) == ([[2, 3], [5, 5]], [[1, 1], [4, 4]])
        assert (series["never"]["totalCount"], series["never"]["parts"]) == (None, [])


async def test_more_payloads_or_bytes_than_may_come_before_a_header_fail(hasty: World, txn: str) -> None:
    async with listening(hasty, "transaction.failed.#") as ends:
        await publish_payloads(hasty, f"{txn}-many", {"a": Chunks(txn, [10] * 9)}, [1, 2, 3, 4, 5])
        await publish_payloads(hasty, f"{txn}-much", {"a": Chunks(txn, [6_000] * 9)}, [1, 2])
        for name in (f"{txn}-many", f"{txn}-much"):
            (end,) = await ends.wait(name)
            assert data(end)["problem"]["code"] == "early-limit"


async def test_nobody_is_late_because_of_processes_that_are_down(hasty: World, txn: str) -> None:
    """No tracker for longer than the limit, and then no bridge; `first` and `then` have their rest sent meanwhile."""
    first, then, late = (f"{txn}-{which}" for which in ("first", "then", "late"))
    series = {name: {"a": Chunks(name, [10] * 3)} for name in (first, then, late)}
    async with listening(hasty, "transaction.#") as heard:
        for name in (first, late):
            await begin(hasty, name, "patient", series[name])
        await asyncio.to_thread(hasty.end_processes)

        hasty.run(children(bridges=1, trackers=0, deliveries=0, env=hasty.env))
        await publish_payloads(hasty, first, series[first], [2, 3])
        await bridges_reach(hasty, first, timedelta(seconds=LONGEST_S))
        await begin(hasty, then, "default", series[then])
        await asyncio.to_thread(hasty.end_processes)
        await publish_payloads(hasty, then, series[then], [2, 3])

        # Trackers and deliveries go on, and hear nothing of a bridge for longer than any limit.
        hasty.run(children(bridges=0, trackers=1, deliveries=1, env=hasty.env))
        await asyncio.to_thread(hasty.wait_ready)
        await asyncio.to_thread(hasty.wait_state, first, ["Completed"], MARGIN_S)
        with pytest.raises(AssertionError, match="AwaitingResults"):
            await asyncio.to_thread(hasty.wait_state, then, ["SendingCompletion", *FINAL], LONGEST_S + SILENCE_S)
        await asyncio.to_thread(hasty.end_processes)

        hasty.run(children(bridges=1, trackers=1, deliveries=1, env=hasty.env))
        await asyncio.to_thread(hasty.wait_state, then, ["Completed"], MARGIN_S)
        # Its row may be gone by now: it was late by what the bridge had said before the trackers came back.
        end, *_ = await heard.wait(late)
        assert (data(end)["outcome"], data(end)["problem"]["code"]) == ("Abandoned", "timeout")
        for name in (first, then):
            await assert_result(hasty, name, series[name])
            assert {json.loads(each.body)["type"] for each in heard.of(name)} == {"brh.transaction.completed.v1"}


async def begin(world: World, txn: str, kind: str, series: dict[str, Chunks]) -> None:
    """The header and the first payload of a transaction are on the events topic."""
    await publish_header(world, txn, {"transactionType": kind, "series": [{"type": name} for name in series]})
    await publish_payloads(world, txn, series, [1])
    async with asyncio.timeout(MARGIN_S):
        while not {"HeaderReceived", "PayloadsStaged"} <= await kinds_of_events(world, txn):
            await asyncio.sleep(0.05)


async def bridges_reach(world: World, txn: str, later: timedelta) -> None:
    """The bridges have come so much further, in the transaction's partition, than they had at first."""
    mine = world.topics.partition_of(txn)
    first: datetime | None = None
    async with asyncio.timeout(MARGIN_S):
        while True:
            events = [decode(value) for value in await kafka_records(world, world.topics.events, partition=mine)]
            reached = [event.reached for event in events if isinstance(event, Watermark) and event.reached]
            first = first or max(reached, default=None)
            if first is not None and max(reached) > first + later:
                return
            await asyncio.sleep(0.2)


async def test_nobody_is_late_for_what_one_of_two_bridges_has_in_hand(
    hasty: World, txn: str, blob_connection_string: str
) -> None:
    """The other one goes on, and claims ever later moments."""
    series = {"a": Chunks(txn, [10] * 8)}
    async with FaultProxy(endpoint(blob_connection_string), keep_bodies=False) as proxy:
        await publish_header(hasty, txn, {"transactionType": "patient", "series": [{"type": "a"}]})
        await asyncio.to_thread(hasty.wait_state, txn, ["AwaitingResults"])
        async with inner_bridge(hasty, proxy) as held:
            proxy.rule = lambda _: Fault.UNAVAILABLE
            await consumed_by(hasty, "brh.payloads.small", 2)
            await publish_payloads(hasty, txn, series, list(range(1, 9)))
            await eventually(lambda: any(txn in str(each.message_id) for each in held.deliveries), MARGIN_S)
            await bridges_reach(hasty, txn, timedelta(seconds=LONGEST_S))
            row = hasty.transaction(txn)
            assert row is not None
            assert row["state"] == "AwaitingResults"
            proxy.heal()
            await asyncio.to_thread(hasty.wait_state, txn, ["Completed"], MARGIN_S)
        await assert_result(hasty, txn, series)


async def test_who_sends_nothing_more_is_late_once_a_bridge_runs_again(hasty: World, txn: str) -> None:
    await publish_header(hasty, txn, {"transactionType": "patient", "series": [{"type": "a"}]})
    await publish_payloads(hasty, txn, {"a": Chunks(txn, [10] * 3)}, [1])
    hasty.kill("bridge-1")
    row = await asyncio.to_thread(hasty.wait_state, txn, ["Abandoned"], MARGIN_S)
    assert row["problem"]["code"] == "timeout"
    until(lambda: hasty.pid("bridge-1"), MARGIN_S, "the bridge runs again")


async def test_who_is_alone_in_a_partition_is_late_though_nothing_more_comes_there(hasty: World, txn: str) -> None:
    series, mine = {"a": Chunks(txn, [10] * 3)}, hasty.topics.partition_of(txn)
    await begin(hasty, txn, "patient", series)
    row = await asyncio.to_thread(hasty.wait_state, txn, ["Abandoned"], MARGIN_S)
    assert row["problem"]["code"] == "timeout"
    events = [decode(value) for value in await kafka_records(hasty, hasty.topics.events, partition=mine)]
    last = max(at for at, event in enumerate(events) if isinstance(event, HeaderReceived | PayloadsStaged))
    closed = next(at for at, event in enumerate(events) if isinstance(event, Delivered) and event.transaction == txn)
    between = events[last + 1 : closed]
    # Nothing but the bridges' words, and what became of its own announcements.
    assert {getattr(event, "transaction", txn) for event in between} == {txn}
    assert {type(event) for event in between} <= {Watermark, Tick, Told}
    assert max(event.reached for event in between if isinstance(event, Watermark) and event.reached) >= (
        datetime.fromisoformat(row["timestamps"]["created"]) + timedelta(seconds=PATIENT_S)
    )


def forgotten(world: World, txn: str) -> bool:
    return bool((world.transaction(txn) or {}).get("fromOutcome"))


async def test_a_forgotten_transaction_is_not_opened_again_by_what_comes_late(hasty: World, txn: str) -> None:
    series = {"a": Chunks(txn, [10] * 2)}
    async with listening(hasty, "transaction.#") as heard, hasty.blobs() as blobs:
        await publish_header(hasty, txn, {"series": [{"type": "a"}]})
        await publish_payloads(hasty, txn, series, [1, 2])
        await heard.wait(txn)
        await asyncio.to_thread(until, lambda: forgotten(hasty, txn), MARGIN_S, "the transaction is forgotten")
        told = hasty.transaction(txn)
        assert told is not None
        assert (told["state"], told["fromOutcome"]) == ("Completed", True), "the outcome still tells of it"
        before = await blobs.properties(f"{txn}/_outcome.json")
        await publish_payloads(hasty, txn, series, [1])
        # Nobody knows the transaction any more, so it waits for a header in vain. Only the outcome knows better.
        row = await asyncio.to_thread(hasty.wait_state, txn, FINAL, MARGIN_S)
        assert row["state"] == "Completed"
        assert await blobs.properties(f"{txn}/_outcome.json") == before
        assert {message.message_id for message in heard.of(txn)} == {heard.of(txn)[0].message_id}
    await assert_result(hasty, txn, series)


async def test_the_rows_of_a_closed_transaction_end_in_tombstones_all_but_one_and_that_one_later(
    hasty: World, txn: str
) -> None:
    # Single payloads that are no run: each has its row.
    await publish_header(hasty, txn, {"transactionType": "patient", "series": [{"type": "a"}]})
    series = {"a": Chunks(txn, [10] * 99)}
    await publish_payloads(hasty, txn, series, list(range(99, 0, -2)))
    await publish_payloads(hasty, txn, series, list(range(2, 99, 2)))
    await asyncio.to_thread(hasty.wait_state, txn, ["Completed"])
    most = await rows_left(hasty, txn, lambda left: left <= {f"{txn}/outcome"})
    print(f"{most} rows of facts, then one")
    assert most >= 3
    await rows_left(hasty, txn, lambda left: not left)
    views = await kafka_rows(hasty, f"{hasty.topics.tracker_group}-transactions-changelog")
    assert views[txn] is None, "the readable row has gone with it"


async def rows_left(world: World, txn: str, enough: Callable[[set[str]], bool]) -> int:
    """Until enough rows of facts have gone from the changelog; how many there ever were.

    Rows are what compaction leaves: the last value of each key, and nothing of those that end in a tombstone.
    """
    async with asyncio.timeout(MARGIN_S):
        while True:
            rows = await kafka_rows(world, f"{world.topics.tracker_group}-receipts-changelog")
            mine = {key for key in rows if key.startswith(f"{txn}/")}
            if f"{txn}/outcome" in mine and enough({key for key in mine if rows[key] is not None}):
                return len(mine)
