"""What somebody may ask to be done to a transaction, how it is asked for, and when it is refused. Pure.

A command is a fact like any other: the transaction's owner carries it out when it comes to it, if the state allows it
by then. What is refused here is what the state forbids already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from bridge.contract.events import Command
from bridge.contract.inbound import TIMEOUT_MAX_S, Trace
from bridge.contract.outbound import rfc3339
from bridge.durations import EXPECTED_LIMIT, duration_text, limit_s
from bridge.quoting import quoted
from streams.queries import BadParameter, Document, Row, problem
from tables.transaction import FINAL, State

Action: TypeAlias = Literal["retry", "cancel", "extend"]
ACTIONS: Final[tuple[Action, ...]] = ("retry", "cancel", "extend")

KEY_HEADER: Final = "Idempotency-Key"
USER_HEADER: Final = "X-Brh-User"
USER_CHARS_MAX: Final = 80
BODY_MAX_BYTES: Final = 4 << 10
"""A duration is short, and a body is read before anything is known of who sends it."""

_MEMBERS: Final[dict[Action, tuple[str, ...]]] = {"retry": (), "cancel": (), "extend": ("by",)}
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Asked(msgspec.Struct, frozen=True):
    """A command as it was asked for."""

    action: Action
    body: bytes = b""
    content_type: str = ""
    """Of the body, without parameters."""
    key: str | None = None
    """The caller's name for this one command; the same again is the same command."""
    user: str | None = None
    trace: Trace = Trace()
    """Where the request comes from."""


def parse(transaction_id: str, asked: Asked, now: datetime, make_id: Callable[[], str]) -> Command:
    """The command that was asked for. Raises BadParameter."""
    if asked.key is not None and not _KEY.fullmatch(asked.key):
        raise BadParameter(KEY_HEADER, asked.key, "1 to 64 of A-Z a-z 0-9 _ -")
    members = _members(asked)
    extend_s = _limit(members.get("by")) if asked.action == "extend" else 0.0
    return Command(transaction_id, asked.key or make_id(), asked.action, _user(asked), now, extend_s)


def is_taken(command: Command, row: Row) -> bool:
    """Whether this very command was heard before: then there is nothing to do, whatever has become of it."""
    return command.action in _known(command, row)


def refusal(command: Command, row: Row) -> Document | None:
    """The problem, if the transaction's state forbids the command."""
    name, state = command.transaction, State(row["state"])
    if others := _known(command, row) - {command.action}:
        detail = f"{name} has had another command with the key {command.id}: {', '.join(others)}."
        return problem(409, "idempotency-key-reused", "The key belongs to another command", detail)
    if state in FINAL:
        detail = f"{name} is {state}, and an outcome never changes."
        return problem(409, "already-closed", "The transaction is closed", detail)
    match command.action:
        case "retry" if state is State.AWAITING_RESULTS:
            detail = f"{name} is {state}: there is nothing to deliver yet."
            return problem(409, "nothing-to-retry", "The transaction is not being delivered", detail)
        case "extend" if state is State.SENDING_COMPLETION:
            detail = f"{name} is {state}: it waits for no message any more."
            return problem(409, "already-decided", "The transaction is decided", detail)
        case "extend":
            return _beyond(command, row)
        case _:
            return None


def _known(command: Command, row: Row) -> set[str]:
    return {each["action"] for each in row.get("commands", ()) if each["id"] == command.id}


def _beyond(command: Command, row: Row) -> Document | None:
    until = datetime.fromisoformat(row["deadlines"]["awaiting"])
    # Storage drops staged blocks a week after they came, so nobody may wait for longer.
    latest = datetime.fromisoformat(row["timestamps"]["created"]) + timedelta(seconds=TIMEOUT_MAX_S)
    wanted = until + timedelta(seconds=command.extend_s)
    if wanted <= latest:
        return None
    room_s = max(0.0, (latest - until).total_seconds())
    detail = (
        f"{command.transaction} would wait until {rfc3339(wanted)}; the latest possible is {rfc3339(latest)}, "
        f"which is {duration_text(room_s)} more than now."
    )
    return problem(409, "beyond-limit", "Nobody may wait for so long", detail, latest=rfc3339(latest))


def _members(asked: Asked) -> Mapping[str, Any]:
    if not asked.body:
        return {}
    known = _MEMBERS[asked.action]
    if asked.content_type != "application/json":
        raise BadParameter("Content-Type", asked.content_type, "application/json")
    if len(asked.body) > BODY_MAX_BYTES:
        raise BadParameter("body", asked.body, f"at most {BODY_MAX_BYTES} bytes")
    try:
        members = msgspec.json.decode(asked.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadParameter("body", asked.body, "a JSON object") from None
    for name, value in members.items():
        if name not in known:
            expected = f"one of the members {', '.join(known)}" if known else f"no members: {asked.action} takes none"
            raise BadParameter(quoted(name)[1:-1], value, expected)
    return members


def _user(asked: Asked) -> str:
    """Who it was, as far as anybody says: escaped, because people read it in logs, problems and terminals."""
    said = (asked.user or "").strip()[:USER_CHARS_MAX]
    return ascii(said)[1:-1][:USER_CHARS_MAX] or "unknown"


def _limit(text: object) -> float:
    seconds = limit_s(text) if isinstance(text, str) else None
    if seconds is None:
        raise BadParameter("by", text, EXPECTED_LIMIT)
    return seconds
