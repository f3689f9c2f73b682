"""Durations are read as ISO 8601 writes them, and written so that they read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.inbound import TIMEOUT_MAX_S, TIMEOUT_MIN_S
from bridge.durations import duration_s, duration_text, limit_s

READ = {
    "PT0S": 0.0,
    "PT1S": 1.0,
    "PT10M": 600.0,
    "PT2H": 7_200.0,
    "P1D": 86_400.0,
    "P1DT1H1M1S": 90_061.0,
    "PT1M16.016S": 76.016,
    "PT0,5S": 0.5,
    "PT90M": 5_400.0,
}
NO_DURATIONS = [
    *("", "P", "PT", "P1DT", "10M", "PT10", "PT-1S", "-PT1S", "pt1s", "PT1S ", "PT1S\n", "PT1.S", "P1W", "P1M", "P1Y"),
    *("PT1M1H", "PT1e3S", "PT\u0661S", "PT1_0S", "PT9999999999S", "PTS", "PT1H1H"),
]


@pytest.mark.parametrize(("text", "seconds"), READ.items())
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", NO_DURATIONS, ids=repr)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration_s(text) is None
    assert limit_s(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT1S", 1.0),
        ("P6D", 6 * 86_400.0),
        ("PT0.999S", None),
        ("PT0S", None),
        ("P6DT0.001S", None),
        ("PT144H1S", None),
    ],
)
def test_a_limit_is_from_a_second_to_six_days(text: str, seconds: float | None) -> None:
    assert limit_s(text) == seconds
    assert (TIMEOUT_MIN_S, TIMEOUT_MAX_S) == (1, 6 * 86_400)


@given(st.integers(0, 20 * 86_400_000))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    assert duration_s(duration_text(milliseconds / 1_000)) == milliseconds / 1_000


@pytest.mark.parametrize(
    "text", ["PT0S", "PT1S", "PT10M", "PT2H", "P1D", "P1DT1H1M1S", "PT1M16.016S", "PT0.5S", "PT1H1S"]
)
def test_a_duration_is_written_as_short_as_can_be(text: str) -> None:
    assert duration_text(duration_s(text) or 0.0) == text
