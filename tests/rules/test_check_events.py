"""What the events tell must be in the row, and nothing is wrong where the row has merely gone on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from playbook import START, Playbook, command, delivered, header, payload, run, seconds

from streams.check_events import Reach, check_events, is_cut
from streams.settings import RESULT_RETENTION_MIN_S
from tables.policies import Limits
from tables.projection import view
from tables.rules import Fact, advance, opened
from tables.transaction import Transaction

DAY = timedelta(days=1)
REMEMBERED_S = 14 * 86_400.0
REACH = Reach(True, START + seconds(10), REMEMBERED_S)
CUT = replace(REACH, whole=False)
SURE_S = RESULT_RETENTION_MIN_S - REMEMBERED_S


def folded(*facts: Fact) -> Transaction:
    book = Playbook()
    for fact in facts:
        book >> fact
    return book.transaction


def found(told: Transaction, row: Transaction | None, reach: Reach = REACH) -> list[tuple[str, str]]:
    """Kind and detail of each finding."""
    seen = check_events(told, view(row) if row else None, reach)
    return [(each.kind.value, each.detail) for each in seen]


def kinds(told: Transaction, row: Transaction | None, reach: Reach = REACH) -> list[str]:
    return [kind for kind, _ in found(told, row, reach)]


HALF = (header(a=4, b=1), payload("a", 1, of=4), payload("a", 3, of=4))
FACTS = [
    *(header(a=3, b=None), header(a=3, b=None, conflicting="f" * 16), header(a=3, on_conflict="keep-first")),
    *(payload("a", 1, of=3), payload("a", 1, of=3, body="other"), payload("a", 2, of=4), payload("u", 1, of=1)),
    *(payload("a", 2, of=3), payload("a", 3, of=3), payload("b", 1, of=1), run("a", 1, "x", "y", of=3)),
    *(command("cancel"), delivered("Completed"), delivered("Failed", "timeout")),
]


@given(st.lists(st.sampled_from(FACTS), min_size=1, max_size=12), st.data())
def test_a_row_that_has_gone_on_lacks_nothing(facts: list[Fact], data: st.DataObject) -> None:
    read = data.draw(st.integers(1, len(facts)))
    row = folded(*facts)
    told = folded(*facts[:read])
    assert found(told, row) == []
    assert found(told, row, CUT) == []


@given(st.lists(st.sampled_from(FACTS[:-1]), min_size=1, max_size=12))
def test_where_first_events_are_gone_the_others_prove_nothing(facts: list[Fact]) -> None:
    row, late = folded(*facts), START + seconds(1)
    for first in range(1, len(facts)):
        told = opened("T1", late)
        for fact in facts[first:]:
            told = advance(told, fact, late)
        assert found(told, row, CUT) == []


def test_a_header_that_the_row_does_not_have() -> None:
    row = folded(*HALF[1:])
    detail = "The events tell of its header, and the tracker has none."
    assert found(folded(*HALF), row) == [("row-lacks-events", detail)]


def test_payloads_that_the_row_does_not_have_are_named() -> None:
    row = folded(HALF[0], HALF[1])
    told = folded(*HALF, payload("b", 1, of=1))
    detail = "The events tell of payloads that the tracker does not have: series a 3; series b 1."
    assert found(told, row) == [("row-lacks-events", detail)]
    assert kinds(folded(payload("a", 1, of=4)), folded(payload("b", 1, of=1))) == ["row-lacks-events"]


def scattered(*without: int) -> Transaction:
    """More ranges than a row shows."""
    odd = [ordinal for ordinal in range(1, 4_001, 2) if ordinal not in without]
    return folded(*(payload("a", ordinal, of=4_000) for ordinal in odd))


def test_of_more_ranges_than_a_row_shows_the_number_tells() -> None:
    told = scattered()
    assert found(told, scattered()) == []
    assert found(told, scattered(3)) == [
        ("row-lacks-events", "The events tell of payloads that the tracker does not have: series a 3.")
    ]
    detail = "The tracker has fewer payloads than the events tell of: 1999 of 2000 of series a."
    assert found(told, scattered(3_999)) == [("row-lacks-events", detail)]


def test_what_comes_with_a_verdict_is_not_taken() -> None:
    row = folded(*HALF[:2], command("cancel"))
    assert row.state == "SendingCompletion"
    assert found(folded(*HALF), row) == []


def test_how_much_is_kept_of_what_no_header_lists_is_a_matter_of_settings() -> None:
    facts = header(a=2, on_conflict="keep-first"), payload("u", 1, of=3), payload("u", 2, of=3)
    small = Playbook(Limits(early_payloads_max=1)) >> facts[0] >> facts[1] >> facts[2]
    assert folded(*facts).series["u"].received_count > small.transaction.series["u"].received_count
    assert found(folded(*facts), small.transaction) == []


# --- transactions that no tracker shows


def test_an_open_transaction_that_no_tracker_shows() -> None:
    detail = "The events tell of it since 2026-01-31T12:00:00.000Z: its header and 2 payloads."
    assert found(folded(*HALF), None) == [("transaction-lost", detail)]
    assert "no header and 1 payload." in found(folded(HALF[1]), None)[0][1]


@pytest.mark.parametrize("age_s", [0.0, SURE_S - 1, SURE_S, 100 * 86_400.0])
def test_where_first_events_are_gone_only_a_young_one_is_surely_lost(age_s: float) -> None:
    reach, told = replace(CUT, now=START + seconds(age_s)), folded(*HALF)
    assert bool(found(told, None, reach)) == (age_s < SURE_S)
    assert is_cut(told, None, reach) == (age_s >= SURE_S)
    assert kinds(told, None, replace(reach, whole=True)) == ["transaction-lost"]


def test_one_that_began_anew_is_judged_only_where_that_is_sure() -> None:
    row = replace(folded(HALF[1]), created=START + seconds(5))
    assert kinds(folded(*HALF), row, CUT) == ["row-lacks-events"] * 2
    assert found(folded(*HALF), row, replace(CUT, now=START + DAY * 14)) == []


# --- outcomes


CLOSED = (*HALF, delivered("Completed"))


@pytest.mark.parametrize("state", ["Completed", "Failed", "Abandoned"])
def test_the_outcome_that_the_row_shows_as_well(state: str) -> None:
    closed = folded(*HALF, delivered(state))
    assert found(closed, closed) == []


def test_an_outcome_that_the_row_does_not_have() -> None:
    said = "The events tell that it is Completed, told at 2026-01-31T12:00:00.000Z"
    assert found(folded(*CLOSED), folded(*HALF)) == [
        ("row-lacks-events", f"{said}; the tracker has it in AwaitingResults.")
    ]
    assert found(folded(*CLOSED), folded(*HALF), CUT) != [], "an outcome needs no other event"
    assert found(folded(*CLOSED), None) == [("transaction-lost", f"{said}, and there is no outcome.")]


def test_another_outcome() -> None:
    assert kinds(folded(*CLOSED), folded(*HALF, delivered("Failed", "timeout"))) == ["row-contradicts-events"]


@pytest.mark.parametrize("row", [None, folded(*HALF), folded(*HALF, delivered("Failed", "timeout"))])
def test_one_whose_time_is_over_may_be_forgotten_and_begin_anew(row: Transaction | None) -> None:
    over = replace(REACH, now=START + seconds(REMEMBERED_S))
    assert found(folded(*CLOSED), row, over) == []
    assert found(folded(*CLOSED), row, replace(over, now=over.now - seconds(1))) != []
    assert found(folded(*CLOSED), row, replace(over, now=over.now - seconds(1), grace_s=2.0)) == []


def test_an_outcome_is_never_cut() -> None:
    row: dict[str, Any] = view(folded(*HALF))
    assert not is_cut(folded(*CLOSED), row, CUT)
    assert not is_cut(folded(*CLOSED), None, replace(CUT, now=START + DAY * 300))
