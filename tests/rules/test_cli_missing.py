"""`brh send --only-missing`: exactly what has not arrived, and nothing where the files cannot be the same result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from playbook import START, Playbook, delivered, header, payload, problem, refused

from streams.cli import brh
from streams.cli.client import refused as refused_by_api
from streams.cli.errors import CliError
from streams.cli.missing import Missing, missing_of
from streams.cli.payloads import payloads, plan
from streams.cli.producer import Progress, SendSummary
from streams.cli.send_missing import send_missing
from tables import ordinals
from tables.projection import view
from tables.rules import advance, opened


class Sized:
    def __init__(self, total_count: int) -> None:
        self.size = self.total_count = total_count

    def chunk(self, ordinal: int) -> bytes:
        return b"x"


def missing(book: Playbook, **counts: int) -> Missing:
    found = missing_of(view(book.transaction), {name: Sized(count) for name, count in counts.items()})
    return replace(found, ordinals={name: [list(each) for each in ranges] for name, ranges in found.ordinals.items()})


def test_what_has_not_arrived_is_sent_and_a_series_of_unknown_total_whole() -> None:
    book = Playbook() >> header(a=4, log=None, done=1, none=0) >> payload("a", 2, of=4) >> payload("done", 1, of=1)
    assert missing(book, a=4, log=3, done=1, none=0) == Missing({"a": [[1, 1], [3, 4]], "log": [[1, 3]]})
    assert missing(book, a=4) == Missing({"a": [[1, 1], [3, 4]]})
    assert missing(book, done=1).nothing


def test_without_a_header_it_is_sent_too_and_has_to_name_every_series() -> None:
    book = Playbook() >> payload("a", 1, of=1) >> payload("b", 2, of=2)
    assert missing(book, a=1, b=2, c=2) == Missing({"b": [[1, 1]], "c": [[1, 2]]}, header=True)
    assert not missing(Playbook() >> payload("a", 1, of=1), a=1).nothing, "the header is missing"
    assert refusal(book, a=1) == ("unlisted-series", 2)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_other_chunks_are_another_result(count: int) -> None:
    assert refusal(Playbook() >> header(a=4), a=count) == ("other-chunks", 2)
    assert refusal(Playbook() >> payload("a", 1, of=4), a=count) == ("other-chunks", 2)


def test_a_series_that_the_header_does_not_list_is_not_sent() -> None:
    assert refusal(Playbook() >> header(a=4), a=4, b=1) == ("unknown-series", 2)


def test_what_is_closed_is_not_sent_and_what_is_complete_is_not_missing() -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1)
    assert missing(book, a=1).nothing
    assert missing(book >> delivered("Completed"), a=1).nothing
    assert refusal(Playbook() >> header(a=1) >> delivered("Failed", "x"), a=1) == ("already-closed", 1)
    assert refusal(Playbook() >> header(a=1) >> delivered("Abandoned", "x"), a=1) == ("already-closed", 1)


def test_blocks_that_have_gone_are_missing_again() -> None:
    book = Playbook() >> header(a=2, b=1) >> payload("a", 1, of=2) >> payload("a", 2, of=2) >> payload("b", 1, of=1)
    gone = replace(problem("blocks-missing"), missing={"a": ((2, 2),), "b": None})
    lost = book >> replace(refused(), problem=gone) >> refused(code="storage-unavailable")
    assert missing(lost, a=2, b=1) == Missing({"a": [[2, 2]]})
    assert missing(lost, b=1).nothing


def test_more_gaps_than_one_answer_names_are_said_to_be_more() -> None:
    book = Playbook() >> header(a=4_000, b=1)
    for ordinal in range(2, 4_001, 2):
        book >> payload("a", ordinal, of=4_000)
    found = missing(book, a=4_000)
    assert (found.count("a"), found.cut, found.more, found.payloads) == (1_000, True, 1_000, 2_000)
    assert missing(book, b=1) == Missing({"b": [[1, 1]]}), "of what is not sent nothing more is missing"


def test_more_blocks_that_have_gone_than_a_problem_names_are_said_to_be_more() -> None:
    book = Playbook() >> header(a=2, b=1) >> payload("a", 1, of=2) >> payload("a", 2, of=2) >> payload("b", 1, of=1)
    gone = replace(problem("blocks-missing"), missing={"a": ((2, 2),)}, missing_truncated=True)
    assert missing(book >> replace(refused(), problem=gone), a=2, b=1) == Missing({"a": [[2, 2]]}, more=1)


@given(st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(1, 20))), st.none() | st.integers(0, 99))
def test_exactly_the_wanted_payloads_are_sent(wanted: dict[str, set[int]], shuffle: int | None) -> None:
    counts = {"a": 20, "empty": 0, "b": 20, "c": 20}
    only = {name: ordinals.ranges(ordinals.of(sorted(found)), 20)[0] for name, found in wanted.items()}
    sent = [(each.series, each.ordinal) for each in payloads(plan(counts, shuffle, 0.0, only), counts)]
    assert sorted(sent) == sorted((name, each) for name, found in wanted.items() for each in found)


def refusal(book: Playbook, **counts: int) -> tuple[str, int]:
    with pytest.raises(CliError) as caught:
        missing(book, **counts)
    return caught.value.code, caught.value.exit_code


# --- in rounds


class Producer:
    """Every second payload is missing, the API names ten ranges, and what is sent arrives a few at a time."""

    def __init__(self, gaps: int, *, lost: frozenset[int] = frozenset(), headless: bool = False) -> None:
        self.total = 2 * gaps
        self.row = opened("T1", START)
        for fact in [] if headless else [header(a=self.total)]:
            self.row = advance(self.row, fact, START)
        self.arrive(range(2, self.total + 1, 2))
        self.lost = lost
        self.rounds: list[Missing] = []
        self.told: list[Progress] = []
        self.under_way: list[int] = []

    @property
    def sent(self) -> list[int]:
        return [ordinal for only in self.rounds for ordinal in named(only)]

    def arrive(self, ordinals: range | list[int]) -> None:
        for ordinal in ordinals:
            self.row = advance(self.row, payload("a", ordinal, of=self.total), START)

    async def ask(self) -> Missing:
        return missing_of(view(self.row), {"a": Sized(self.total)})

    async def send(self, *, only: Missing, on_progress: Any) -> SendSummary:
        self.rounds.append(only)
        count = len(named(only))
        for sent in range(1, count + 1):
            on_progress(Progress(sent, count, 10 * sent, 10 * count))
        self.under_way += named(only)
        return SendSummary("T1", "default", (), count, 0, 10 * count, 0.1)

    async def pause(self, _: float) -> None:
        self.arrive([each for each in self.under_way[:4] if each not in self.lost])
        del self.under_way[:4]

    async def run(self, **options: Any) -> tuple[SendSummary, bool]:
        return await send_missing(await self.ask(), self.ask, self.send, self.told.append, pause=self.pause, **options)


def named(only: Missing) -> list[int]:
    return [ordinal for first, last in only.ordinals.get("a", ()) for ordinal in range(first, last + 1)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without news the second answer ends a wait."""
    monkeypatch.setattr("streams.cli.send_missing.ARRIVE_MAX_S", 0.0)
    monkeypatch.setattr("streams.cli.send_missing._POLL_S", 0.0)


@pytest.fixture
def ten_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.missing.RANGES_MAX", 10)


@pytest.mark.usefixtures("ten_ranges")
async def test_it_goes_on_until_nothing_is_missing_and_nothing_is_sent_twice() -> None:
    here = Producer(45)
    summary, left = await here.run()
    assert [len(named(only)) for only in here.rounds] == [10, 10, 10, 10, 5]
    assert here.sent == list(range(1, 90, 2))
    assert (summary.payloads, summary.bytes, left) == (45, 450, False)
    assert here.told == [Progress(count, 45, 10 * count, 450) for count in range(1, 46)]


@pytest.mark.usefixtures("ten_ranges")
async def test_where_nothing_arrives_it_ends_and_says_that_more_is_missing() -> None:
    here = Producer(45, lost=frozenset(range(90)))
    summary, left = await here.run()
    assert (len(here.rounds), summary.payloads, left) == (1, 10, True)


@pytest.mark.usefixtures("ten_ranges")
async def test_one_that_does_not_arrive_holds_up_nothing_and_goes_once() -> None:
    here = Producer(45, lost=frozenset([3, 41]))
    summary, left = await here.run()
    assert sorted(here.sent) == list(range(1, 90, 2))
    assert (summary.payloads, left) == (45, False)


@pytest.mark.usefixtures("ten_ranges")
@pytest.mark.parametrize("header_last", [False, True])
async def test_the_header_goes_once_and_where_it_is_wanted(header_last: bool) -> None:
    here = Producer(25, headless=True)
    _, left = await here.run(header_last=header_last)
    assert [only.header for only in here.rounds] == ([False, False, True] if header_last else [True, False, False])
    assert (len(here.sent), left) == (25, False)


@pytest.mark.usefixtures("ten_ranges")
async def test_the_header_goes_last_also_where_others_have_sent_the_rest() -> None:
    here = Producer(25, headless=True)
    here.under_way = list(range(21, 50, 2))
    await here.run(header_last=True)
    assert [(len(named(only)), only.header) for only in here.rounds] == [(10, False), (0, True)]


@pytest.mark.usefixtures("ten_ranges")
async def test_one_that_is_closed_meanwhile_is_said() -> None:
    here = Producer(45)
    first = await here.ask()
    here.row = advance(here.row, delivered("Failed", "timeout"), START)
    with pytest.raises(CliError) as caught:
        await send_missing(first, here.ask, here.send, here.told.append, pause=here.pause)
    assert (caught.value.code, len(here.rounds)) == ("already-closed", 1)


# --- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    (tmp_path / "file").write_bytes(b"x" * 250)
    sent: list[Missing | None] = []

    async def send(_: str, transaction: str, __: Any, *, only: Missing | None = None, **___: Any) -> SendSummary:
        sent.append(only)
        return SendSummary(transaction, "default", (), 1, 0, 100, 0.1)

    def invoke(answer: Any, *arguments: str) -> tuple[Result, list[Missing | None]]:
        class Api:
            async def transaction(self, _: str) -> Any:
                if isinstance(answer, CliError):
                    raise answer
                return answer

        @asynccontextmanager
        async def connected(_: str) -> AsyncIterator[Api]:
            yield Api()

        monkeypatch.setattr("streams.cli.send.connected", connected)
        given = ["send", "T1", "--series", f"a={tmp_path / 'file'}", "--chunk-size", "100", *arguments]
        return CliRunner().invoke(brh, given), sent

    __import__("streams.cli.send")
    monkeypatch.setattr("streams.cli.send.send", send)
    return invoke


def test_nothing_missing_is_said_and_a_success(run: Any) -> None:
    book = Playbook() >> header(a=3, b=1)
    for ordinal in (1, 2, 3):
        book >> payload("a", ordinal, of=3)
    result, sent = run(view(book.transaction), "--only-missing")
    assert (result.exit_code, result.stdout) == (0, "T1: nothing is missing of a; nothing was sent.\n")
    assert sent == []


def test_the_gaps_are_sent_and_without_the_option_everything(run: Any) -> None:
    row = view((Playbook() >> header(a=3) >> payload("a", 2, of=3)).transaction)
    result, sent = run(row, "--only-missing", "--json")
    assert (result.exit_code, json.loads(result.stdout)["payloads"]) == (0, 1)
    assert sent[0] is not None
    assert [list(each) for each in sent[0].ordinals["a"]] == [[1, 1], [3, 3]]
    assert run(row)[1][1] is None


def test_what_nobody_heard_of_is_to_be_sent_whole(run: Any) -> None:
    result, _ = run(refused_by_api(404, {"code": "unknown-transaction"}), "--only-missing")
    assert (result.exit_code, "leave --only-missing out" in result.stderr) == (3, True)


def test_a_share_of_duplicates_is_not_only_what_is_missing(run: Any) -> None:
    assert run({}, "--only-missing", "--duplicates", "5%")[0].exit_code == 2


@pytest.mark.usefixtures("ten_ranges")
def test_where_nothing_arrives_the_next_step_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 9_000)
    result, sent = run(view(Producer(45).row), "--only-missing")
    assert (result.exit_code, len(sent)) == (0, 1)
    assert "More is missing of T1" in result.stderr
    assert "`brh explain T1`" in result.stderr
