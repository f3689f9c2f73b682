"""Facts as rows of the receipts table: each is written once, under a key made from its content. Pure.

A row never changes, so an owner that was frozen and woke up after its partition had moved can write what it likes: it
can only repeat what is there. The row keeps the offset of its event, so that a rebuilt transaction takes its facts in
the order in which they were first heard (`place` tells those of one event apart), and an event that is read again
after a crash is not mistaken for a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import reduce
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.contract.events import Delivered, DeliveryRefused, HeaderReceived, Staged
from tables.rules import Fact, advance, opened
from tables.transaction import Transaction


class HeaderRow(msgspec.Struct, frozen=True, tag="header", tag_field="kind"):
    """A header that was accepted, or one that contradicts it."""

    offset: int
    at: datetime
    fact: HeaderReceived
    place: int = 0


class StagedRow(msgspec.Struct, frozen=True, tag="staged", tag_field="kind"):
    """A staged payload, or a run of them."""

    offset: int
    at: datetime
    fact: Staged
    place: int = 0


class OutcomeRow(msgspec.Struct, frozen=True, tag="outcome", tag_field="kind"):
    """The outcome as it was written and told."""

    offset: int
    at: datetime
    fact: Delivered
    place: int = 0


Row = HeaderRow | StagedRow | OutcomeRow


def key(transaction_id: str, fact: Fact) -> str | None:
    """Key of the fact's row; None for a fact that is not kept, because a new delivery repeats it."""
    match fact:
        case HeaderReceived():
            other = fact.conflicting_digest
            return f"{transaction_id}/h-{fact.digest}" + (f"-{other}" if other else "")
        case Staged():
            said: tuple[object, ...] = (fact.total_count, fact.sizes, fact.blocks)
            if fact.count > 1:
                said += (fact.crc64s,)  # the block of a run does not tell what each of its payloads is
            content = blake2b(msgspec.json.encode(said), digest_size=8)
            return f"{transaction_id}/{fact.series}/{fact.first}-{fact.count}-{content.hexdigest()}"
        case Delivered():
            return f"{transaction_id}/outcome"
        case DeliveryRefused():
            return None


def says_more(before: Transaction, after: Transaction) -> bool:
    """Whether the fact between the two is worth a row: it changed more than counters.

    What changed nothing when it came changes nothing in a fold, so messages that repeat what is known, or contradict it
    again and again, grow no table.
    """
    return replace(before, updated=after.updated, duplicates=after.duplicates, late=after.late) != after


def transaction_of(row_key: str) -> str:
    """Id of the transaction that a row belongs to."""
    return row_key.partition("/")[0]


def row(fact: HeaderReceived | Staged | Delivered, offset: int, at: datetime, place: int = 0) -> dict[str, Any]:
    """The fact as plain JSON: what the table stores, the changelog carries and the table view shows."""
    match fact:
        case HeaderReceived():
            made: Row = HeaderRow(offset, at, fact, place)
        case Staged():
            made = StagedRow(offset, at, fact, place)
        case Delivered():
            made = OutcomeRow(offset, at, fact, place)
    plain: dict[str, Any] = msgspec.to_builtins(made)
    return plain


def read(plain: Mapping[str, Any]) -> Row:
    """The row in its JSON. Raises msgspec.ValidationError when it is none that this version knows."""
    found: Row = msgspec.convert(plain, Row)
    return found


def fold(transaction_id: str, rows: Iterable[Row]) -> Transaction:
    """The transaction that the rows, in any order, tell of."""
    ordered = sorted(rows, key=lambda each: (each.offset, each.place))
    first = opened(transaction_id, ordered[0].at)
    return reduce(lambda transaction, each: advance(transaction, each.fact, each.at), ordered, first)
