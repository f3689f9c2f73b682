"""What time brings, on the real stack with limits of seconds: gaps, time-outs, orphans, and nothing by our outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from streams.supervisor import children
from tables.transaction import FINAL
from tests.support.deliveries import committed_parts
from tests.support.hasty import SILENCE_S, hasty_world
from tests.support.outside import (
    Chunks,
    Heard,
    assert_result,
    dead_letters,
    kafka_records,
    kafka_rows,
    listening,
    publish_header,
    publish_payloads,
    staged_facts,
    until_read,
)
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


async def test_nobody_is_late_for_what_waits_in_the_queues_while_no_bridge_runs(hasty: World, txn: str) -> None:
    async with listening(hasty, "transaction.#") as heard:
        await publish_header(hasty, txn, {"transactionType": "patient", "series": [{"type": "a"}]})
        series = {"a": Chunks(txn, [10] * 3)}
        await publish_payloads(hasty, txn, series, [1])
        await asyncio.to_thread(hasty.wait_state, txn, ["AwaitingResults"])
        await asyncio.to_thread(hasty.end_processes)
        await publish_payloads(hasty, txn, series, [2, 3])
        # Trackers and deliveries go on, and hear nothing of a bridge for longer than any limit.
        hasty.run(children(bridges=0, trackers=1, deliveries=1, env=hasty.env))
        await asyncio.to_thread(hasty.wait_ready)
        with pytest.raises(AssertionError, match="AwaitingResults"):
            await asyncio.to_thread(hasty.wait_state, txn, ["SendingCompletion", *FINAL], LONGEST_S + SILENCE_S)
        await asyncio.to_thread(hasty.end_processes)
        hasty.run(children(bridges=1, trackers=1, deliveries=1, env=hasty.env))
        await asyncio.to_thread(hasty.wait_state, txn, ["Completed"], MARGIN_S)
        await assert_result(hasty, txn, series)
        assert not [each for each in await heard.wait(txn) if "abandoned" in (each.routing_key or "")]


async def test_who_sends_nothing_more_is_late_once_a_bridge_runs_again(hasty: World, txn: str) -> None:
    await publish_header(hasty, txn, {"transactionType": "patient", "series": [{"type": "a"}]})
    await publish_payloads(hasty, txn, {"a": Chunks(txn, [10] * 3)}, [1])
    hasty.kill("bridge-1")
    row = await asyncio.to_thread(hasty.wait_state, txn, ["Abandoned"], MARGIN_S)
    assert row["problem"]["code"] == "timeout"
    until(lambda: hasty.pid("bridge-1"), MARGIN_S, "the bridge runs again")


async def test_a_forgotten_transaction_is_not_opened_again_by_what_comes_late(hasty: World, txn: str) -> None:
    series = {"a": Chunks(txn, [10] * 2)}
    async with listening(hasty, "transaction.#") as heard, hasty.blobs() as blobs:
        await publish_header(hasty, txn, {"series": [{"type": "a"}]})
        await publish_payloads(hasty, txn, series, [1, 2])
        await heard.wait(txn)
        await asyncio.to_thread(until, lambda: hasty.transaction(txn) is None, MARGIN_S, "the transaction is forgotten")
        before = await blobs.properties(f"{txn}/_outcome.json")
        await publish_payloads(hasty, txn, series, [1])
        # Nobody knows the transaction any more, so it waits for a header in vain. Only the outcome knows better.
        row = await asyncio.to_thread(hasty.wait_state, txn, FINAL, MARGIN_S)
        assert row["state"] == "Completed"
        assert await blobs.properties(f"{txn}/_outcome.json") == before
        assert {message.message_id for message in heard.of(txn)} == {heard.of(txn)[0].message_id}
    await assert_result(hasty, txn, series)


async def test_of_a_closed_transaction_one_row_of_a_fact_is_left_in_the_changelog(hasty: World, txn: str) -> None:
    await publish_header(hasty, txn, {"transactionType": "patient", "series": [{"type": "a"}]})
    await publish_payloads(hasty, txn, {"a": Chunks(txn, [10] * 3)}, [1, 3, 2])
    await asyncio.to_thread(hasty.wait_state, txn, ["Completed"])
    topic = f"{hasty.topics.tracker_group}-receipts-changelog"
    async with asyncio.timeout(MARGIN_S):
        while True:
            # What compaction leaves: the last value of each key, and nothing of those that end in a tombstone.
            rows = await kafka_rows(hasty, topic)
            mine = {key for key, value in rows.items() if key.startswith(f"{txn}/")}
            left = {key for key in mine if rows[key] is not None}
            if len(mine) >= 3 and left <= {f"{txn}/outcome"}:
                break
