"""An evening of an installation that there is not: transactions in all states, for pictures of the pages."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from bridge.contract.events import Delivered, DeliveryRefused, HeaderReceived, MessageRefused, PayloadsStaged, Staged
from bridge.contract.inbound import Header, SeriesSpec
from bridge.contract.outbound import Problem, rfc3339
from streams.pace import Counts, Pace
from streams.partition import Partition
from streams.record import Record
from tables import ordinals, rules
from tables.deadlines import Clock, lapsed
from tables.effects import delivery_id
from tables.rules import Fact
from tables.transaction import Transaction

Holes = Mapping[str, tuple[int | None, list[tuple[int, int]], int, str]]
"""By series its total count, what is missing of it, bytes of a payload, content type."""

WAITING = "risk-2026-11-26-EUR"
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"


def evening(now: datetime) -> Iterator[Transaction]:
    """All transactions, as they are at this moment."""
    dice = random.Random(7)
    yield _with_gap(
        _received(
            WAITING,
            "valuation",
            now - timedelta(minutes=26),
            {
                "cashflows": (1_000_000, [(317_001, 329_880), (612_345, 612_400), (880_000, 995_000)], 1_200, CSV),
                "trades": (480, [(17, 17), (42, 90), (301, 304)], 240_000, PARQUET),
                "scenarios": (128, [], 8_000_000, "application/octet-stream"),
                "audit": (60, [(55, 60)], 90_000, "application/json"),
            },
            {"book": "EUR", "desk": "rates"},
            now - timedelta(minutes=11),
        ),
        now,
    )
    yield _refused("recon-2026-11-26", now)
    yield _contradicted("stress-2026-11-26", now)
    for kind, count in (("valuation", 6), ("positions", 5), ("intraday", 3)):
        for number in range(count):
            total = dice.randrange(200, 900)
            held = dice.randrange(20, total)
            series: Holes = {"rows": (total, [(held + 1, total)], 400_000, PARQUET), "log": (12, [(5, 12)], 900, CSV)}
            began = now - timedelta(seconds=100 + 47 * number + dice.randrange(40))
            progressed = now - timedelta(seconds=dice.randrange(1, 40))
            yield _received(f"{kind}-20261126-{number:02d}", kind, began, series, {}, progressed)
    for number in range(70):
        yield _closed(number, now, dice)


def lately(partition: Partition, known: Transaction, now: datetime) -> None:
    """Let the partition have heard the last payloads of a transaction."""
    for number, (series, first) in enumerate([("scenarios", 126), ("trades", 470), ("trades", 474), ("audit", 51)]):
        count = 2 if series == "scenarios" else 4
        facts = tuple(
            Staged(series, first + at, 1, known.series[series].total_count or 1, (1_000,), ("0" * 16,), ("0" * 16,))
            for at in range(count)
        )
        at = now - timedelta(minutes=11, seconds=9 - 2 * number)
        record = Record(0, 48_213 + 97 * number, at, known.id.encode(), b"")
        held = known.series[series]
        before = replace(known, series={series: replace(held, received_count=held.received_count - count)})
        partition.recent.heard(PayloadsStaged(known.id, facts, at), before, known, record)


def hurry(partition: Partition, dice: random.Random) -> None:
    """Give the partition a minute behind it in which much has come."""
    now_s = time.monotonic()
    partition._pace = Pace(now_s - 100)
    for second in range(60, -1, -1):
        payloads = max(0, 90 + round(50 * math.sin(second / 6)) + dice.randrange(-20, 40))
        closed = dice.random() < 0.03
        partition._pace.note(
            Counts(payloads, payloads * dice.randrange(60_000, 90_000), closed, closed), now_s - second
        )


def _received(
    name: str, kind: str, began: datetime, series: Holes, labels: dict[str, str], progressed: datetime
) -> Transaction:
    specs = tuple(SeriesSpec(each, total, content_type) for each, (total, _, _, content_type) in series.items())
    said = HeaderReceived(name, Header(specs, kind, labels=labels), "d", began + timedelta(seconds=41))
    known = _told(rules.opened(name, began), said, said.received)
    held = {}
    for each, (total, holes, size, _) in series.items():
        bits = ordinals.upto(total or 0)
        for first, last in holes:
            bits &= ~ordinals.interval(first, last - first + 1)
        count = bits.bit_count()
        held[each] = replace(known.series[each], received=bits, received_count=count, bytes=count * size)
    return replace(known, series=held, progressed=progressed, updated=progressed)


def _told(transaction: Transaction, fact: Fact, at: datetime) -> Transaction:
    return rules.advance(transaction, fact, at)


def _with_gap(transaction: Transaction, now: datetime) -> Transaction:
    at = now - timedelta(seconds=58)
    earlier = now - timedelta(minutes=12)
    detail = "Series audit, ordinal 61: brh_ordinal is 61, expected at most the total count 60."
    refused = Problem("bad-ordinal", "A message was refused", detail, "ingest", rfc3339(earlier))
    transaction = replace(
        _told(transaction, MessageRefused(transaction.id, refused), earlier), updated=transaction.updated
    )
    decision = lapsed(transaction, Clock(at, at, 3_600.0))
    assert decision is not None
    after = replace(_told(transaction, decision, at), duplicates=214)
    return replace(after, recovered=now - timedelta(minutes=9), recoveries=1)


def _payload(name: str, ordinal: int, total: int, content: int = 0) -> Staged:
    crc64 = f"{hash((name, ordinal, content)) & (1 << 64) - 1:016x}"
    return Staged("rows", ordinal, 1, total, (182_400 + content,), (crc64,), (crc64,))


def _sent(name: str, kind: str, began: datetime, total: int, last: int) -> Transaction:
    header = HeaderReceived(name, Header((SeriesSpec("rows", total, PARQUET),), kind), "d", began)
    known = _told(rules.opened(name, began), header, began)
    for ordinal in range(1, last + 1):
        known = _told(known, _payload(name, ordinal, total), began + timedelta(seconds=ordinal))
    return known


def _refused(name: str, now: datetime) -> Transaction:
    at = now - timedelta(seconds=20)
    detail = f"PUT results/{name}/rows/part-00000: 503 ServerBusy"
    problem = Problem(
        "storage-unavailable", "Blob storage did not do its part", detail, "assemble", rfc3339(at), True, False
    )
    known = _sent(name, "recon", now - timedelta(minutes=14), 36, 36)
    for _ in range(4):
        known = _told(known, DeliveryRefused(name, delivery_id(name, "Completed"), problem), at)
    return known


def _contradicted(name: str, now: datetime) -> Transaction:
    known = _sent(name, "stress", now - timedelta(minutes=40), 150, 131)
    return _told(known, _payload(name, 23, 150, 7), now - timedelta(seconds=9))


def _closed(number: int, now: datetime, dice: random.Random) -> Transaction:
    name, total = f"eod-20261126-{number:03d}", dice.randrange(60, 900)
    outcome = "Completed" if number % 12 else ("Failed" if number % 24 else "Abandoned")
    holes = [] if outcome == "Completed" else [(total // 2, total)]
    began = now - timedelta(minutes=20 + 4 * number)
    series: Holes = {"rows": (total, holes, 800_000, PARQUET), "log": (4, [], 2_000, CSV)}
    known = _received(name, "end-of-day", began, series, {}, began + timedelta(minutes=3))
    at = began + timedelta(minutes=3)
    problem = None
    if holes:
        code = "conflicting-total-count" if outcome == "Failed" else "timeout"
        problem = Problem(code, "Payloads are missing", "Not everything came within 7200 s.", "await", rfc3339(at))
    uri = f"https://bigresults.blob.core.windows.net/results/{name}/_outcome.json"
    return _told(known, Delivered(name, outcome, uri, "0x8D", at, at + timedelta(seconds=1), "n", problem), at)
