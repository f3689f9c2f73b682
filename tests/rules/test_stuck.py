"""Which open transactions somebody should look at first, whoever is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from http_trackers import TOPICS, HttpTracker, two_trackers
from msgspec.structs import replace
from playbook import Playbook, header, passes, payload, refused

from streams.pages.overview import overview_page
from streams.partition import Partition
from streams.stuck import STUCK_MAX, Stuck, first, urgency
from streams.summary import merged, summary
from tables.projection import view
from tables.transaction import Transaction

FRESH = Playbook() >> header(a=3) >> passes(minutes=5) >> payload("a", 1, of=3)
OLDER = Playbook() >> header(a=3) >> payload("a", 1, of=3) >> passes(minutes=5)
GAP = Playbook() >> header(a=3) >> payload("a", 1, of=3) >> passes(minutes=11)
GAP_OVER = Playbook() >> header(a=3) >> passes(minutes=11) >> payload("a", 1, of=3)
CONFLICT = Playbook() >> payload("a", 1, of=3) >> payload("a", 1, of=3, body="y")
SENDING = Playbook() >> passes(minutes=9) >> header(a=1) >> payload("a", 1, of=1)
REFUSED = Playbook() >> passes(minutes=9) >> header(a=1) >> payload("a", 1, of=1) >> refused()
OVERDUE = Playbook() >> passes(minutes=8) >> header(a=1) >> payload("a", 1, of=1) >> passes(minutes=16)
IN_ORDER = {
    "overdue": OVERDUE,
    "refused": REFUSED,
    "gap": GAP,
    "conflict": CONFLICT,
    "older": OLDER,
    "fresh": FRESH,
    "sending": SENDING,
    "gap-over": GAP_OVER,
}


def test_what_is_refused_comes_before_what_is_late_and_that_before_what_goes_on() -> None:
    found = [urgency(book.transaction)[0] for book in IN_ORDER.values()]
    assert found == [0, 0, 1, 1, 2, 2, 2, 2]
    assert sorted(found) == found


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    books = {name: replace(book.transaction, id=name) for name, book in IN_ORDER.items()}

    def row(name: str) -> dict[str, object]:
        return view(books[name])

    async with two_trackers([*books], row, row) as both:
        for number, tracker in enumerate(both):
            tracker.partitions.update({each: Partition() for each in range(number, TOPICS.partitions, 2)})
        for transaction in books.values():
            put(both, transaction)
        yield both


def put(trackers: list[HttpTracker], transaction: Transaction) -> None:
    number = TOPICS.partition_of(transaction.id)
    trackers[number % 2].partitions[number].put(transaction)


async def test_every_tracker_names_the_same_ones_in_the_same_order(trackers: list[HttpTracker]) -> None:
    pages = []
    for tracker in trackers:
        headers = {"Accept": "text/html"}
        async with tracker.app.http_client.get(tracker.url + "/", headers=headers) as response:
            text = await response.text()
        places = [text.index(f'id="t-{name}"') for name in IN_ORDER]
        pages.append([name for _, name in sorted(zip(places, IN_ORDER, strict=True))])
        assert "Look at these first" in text
    assert pages[0] == pages[1]
    urgencies = [urgency(IN_ORDER[name].transaction) for name in pages[0]]
    assert urgencies == sorted(urgencies)


def test_only_the_most_urgent_ones_are_named() -> None:
    parts = [[Stuck(number % 3, f"{number:03d}", {}) for number in range(start, 60, 2)] for start in (0, 1)]
    sorted_parts = [sorted(part, key=lambda each: (each.urgency, each.since)) for part in parts]
    found = [(each.urgency, each.since) for each in first(sorted_parts)]
    assert found == sorted((number % 3, f"{number:03d}") for number in range(60))[:STUCK_MAX]


def test_where_nothing_is_wrong_the_overview_says_only_what_is_open() -> None:
    page = overview_page(summary(merged([])), [], FRESH.now)
    assert (page.groups, page.oldest) == ((), None)
    assert [tile.count for tile in page.tiles] == ["0"] * 5
    assert all(not rate.line.line for rate in page.rates)
