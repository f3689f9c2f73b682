"""What is wrong is found, with its remedy, and what only moves is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.memory_blobs import MemoryBlobs
from streams.findings import Kind, finding
from tables.decisions import Expired
from tables.transaction import State
from tests.support.installation import Installation
from tests.support.result import Result, problem

ABANDONED = Expired("Abandoned", problem("timeout"))
FAILED = Expired("Failed", problem("completion-timeout"))


def result(name: str = "T1", **options: Any) -> Result:
    return Result({"a": [b"a1", b"a2", b"", b"a4"], "b": [b"b1"]}, name=name, **options)


@pytest.fixture
def here() -> Installation:
    return Installation()


async def half(here: Installation, name: str = "T1") -> Result:
    one = result(name)
    await here.header(one)
    await here.payloads(one, "a", [1, 3])
    return one


async def rewrite(here: Installation, name: str, body: bytes) -> None:
    """Somebody puts something else in the place of a blob, under the same metadata."""
    there = await here.blobs.properties(name)
    assert there is not None
    await here.remove(name)
    await here.blobs.write_once(name, body, content_type=there.content_type, metadata=there.metadata)


async def healthy(here: Installation) -> None:
    """One of everything that there can be."""
    await half(here, "T1")
    await here.payloads(result("T1-early"), "a", [1, 2])
    await here.header(result("T1.header"))
    await here.all_of(result("T10"))
    await here.closed(result("T2"))
    await here.closed(result("T3"), FAILED)
    await orphaned(here, "T4")
    await here.closed(Result({"c": []}, name="T5"))
    cut = result("T6")
    await here.header(cut)
    await here.payloads(cut, "a", [2])
    here.decide("T6", Expired("Completed", None, partial=True))
    await here.deliver("T6")


async def orphaned(here: Installation, name: str) -> None:
    one = result(name, announced=["a"])
    await here.payloads(one, "b", [1])
    await here.closed(one)


@pytest.mark.parametrize("page_blobs", [1, 2, 3, 5_000])
async def test_where_nothing_is_wrong_nothing_is_found(here: Installation, page_blobs: int) -> None:
    await healthy(here)
    report = await here.fsck(page_blobs=page_blobs)
    assert (report.findings, report.more, report.transactions) == ([], 0, 9)
    assert report.restored.transactions == 0
    events = here.events
    await here.fsck(rebuild=True)
    assert here.events == events, "nothing is published that is known"


# --- what the trackers do not know


@pytest.mark.parametrize("rest", ["header", "payloads", "both"])
async def test_a_transaction_that_no_tracker_knows(here: Installation, rest: str) -> None:
    one = result()
    if rest != "payloads":
        await here.header(one)
    if rest != "header":
        await here.payloads(one, "a", [1, 3])
    here.lose_kafka()
    report = await here.fsck()
    (found,) = report.findings
    assert (found.kind, found.transaction_id) == ("transaction-unknown", "T1")
    assert "`brh fsck --rebuild`" in found.remedy
    counted = report.restored
    assert (counted.headers, counted.payloads) == (rest != "payloads", 0 if rest == "header" else 2)


async def test_payloads_and_a_header_that_the_tracker_does_not_know(here: Installation) -> None:
    one = result()
    await here.payloads(one, "a", [1, 2, 4])
    here.lose_kafka()
    await here.payloads(one, "a", [2])
    assert await here.found() == [("facts-missing", "T1")]
    (found,) = (await here.fsck()).findings
    assert "series a 1, 4." in found.detail
    await here.header(one)
    here.known["T1"] = replace(here.known["T1"], header=None)
    assert await here.found() == [("facts-missing", "T1"), ("facts-missing", "T1")]


async def test_a_told_outcome_without_a_row(here: Installation) -> None:
    await here.closed(result())
    here.lose_kafka()
    assert await here.found() == [("row-missing", "T1")]
    here.later = timedelta(days=15)
    assert await here.found() == [], "trackers forget it by then"


async def test_a_row_that_is_open_beside_an_outcome(here: Installation) -> None:
    await here.all_of(result())
    row = here.known["T1"]
    await here.deliver("T1")
    here.known["T1"] = row
    assert await here.found() == [("row-behind", "T1")]


async def test_a_row_with_another_outcome(here: Installation) -> None:
    await here.closed(result())
    here.known["T1"] = replace(here.known["T1"], state=State.FAILED)
    assert await here.found() == [("row-differs", "T1")]


# --- what storage has lost


async def test_blocks_that_have_gone(here: Installation) -> None:
    one = await half(here)
    here.blobs._staged[one.part("a")] = {
        block: body for block, body in here.blobs._staged[one.part("a")].items() if block.first != 1
    }
    (found,) = (await here.fsck()).findings
    assert (found.kind, found.transaction_id) == ("blocks-missing", "T1")
    assert "series a 1." in found.detail
    assert "`brh send T1`" in found.remedy
    await here.payloads(one, "a", [1])
    assert await here.found() == []


async def test_a_part_of_which_all_blocks_have_gone(here: Installation) -> None:
    one = await half(here)
    await here.payloads(one, "b", [1])
    del here.blobs._staged[one.part("a")]
    (found,) = (await here.fsck()).findings
    assert (found.kind, "series a 1, 3." in found.detail) == ("blocks-missing", True)


async def test_a_transaction_of_which_storage_has_nothing(here: Installation) -> None:
    await half(here)
    await here.closed(result("T2"))
    here.blobs = MemoryBlobs()
    assert await here.found() == [("header-missing", "T1"), ("blocks-missing", "T1"), ("outcome-missing", "T2")]
    here.later = timedelta(days=15, hours=1)
    assert ("outcome-missing", "T2") not in await here.found(), "results may be removed by then"


async def test_parts_that_are_committed_before_the_outcome_are_there(here: Installation) -> None:
    one = result()
    await here.all_of(one)
    staged = await here.blobs.uncommitted(one.part("a"))
    ids = sorted(block.id for block in staged if block.id.nsub)
    await here.blobs.commit(one.part("a"), ids, content_type="text/x", metadata={"brh_content": "1"})
    assert await here.found() == []


async def test_a_header_that_storage_does_not_have(here: Installation) -> None:
    one = await half(here)
    await here.remove("T1/_header.json")
    assert await here.found() == [("header-missing", "T1")]
    await here.header(one)
    assert await here.found() == []


async def test_a_closed_transaction_without_its_outcome(here: Installation) -> None:
    await here.closed(result())
    await here.remove("T1/_outcome.json")
    assert await here.found() == [("told-without-outcome", "T1"), ("outcome-missing", "T1")]


async def test_an_outcome_that_was_told_and_is_gone_is_found_without_a_row_too(here: Installation) -> None:
    await here.closed(result(), FAILED)
    await here.remove("T1/_outcome.json")
    await here.remove("T1/_header.json")
    here.lose_kafka()
    assert await here.found() == [("told-without-outcome", "T1")]


# --- outcomes


async def test_an_outcome_that_nobody_was_told_of(here: Installation) -> None:
    await here.closed(result())
    await here.remove("T1/_told.json")
    (found,) = (await here.fsck()).findings
    assert (found.kind, found.transaction_id) == ("outcome-untold", "T1")
    assert "sweep" in found.remedy
    assert await here.found(grace_s=900.0) == [], "its delivery may be at work"


async def test_a_part_that_is_missing(here: Installation) -> None:
    one = result()
    await here.closed(one)
    await here.remove(one.part("b"))
    (found,) = (await here.fsck()).findings
    assert (found.kind, found.transaction_id) == ("part-missing", "T1")
    assert one.part("b") in found.detail


async def test_a_part_of_another_version_or_length(here: Installation) -> None:
    one = result()
    await here.closed(one)
    await rewrite(here, one.part("a"), b"a1a2a4")
    await rewrite(here, one.part("b"), b"longer")
    found = (await here.fsck()).findings
    assert [(each.kind, one.part(name) in each.detail) for each, name in zip(found, "ab", strict=True)] == [
        ("part-differs", True),
        ("part-differs", True),
    ]


@pytest.mark.parametrize("fact", [FAILED, ABANDONED, None])
async def test_parts_that_are_left_behind(here: Installation, fact: Expired | None) -> None:
    one = result()
    await here.closed(one, *([fact] if fact else []))
    late = Result({**one.series, "late": [b"x"]}, name="T1")
    await late.stage(here.blobs, "late", 1)
    (found,) = (await here.fsck()).findings
    assert (found.kind, found.transaction_id) == ("parts-left", "T1")
    assert "T1/late/part-00000 is left over" in found.detail


async def test_a_record_of_orphans_that_is_gone(here: Installation) -> None:
    await orphaned(here, "T1")
    await here.remove("T1/_orphans.json")
    assert await here.found() == [("orphans-missing", "T1")]


@pytest.mark.parametrize("record", ["_header.json", "_outcome.json", "_told.json"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[" * 100_000])
async def test_a_record_that_cannot_be_read(here: Installation, record: str, body: bytes) -> None:
    if record == "_header.json":
        await half(here)
    else:
        await here.closed(result())
    await rewrite(here, f"T1/{record}", body)
    assert await here.found() == [("record-unreadable", "T1")]
    assert await here.found(rebuild=True) == [("record-unreadable", "T1")]


# --- what is unclear


async def test_two_contents_of_what_the_tracker_does_not_know(here: Installation) -> None:
    one = await half(here)
    await here.payloads(one, "a", [2], told=False)
    other = Result({"a": [b"a1", b"other", b"", b"a4"]}, name="T1")
    await here.payloads(other, "a", [2], told=False)
    (found,) = (await here.fsck()).findings
    assert (found.kind, "series a 2." in found.detail) == ("blocks-unclear", True)
    await here.payloads(one, "a", [2])
    assert await here.found() == [], "now it is known which was first"


async def test_two_total_counts(here: Installation) -> None:
    await here.payloads(Result({"a": [b"x"] * 4}, name="T1"), "a", [1], told=False)
    await here.payloads(Result({"a": [b"x"] * 5}, name="T1"), "a", [2], told=False)
    found = (await here.fsck()).findings
    assert [each.kind for each in found] == ["transaction-unknown", "blocks-unclear"]
    assert "series a [4, 5]" in found[1].detail


async def test_losers_of_a_conflict_are_nothing_new(here: Installation) -> None:
    one = result()
    await here.header(one)
    await here.payloads(one, "a", [1, 2, 4])
    await here.payloads(Result({"a": [b"x", b"", b"", b"a4"]}, name="T1"), "a", [1, 2])
    await here.payloads(Result({"a": [b"x"] * 9}, name="T1"), "a", [3, 7])
    await here.payloads(Result({"a": [b"x"] * 9, "unlisted": [b"x"]}, name="T1"), "unlisted", [1], told=False)
    assert await here.found() == []


async def test_what_comes_after_the_verdict_is_nothing_new(here: Installation) -> None:
    one = await half(here)
    here.decide("T1", FAILED)
    await here.payloads(one, "a", [2])
    assert await here.found() == []


# --- what moves


async def test_a_block_whose_fact_is_on_its_way_is_nothing(here: Installation) -> None:
    one = await half(here)
    await here.payloads(one, "a", [2], told=False)

    async def meanwhile() -> None:
        await here.payloads(one, "a", [2])
        await here.payloads(one, "a", [4], told=False)  # the next one is on its way by then

    here.meanwhile = meanwhile
    assert await here.found() == []
    here.meanwhile = None
    assert await here.found() == [("facts-missing", "T1")]


async def test_a_transaction_that_begins_is_nothing(here: Installation) -> None:
    one = result()
    await here.payloads(one, "a", [2], told=False)

    async def meanwhile() -> None:
        await here.payloads(one, "a", [2])

    here.meanwhile = meanwhile
    assert await here.found() == []


async def test_a_payload_that_is_accepted_while_it_is_looked_at_is_there(here: Installation) -> None:
    one = await half(here)
    await here.payloads(one, "a", [2], told=False)

    async def meanwhile() -> None:
        await here.payloads(one, "a", [2, 4])

    here.meanwhile = meanwhile
    assert await here.found() == []


async def test_a_transaction_that_closes_meanwhile_is_nothing(here: Installation) -> None:
    one = result()
    await here.all_of(one)
    await here.payloads(Result({**one.series, "u": [b"x"]}, name="T1"), "u", [1], told=False)
    row = here.known.pop("T1")

    async def meanwhile() -> None:
        here.known["T1"] = row
        await here.deliver("T1")

    here.meanwhile = meanwhile
    assert await here.found() == []


# --- limits


async def test_so_many_findings_are_kept_and_the_others_counted(here: Installation) -> None:
    for number in range(5):
        await half(here, f"T{number}")
    here.lose_kafka()
    report = await here.fsck(findings_max=3, page_blobs=2)
    assert ([each.transaction_id for each in report.findings], report.more) == (["T0", "T1", "T2"], 2)
    assert report.restored.transactions == 5


async def test_only_a_page_is_held_and_only_so_many_are_looked_at_at_once(here: Installation) -> None:
    for number in range(20):
        await half(here, f"T{number:02d}")
    asked: list[int] = []
    inner = here.blobs.page

    async def page(prefix: str = "", **options: Any) -> Any:
        asked.append(options.get("limit", 0)) if not prefix else None
        return await inner(prefix, **options)

    here.blobs.page = page  # type: ignore[method-assign]  # a test looks on
    await here.fsck(page_blobs=7)
    assert asked == [7] * 6


def test_every_kind_has_a_remedy_that_is_a_sentence_without_holes() -> None:
    for kind in Kind:
        made = finding(kind, "T1", "What was found.")
        assert made.remedy.endswith(".")
        assert "{" not in made.remedy
