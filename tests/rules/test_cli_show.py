"""What people see: bars, ranges, and the command that comes next."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any, get_args

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from playbook import Playbook, command, delivered, header, passes, payload, problem, refused

from streams import queries
from streams.cli import show
from streams.cli.arguments import Duration, Percent, Size
from streams.cli.paper import ASCII, Paper, bar, ranges
from streams.cli.show_list import summaries
from streams.explained import explanation
from tables import ordinals
from tables.deadlines import Kind
from tables.projection import view
from tests.support.terminal import OnTerminal

NO_DEADLINES = {"next": None, "kind": None, "awaiting": None}


def row(state: str = "AwaitingResults", **members: Any) -> dict[str, Any]:
    times = {"created": "C", "lastUpdated": "U", "completed": None}
    shown = {"transactionId": "T1", "transactionType": "valuation", "state": state, "header": {"series": []}}
    shown |= {"series": [], "timestamps": times, "deadlines": NO_DEADLINES, "problem": None, "blobUri": None}
    return {**shown, **members}


def series(total: int | None, received: list[list[int]], missing: list[list[int]], *, cut: bool = False) -> Any:
    count = sum(last - first + 1 for first, last in received)
    return {
        "seriesType": "a",
        "totalCount": total,
        "receivedCount": count,
        "bytes": 2_000,
        "received": received,
        "missing": missing,
        "rangesTruncated": cut,
    }


@given(st.integers(1, 300), st.data())
def test_a_cell_is_whole_only_when_all_of_it_is_there(total: int, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, 2**total - 1))
    drawn = bar(ordinals.ranges(bits, total)[0], total, 60)
    assert len(drawn) == min(60, total)
    assert ("▮" * len(drawn) == drawn) == (bits == ordinals.upto(total))
    assert ("▯" * len(drawn) == drawn) == (bits == 0)


def test_one_missing_ordinal_of_many_is_seen() -> None:
    assert bar([[1, 499_999], [500_001, 1_000_000]], 1_000_000, 4) == "▮▪▮▮"


def test_what_lies_behind_a_cut_is_unknown() -> None:
    assert bar([[1, 50]], 100, 4, cut=True) == "▮▮··"
    assert bar([], 100, 4, cut=True) == "····"


def test_ranges_are_short_and_say_how_many_more() -> None:
    assert ranges([[17, 17], [42, 90]]) == "17, 42-90"
    assert ranges([[1, 1], [3, 3], [5, 6]], 2) == "1, 3 and 1 more range"
    assert ranges([[1, 1], [3, 3]], 2, cut=True) == "1, 3 and at least 1 more range"


ADVICE = (
    "Next: `brh send T1 --only-missing` with the same --series as before sends what is missing, `brh gaps T1` names it."
)


def test_status_shows_each_series_and_its_gaps() -> None:
    lines = show.status(row(series=[series(4, [[1, 2]], [[3, 4]])]))
    assert "a: 2 of 4 (50 %), 2.0 kB" in lines
    assert "  ▮▮▯▯" in lines
    assert "  2 missing: 3-4" in lines
    assert lines[-1] == ADVICE


def test_status_of_what_is_not_known() -> None:
    lines = show.status(row(header=None, series=[series(None, [[1, 3]], [])]))
    assert any("header has not come" in line for line in lines)
    assert "a: 3 received, total unknown, 2.0 kB" in lines


def test_an_empty_series_has_no_bar() -> None:
    assert show.status(row(series=[series(0, [], [])]))[3:] == ["a: 0 of 0, 2.0 kB", "", show.advice(row())]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("SendingCompletion", "brh wait T1"),
        ("Completed", "brh fetch T1"),
        ("Failed", "another transaction id"),
        ("Abandoned", "another transaction id"),
    ],
)
def test_every_state_has_advice(state: str, words: str) -> None:
    assert words in show.status(row(state))[-1]


def test_a_problem_is_shown_with_its_code() -> None:
    problem = {"title": "Two headers", "code": "conflicting-header", "detail": "They differ."}
    assert "Problem: Two headers (conflicting-header): They differ." in show.status(row("Failed", problem=problem))


@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind != "keep-alive"])
def test_the_next_deadline_is_shown_with_what_it_brings(kind: str) -> None:
    shown = "\n".join(show.status(row(deadlines={"next": "N", "kind": kind, "awaiting": "A"})))
    assert "Next deadline: N, when " in shown
    assert "Waits until A at most." in shown
    assert "Waits until" not in "\n".join(show.status(row(deadlines={"next": "A", "kind": kind, "awaiting": "A"})))


def test_status_names_the_command_that_helps() -> None:
    assert "brh explain T1" in show.status(row(header=None))[-1]
    refused = {"next": "N", "kind": "retry", "awaiting": None}
    assert "brh retry T1" in show.status(row("SendingCompletion", deadlines=refused))[-1]


def test_an_explanation_is_what_is_waited_for_what_time_brings_what_happened_and_what_helps() -> None:
    book = Playbook() >> header(a=2) >> payload("a", 1, of=2) >> command("extend", extend=3_600) >> passes(minutes=10)
    found = explanation(book.transaction, view(book.transaction), book.now)
    assert show.explanation(found) == [
        "T1 waits for 1 of its 1 series.",
        "The last news came 2026-01-31T12:00:00.000Z.",
        "",
        "Waits for:",
        "  Series a: 1 of 2 payloads: 2.",
        "",
        "Otherwise:",
        "  2026-01-31T12:20:00.000Z: its gaps are told, unless something new comes.",
        "  2026-02-01T13:00:00.000Z: abandoned, unless everything has come.",
        "",
        "Until now:",
        "  2026-01-31T12:00:00.000Z  created: The first message came.",
        "  2026-01-31T12:00:00.000Z  headerReceived: The header came.",
        "  2026-01-31T12:00:00.000Z  command (extend): ann asked for it.",
        "  2026-01-31T12:10:00.000Z  problem (gap): Payloads are missing: Nothing new came for 600 s and more.",
        "",
        "More:",
        "  brh replay T1                  every event of it, with its offset",
        "  brh dlq list --transaction T1  messages of it that were refused; the last of each kind is among the events",
        "Next: brh send T1 --only-missing",
        "With the same --series as before it sends what is missing; `brh gaps T1` names it.",
    ]
    closed = book >> delivered("Completed")
    lines = show.explanation(explanation(closed.transaction, view(closed.transaction), closed.now))
    assert lines[0].startswith("T1 is Completed since")
    assert "Waits for:" not in lines
    assert lines[-1] == "Next: brh fetch T1 --out T1"
    failed = Playbook() >> header(a=1) >> delivered("Failed", "unknown-series")
    found = explanation(failed.transaction, view(failed.transaction), failed.now)
    wanted = "What helps: List the series in the header, and send the result under another transaction id."
    assert show.explanation(found)[-1] == wanted
    assert wanted.endswith(show.status(view(failed.transaction))[-1]), "the same words as in the status"
    del found["advice"]  # as a tracker of the release before answers
    assert show.explanation(found)[-2].startswith("  brh replay T1 ")


def test_an_empty_list_says_so() -> None:
    assert summaries({"transactions": []}) == ["No transactions."]


def test_a_list_has_a_line_each() -> None:
    entry = {"transactionId": "T1", "transactionType": "x", "state": "Failed", "lastUpdated": "U", "bytes": 2}
    page = {"transactions": [{**entry, "receivedCount": 1, "totalCount": None, "problemCode": "no-header"}]}
    head, line = summaries(page)
    assert line.split() == ["T1", "x", "Failed", "1", "of", "?", "2", "bytes", "U", "no-header"]
    assert head.index("state") == line.index("Failed")


def shown_gaps(*script: Any) -> list[str]:
    book = Playbook()
    for line in script:
        book >> line
    return show.gaps(queries.gaps(view(book.transaction)))


SEND = "Next: `brh send T1 --only-missing` with the same --series sends just that."


def test_gaps_of_an_open_transaction_are_named_in_full_with_the_command_that_sends_them() -> None:
    assert shown_gaps(header(a=4, b=0, log=None), payload("a", 2, of=4)) == [
        "a: 3 missing: 1, 3-4",
        "log: nothing has told its total count",
        SEND,
    ]
    assert shown_gaps(payload("a", 1, of=1)) == ["The header is missing: there may be more series than these.", SEND]
    scattered = [payload("a", ordinal, of=4_000) for ordinal in range(2, 4_001, 2)]
    assert shown_gaps(header(a=4_000), *scattered)[1] == "There are more gaps than these."


def test_where_nothing_is_missing_it_is_said_with_the_state() -> None:
    book = header(a=1), payload("a", 1, of=1)
    assert shown_gaps(*book) == ["T1 is SendingCompletion: nothing is missing of it."]
    assert shown_gaps(*book, delivered("Completed")) == ["T1 is Completed: nothing is missing of it."]


def test_what_never_came_is_told_of_a_closed_transaction_and_nobody_is_sent_to_send_it() -> None:
    for outcome in ("Completed", "Failed", "Abandoned"):
        lines = shown_gaps(header(a=2, log=None), payload("a", 1, of=2), delivered(outcome))
        assert lines == [
            f"T1 is {outcome}, without these:",
            "a: 1 missing: 2",
            "log: nothing has told its total count",
        ]


def test_blocks_that_have_gone_are_to_be_sent_again() -> None:
    gone = replace(problem("blocks-missing"), missing={"a": ((1, 2),)})
    lost = replace(refused(), problem=gone)
    book = header(a=2), payload("a", 1, of=2), payload("a", 2, of=2), lost
    assert shown_gaps(*book) == ["a: 2 lost from storage: 1-2", SEND]
    assert shown_gaps(*book, delivered("Completed")) == ["T1 is Completed: nothing is missing of it."]
    cut = replace(refused(), problem=replace(gone, missing_truncated=True))
    lines = shown_gaps(header(a=2), payload("a", 1, of=2), payload("a", 2, of=2), cut)
    assert lines == ["a: 2 lost from storage: 1-2", "There are more gaps than these.", SEND]


def test_more_gaps_than_an_answer_names_are_no_fixed_number() -> None:
    found = [[ordinal, ordinal] for ordinal in range(1, 2_000, 2)]
    (line,) = (each for each in show.status(row(series=[series(4_000, [], found, cut=True)])) if " missing: " in each)
    assert line == "  4000 missing: 1, 3, 5, 7, 9, 11, 13, 15 and at least 993 more ranges"
    whole = series(9, [[2, 8]], [[1, 1], [9, 9]], cut=True)
    (line,) = (each for each in show.status(row(series=[whole])) if " missing: " in each)
    assert line == "  2 missing: 1, 9", "only what was received is cut"


NOW = datetime(2026, 1, 31, 12, 10, tzinfo=UTC)
BOOK = Playbook() >> header(cashflows=8, log=None) >> payload("cashflows", 1, of=8) >> payload("cashflows", 5, of=8)


def test_status_on_a_terminal_is_this() -> None:
    assert show.status(view(BOOK.transaction), Paper(60), NOW) == [
        "T1  AwaitingResults",
        "type default, created 10 min ago (2026-01-31T12:00:00.000Z), changed 10 min ago (2026-01-31T12:00:00.000Z)",
        "",
        "cashflows: 2 of 8 (25 %), 240 bytes",
        "  ▮▯▯▯▮▯▯▯",
        "  6 missing: 2-4, 6-8",
        "",
        "log: 0 received, total unknown, 0 bytes",
        "",
        "Next deadline: 0 s ago (2026-01-31T12:10:00.000Z), when its gaps are told, unless something new comes.",
        "Waits until 2026-02-01T12:00:00.000Z at most.",
        ADVICE,
    ]


def test_where_there_are_no_such_signs_bars_are_ascii() -> None:
    lines = show.status(view(BOOK.transaction), Paper(60, ASCII))
    assert "  #---#---" in lines
    assert "\n".join(lines).isascii()


def test_colours_only_add_to_the_text() -> None:
    for found in (view(BOOK.transaction), row("Failed", problem={"title": "t", "code": "c", "detail": "d"})):
        plain, coloured = show.status(found, Paper(60)), show.status(found, Paper(60, colour=True))
        assert [click.unstyle(line) for line in coloured] == plain
        assert coloured != plain


@pytest.mark.parametrize("width", [1, 20, 40])
def test_on_a_narrow_terminal_bars_and_ranges_fit(width: int) -> None:
    scattered = [[first, first] for first in range(2, 200, 2)]
    lines = show.status(row(series=[series(200, [[1, 1]], scattered)]), Paper(width))
    drawn, missing = lines[4:6]
    assert len(drawn) <= max(3, width)
    assert len(missing) <= max(width, len("  199 missing: 2 and 98 more ranges"))


def test_of_many_series_those_are_shown_that_lack_something() -> None:
    full = [{**series(2, [[1, 2]], []), "seriesType": f"full{number}"} for number in range(900)]
    lacking = [{**series(2, [[1, 1]], [[2, 2]]), "seriesType": f"part{number}"} for number in range(100)]
    found = row(series=[*full, *lacking])
    lines = show.status(found)
    assert "1000 series, 900 of them complete; these are 20 of 100 that lack something (--all shows all):" in lines
    assert sum(line.startswith("part") for line in lines) == show.SERIES_SHOWN
    assert not any(line.startswith("full") for line in lines)
    assert sum(line.startswith(("part", "full")) for line in show.status(found, every=True)) == 1_000
    assert "900 series, 900 of them complete." in show.status(row(series=full))


def test_all_is_said_only_of_all() -> None:
    lines = show.status(row(series=[series(1_000_000, [[1, 999_999]], [[1_000_000, 1_000_000]])]))
    assert "a: 999999 of 1000000 (99 %), 2.0 kB" in lines
    assert lines[4].strip() == "▮" * 59 + "▪"


def test_a_million_scattered_ordinals_are_drawn_at_once() -> None:
    scattered = [[first, first] for first in range(1, 1_000_000, 2)]
    began_s = time.process_time()
    assert set(bar(scattered, 1_000_000, 60)) == {"▪"}
    assert time.process_time() - began_s < 5, "linear in ranges and cells"


def page(**members: Any) -> dict[str, Any]:
    entry = {"transactionId": "T1", "transactionType": "valuation", "state": "Failed", "bytes": 2_000_000}
    entry |= {"lastUpdated": "2026-01-31T12:00:00.000Z", "receivedCount": 1, "totalCount": 3, "problemCode": "timeout"}
    return {"transactions": [{**entry, **members}]}


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (200, "transaction type state received bytes changed problem"),
        (72, "transaction type state received bytes problem"),
        (60, "transaction type state received problem"),
        (52, "transaction state received problem"),
        (10, "transaction state problem"),
    ],
)
def test_a_list_gives_up_columns_before_it_is_too_wide(width: int, columns: str) -> None:
    head, line = summaries(page(), Paper(width), NOW)
    assert head.split() == columns.split()
    assert "T1" in line
    assert len(line) <= max(width, 35)


def test_a_list_tells_shares_and_times_from_now() -> None:
    line = summaries(page(), Paper(200), NOW)[1]
    assert "1 of 3 (33 %)" in line
    assert "10 min ago" in line
    assert [click.unstyle(each) for each in summaries(page(), Paper(200, colour=True), NOW)][1] == line


def printed(env: dict[str, str], *, stdout: bool = True) -> str:
    program = [sys.executable, "-c", "from streams.cli import paper; p = paper.stdout(); print(p, p.state('Failed'))"]
    if not stdout:
        return subprocess.run(program, env={**os.environ, **env}, capture_output=True, text=True, check=True).stdout
    with OnTerminal(program, env, columns=77, stdout=True) as terminal:
        assert terminal.end() == 0
        return terminal.seen


def test_a_terminal_has_colours_unless_somebody_does_not_want_them() -> None:
    seen = printed({"PYTHONUTF8": "1"})
    assert "width=77" in seen
    assert "▮" in seen
    assert "\x1b[31mFailed" in seen
    for without in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in printed(without)
    assert "whole='#'" in printed({"PYTHONIOENCODING": "ascii"})
    piped = printed({"PYTHONUTF8": "1"}, stdout=False)
    assert "width=None" in piped
    assert "\x1b" not in piped


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("8MiB", 8 << 20), ("8mib", 8 << 20), ("500kB", 500_000), ("1G", 10**9), ("3B", 3)]
)
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("2m", 120), ("1.5h", 5_400), ("500ms", 0.5), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("5", 0.05), ("0", 0), ("100%", 1)])
def test_percentages(text: str, share: float) -> None:
    assert Percent().convert(text, None, None) == share


@pytest.mark.parametrize("kind", [Size(), Duration(), Percent()])
@pytest.mark.parametrize("text", ["", "-1", "x", "1 x", "٣", "1e3"])
def test_other_values_are_refused(kind: click.ParamType, text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)
