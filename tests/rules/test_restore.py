"""What Kafka has lost is published again from storage, and the rest of a transaction then completes it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from playbook import core

from bridge.contract.events import EVENT_MAX_BYTES, HeaderReceived, PayloadsStaged, TransactionEvent, encode
from bridge.layout import KEEP_ALIVE
from streams.restore import BATCH_BYTES, Restored, restore
from tables.decisions import Expired
from tables.transaction import State
from tests.support.installation import Installation
from tests.support.result import Result, problem


def result(name: str = "T1", **options: Any) -> Result:
    return Result({"a": [b"a1", b"a2", b"", b"a4", b"a5"], "b": [b"b1"], "none": []}, name=name, **options)


@pytest.fixture
def here() -> Installation:
    return Installation()


def plain(here: Installation, name: str = "T1") -> object:
    """What matters of a transaction, but when it was heard of."""
    return core(here.known[name], but=("created", "updated", "progressed", "decided", "duplicates", "late"))


async def rebuilt(here: Installation) -> Restored:
    """Kafka is lost, and everything else is not."""
    here.lose_kafka()
    counted = (await here.fsck()).restored
    report = await here.fsck(rebuild=True)
    assert (report.findings, report.restored) == ([], counted), "what is counted is what is done"
    assert await here.found() == []
    return report.restored


@pytest.mark.parametrize("header", [True, False])
async def test_what_was_half_sent_is_known_again_and_the_rest_completes_it(here: Installation, header: bool) -> None:
    one = result()
    if header:
        await here.header(one)
    await here.payloads(one, "a", [1, 3, 4])
    before = plain(here)
    assert await rebuilt(here) == Restored(transactions=1, headers=int(header), payloads=3)
    assert plain(here) == before
    await here.payloads(one, "a", [2, 5, 1])
    await here.payloads(one, "b", [1])
    await here.header(one)
    await here.assert_completes(one)


async def test_what_was_complete_and_not_delivered_is_delivered(here: Installation) -> None:
    one = result()
    await here.all_of(one)
    assert await rebuilt(here) == Restored(transactions=1, headers=1, payloads=6)
    assert here.known["T1"].state is State.SENDING_COMPLETION
    await here.assert_completes(one)


async def test_a_header_alone_is_known_again_with_all_that_it_says(here: Installation) -> None:
    await here.header(result(reply_to="mine"))
    before = here.known["T1"]
    assert await rebuilt(here) == Restored(transactions=1, headers=1)
    known = here.known["T1"]
    assert (known.header, known.header_digest, known.header_received) == (
        before.header,
        before.header_digest,
        before.header_received,
    )
    assert (known.reply_to, known.trace) == (before.reply_to, before.trace) != (None, before.trace)


async def test_publishing_it_all_again_changes_nothing(here: Installation) -> None:
    one = Result({"a": [b"%d" % n for n in range(16)]})
    await here.header(one)
    await here.payloads(one, "a", [1, 2, 13])
    await here.run(one, "a", 5, 4)
    before = plain(here)
    for _ in range(2):
        assert await restore(here.blobs, "T1", here.publish) == Restored(transactions=1, headers=1, payloads=7)
        assert plain(here) == before
    here.lose_kafka()
    await restore(here.blobs, "T1", here.publish)
    before = plain(here)
    await restore(here.blobs, "T1", here.publish)
    assert plain(here) == before


async def test_runs_are_known_again_and_complete_with_their_bytes(here: Installation) -> None:
    one = Result({"a": [b"%d" % n if n % 3 else b"" for n in range(16)]})
    await here.header(one)
    await here.run(one, "a", 1, 8)
    await here.run(one, "a", 9, 2)
    await here.payloads(one, "a", [2, 11])
    assert await rebuilt(here) == Restored(transactions=1, headers=1, payloads=11)
    await here.payloads(one, "a", [1, 11, 12])
    await here.run(one, "a", 9, 4)
    await here.run(one, "a", 13, 4)
    assert here.known["T1"].conflict is None
    await here.assert_completes(one)


async def test_a_transaction_that_went_on_before_it_was_restored_gets_the_rest(here: Installation) -> None:
    one = result()
    await here.header(one)
    await here.payloads(one, "a", [1, 2, 3])
    here.lose_kafka()
    await here.payloads(one, "a", [2, 4])
    report = await here.fsck(rebuild=True)
    assert (report.findings, report.restored.headers) == ([], 1)
    await here.payloads(one, "a", [5])
    await here.payloads(one, "b", [1])
    await here.assert_completes(one)


async def test_a_run_of_which_one_payload_was_sent_again_meanwhile_has_to_be_sent_again(here: Installation) -> None:
    one = Result({"a": [b"w", b"x", b"y", b"z"]})
    await here.header(one)
    await here.run(one, "a", 1, 4)
    here.lose_kafka()
    await here.payloads(one, "a", [2])
    await here.fsck(rebuild=True)
    assert here.known["T1"].series["a"].received == 0b0010, "nobody knows whether the run has the same one"
    report = await here.fsck()
    assert [each.kind for each in report.findings] == ["facts-missing"]
    assert "`brh send T1 --only-missing` sends it again" in report.findings[0].remedy
    await here.payloads(one, "a", [1, 3, 4])
    await here.assert_completes(one)


async def test_of_what_contradicts_itself_nothing_is_published_and_what_comes_then_is_first(here: Installation) -> None:
    one, other = result(), Result({"a": [b"xx", b"yy", b"zz", b"", b"zz"]})
    await here.header(one)
    await here.payloads(one, "a", [1, 2, 3])
    await here.payloads(other, "a", [2, 3])
    here.lose_kafka()
    report = await here.fsck(rebuild=True)
    assert report.restored == Restored(transactions=1, headers=1, payloads=1, unclear=2)
    assert [each.kind for each in report.findings] == ["blocks-unclear"]
    assert here.known["T1"].series["a"].received == 0b0001
    await here.payloads(one, "a", [2, 3, 4, 5])
    await here.payloads(one, "b", [1])
    await here.assert_completes(one)


async def test_without_one_total_count_nothing_of_the_series_is_published_unless_the_header_says_it(
    here: Installation,
) -> None:
    await here.payloads(Result({"a": [b"x"] * 4}), "a", [1])
    await here.payloads(Result({"a": [b"x"] * 5_000}), "a", [2, 4_999])
    here.lose_kafka()
    assert (await here.fsck(rebuild=True)).restored == Restored(unclear=2)
    assert here.known == {}
    await here.header(Result({"a": [b"x"] * 4}))
    here.lose_kafka()
    assert (await here.fsck(rebuild=True)).restored == Restored(transactions=1, headers=1, payloads=1)


@pytest.mark.parametrize("verdict", ["completed", "failed"])
async def test_an_outcome_that_was_told_is_known_again_so_that_late_messages_are(
    here: Installation, verdict: str
) -> None:
    one = result()
    await here.closed(one, *([Expired("Failed", problem("completion-timeout"))] if verdict == "failed" else []))
    told = len(here.posted.sent)
    settled = here.known["T1"].settled
    assert await rebuilt(here) == Restored(transactions=1, outcomes=1)
    assert here.known["T1"].settled == settled
    await here.payloads(one, "a", [1])
    assert here.known["T1"].state.lower() == verdict
    assert len(here.posted.sent) == told


async def test_an_outcome_that_was_not_told_is_left_to_the_sweep(here: Installation) -> None:
    await here.closed(result())
    await here.remove("T1/_told.json")
    here.lose_kafka()
    report = await here.fsck(rebuild=True)
    assert (report.restored, [each.kind for each in report.findings]) == (Restored(), ["outcome-untold"])


async def test_an_open_row_beside_an_outcome_is_closed_when_the_outcome_was_told(here: Installation) -> None:
    await here.all_of(result())
    row = here.known["T1"]
    await here.deliver("T1")
    closed, here.known["T1"] = here.known["T1"], row
    assert (await here.fsck(rebuild=True)).findings == []
    assert here.known["T1"].settled == closed.settled
    await here.remove("T1/_told.json")
    here.known["T1"] = row
    assert await here.found(rebuild=True) == [("outcome-untold", "T1"), ("row-behind", "T1")]


async def test_what_is_restored_is_kept_from_being_dropped_by_the_storage(here: Installation) -> None:
    one = result()
    await here.payloads(one, "a", [1])
    here.lose_kafka()
    await here.fsck()
    assert KEEP_ALIVE not in here.blobs._staged[one.part("a")]
    await here.fsck(rebuild=True)
    assert KEEP_ALIVE in here.blobs._staged[one.part("a")]


async def test_the_header_comes_first_and_payloads_in_records_of_a_bounded_size(here: Installation) -> None:
    chance = random.Random(7)
    one = Result({"a": [chance.randbytes(chance.randrange(3)) for _ in range(9_000)]})
    await here.all_of(one)
    published: list[TransactionEvent] = []

    async def publish(event: TransactionEvent) -> None:
        published.append(event)

    assert (await restore(here.blobs, "T1", publish)).payloads == 9_000
    assert isinstance(published[0], HeaderReceived)
    payloads = [event for event in published[1:] if isinstance(event, PayloadsStaged)]
    assert len(payloads) == len(published) - 1 > 1
    assert max(len(encode(event)) for event in payloads) < BATCH_BYTES + 4_096 < EVENT_MAX_BYTES
    assert [fact.first for event in payloads for fact in event.staged] == list(range(1, 9_001))


async def test_a_whole_installation_is_lost_and_known_again(here: Installation) -> None:
    everything = [result(f"T{number}") for number in range(7)]
    for one, sent in zip(everything, range(7), strict=True):
        if sent % 2:
            await here.header(one)
        await here.payloads(one, "a", range(1, min(sent, 5) + 1))
    await here.closed(result("T9"))
    here.lose_kafka()
    await here.fsck(rebuild=True, page_blobs=2)
    for one in everything:
        await here.all_of(one)
        await here.assert_completes(one)
    assert here.known["T9"].state is State.COMPLETED
