"""One address may ask as much as flows into its bucket, and costs no other one anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import rate_limit
from streams.rate_limit import BURST_S, RateLimit


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(1, 50))
def test_in_no_time_more_is_let_through_than_flows_in(pauses: list[float], per_s: float) -> None:
    limit, now_s = RateLimit(per_s), 0.0
    taken: list[float] = []
    for pause_s in pauses:
        now_s += pause_s
        if limit.wait_s("10.0.0.1", now_s) == 0:
            taken.append(now_s)
    for first, at_s in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= per_s * (BURST_S + taken[last] - at_s) + 1e-6


@given(st.floats(1, 50), st.floats(0, 10))
def test_who_waits_as_long_as_is_said_may_go_on(per_s: float, now_s: float) -> None:
    limit = RateLimit(per_s)
    while (wait_s := limit.wait_s("a", now_s)) == 0:
        pass
    assert 0 < wait_s <= 1 / per_s + 1e-9
    if wait_s > 1e-6:  # or the moment before is the same number
        assert limit.wait_s("a", now_s + wait_s * 0.9) > 0
    assert limit.wait_s("a", now_s + wait_s + 1e-6) == 0


def test_addresses_do_not_share_a_bucket_but_one_network_of_ipv6_does() -> None:
    limit = RateLimit(1)
    for same in ("2001:db8::1", "2001:db8::2:3", "2001:db8::1%eth0"):
        limit.wait_s(same, 0)
    assert limit.wait_s("2001:db8::ffff", 0) > 0
    for other in ("2001:db8:0:1::1", "10.0.0.1", "10.0.0.2", "", "unix"):
        assert limit.wait_s(other, 0) == 0


def test_no_more_addresses_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "ADDRESSES_MAX", 3)
    limit = RateLimit(1)
    for number in range(10):
        limit.wait_s(f"10.0.0.{number}", 0)
    assert len(limit._buckets) == 3
