"""What came and is in no result: removed, and told once before the outcome is told."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from msgspec.structs import replace

from bridge.contract.events import Delivered, DeliveryRefused
from bridge.memory_blobs import MemoryBlobs
from tests.support.deliveries import assert_bytes, assert_consistent, below, courier, deliver
from tests.support.posted import Posted
from tests.support.result import Result
from tests.support.stepped import Died, dying_at

SERIES = {"a": [b"a1", b"a2"], "stray": [b"s1", b"s2", b"s3"]}
ORPHANS = "queue:brh.orphans"


async def staged() -> tuple[MemoryBlobs, Result]:
    blobs, result = MemoryBlobs(), Result(SERIES, announced=["a"])
    await result.stage_all(blobs)
    return blobs, result


async def test_without_a_header_everything_is_an_orphan() -> None:
    blobs, result = await staged()
    posted = Posted()
    await deliver(courier(blobs, posted), result.abandoned())
    assert posted.places == [ORPHANS, "kafka", "transaction.abandoned.default"]
    (event,) = posted.at(ORPHANS)
    assert event == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "/brh/lab",
        "type": "brh.transaction.orphaned.v1",
        "time": posted.at("kafka")[0]["time"],
        "subject": "T1",
        "correlationid": "T1",
        "datacontenttype": "application/json",
        "data": {
            "transactionId": "T1",
            "transactionType": "default",
            "reason": "no-header",
            "series": [
                {
                    "seriesType": name,
                    "totalCount": total,
                    "receivedCount": 1,
                    "bytes": 2,
                    "received": [[1, 1]],
                    "rangesTruncated": False,
                }
                for name, total in (("a", 2), ("stray", 3))
            ],
        },
    }
    left = [each.name for each in await below(blobs, "T1")]
    assert left == ["T1/_orphans.json", "T1/_outcome.json", "T1/_told.json"]


async def test_a_series_that_the_header_does_not_list_is_an_orphan_of_a_result_that_completed() -> None:
    blobs, result = await staged()
    posted = Posted()
    answer = await deliver(courier(blobs, posted), result.completed(header_last=True))
    outcome = await assert_consistent(blobs, posted, "T1", [answer])
    await assert_bytes(blobs, result, outcome)
    assert [each["seriesType"] for each in outcome["series"]] == ["a"]
    (event,) = posted.at(ORPHANS)
    assert event["data"]["reason"] == "unknown-series"
    assert [(each["seriesType"], each["received"]) for each in event["data"]["series"]] == [("stray", [[1, 3]])]
    assert event["traceparent"] == posted.at("kafka")[0]["traceparent"]
    assert [each.name for each in await below(blobs, "T1") if "stray" in each.name] == []


async def test_where_there_is_no_orphan_nobody_is_told_of_one() -> None:
    blobs, result = MemoryBlobs(), Result({"a": [b"x"]})
    await result.stage_all(blobs)
    posted = Posted()
    await deliver(courier(blobs, posted), result.completed())
    assert ORPHANS not in posted.places
    assert await blobs.read("T1/_orphans.json") is None


async def test_without_the_queue_of_orphans_the_outcome_waits() -> None:
    blobs, result = await staged()
    posted = Posted(missing_queues=["brh.orphans"])
    one = courier(blobs, posted)
    answer = await one.carry_out(result.abandoned())
    assert isinstance(answer, DeliveryRefused)
    assert answer.problem.code == "notification-unconfirmed"
    assert "brh.orphans: run `brh setup`" in answer.problem.detail
    assert posted.places == []
    posted.missing_queues.clear()
    assert isinstance(await one.carry_out(result.abandoned()), Delivered)
    assert posted.places == [ORPHANS, "kafka", "transaction.abandoned.default"]


async def test_the_record_is_of_whoever_was_first_and_every_copy_is_the_same() -> None:
    blobs, result = await staged()
    posted = Posted()
    posted.confirms = False
    await courier(blobs, posted).carry_out(result.abandoned())
    posted.confirms = True
    knows_more = result.completed(header_last=True)
    assert knows_more.orphans != result.abandoned().orphans
    await deliver(courier(blobs, posted), knows_more)
    (event,) = posted.at(ORPHANS)
    assert [each["receivedCount"] for each in event["data"]["series"]] == [1, 1]


async def test_an_outcome_that_knows_of_no_orphans_does_not_tell_those_of_a_loser() -> None:
    blobs, result = await staged()
    posted = Posted()

    async def dies(what: str) -> None:
        if what.startswith("before write_once T1/_outcome"):
            raise Died(what)

    with pytest.raises(Died):
        await courier(blobs, posted, dies).carry_out(result.abandoned())
    await deliver(courier(blobs, posted), replace(result.failed(), orphans=()))
    assert posted.places == ["kafka", "transaction.failed.valuation"]


async def test_a_record_that_somebody_removed_keeps_nobody_from_the_outcome() -> None:
    blobs, result = await staged()
    posted = Posted()
    posted.confirms = False
    await courier(blobs, posted).carry_out(result.abandoned())
    there = await blobs.properties("T1/_orphans.json")
    assert there is not None
    await blobs.delete("T1/_orphans.json", there.etag)
    posted.confirms = True
    await deliver(courier(blobs, posted), result.abandoned())
    assert posted.places == ["kafka", "transaction.abandoned.default"]


@pytest.mark.parametrize("verdict", ["abandoned", "completed"])
async def test_a_delivery_with_orphans_can_die_at_every_step(verdict: str) -> None:
    for step in count():
        blobs, result = await staged()
        posted = Posted()
        effect = result.abandoned() if verdict == "abandoned" else result.completed(header_last=True)
        try:
            answers = [await deliver(courier(blobs, posted, dying_at(step)), effect)]
        except Died:
            answers = []
        answers.append(await deliver(courier(blobs, posted), effect))
        await assert_consistent(blobs, posted, "T1", answers)
        copies = {msgspec.json.encode(each) for each in posted.at(ORPHANS)}
        assert len(copies) == 1
        assert posted.places.index(ORPHANS) < posted.places.index("kafka")
        if len(answers) == 2:
            break
    assert step > 15, "every step was tried"
