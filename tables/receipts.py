"""Facts as rows of the receipts table: each is written once, under a key made from its content. Pure.

A row never changes, so an owner that was frozen and woke up after its partition had moved can write what it likes: it
can only repeat what is there. The row keeps the offset of its event, so that a rebuilt transaction takes its facts in
the order in which they were first heard (`place` tells those of one event apart), and an event that is read again
after a crash is not mistaken for a duplicate. What the tracker decided when time had passed stands among them, at the
offset of the record that made it look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import reduce
from hashlib import blake2b
from typing import Any, Final, TypeAlias, assert_never, get_args

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from bridge.contract.events import (
    Command,
    Delivered,
    DeliveryRefused,
    HeaderReceived,
    MessageRefused,
    Moment,
    Staged,
    Told,
    check_clock,
)
from bridge.unreadable import Version, convert
from tables.decisions import Decision, Expired, GapNoticed, Overdue
from tables.policies import DEFAULTS, Policies
from tables.rules import Fact, advance, opened
from tables.transaction import Transaction

Kept: TypeAlias = HeaderReceived | Staged | Delivered | Told | Command | Decision
"""Facts that have a row. A refused delivery has none, because a new delivery repeats it, nor has a refused message,
because there may be any number of them: the readable row remembers the last ones of both."""


class _Versioned(msgspec.Struct, frozen=True, kw_only=True):
    v: Version = UNSET


class _Row(_Versioned, frozen=True, tag_field="kind"):
    offset: int
    at: Moment

    def __post_init__(self) -> None:
        check_clock(self.at)


class HeaderRow(_Row, frozen=True, tag="header"):
    """A header that was accepted, or one that contradicts it."""

    fact: HeaderReceived
    place: int = 0


class StagedRow(_Row, frozen=True, tag="staged"):
    """A staged payload, or a run of them."""

    fact: Staged
    place: int = 0


class OutcomeRow(_Row, frozen=True, tag="outcome"):
    """The outcome as it was written and told."""

    fact: Delivered
    place: int = 0


class ToldRow(_Row, frozen=True, tag="told"):
    """Something that was said or done."""

    fact: Told
    place: int = 0


class CommandRow(_Row, frozen=True, tag="command"):
    """What somebody wanted, and who."""

    fact: Command
    place: int = 0


class DecisionRow(_Row, frozen=True, tag="decision"):
    """What the tracker found out when time had passed."""

    fact: Decision
    place: int = 0


Row: TypeAlias = HeaderRow | StagedRow | OutcomeRow | ToldRow | CommandRow | DecisionRow
_KINDS: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Row))


def key(transaction_id: str, fact: Fact) -> str | None:
    """Key of the fact's row; None for a fact that is not kept."""
    match fact:
        case HeaderReceived():
            other = fact.conflicting_digest
            return f"{transaction_id}/h-{fact.digest}" + (f"-{other}" if other else "")
        case Staged():
            said: tuple[object, ...] = (fact.total_count, fact.sizes, fact.blocks)
            if fact.count > 1:
                said += (fact.crc64s,)  # the block of a run does not tell what each of its payloads is
            if fact.found:
                said += (fact.run_bytes,)
            return f"{transaction_id}/{fact.series}/{fact.first}-{fact.count}-{_digest(said)}"
        case Delivered():
            return outcome_key(transaction_id)
        case Told():
            return f"{transaction_id}/told-{fact.effect}"
        case Command():
            return f"{transaction_id}/command-{fact.id}"
        case DeliveryRefused() | MessageRefused():
            return None
        case GapNoticed() | Expired() | Overdue():
            return f"{transaction_id}/{_decided(fact)}"
        case _:
            assert_never(fact)


def _decided(decision: Decision) -> str:
    match decision:
        case GapNoticed():
            return f"gap-{decision.sequence}"
        case Expired():
            return f"expired-{_digest(decision)}"
        case Overdue():
            return "overdue"
        case _:
            assert_never(decision)


def outcome_key(transaction_id: str) -> str:
    """Key of the one row that stays when a transaction is closed."""
    return f"{transaction_id}/outcome"


def says_more(before: Transaction, after: Transaction) -> bool:
    """Whether the fact between the two is worth a row: it changed more than counters.

    What changed nothing when it came changes nothing in a fold, so messages that repeat what is known, or contradict it
    again and again, grow no table: of contradictions the first has a row, and one further of each code.
    """
    counted = replace(
        before,
        updated=after.updated,
        duplicates=after.duplicates,
        late=after.late,
        contradictions=after.contradictions,
    )
    return counted != after


def transaction_of(row_key: str) -> str:
    """Id of the transaction that a row belongs to."""
    return row_key.partition("/")[0]


def row(fact: Kept, offset: int, at: datetime, place: int = 0) -> dict[str, Any]:
    """The fact as plain JSON: what the table stores, the changelog carries and the table view shows."""
    match fact:
        case HeaderReceived():
            made: Row = HeaderRow(offset, at, fact, place)
        case Staged():
            made = StagedRow(offset, at, fact, place)
        case Delivered():
            made = OutcomeRow(offset, at, fact, place)
        case Told():
            made = ToldRow(offset, at, fact, place)
        case Command():
            made = CommandRow(offset, at, fact, place)
        case GapNoticed() | Expired() | Overdue():
            made = DecisionRow(offset, at, fact, place)
        case _:
            assert_never(fact)
    plain: dict[str, Any] = msgspec.to_builtins(made)
    return plain


def read(plain: Mapping[str, Any]) -> Row:
    """The row in its JSON. Raises Unreadable when it is none that this release knows."""
    found: Row = convert(plain, Row, _KINDS)
    return found


def fold(transaction_id: str, rows: Iterable[Row], policies: Policies = DEFAULTS) -> Transaction:
    """The transaction that the rows, in any order, tell of."""
    ordered = sorted(rows, key=lambda each: (each.offset, each.place))
    first = opened(transaction_id, ordered[0].at, policies)
    return reduce(lambda transaction, each: advance(transaction, each.fact, each.at, policies), ordered, first)


def _digest(said: object) -> str:
    return blake2b(msgspec.json.encode(said), digest_size=8).hexdigest()
