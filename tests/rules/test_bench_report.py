"""The page of the benchmarks: ratios belong to a round, and what was wanted is judged by their median."""

from __future__ import annotations

import re

import pytest

from benchmarks.aims import COMPARISONS, Comparison, less, possible, ratio
from benchmarks.null_sink import Pace
from benchmarks.report import as_markdown

ROUNDS = [
    {"bridge": {"mb_per_s": bridge}, "raw Put Block": {"mb_per_s": raw}}
    for bridge, raw in ((90.0, 100.0), (300.0, 400.0), (40.0, 41.0))
]


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    page = as_markdown({"azurite": ROUNDS})
    assert "| bridge ÷ raw Put Block | 0.9 (0.75-0.976) | at least 0.9: met |" in page
    assert "| bridge | 90 (40-300) |" in page


def test_a_median_below_what_was_wanted_is_told() -> None:
    page = as_markdown({"azurite": [*ROUNDS, ROUNDS[1], ROUNDS[1]]})
    assert "| bridge ÷ raw Put Block | 0.75 (0.75-0.976) | at least 0.9: not met |" in page


def test_the_page_names_what_it_was_measured_with() -> None:
    page = as_markdown({"azurite": ROUNDS}, ["kafka 4.1.0", "azurite 3.37.0"])
    assert "kafka 4.1.0, azurite 3.37.0, aio-pika" in page
    assert re.search(r"Machine: \d+ x .+, \d+ GiB, Linux", page)


def test_what_was_not_measured_is_not_compared() -> None:
    page = as_markdown({"azurite": ROUNDS})
    assert "aio-pika and bytes" not in page
    assert "RSS" not in page


@pytest.mark.parametrize(
    ("comparison", "value", "met"),
    [
        (Comparison("", ratio("a", "b"), at_least=0.9), 0.9, True),
        (Comparison("", ratio("a", "b"), at_least=0.9), 0.89, False),
        (Comparison("", less("a", "b", "s"), at_most=2), 2.0, True),
        (Comparison("", less("a", "b", "s"), at_most=2), 2.1, False),
        (Comparison("", ratio("a", "b")), 0.1, None),
    ],
)
def test_a_limit_is_met_up_to_itself(comparison: Comparison, value: float, met: bool | None) -> None:
    assert comparison.met(value) is met


def test_what_cores_allow_follows_from_what_a_gib_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.aims.CORES", 4)
    found = possible("bridge")({"bridge": {"together_cpu_s_per_gib": 2.0}})
    assert found == pytest.approx(2 * 1073.741824)


def test_every_comparison_finds_its_sides_in_its_scenario() -> None:
    from benchmarks.__main__ import APART, SCENARIOS
    from benchmarks.measured import Machine
    from benchmarks.report import FIGURES

    for name, sides in (SCENARIOS | APART).items():
        found = {side: dict.fromkeys(FIGURES, 1.0) for side in sides(Machine({}, {}))}
        for comparison in COMPARISONS[name]:
            comparison.of(found)


def test_a_paced_sink_reads_at_its_rate_and_makes_up_for_nothing() -> None:
    pace = Pace(mb_per_s=1)
    assert pace.read(500_000, now_s=10) == pytest.approx(10.5)
    assert pace.read(500_000, now_s=10) == pytest.approx(11), "what two connections send counts together"
    assert pace.read(500_000, now_s=20) == pytest.approx(20.5), "after a pause it does not catch up"
