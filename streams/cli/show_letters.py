"""What `brh dlq` prints for people. Producers wrote most of it, so all of it is escaped. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Final

from rich.filesize import decimal

from bridge.contract.outbound import rfc3339
from bridge.quoting import quoted
from streams.cli.dead_letter import DeadLetter, Letters
from streams.cli.redrive import Report
from streams.remedies import remedy

ORPHANED_TYPE: Final = "brh.transaction.orphaned.v1"
LEFT_REMEDY: Final = (
    "Have the producer send them right, or raise BRH_PAYLOAD_MAX_BYTES here and at the bridges; --force puts them back "
    "all the same."
)
TEXT_CHARS_MAX: Final = 255
NESTED_MAX: Final = 8
"""Levels of a header that are shown."""


def letters(listed: Letters, transactions: Sequence[str] = ()) -> list[str]:
    """The messages of a queue, line by line; `transactions` are those whose messages were asked for, if any."""
    waiting, found = listed.waiting, listed.messages
    if not waiting:
        return [f"{listed.queue} is empty."]
    lines = [f"{listed.queue} has {waiting} {'message' if waiting == 1 else 'messages'}."]
    lines += [_line(each) for each in found]
    if not listed.looked_at:
        lines.append("Somebody has them in hand.")
    elif transactions:
        names = ", ".join(map(quoted, transactions))
        lines.append(f"Of {names} these are {len(found)}, and {listed.looked_at} were looked at.")
    elif len(found) < waiting:
        lines.append(f"These are {len(found)} of them.")
    return [*lines, "Next: `brh dlq show ID` shows one, `brh dlq redrive` puts them back."]


def _line(found: DeadLetter) -> str:
    since = f" since {found.since}" if found.since else ""
    origin = f" from {_plain(found.queue)}" if found.queue else ""
    return (
        f"{found.id}  {_plain(found.transaction_id) or 'no id'}  {_plain(found.type) or 'no type'}"
        f"  {decimal(found.bytes)}{origin}{since}: {why(found)}"
    )


def why(found: DeadLetter) -> str:
    """Why it is there, as far as that can be told without its body."""
    if found.problem is not None and found.queue is not None:
        return f"{found.problem.detail} ({found.problem.code})"
    match found.reason:
        case _ if found.type == ORPHANED_TYPE:
            return "payloads that are in no result; `brh dlq show` names them"
        case None:
            return "nobody noted why"
        case "rejected":
            return "refused for what its body is"
        case "delivery_limit":
            return "given back too often, and nothing speaks against it"
        case other:
            return f"put aside by the broker ({_plain(other)})"


def letter(found: DeadLetter, headers: Mapping[str, object], body: bytes) -> list[str]:
    """One message with all that is known of it."""
    shown = {
        "id": found.id,
        "transaction": found.transaction_id,
        "type": found.type,
        "message id": found.message_id,
        "app id": found.app_id,
        "bytes": found.bytes,
        "came to": found.queue,
        "routing key": found.routing_key,
        "since": found.since,
        "put back": found.redriven or None,
    }
    lines = [f"{name}: {quoted(value)}" for name, value in shown.items() if value is not None]
    lines += [f"header {quoted(name)}: {_header(value)}" for name, value in headers.items() if name != "x-death"]
    if found.queue is not None:
        lines.append(f"Why: {why(found)}")
    if found.problem is not None and (helps := remedy(found.problem.code)):
        lines.append(f"What helps: {helps}")
    if body:
        lines += ["", json.dumps(event(body), indent=2)]
    return lines


def put_back(found: DeadLetter, dry_run: bool) -> str:
    """What became of one message."""
    what = "would be put back" if dry_run else "put back"
    if found.problem is not None:
        what = f"stays: {found.problem.detail} ({found.problem.code})"
    return f"{found.id}  {_plain(found.transaction_id) or 'no id'}  {decimal(found.bytes)}: {what}"


def redriven(report: Report) -> str:
    """What became of all."""
    if not report.waiting:
        return f"{report.queue} is empty."
    counts = f"{len(report.put_back)} {'would be ' if report.dry_run else ''}put back, {report.left_count} stay"
    others = f", {report.not_chosen} not chosen" if report.not_chosen else ""
    more = "\nMore are waiting: run the same command again." if report.more else ""
    return f"{report.queue}: {counts}{others}.{more}"


def event(body: bytes) -> Any:
    """The JSON of an orphan record, or what is there instead."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return quoted(body)


def plain(value: object, depth: int = 0) -> Any:
    """An AMQP value as JSON."""
    if depth == NESTED_MAX:
        return "..."
    match value:
        case Mapping():
            return {_plain(str(name)): plain(each, depth + 1) for name, each in value.items()}
        case list() | tuple():
            return [plain(each, depth + 1) for each in value]
        case datetime():
            return rfc3339(value)
        case float() if not isfinite(value):
            return quoted(value)
        case None | bool() | int() | float():
            return value
        case str():
            return _plain(value)
        case _:
            return quoted(value)


def _header(value: object) -> str:
    return quoted(value) if isinstance(value, str | bytes | int | float | None) else json.dumps(plain(value))


def _plain(text: str | None) -> str:
    # Whole where it can be an id: people copy it from here.
    return ascii(text)[1:-1][:TEXT_CHARS_MAX] if text is not None else ""
