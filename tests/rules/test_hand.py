"""When small payloads in hand are worth a request, and which ones first."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import hand as hand_module
from bridge.contract.inbound import PayloadMessage, Trace
from bridge.hand import BATCH_REQUESTS_MAX, LINGER_MAX_S, LINGER_S, Hand, Small

LANE: Any = object()


def small(ordinal: int, at: float = 0.0, total_count: int = 10_000) -> Small:
    message = PayloadMessage("T", "s", ordinal, total_count, 1, None, Trace())
    return Small(message, b"x", LANE, ordinal, lambda: None, at)


def taken(hand: Hand, now: float) -> list[tuple[int, int]]:
    return [(run[0].message.ordinal, len(run)) for run in hand.take_ripe(now)]


def test_a_complete_window_is_ripe_at_once_and_nothing_else_is() -> None:
    hand = Hand()
    completed = [hand.add(small(ordinal)) for ordinal in range(1, 300)]
    assert completed.index(True) == 255
    assert sum(completed) == 1
    assert taken(hand, 0.0) == [(1, 256)]
    assert taken(hand, 0.0) == []
    assert not hand.empty


def test_the_last_window_of_a_series_is_complete_without_256() -> None:
    hand = Hand()
    assert [hand.add(small(ordinal, total_count=3)) for ordinal in (1, 2, 3)] == [False, False, True]
    assert taken(hand, 0.0) == [(1, 2), (3, 1)]
    assert hand.empty


def test_when_nothing_has_come_for_a_while_everything_is_ripe() -> None:
    hand = Hand()
    hand.add(small(1, at=1.0))
    hand.add(small(900, at=1.004))
    assert hand.ripe_at == pytest.approx(1.004 + LINGER_S)
    assert taken(hand, 1.0 + LINGER_S) == []
    assert sorted(taken(hand, hand.ripe_at)) == [(1, 1), (900, 1)]


def test_who_waited_long_goes_though_others_keep_coming() -> None:
    hand = Hand()
    hand.add(small(1, at=0.0))
    hand.add(small(900, at=LINGER_MAX_S))
    assert hand.ripe_at == LINGER_MAX_S
    assert taken(hand, LINGER_MAX_S) == [(1, 1)]
    assert not hand.empty


def test_the_fullest_window_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_module, "BATCH_REQUESTS_MAX", 1)
    hand = Hand()
    for ordinal in (1, 257, 258, 513):
        hand.add(small(ordinal))
    assert taken(hand, 1.0) == [(257, 2)]


def test_a_batch_is_limited_and_what_is_left_is_for_the_next_one() -> None:
    hand = Hand()
    for window in range(3 * BATCH_REQUESTS_MAX):
        hand.add(small(1 + window * 256, total_count=1_000_000))
    sizes = []
    while not hand.empty:
        sizes.append(len(taken(hand, 1.0)))
    assert sizes == [BATCH_REQUESTS_MAX] * 3


def test_a_second_copy_in_hand_is_reported_by_itself() -> None:
    hand = Hand()
    for _ in range(3):
        hand.add(small(7))
    assert taken(hand, 1.0) == [(7, 1)] * 3
