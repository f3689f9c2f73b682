"""Why a transaction is not done yet, as the API tells it: the words of `tables.explain`, and what happened. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from bridge.contract.outbound import rfc3339
from streams.queries import Document, Row
from streams.recent import RECENT_MAX, Happened, problem_key
from streams.remedies import helping
from tables.explain import Explanation, explain
from tables.projection import closed_view, view
from tables.transaction import FINAL, State, Transaction

EVENTS_MAX: Final = RECENT_MAX
"""In one answer: all that the transaction remembers by itself, which is fewer, and the last ones of what is recent."""
_MOMENTS: Final = {
    "created": "The first message came.",
    "headerReceived": "The header came.",
    "recovered": "A tracker took it over, and rebuilt it from its facts.",
    "completed": "The outcome was decided.",
    "notified": "The outcome was told.",
}


def explanation(
    transaction: Transaction,
    row: Row,
    now: datetime,
    recent: Sequence[Happened] = (),
    brought: Mapping[str, int] = MappingProxyType({}),
) -> Document:
    """The answer for a transaction that its owner knows and shows; `recent` is what its owner has taken last.

    `brought` are the offsets of its problems and commands, as `Recent.brought` tells them.

    Of an open one everything is taken from what the owner knows now, because its row may be a second older and would
    contradict it; of a closed one only the row remembers what happened before.
    """
    found = explain(transaction, now)
    shown = closed_view(transaction, row) if transaction.state in FINAL else view(transaction)
    return {
        "transactionId": transaction.id,
        "state": transaction.state.value,
        "summary": found.summary,
        "since": rfc3339(_since(transaction)),
        "waitingFor": found.waiting_for,
        "otherwise": found.otherwise,
        "deadlines": shown["deadlines"],
        "events": _ordered(tuple(_events(shown, brought)), recent),
        "command": found.command,
        "advice": _advice(transaction, found),
        "more": more(transaction.id),
    }


def more(transaction_id: str) -> list[Document]:
    """What tells the rest: also of a transaction of which nothing was accepted."""
    return [
        {"command": f"brh replay {transaction_id}", "shows": "every event of it, with its offset"},
        {
            "command": f"brh dlq list --transaction {transaction_id}",
            "shows": "messages of it that were refused; the last of each kind is among the events",
        },
    ]


def _advice(transaction: Transaction, found: Explanation) -> str | None:
    """Where there is no command, what somebody can do who still wants the result."""
    if transaction.state not in (State.FAILED, State.ABANDONED):
        return found.advice
    return helping(transaction.problem.code if transaction.problem else None, transaction.id)


def _since(transaction: Transaction) -> datetime:
    """How long it has been like that: the last news of what is waited for, the verdict, or the outcome."""
    if transaction.settled is not None:
        return transaction.settled.completed
    return transaction.decided or transaction.progressed or transaction.created


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a transaction."""

    at: str
    kind: str
    text: str
    code: str | None = None
    """Of the problem, or the command's action."""
    offset: int | None = None
    """In the transaction's partition of the events topic, of the record that brought it."""


def _ordered(remembered: Sequence[Event], recent: Sequence[Happened]) -> list[Document]:
    # A thousand payloads must not hide the command or the problem that came before them.
    fits = recent[max(0, len(recent) + len(remembered) - EVENTS_MAX) :]
    events = (*remembered, *map(_event, fits))
    ordered = sorted(events, key=lambda each: (each.at, -1 if each.offset is None else each.offset))
    return [msgspec.to_builtins(each) for each in ordered]


def _event(happened: Happened) -> Event:
    return Event(rfc3339(happened.at), happened.kind, happened.text, offset=happened.offset)


def _events(row: Row, offsets: Mapping[str, int]) -> Iterator[Event]:
    for name, text in _MOMENTS.items():
        if (at := row["timestamps"].get(name)) is not None:
            yield Event(at, name, text)
    for each in row.get("problems", ()):
        offset = offsets.get(problem_key(each["occurredAt"], each["code"]))
        yield Event(each["occurredAt"], "problem", f"{each['title']}: {each['detail']}", each["code"], offset)
    for each in row.get("commands", ()):
        yield Event(each["at"], "command", f"{each['by']} asked for it.", each["action"], offsets.get(each["id"]))
