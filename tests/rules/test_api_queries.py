"""What the API is asked and answers: strict questions, pages that fit together, honest gaps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.events import HeaderReceived, Staged
from bridge.contract.inbound import Header, SeriesSpec
from streams import queries
from streams.queries import BadParameter, Listing
from tables import rules
from tables.projection import view

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ids = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,20}[A-Za-z0-9])?", fullmatch=True)
listings = st.builds(
    Listing,
    state=st.none() | st.sampled_from(["AwaitingResults", "Completed"]),
    type=st.none() | st.sampled_from(["valuation", "x_1"]),
    limit=st.integers(1, 1_000),
    after=st.just("") | ids,
)


def staged(ordinal: int, total: int) -> Staged:
    return Staged("a", ordinal, 1, total, (3,), ("0" * 16,), ("0" * 16,))


def row(*facts: rules.Fact, name: str = "T1") -> dict[str, object]:
    transaction = rules.opened(name, NOW)
    for fact in facts:
        transaction = rules.advance(transaction, fact, NOW)
    return view(transaction)


def header(*series: SeriesSpec) -> HeaderReceived:
    return HeaderReceived(transaction="T1", header=Header(series=series), digest="d", received=NOW)


@given(listings)
def test_a_listing_survives_its_query_string(listing: Listing) -> None:
    assert queries.parse_listing(queries.query_of(listing).items()) == listing


def test_empty_values_are_none() -> None:
    assert queries.parse_listing([("state", ""), ("type", ""), ("limit", ""), ("after", "")]) == Listing()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "+5"),
        ("limit", " 5"),
        ("limit", "1_0"),
        ("limit", "٣"),
        ("limit", "1e2"),
        ("limit", "9" * 30),
        ("state", "completed"),
        ("state", "Open"),
        ("type", "a.b"),
        ("after", "zzz"),
        ("after", "ü"),
        ("after", queries.cursor("T1") + "="),
        ("after", queries.cursor("a..b")),
        ("local", "1"),
    ],
)
def test_bad_input_names_its_parameter(name: str, value: str) -> None:
    with pytest.raises(BadParameter) as caught:
        queries.parse_listing([(name, value)])
    assert caught.value.name == name


def test_a_parameter_counts_once() -> None:
    with pytest.raises(BadParameter):
        queries.parse_listing([("limit", "1"), ("limit", "1")])


@pytest.mark.parametrize("text", ["", "a..b", "-a", "a/b", "a" * 129, "a\x00", ".."])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadParameter):
        queries.parse_id(text)


@given(st.sets(ids), st.integers(1, 7), st.integers(1, 5))
def test_the_smallest_are_found_in_any_slices(names: set[str], count: int, step: int) -> None:
    unsorted = list(names)
    best: list[str] = []
    for start in range(0, len(unsorted), step):
        best = queries.smallest(best, unsorted[start : start + step], count, lambda each: "a" not in each)
    assert best == sorted(each for each in names if "a" not in each)[:count]


@given(st.lists(st.sets(ids, max_size=8), max_size=4), st.integers(1, 6))
def test_pages_of_all_owners_together_are_the_whole(owners: list[set[str]], limit: int) -> None:
    held = [each - set().union(*owners[:number]) for number, each in enumerate(owners)]
    found: list[str] = []
    after = ""
    while True:
        parts = [
            [{"transactionId": name} for name in sorted(each for each in mine if each > after)[: limit + 1]]
            for mine in held
        ]
        page = queries.page(parts, limit)
        found += [entry["transactionId"] for entry in page["transactions"]]
        if page["next"] is None:
            break
        assert len(page["transactions"]) == limit
        after = queries.parse_listing([("after", page["next"])]).after
    assert found == sorted(set().union(*held))


def test_a_summary_counts_over_all_series() -> None:
    shown = queries.summary(row(header(SeriesSpec("a", 4), SeriesSpec("b", 2)), staged(1, 4)))
    assert (shown["receivedCount"], shown["totalCount"], shown["bytes"], shown["seriesCount"]) == (1, 6, 3, 2)
    assert (shown["transactionId"], shown["state"], shown["problemCode"]) == ("T1", "AwaitingResults", None)


def test_a_total_is_unknown_until_all_of_it_is_known() -> None:
    assert queries.summary(row(staged(1, 4)))["totalCount"] is None
    assert queries.summary(row(header(SeriesSpec("a", 4), SeriesSpec("log"))))["totalCount"] is None


def test_gaps_are_ranges_of_known_series_and_names_of_the_others() -> None:
    found = queries.gaps(row(header(SeriesSpec("a", 4), SeriesSpec("log"), SeriesSpec("e", 0)), staged(2, 4)))
    assert {name: list(map(list, missing)) for name, missing in found["series"].items()} == {
        "a": [[1, 1], [3, 4]],
        "e": [],
    }
    assert (found["unknownTotal"], found["rangesTruncated"]) == (["log"], False)


def test_gaps_say_when_there_are_more() -> None:
    every_second = [staged(ordinal, 4_000) for ordinal in range(2, 4_001, 2)]
    found = queries.gaps(row(header(SeriesSpec("a", 4_000)), *every_second))
    assert len(found["series"]["a"]) == 1_000
    assert found["rangesTruncated"]


def test_a_cut_of_the_received_ranges_does_not_cut_the_gaps() -> None:
    # 1,001 received ranges with 1,000 gaps between them: only the former are cut.
    shown = row(header(SeriesSpec("a", 2_001)), *(staged(ordinal, 2_001) for ordinal in range(1, 2_002, 2)))
    assert shown["series"][0]["rangesTruncated"]
    assert not queries.gaps(shown)["rangesTruncated"]
