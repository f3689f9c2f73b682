"""Facts become rows that read back, under keys that say what they are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from playbook import START, T1, delivered, header, payload, refused, run, seconds

from bridge.contract.events import DeliveryRefused, Staged
from bridge.unreadable import Unreadable
from tables import receipts
from tables.rules import Fact
from tables.transaction import State

KEPT = [
    header(a=2),
    header(a=2, conflicting="other"),
    payload("a", 1, of=2, body="xy"),
    delivered("Failed", "code"),
    run("a", 1, "x", "y", of=2),
]


@pytest.mark.parametrize("fact", KEPT, ids=lambda fact: type(fact).__name__)
def test_a_row_reads_back_from_the_json_that_the_changelog_carries(fact: Any) -> None:
    carried = msgspec.json.decode(msgspec.json.encode(receipts.row(fact, 7, START, 3)))
    row = receipts.read(carried)
    assert (row.fact, row.offset, row.at, row.place) == (fact, 7, START, 3)


def test_a_row_of_an_older_version_reads_without_its_place() -> None:
    plain = receipts.row(KEPT[2], 7, START)
    del plain["place"]
    assert receipts.read(plain).place == 0


@pytest.mark.parametrize("plain", [{}, {"kind": "rumour"}, {"kind": "staged", "offset": "7"}], ids=repr)
def test_what_is_no_row_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        receipts.read(plain)


def test_keys_name_the_transaction_and_the_content() -> None:
    keys = [receipts.key(T1, fact) for fact in KEPT]
    assert all(key is not None and receipts.transaction_of(key) == T1 for key in keys)
    assert len(set(keys)) == len(keys)
    assert str(keys[2]).startswith("T1/a/1-1-")
    assert keys[3] == "T1/outcome"
    assert str(keys[4]).startswith("T1/a/1-2-")


def test_the_key_of_a_payload_is_the_one_that_older_versions_wrote() -> None:
    # Another one would let a fact that is read again be kept, and counted, a second time.
    fact = Staged("a", 1, 1, 2, (3,), ("0123456789abcdef",), ("0123456789abcdef",))
    assert receipts.key(T1, fact) == "T1/a/1-1-c9cd564e49ae8917"


@pytest.mark.parametrize(
    "other",
    [
        payload("b", 1, of=2),
        payload("a", 2, of=2),
        payload("a", 1, of=3),
        payload("a", 1, of=2, body="y"),
        payload("a", 1, of=2, body=""),
    ],
    ids=repr,
)
def test_another_payload_has_another_key(other: Fact) -> None:
    assert receipts.key(T1, other) != receipts.key(T1, payload("a", 1, of=2))


@pytest.mark.parametrize(
    "other",
    [
        run("a", 1, "x", "y", of=3),
        run("a", 1, "x", "z", of=2),
        run("a", 1, "", "x", of=2),
        run("b", 1, "x", "y", of=2),
        run("a", 1, "x", "y", "x", "y", of=4),
        replace(run("a", 1, "x", "y", of=2), crc64s=("0" * 16, "1" * 16)),
        replace(run("a", 1, "x", "y", of=2), blocks=("0" * 16,)),
    ],
    ids=repr,
)
def test_another_run_has_another_key(other: Staged) -> None:
    assert receipts.key(T1, other) != receipts.key(T1, run("a", 1, "x", "y", of=2))
    assert receipts.key(T1, run("a", 1, "x", "", of=2)) != receipts.key(T1, run("a", 1, "", "x", of=2))


def test_one_transaction_has_one_outcome_whatever_it_is() -> None:
    assert receipts.key(T1, delivered("Failed")) == receipts.key(T1, delivered("Completed"))


def test_a_refusal_is_not_kept() -> None:
    fact: DeliveryRefused = refused()
    assert receipts.key(T1, fact) is None


def test_a_series_may_be_named_like_the_other_rows() -> None:
    rows = {receipts.key(T1, payload(name, 1, of=1)) for name in ("outcome", "h", "a")}
    assert rows.isdisjoint(receipts.key(T1, fact) for fact in KEPT)


def test_a_folded_transaction_was_opened_and_last_heard_of_when_its_facts_were() -> None:
    first, last = START + seconds(3), START + seconds(9)
    rows = [receipts.StagedRow(8, last, payload("a", 1, of=1)), receipts.HeaderRow(5, first, header(a=1))]
    folded = receipts.fold(T1, rows)
    assert (folded.created, folded.updated, folded.state) == (first, last, State.SENDING_COMPLETION)
