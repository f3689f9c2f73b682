"""The page of one transaction: what stands there, made from what the API answers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bridge.contract.events import Command
from streams import commands
from streams.ordinal_counts import Counts, Span
from streams.pages.series import SeriesShown, contradictions, overview_span, rows_together, shown
from streams.pages.wording import clock, day, number, percent, relative, remedy, size
from streams.queries import Document, Row
from tables.transaction import State

SERIES_SHOWN_MAX: Final = 40
"""Of more, those that are complete are left out first."""
EXTENSIONS: Final = (("PT15M", "15 minutes"), ("PT1H", "1 hour"), ("PT6H", "6 hours"), ("P1D", "1 day"))
"""By how much a button may extend the waiting; any other duration by the command line."""

LABELS: Final[Mapping[commands.Action, str]] = {"extend": "Extend", "retry": "Retry now", "cancel": "Cancel"}
"""What stands on the buttons, in their order: what cannot be undone comes last."""


class Fact(msgspec.Struct, frozen=True):
    """A number with its name."""

    label: str
    value: str
    hint: str = ""
    at: str | None = None
    """The moment that the value stands for."""


class Deadline(msgspec.Struct, frozen=True):
    """What time alone brings."""

    at: str
    relative: str
    brings: str


class Trouble(msgspec.Struct, frozen=True):
    """A problem with its remedy."""

    title: str
    detail: str
    code: str
    stage: str
    at: str
    relative: str
    terminal: bool
    remedy: str | None


class Step(msgspec.Struct, frozen=True):
    """A line of the timeline."""

    at: str
    day: str
    clock: str
    relative: str
    kind: str
    text: str
    code: str | None
    offset: str | None


class TransactionPage(msgspec.Struct, frozen=True):
    """Everything that the template shows."""

    id: str
    type: str
    state: str
    open: bool
    late: bool
    summary: str
    waiting_for: Sequence[str]
    otherwise: tuple[Deadline, ...]
    command: str | None
    advice: str | None
    """None where the trouble says it already."""
    facts: tuple[Fact, ...]
    share: float | None
    """Received of all, from 0 to 1; None while nobody knows how many."""
    trouble: Trouble | None
    series: tuple[SeriesShown, ...]
    series_more: int
    contradictions: int
    steps: tuple[Step, ...]
    actions: tuple[commands.Action, ...]
    result: str | None
    """URI of the outcome's folder."""
    labels: tuple[tuple[str, str], ...]


def spans_of(row: Row) -> dict[str, Span]:
    """By series what its map on the page shows."""
    known = _series_shown(row)
    rows_max = rows_together(len(known))
    found = ((each["seriesType"], overview_span(each, rows_max)) for each in known)
    return {name: span for name, span in found if span is not None}


def transaction_page(row: Row, explanation: Document, counts: Mapping[str, Counts], now: datetime) -> TransactionPage:
    """The page at the moment `now`; `counts` are, by series, what is known of the cells of `spans_of` the row."""
    known, spans = _series_shown(row), spans_of(row)
    trouble = _trouble(row["problem"], row["transactionId"], now) if row["problem"] else None
    # A tracker of the release before gives none.
    advice = explanation.get("advice")
    return TransactionPage(
        id=row["transactionId"],
        type=row["transactionType"],
        state=row["state"],
        open=row["state"] in (State.AWAITING_RESULTS, State.SENDING_COMPLETION),
        late=is_late(row),
        summary=explanation["summary"],
        waiting_for=explanation["waitingFor"],
        otherwise=tuple(brought(each, now) for each in explanation["otherwise"]),
        command=explanation["command"],
        advice=None if trouble and trouble.remedy == advice else advice,
        facts=tuple(_facts(row, now)),
        share=_share(row),
        trouble=trouble,
        series=tuple(
            shown(row, each, spans.get(each["seriesType"]), counts.get(each["seriesType"], ())) for each in known
        ),
        series_more=len(row["series"]) - len(known),
        contradictions=contradictions(row),
        steps=steps(explanation["events"], now),
        actions=tuple(allowed(row, now)),
        result=row["blobUri"],
        labels=tuple(sorted((row["header"] or {}).get("labels", {}).items())),
    )


def allowed(row: Row, now: datetime) -> Iterator[commands.Action]:
    """The commands that the state of the transaction does not forbid."""
    for action in LABELS:
        asked = Command(row["transactionId"], "page", action, "", now, 1.0)
        if commands.refusal(asked, row) is None:
            yield action


def asked_for(row: Row, command_id: str) -> str | None:
    """What became of a command that somebody has just given by a button."""
    if not command_id:
        return None
    found = next((each for each in row.get("commands", ()) if each["id"] == command_id), None)
    if found is None:
        return "Your command is on its way. It is listed below as soon as the tracker has taken it."
    return f"Your command was taken: {found['action']}, at {clock(found['at'])}."


def _series_shown(row: Row) -> list[Mapping[str, Any]]:
    known = list(row["series"])
    if len(known) > SERIES_SHOWN_MAX:
        known.sort(key=lambda each: each["receivedCount"] == each["totalCount"])
    return known[:SERIES_SHOWN_MAX]


def is_late(row: Row) -> bool:
    """Whether what is missing should have come, and is not only on its way."""
    if row["state"] != State.AWAITING_RESULTS:
        return True
    return bool(row["problem"]) and row["problem"]["code"] == "gap"


def _facts(row: Row, now: datetime) -> Iterator[Fact]:
    received = sum(each["receivedCount"] for each in row["series"])
    times = row["timestamps"]
    total = _total(row)
    of = f" of {number(total)}" if total is not None else ""
    yield Fact("Payloads", f"{number(received)}{of}", "" if total is None else percent(received, total))
    yield Fact("Received", size(sum(each["bytes"] for each in row["series"])))
    yield Fact("Series", number(len(row["series"])), "" if row["header"] else "without a header")
    yield Fact("Began", relative(times["created"], now), clock(times["created"]), times["created"])
    yield Fact("Last change", relative(times["lastUpdated"], now), clock(times["lastUpdated"]), times["lastUpdated"])
    if row["duplicates"]:
        yield Fact("Duplicates", number(row["duplicates"]))
    if row["recoveries"]:
        yield Fact("Recoveries", number(row["recoveries"]))


def _total(row: Row) -> int | None:
    totals = [each["totalCount"] for each in row["series"]]
    return sum(totals) if row["header"] is not None and None not in totals else None


def _share(row: Row) -> float | None:
    total = _total(row)
    if total is None:
        return None
    return sum(each["receivedCount"] for each in row["series"]) / total if total else 1.0


def brought(text: str, now: datetime) -> Deadline:
    """A sentence of `tables.explain`, which begins with its moment."""
    at, _, brings = text.partition(": ")
    return Deadline(at, relative(at, now), brings)


def _trouble(problem: Mapping[str, Any], transaction_id: str, now: datetime) -> Trouble:
    return Trouble(
        title=problem["title"],
        detail=problem["detail"],
        code=problem["code"],
        stage=problem["stage"],
        at=problem["occurredAt"],
        relative=relative(problem["occurredAt"], now),
        terminal=problem["terminal"],
        remedy=remedy(problem, transaction_id),
    )


def steps(events: Sequence[Mapping[str, Any]], now: datetime) -> tuple[Step, ...]:
    """The newest first."""
    return tuple(
        Step(
            at=each["at"],
            day=day(each["at"]),
            clock=clock(each["at"]),
            relative=relative(each["at"], now.astimezone(UTC)),
            kind=each["kind"],
            text=each["text"],
            code=each.get("code"),
            offset=None if each.get("offset") is None else str(each["offset"]),
        )
        for each in reversed(events)
    )
