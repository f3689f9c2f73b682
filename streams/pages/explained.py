"""The page that says why a transaction is not done yet, made from what the API answers. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from streams.pages.transaction import Deadline, Step, brought, steps
from streams.pages.wording import relative
from streams.queries import Document
from tables.transaction import FINAL


class ExplainedPage(msgspec.Struct, frozen=True):
    """Everything that the template shows."""

    id: str
    state: str
    open: bool
    summary: str
    since: str | None
    """None: the owner is of a release that does not tell."""
    ago: str
    waiting_for: tuple[str, ...]
    otherwise: tuple[Deadline, ...]
    command: str | None
    advice: str | None
    steps: tuple[Step, ...]
    more: tuple[tuple[str, str], ...]
    """Command lines, and what they show."""


def explained_page(explanation: Document, now: datetime) -> ExplainedPage:
    """The page at the moment `now`."""
    since = explanation.get("since")
    return ExplainedPage(
        id=explanation["transactionId"],
        state=explanation["state"],
        open=explanation["state"] not in FINAL,
        summary=explanation["summary"],
        since=since,
        ago=relative(since, now) if since else "",
        waiting_for=tuple(explanation["waitingFor"]),
        otherwise=tuple(brought(each, now) for each in explanation["otherwise"]),
        command=explanation["command"],
        advice=explanation.get("advice"),
        steps=steps(explanation["events"], now),
        more=tuple((each["command"], each["shows"]) for each in explanation.get("more", ())),
    )
