"""What is kept and sent about a transaction has a bound, whatever comes and however it was staged."""

from __future__ import annotations

import random
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace
from playbook import (
    START,
    T1,
    Playbook,
    asks,
    asks_nothing,
    changes_only,
    deliveries,
    has,
    header,
    payload,
    refused,
)

from bridge.contract.events import HeaderReceived
from bridge.contract.inbound import PAYLOAD_MAX_BYTES, SERIES_MAX, TOTAL_COUNT_MAX, Header, SeriesSpec, Trace
from bridge.contract.outbound import Outcome, OutcomeTimestamps, Part, SeriesResult
from bridge.layout import ordinals_per_part, part_count, part_ordinals, sub_block_bytes
from streams.topics import RECORD_MAX_BYTES
from tables.contents import CHUNK_ORDINALS, Chunk, Contents
from tables.effects import EFFECT_MAX_BYTES, Deliver, PartPlan, SeriesPlan, encode
from tables.limits import PAYLOADS_MAX
from tables.plan import NAMED_MAX_BYTES
from tables.rules import opened
from tables.transaction import PartTally, Series, State, Transaction, Verdict

SENDING = State.SENDING_COMPLETION
LONGEST_NAME = "n" * 63
CONTENT_TYPE = "a" + '"' * 254 + "b"
"""Each quote is two bytes of JSON."""
BLOCKS_PER_PAYLOAD = -(-PAYLOAD_MAX_BYTES // sub_block_bytes(TOTAL_COUNT_MAX))


def totals(kind: str) -> list[int]:
    """Total counts of the series of a transaction as large as may be."""
    if kind == "five whole series":
        return [TOTAL_COUNT_MAX] * (PAYLOADS_MAX // TOTAL_COUNT_MAX)
    if kind == "a thousand equal series":
        return [PAYLOADS_MAX // SERIES_MAX] * SERIES_MAX
    # Each part beyond the first of a series takes 4,096 payloads, or one where only the last ordinal lies in it.
    return [4_097] * (SERIES_MAX - 1) + [PAYLOADS_MAX - 4_097 * (SERIES_MAX - 1)]


KINDS = ["five whole series", "a thousand equal series", "one payload in every second part"]


def codes(kind: str, chance: random.Random) -> bytes:
    """Tiles of 1,024 ordinals, a chunk, as bit lengths of their counts."""
    match kind:
        case "runs of two and single payloads in turn":
            return bytes([2, 2, 1, 1]) * (CHUNK_ORDINALS // 4)
        case "runs of all sizes in no order":
            found = b""
            while len(found) < CHUNK_ORDINALS:
                fits = [length for length in range(1, 10) if len(found) % (1 << length >> 1) == 0]
                length = chance.choice(fits)
                found += bytes([length]) * (1 << length >> 1)
            return found
        case "runs, single payloads and holes in no order":
            two = [bytes([2, 2]), bytes([1, 1]), bytes([0, 1]), bytes([1, 0]), bytes([0, 0])]
            return b"".join(chance.choices(two, k=CHUNK_ORDINALS // 2))
        case "payloads of the largest size":
            return bytes([1]) * CHUNK_ORDINALS
    raise ValueError(kind)


TILINGS = [
    "runs of two and single payloads in turn",
    "runs of all sizes in no order",
    "runs, single payloads and holes in no order",
    "payloads of the largest size",
]


def chunks(tiling: str) -> list[Chunk]:
    """Some chunks, of which a series is made in no order: building 5,000,000 ordinals one by one takes minutes."""
    chance = random.Random(7)
    cut = chance.randbytes(8 * BLOCKS_PER_PAYLOAD)
    cuts = dict.fromkeys(range(CHUNK_ORDINALS), cut) if tiling == "payloads of the largest size" else {}
    return [
        Chunk(chance.randbytes(8 * CHUNK_ORDINALS), codes(tiling, chance), chance.randbytes(4 * CHUNK_ORDINALS), cuts)
        for _ in range(64)
    ]


def largest(kind: str, tiling: str) -> Transaction:
    """A transaction that has reached its verdict, with every text as long as it may be."""
    chance = random.Random(11)
    some, last = chunks(tiling), Chunk(bytes(8 * CHUNK_ORDINALS), b"\1" * CHUNK_ORDINALS)
    series: dict[str, Series] = {}
    for number, total in enumerate(totals(kind)):
        sizes = [len(part_ordinals(part, total)) for part in range(part_count(total))]
        series[f"{number:04d}{LONGEST_NAME}"[:63]] = Series(
            total_count=total,
            content_type=CONTENT_TYPE,
            received_count=total,
            contents=Contents((*chance.choices(some, k=total // CHUNK_ORDINALS), last)),
            parts={
                part: PartTally(
                    size, size * BLOCKS_PER_PAYLOAD, size * PAYLOAD_MAX_BYTES, 2**128 - 1 - part, 2**128 - 1 - part
                )
                for part, size in enumerate(sizes)
            },
        )
    return replace(
        opened("t" * 128, START),
        state=SENDING,
        header=Header(tuple(SeriesSpec(name, None, CONTENT_TYPE) for name in series), "d" * 63),
        header_received=START,
        reply_to="\x01" * 255,
        trace=Trace("0" * 300, "s" * 512),
        series=series,
        verdict=Verdict("Completed"),
        unclear={name: tuple(each.parts) for name, each in series.items()},
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tiling", TILINGS)
def test_no_transaction_makes_an_effect_that_kafka_refuses(kind: str, tiling: str) -> None:
    (effect,) = deliveries(largest(kind, tiling), START)
    size = len(encode(effect))
    print(f"{kind}, {tiling}: {size:,} bytes")
    assert size < EFFECT_MAX_BYTES < RECORD_MAX_BYTES


@pytest.mark.parametrize("total_count", [1_024, TOTAL_COUNT_MAX])
def test_the_blocks_of_any_part_can_be_named_in_one_plan(total_count: int) -> None:
    blocks = -(-PAYLOAD_MAX_BYTES // sub_block_bytes(total_count))
    assert ordinals_per_part(total_count) * (16 * blocks + len('"",')) <= NAMED_MAX_BYTES


def test_the_bounds_of_all_that_a_plan_says_stay_below_that_of_an_effect() -> None:
    parts = SERIES_MAX + PAYLOADS_MAX // ordinals_per_part(TOTAL_COUNT_MAX)
    plain = PartPlan(999, 2**13, 2**16, 2**48, "f" * 32, "f" * 32, "=" * 12)  # and what rounding adds to the tiles
    series = SeriesPlan(LONGEST_NAME, TOTAL_COUNT_MAX, CONTENT_TYPE, ())
    bitmaps = 2 * PAYLOADS_MAX // 8 * 4 // 3
    largest_plan = parts * len(msgspec.json.encode(plain)) + SERIES_MAX * len(msgspec.json.encode(series)) + bitmaps
    assert largest_plan + NAMED_MAX_BYTES + 64_000 < EFFECT_MAX_BYTES, "64 kB for the names, the trace and a problem"


def test_when_not_all_unclear_parts_can_be_named_the_first_ones_are() -> None:
    transaction = largest("five whole series", "payloads of the largest size")
    (effect,) = deliveries(transaction, START)
    named = [(plan.series, part.part) for plan in effect.series for part in plan.parts if part.named]
    assert named[0] == (effect.series[0].series, 0)
    assert len(named) < 4, "one of the largest parts fits, and perhaps some last ones, which are shorter"
    # What is committed is not asked about again, so the next ones follow.
    rest = {name: tuple(part for part in parts if part > 3) for name, parts in transaction.unclear.items()}
    (effect,) = deliveries(replace(transaction, unclear=rest), START)
    assert next(part.part for plan in effect.series for part in plan.parts if part.named) == 4


def test_no_outcome_and_no_notification_is_one_that_kafka_refuses() -> None:
    uri = f"https://{'a' * 24}.blob.core.windows.net/{'c' * 63}/{'t' * 128}/{LONGEST_NAME}/part-00000"
    part = Part(uri, 2**40, "0x8DD0123456789AB", "0" * 16)
    series = tuple(
        SeriesResult(LONGEST_NAME, total, 2**50, CONTENT_TYPE, (part,) * part_count(total))
        for total in totals("one payload in every second part")
    )
    outcome = Outcome(
        "t" * 128, "d" * 63, "Completed", False, uri, series, None, OutcomeTimestamps(*["2026-01-31T12:00:00.000Z"] * 3)
    )
    assert len(msgspec.json.encode(outcome)) < EFFECT_MAX_BYTES


# --- what is more than a transaction may have


def specs(**total_counts: int | None) -> HeaderReceived:
    return header(on_conflict="keep-first", **total_counts)


def test_as_many_payloads_as_may_be_are_waited_for() -> None:
    whole = dict.fromkeys("abcde", TOTAL_COUNT_MAX)
    Playbook() >> specs(**whole) << State.AWAITING_RESULTS << asks_nothing


def test_a_header_that_announces_too_many_payloads_fails_the_transaction() -> None:
    book = Playbook() >> specs(**dict.fromkeys("abcde", TOTAL_COUNT_MAX), f=1) << asks("Failed", "too-many-payloads")
    assert [plan.parts for plan in book.due()[0].series] == [()] * 6
    assert book.transaction.problem is not None
    assert "5000001" in book.transaction.problem.detail


def test_a_payload_that_tells_of_too_many_fails_the_transaction() -> None:
    book = Playbook() >> specs(**dict.fromkeys("abcde", TOTAL_COUNT_MAX), f=None) << State.AWAITING_RESULTS
    book >> payload("f", 1, of=1) << asks("Failed", "too-many-payloads")


def test_too_many_payloads_before_the_header_fail_the_transaction() -> None:
    book = Playbook()
    for name in "abcde":
        book >> payload(name, 1, of=TOTAL_COUNT_MAX) << State.AWAITING_RESULTS
    book >> payload("f", 1, of=1) << asks("Failed", "too-many-payloads")
    book >> specs(a=1) << asks("Failed", "too-many-payloads")


def test_series_that_the_header_does_not_list_do_not_count() -> None:
    book = Playbook()
    for name in "abcde":
        book >> payload(name, 1, of=TOTAL_COUNT_MAX)
    book >> specs(f=1) << State.AWAITING_RESULTS >> payload("f", 1, of=1) << asks("Completed")


def test_more_series_before_the_header_than_one_can_list_fail_the_transaction() -> None:
    book = Playbook()
    for number in range(SERIES_MAX):
        book >> payload(f"s{number}", 1, of=1) << State.AWAITING_RESULTS
    book >> payload("s0", 1, of=1) << State.AWAITING_RESULTS
    book >> payload("one-more", 1, of=1) << asks("Failed", "too-many-series")
    book >> payload("another", 1, of=1) << changes_only(late=1)
    assert len(book.transaction.series) == len(book.due()[0].series) == SERIES_MAX


def test_of_series_that_the_header_does_not_list_no_more_are_kept_for_the_report_than_it_could_list() -> None:
    book = Playbook() >> specs(a=2)
    for number in range(SERIES_MAX + 5):
        book >> payload(f"u{number}", 1, of=TOTAL_COUNT_MAX)
    assert list(book.transaction.series) == ["a", *(f"u{number}" for number in range(SERIES_MAX))]
    assert book.transaction.conflict is not None
    assert book.transaction.conflict.code == "unknown-series"


def test_after_a_verdict_nothing_grows() -> None:
    book = Playbook() >> header(a=3) >> payload("a", 1, of=3) >> payload("a", 1, of=3, body="y")
    book << asks("Failed", "conflicting-payload") >> payload("a", 2, of=3) << has(late=1)
    assert book.transaction.series["a"].received_count == 1


def test_asking_again_and_again_keeps_only_the_last_question() -> None:
    book = Playbook() >> header(a=0)
    for number in range(100):
        (book >> timedelta(seconds=60)) >> refused(a=[number])
    assert book.transaction.unclear == {"a": (99,)}
    assert isinstance(book.transaction.unclear, dict)
    assert book.transaction.id == T1
    assert isinstance((book >> timedelta(seconds=60)).due()[0], Deliver)
