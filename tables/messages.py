"""What headers and payloads say about a transaction, and where they contradict each other. Pure.

What came first stays: a contradiction is kept beside it (`tables.conflicts`), and decides nothing: `tables.rules` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import assert_never

import msgspec
from msgspec.structs import replace

from bridge.contract.events import HeaderReceived, Staged
from bridge.contract.inbound import SERIES_MAX, Header
from bridge.contract.outbound import OutcomeCode
from tables.accept import Taken, differing, take
from tables.conflicts import Contradiction, contradicted
from tables.contents import UNSEEN
from tables.policies import Policies
from tables.transaction import Series, Transaction


def with_header(transaction: Transaction, fact: HeaderReceived, now: datetime, policies: Policies) -> Transaction:
    """What is known after a header: the first one stays, and an equal one is a duplicate."""
    found: list[Contradiction] = []
    if transaction.header is None:
        transaction = replace(
            transaction,
            header=fact.header,
            header_digest=fact.digest,
            header_received=fact.received,
            reply_to=fact.reply_to,
            trace=fact.trace,
            limits=policies.of(fact.header),
        )
        transaction, found = _announce(_progressed(transaction), fact.header)
    elif fact.conflicting_digest is None and fact.digest == transaction.header_digest:
        return replace(transaction, duplicates=transaction.duplicates + 1)
    other = fact.conflicting_digest or (fact.digest if fact.digest != transaction.header_digest else None)
    if other is not None:
        title = "A second header differs from the first"
        detail = f"A second header has the digest {other}, the first one {transaction.header_digest}."
        found.append(Contradiction(OutcomeCode.CONFLICTING_HEADER, other, title, detail))
    return contradicted(transaction, found, now)


def _announce(transaction: Transaction, header: Header) -> tuple[Transaction, list[Contradiction]]:
    """Hold what came before the header against what the header says."""
    found: list[Contradiction] = []
    series = {spec.type: Series() for spec in header.series} | transaction.series  # shown in the header's order
    for spec in header.series:
        known = series[spec.type]
        if spec.total_count is not None and known.total_count not in (None, spec.total_count):
            detail = f"Series {spec.type}: payloads say {known.total_count}, the header says {spec.total_count}."
            title = "Header and payloads disagree about a total count"
            found.append(_other_total(spec.type, spec.total_count, title, detail))
        total_count = spec.total_count if known.total_count is None else known.total_count
        series[spec.type] = replace(known, total_count=total_count, content_type=spec.content_type, listed=True)
    found += map(_unknown_series, sorted(series.keys() - {spec.type for spec in header.series}))
    return replace(transaction, series=series), found


def with_payloads(transaction: Transaction, staged: Staged, now: datetime) -> Transaction:
    """What is known after a payload, or a run of them."""
    before = transaction.series.get(staged.series, Series())
    if transaction.header is None or before.listed:
        after, found = _received(transaction, staged)
        return contradicted(after, found, now)
    unknown = _unknown_series(staged.series)
    if not _is_reported(transaction, staged.series):
        return contradicted(transaction, [unknown], now)  # nobody will want it, so nothing of it is kept
    after, found = _received(transaction, staged)
    return contradicted(after, [unknown, *found], now)


def _received(transaction: Transaction, staged: Staged) -> tuple[Transaction, Sequence[Contradiction]]:
    name = staged.series
    before = transaction.series.get(name, Series())
    series, taken = take(before, staged)
    fresh = series.received_count - before.received_count
    if fresh and transaction.verdict is not None:
        # What the parts contain is settled with the verdict; only larger tiles of it may still come.
        return replace(transaction, late=transaction.late + staged.count), ()
    transaction = replace(transaction, series={**transaction.series, name: series})
    match taken:
        case Taken.NEW | Taken.DUPLICATE:
            transaction = replace(transaction, duplicates=transaction.duplicates + staged.count - fresh)
            return _progressed(transaction) if fresh else transaction, ()
        case Taken.OTHER_BYTES:
            return transaction, [_other_bytes(before, staged)]
        case Taken.OTHER_TOTAL:
            detail = f"Series {name}, ordinal {staged.first}: says {staged.total_count}, known is {before.total_count}."
            title = "Messages of a series disagree about its total count"
            return transaction, [_other_total(name, staged.total_count, title, detail)]
        case Taken.UNPROVEN:
            return transaction, ()
        case _:
            assert_never(taken)


def _progressed(transaction: Transaction) -> Transaction:
    gap = transaction.gap and replace(transaction.gap, over=True)
    return replace(transaction, progressed=transaction.updated, gap=gap)


def _is_reported(transaction: Transaction, name: str) -> bool:
    """Whether payloads of a series that the header does not list are kept, so that they can be reported as orphans.

    With any other policy they fail the transaction. The bounds are those of what comes before a header.
    """
    limits, unlisted = transaction.limits, [each for each in transaction.series.values() if not each.listed]
    if limits.on_conflict != "keep-first" or transaction.verdict is not None:
        return False
    room = name in transaction.series or len(unlisted) < SERIES_MAX
    return room and sum(each.received_count for each in unlisted) < limits.early_payloads_max


def _unknown_series(name: str) -> Contradiction:
    detail = f"Series {name} has payloads, but the header does not list it."
    return Contradiction(OutcomeCode.UNKNOWN_SERIES, name, "A series is not in the header", detail)


def _other_total(name: str, said: int, title: str, detail: str) -> Contradiction:
    return Contradiction(OutcomeCode.CONFLICTING_TOTAL_COUNT, f"{name} {said}", title, detail)


def _other_bytes(series: Series, staged: Staged) -> Contradiction:
    at = differing(series, staged) or 0
    which = f"Series {staged.series}, ordinal {staged.first + at}"
    if staged.count > 1:
        which += f" in the run {staged.first}-{staged.first + staged.count - 1}"
    kept = series.contents.get(staged.first + at)
    first = f"the one with CRC-64 {kept.hex()} stays" if kept else "the empty one stays"
    if kept == UNSEEN:
        first = "the run that was found in storage stays"
    detail = f"{which}: {staged.sizes[at]} bytes with CRC-64 {staged.crc64s[at]} differ, {first}."
    # By all that the message says: which of its ordinals is the first to differ changes with what comes in between.
    said = blake2b(msgspec.json.encode((staged.series, staged.first, staged.sizes, staged.crc64s)), digest_size=8)
    title = "An ordinal came twice with different bytes"
    return Contradiction(OutcomeCode.CONFLICTING_PAYLOAD, said.hexdigest(), title, detail)
